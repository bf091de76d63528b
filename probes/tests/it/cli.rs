//! The program: its output, its complaints and its exit codes.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tollgate_probes::clock::{Clock as _, Monotonic};

fn probe() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("tollgate-probe"))
}

fn run(args: &[&str]) -> Output {
    probe().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A responder in a process of its own, on a free port.
struct Serving {
    child: Child,
    target: String,
}

impl Serving {
    fn start(bind: &str) -> Self {
        Self::start_with(&["--bind", bind])
    }

    fn start_with(args: &[&str]) -> Self {
        let mut child = probe()
            .args(["serve", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let target = said["address"].as_str().unwrap().to_owned();
        assert!(target.ends_with(&format!(":{}", said["port"])), "{line}");
        Self { child, target }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_kind_prints_json_and_a_table() {
    for bind in ["127.0.0.1", "::1"] {
        let serving = Serving::start(bind);
        for kind in ["tcp-rr", "tcp-crr", "tcp-stream", "udp-rr", "http"] {
            let args = [
                kind,
                &serving.target,
                "--duration",
                "50ms",
                "--warmup",
                "20ms",
            ];
            let output = run(&[&args[..], &["--json"]].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(said["kind"], kind);
            assert_eq!(said["target"], serving.target.as_str());
            assert_eq!(said["lost"], 0);
            assert!(said["replied"].as_u64().unwrap() > 0, "{said}");
            assert!(said["rate_per_s"].as_f64().unwrap() > 0.0, "{said}");
            assert!(said["bytes_per_s"].as_f64().unwrap() > 0.0, "{said}");
            let names = ["min_ns", "p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "max_ns"];
            let times: Vec<Option<u64>> = names.iter().map(|name| said[name].as_u64()).collect();
            if kind == "tcp-stream" {
                assert!(times.iter().all(Option::is_none), "{said}");
            } else {
                assert!(times.iter().all(Option::is_some), "{said}");
                assert!(times.is_sorted(), "{said}");
                assert!(said["mean_ns"].as_f64().unwrap() > 0.0, "{said}");
            }
            let connects = kind == "tcp-crr";
            assert_eq!(said["connect"]["p50_ns"].is_u64(), connects, "{said}");

            let output = run(&args);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            assert_eq!(stderr(&output), "");
            let table = stdout(&output);
            let word = if kind == "tcp-stream" {
                "Gbit/s"
            } else {
                "p99.9"
            };
            assert!(table.contains(word), "{table}");
            assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        }
    }
}

#[test]
fn variants_are_understood() {
    let serving = Serving::start("127.0.0.1");
    for args in [
        "tcp-rr --payload 1000",
        "tcp-rr --payload 1KiB --warmup 0s",
        "tcp-crr --close fin",
        "tcp-stream --flows 3 --payload 64",
        "udp-rr --timeout 500ms --payload 32",
        "http --connections new --response 65536",
    ] {
        let mut args: Vec<&str> = args.split(' ').collect();
        args.extend([&*serving.target, "--duration", "20ms", "--json"]);
        let output = run(&args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["lost"], 0, "{args:?}: {said}");
    }
}

#[test]
fn round_trips_are_split_for_people_and_machines() {
    let serving = Serving::start("127.0.0.1");
    for kind in ["tcp-rr", "udp-rr"] {
        let args = [kind, &serving.target, "--duration", "50ms", "--timestamps"];
        let output = run(&[&args[..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let split = &said["split"];
        let replies = split["replies"].as_u64().unwrap() + split["unsplit"].as_u64().unwrap();
        assert_eq!(said["replied"], replies, "{said}");
        assert!(split["clock_error_ns"].is_u64(), "{said}");
        for part in ["user-to-driver", "driver-to-driver", "driver-to-user"] {
            assert!(split["parts"][part]["p50_ns"].is_u64(), "{part}: {said}");
        }
        let told = split["parts"]["far-end"]["p50_ns"].is_u64();
        assert_eq!(told, kind == "udp-rr", "{said}");

        let output = run(&args);
        assert_eq!(stderr(&output), "");
        let table = stdout(&output);
        assert!(table.contains("driver to driver"), "{table}");
        assert!(
            table.lines().all(|line| line.chars().count() <= 80),
            "{table}"
        );
    }
}

#[test]
fn all_lost_is_2_with_what_was_counted_and_a_hint() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let args = [
        "udp-rr",
        &target,
        "--duration",
        "50ms",
        "--timeout",
        "5ms",
        "--json",
    ];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["lost"], said["sent"]);
    assert!(
        said["p50_ns"].is_null() && said["max_ns"].is_null(),
        "{said}"
    );
    let hint = stderr(&output);
    assert!(hint.contains("without a reply in time"), "{hint}");
    assert_eq!(hint.lines().count(), 2, "{hint}");
    let last = hint.lines().last().unwrap();
    assert!(
        last.starts_with("error: not one reply from ") && last.ends_with(" requests were lost"),
        "{hint}"
    );
}

/// Takes a port for both protocols, from below those that connections get.
fn free_pair() -> (TcpListener, UdpSocket) {
    let both = |port| {
        let tcp = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some((tcp, UdpSocket::bind(("127.0.0.1", port)).ok()?))
    };
    (20_000..30_000).find_map(both).unwrap()
}

#[test]
fn a_port_in_use_says_so_and_how_to_mend_it() {
    let (tcp, udp) = free_pair();
    let port = tcp.local_addr().unwrap().port().to_string();
    drop(udp);
    let output = run(&["serve", "--port", &port]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "error: failed to listen on 127.0.0.1:{port}: address already in use; another program has this port: \
         stop it or choose another port (0 takes a free one)\n"
    );
    assert_eq!(stderr(&output), expected);
    assert_eq!(stdout(&output), "");

    let (tcp, _udp) = free_pair();
    let port = tcp.local_addr().unwrap().port().to_string();
    drop(tcp);
    let output = run(&["serve", "--port", &port]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("(UDP)"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_done_is_one_line_and_exit_2() {
    for (args, expected) in [
        ("tcp-rr nowhere", "write HOST:PORT"),
        ("tcp-rr 127.0.0.1:0", "port is 0"),
        ("tcp-rr 127.0.0.1:9 --payload 0", "payload is 0 B"),
        (
            "udp-rr 127.0.0.1:9 --payload 31 --timeout 1us",
            "timeout is 1us",
        ),
        ("tcp-stream 127.0.0.1:9 --flows 129", "flows is 129"),
        ("tcp-rr 127.0.0.1:9 --cpu 900", "may run on CPU"),
        ("serve --cpu 900", "may run on CPU"),
        ("serve --bind 192.0.2.1", "this machine's own addresses"),
    ] {
        let output = run(&args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{args}");
        let said = stderr(&output);
        assert!(said.contains(expected), "{args}: {said}");
        assert_eq!(said.lines().count(), 1, "{args}: {said}");
        assert_eq!(stdout(&output), "", "{args}");
    }
    for args in [
        "tcp-rr 127.0.0.1:9 --duration 5",
        "tcp-rr 127.0.0.1:9 --payload many",
        "tcp-rr",
        "serve --port 65536",
        "",
    ] {
        let output = run(&args.split_whitespace().collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(!stderr(&output).is_empty(), "{args}");
    }
}

#[test]
fn help_has_an_example_for_every_command() {
    for command in [
        "",
        "serve",
        "agent",
        "selftest",
        "tcp-rr",
        "tcp-crr",
        "tcp-stream",
        "udp-rr",
        "http",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(stdout(&output).contains("Example"), "{command}");
    }
}

#[test]
fn an_interrupt_prints_what_there_is() {
    let serving = Serving::start("127.0.0.1");
    for kind in ["tcp-rr", "tcp-stream"] {
        let child = probe()
            .args([
                kind,
                &serving.target,
                "--duration",
                "1h",
                "--warmup",
                "0s",
                "--json",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Monotonic.wait_until(Monotonic.now().plus(500_000_000));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{kind}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(said["replied"].as_u64().unwrap() > 0, "{kind}: {said}");
        assert!(stderr(&output).contains("interrupted"), "{kind}");
    }
}

#[test]
fn a_responder_ends_in_order_when_it_is_told_to() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let child = probe()
            .args(["serve", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        Monotonic.wait_until(Monotonic.now().plus(300_000_000));
        kill(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal}");
        assert_eq!(stderr(&output), "", "{signal}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let serving = Serving::start("127.0.0.1");
    let mut child = probe()
        .args(["tcp-rr", &serving.target, "--duration", "50ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_responder_with_a_token_answers_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (
        file("right", &"ab".repeat(32)),
        file("wrong", &"cd".repeat(32)),
    );
    let serving = Serving::start_with(&["--token-file", &right]);
    let ask = |token: &[&str]| {
        let short = ["tcp-rr", &serving.target, "--duration", "100ms"];
        run(&[&short[..], token].concat())
    };
    for token in [&["--token-file", &wrong][..], &[]] {
        assert_eq!(ask(token).status.code(), Some(2));
    }
    let known = ask(&["--token-file", &right]);
    assert_eq!(known.status.code(), Some(0), "{}", stderr(&known));
    let damaged = ask(&["--token-file", &file("damaged", "ab")]);
    assert!(stderr(&damaged).contains("damaged"), "{}", stderr(&damaged));
}
