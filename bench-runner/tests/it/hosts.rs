//! Campaigns between two hosts: over loopback, and between two pods of a lab with an agent behind TLS.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::{TempDir, tempdir};

use crate::support::{ended, no_lab, probe, run, scenario, stderr, stdout, tollgate};

const SMALL: &str = r#"
schema = 1
name = "small"
about = "A short comparison for tests"
reference = "native"

[rounds]
count = 6
slice = "60ms"
warmup = "10ms"

[arm.native]
wire = "native"

[arm.vxlan]
wire = "vxlan"

[workload.rr.tcp-rr]
payload = "64 B"

[workload.udp.udp-rr]
payload = "64 B"

[workload.web.http]
connections = "kept"

[workload.bulk.tcp-stream]
"#;

/// The server's pod in a lab, and the port of its agent.
const SERVER: &str = "10.244.1.2";
const AGENT: &str = "10.244.1.2:7788";

#[test]
fn this_machine_is_a_pair_by_itself() {
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "small", SMALL);
    let out = dir.path().join("out");
    let output = run(&[
        "run",
        file.to_str().unwrap(),
        "--target",
        "hosts",
        "--server",
        "local",
        "--port",
        "17789",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let slices = fs::read_to_string(out.join("slices.jsonl")).unwrap();
    assert!(!slices.contains("\"failed\""), "{slices}");
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["target"], "hosts");
    assert_eq!(record["hosts"]["paths"]["path-again"], "127.0.0.1");
    assert!(record["hosts"]["server_facts"]["kernel"].is_string());
}

#[test]
fn what_is_missing_for_a_pair_is_said() {
    let dir = tempdir().unwrap();
    let refused = |args: &[&str], code: i32| {
        let mut command = tollgate(&["run", "quickstart", "--target", "hosts"]);
        let output = command
            .args(args)
            .env("XDG_STATE_HOME", dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(refused(&[], 2).contains("--server"));
    assert!(refused(&["--server", "far"], 2).contains("no host `far` was joined"));
    assert!(refused(&["--server", "local", "--path", "a=b"], 2).contains("no IP address"));
    assert!(refused(&["--server", "local", "--reference", "x"], 2).contains("--reference"));
    let open = dir.path().join("open");
    fs::write(&open, format!("127.0.0.1:9 plain {}", "ab".repeat(32))).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let text = refused(&["--server", open.to_str().unwrap()], 2);
    assert!(text.contains("chmod 600"), "{text}");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o600)).unwrap();
    let text = refused(&["--server", open.to_str().unwrap()], 4);
    assert!(text.contains("is the agent up"), "{text}");
    assert!(!text.contains(&"ab".repeat(32)), "{text}");
}

/// A lab whose two pods are the hosts.
struct Pair {
    dir: TempDir,
    name: &'static str,
}

impl Pair {
    fn up(name: &'static str) -> Self {
        let pair = Self {
            dir: tempdir().unwrap(),
            name,
        };
        let output = pair.tollgate(&["lab", "up", name]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        pair
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().unwrap().to_owned()
    }

    fn tollgate(&self, args: &[&str]) -> Command {
        let mut command = tollgate(args);
        command.env("XDG_RUNTIME_DIR", self.dir.path());
        command
    }

    /// A program in one of the pods.
    fn at(&self, place: &str, program: &[&str]) -> Command {
        let mut command = self.tollgate(&["lab", "exec", self.name, place, "--"]);
        command.args(program);
        command
    }

    /// Starts an agent at the server; returns it with its invitation.
    fn agent(&self) -> (Child, String) {
        let probe = probe();
        let state = self.path("state");
        let listen = ["agent", "--listen", AGENT, "--state-dir", &state];
        let program = [&[probe.to_str().unwrap()], &listen[..]].concat();
        let mut child = self
            .at("server", &program)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = said
            .map_while(Result::ok)
            .find(|line| line.contains("tollgate join"))
            .expect("the agent says how to join it");
        let fingerprint = line
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        let token = fs::read_to_string(self.dir.path().join("state/agent-token")).unwrap();
        assert!(
            !line.contains(token.trim()),
            "the token is in a log: {line}"
        );
        (child, format!("{AGENT} {} {token}", fingerprint.unwrap()))
    }

    /// Kills the agent by its own pid: `lab exec` is only what started it.
    fn kill_agent(&self) {
        let state = self.path("state");
        let of = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse::<i32>().ok()
        });
        let agents = pids.filter(|&pid| {
            let line = of(pid);
            let program = line.split('\0').next().unwrap_or_default();
            program.ends_with("tollgate-probe") && line.contains(&state)
        });
        for agent in agents {
            kill(Pid::from_raw(agent), Signal::SIGKILL).unwrap();
        }
    }

    fn invitation(&self, file: &str, text: &str) -> String {
        let path = self.path(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A campaign from the client to the server of an invitation.
    fn campaign(&self, invitation: &str, out: &str, more: &[&str]) -> Command {
        let file = scenario(self.dir.path(), "small", SMALL);
        let (file, out) = (file.to_str().unwrap().to_owned(), self.path(out));
        let fixed = [
            env!("CARGO_BIN_EXE_tollgate"),
            "run",
            &file,
            "--target",
            "hosts",
            "--server",
            invitation,
            "--seed",
            "7",
            "--out",
            &out,
        ];
        self.at("client", &[&fixed[..], more].concat())
    }

    fn slices(&self, out: &str) -> String {
        fs::read_to_string(self.dir.path().join(out).join("slices.jsonl")).unwrap_or_default()
    }

    fn wait_for_slices(&self, out: &str, count: usize) {
        for _ in 0..600 {
            if self.slices(out).lines().count() > count {
                return;
            }
            wait(Duration::from_millis(50));
        }
        panic!("the campaign did not get going");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.tollgate(&["lab", "down", self.name]).output();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for another process"
)]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

fn finished(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn two_pods_with_an_agent_behind_tls_give_a_report() {
    if no_lab() {
        return;
    }
    let pair = Pair::up("hosts-pair");
    let (mut agent, text) = pair.agent();
    let invitation = pair.invitation("good", &text);
    let output = finished(pair.campaign(&invitation, "out", &[]));
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let slices = pair.slices("out");
    assert!(!slices.contains("\"failed\""), "{slices}");
    assert!(slices.contains("\"device\":\"eth0\""), "{slices}");
    let json = fs::read_to_string(pair.path("out/report.json")).unwrap();
    assert!(
        !json.contains("contradicts") && json.contains(SERVER),
        "{json}"
    );
    let token = text.split_whitespace().nth(2).unwrap();
    for file in fs::read_dir(pair.path("out")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains(token),
            "a record holds the token"
        );
    }

    let refused = |text: &str, out: &str| {
        let output = finished(pair.campaign(&pair.invitation("bad", text), out, &[]));
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(!Path::new(&pair.path(out)).exists(), "half done");
        stderr(&output)
    };
    let told = refused(&text.replace(token, &"0".repeat(64)), "token");
    assert!(told.contains("doesn't know this token"), "{told}");
    let fingerprint = text.split_whitespace().nth(1).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    let told = refused(&text.replace(fingerprint, &other), "certificate");
    assert!(
        told.contains("not the pinned") && told.contains(fingerprint),
        "{told}"
    );

    let mut first = pair.campaign(&invitation, "first", &["--rounds", "200"]);
    let mut first = first
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    pair.wait_for_slices("first", 4);
    let told = refused(&text, "second");
    assert!(
        told.contains("busy") && told.contains("10.244.0.2"),
        "{told}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    pair.kill_agent();
    agent.wait().unwrap();
}

#[test]
fn a_killed_agent_costs_slices_and_one_that_stays_away_ends_the_campaign() {
    if no_lab() {
        return;
    }
    let pair = Pair::up("hosts-kill");
    let (mut agent, text) = pair.agent();
    let invitation = pair.invitation("good", &text);
    let mut campaign = pair.campaign(&invitation, "out", &["--rounds", "30"]);
    let campaign = campaign
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    pair.wait_for_slices("out", 10);
    pair.kill_agent();
    agent.wait().unwrap();
    let (mut agent, _) = pair.agent();
    let seen = pair.slices("out").lines().count();
    pair.wait_for_slices("out", seen + 20);
    pair.kill_agent();
    agent.wait().unwrap();
    let output = campaign.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(
        told.contains("no slice could be measured in round"),
        "{told}"
    );
    assert!(told.contains("is kept in"), "{told}");
    let slices = pair.slices("out");
    let results: Vec<bool> = slices
        .lines()
        .map(|line| line.contains("\"failed\""))
        .collect();
    let first_failed = results
        .iter()
        .position(|failed| *failed)
        .expect("a slice failed");
    assert!(
        results[first_failed..].contains(&false),
        "the campaign went on"
    );
    assert!(
        results.ends_with(&[true; 8]),
        "a whole round failed at last"
    );
    assert!(Path::new(&pair.path("out/report.html")).is_file());
}
