//! Real campaigns in the lab: short, in namespaces of their own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::tempdir;

use crate::support::{
    ended, is_root, network_namespaces, no_lab, run, scenario, stderr, stdout, tollgate,
};

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
pods = "bridge"
wire = "native"

[arm.vxlan]
pods = "bridge"
wire = "vxlan"

[arm.legacy]
pods = "bridge"
wire = "native"
service = "iptables-legacy"
services = { count = 10 }

[arm.socket]
pods = "bridge"
wire = "native"
service = "socket-lb"
services = { count = 10 }

[workload.rr.tcp-rr]
payload = "64 B"
cpu = "shared"

[workload.crr.tcp-crr]
payload = "64 B"
cpu = "shared"

[workload.web.http]
connections = "kept"
cpu = "shared"

[workload.udp.udp-rr]
payload = "64 B"
cpu = "shared"

[workload.bulk.tcp-stream]
cpu = "shared"
"#;

/// An ordinary user's command line, when the tests run as root.
pub(crate) fn as_user(args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_tollgate"),
        ])
        .args(args);
    command
}

fn campaign(dir: &Path) -> Output {
    let file = scenario(dir, "small", SMALL);
    run(&[
        "run",
        file.to_str().unwrap(),
        "--seed",
        "7",
        "--out",
        dir.join("out").to_str().unwrap(),
    ])
}

#[test]
fn a_campaign_ends_in_a_verdict_with_evidence() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let output = campaign(dir.path());
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let out = dir.path().join("out");
    for file in [
        "run.json",
        "slices.jsonl",
        "histograms.hlog",
        "report.html",
        "report.md",
        "report.json",
        "cells.csv",
        "rounds.csv",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let report = stdout(&output);
    assert!(
        report.lines().all(|line| line.chars().count() <= 80),
        "{report}"
    );
    let json = fs::read_to_string(out.join("report.json")).unwrap();
    assert!(!json.contains("contradicts"), "{report}");
    let slices = fs::read_to_string(out.join("slices.jsonl")).unwrap();
    assert!(!slices.contains("\"failed\""), "{slices}");

    let before = fs::read(out.join("report.json")).unwrap();
    assert!(ended(&run(&[
        "report",
        out.to_str().unwrap(),
        "--pictures"
    ])));
    for file in ["at-a-glance.svg", "at-a-glance.png"] {
        assert!(out.join("pictures").join(file).is_file(), "{file}");
    }
    assert!(
        fs::read(out.join("report.json")).unwrap() == before,
        "a rebuilt report differs"
    );
    refuses_damage(&out);
}

/// Cuts most histograms off: nothing is written over what is left.
fn refuses_damage(out: &Path) {
    let log = fs::OpenOptions::new()
        .write(true)
        .open(out.join("histograms.hlog"))
        .unwrap();
    log.set_len(2000).unwrap();
    let slices = fs::read(out.join("slices.jsonl")).unwrap();
    for args in [&["report"][..], &["run", "--resume"]] {
        let output = run(&[args, &[out.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("damaged"), "{}", stderr(&output));
    }
    assert!(
        fs::read(out.join("slices.jsonl")).unwrap() == slices,
        "slices were cut"
    );
}

#[test]
fn a_probe_that_does_nothing_ends_the_campaign_after_a_round() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "small", SMALL);
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let output = run(&[
        "run",
        file.to_str().unwrap(),
        "--probe",
        "/bin/true",
        "--out",
        out,
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no slice could be measured"),
        "{}",
        stderr(&output)
    );
}

pub(crate) fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts")
}

/// Waits until some rounds are kept, at most half a minute.
fn wait_until_measuring(out: &Path) {
    wait_for_slices(out, 30);
}

/// Waits until more slices than this are kept.
pub(crate) fn wait_for_slices(out: &Path, count: usize) {
    let slices =
        || fs::read_to_string(out.join("slices.jsonl")).map_or(0, |text| text.lines().count());
    for _ in 0..600 {
        if slices() > count {
            return;
        }
        wait(Duration::from_millis(50));
    }
    panic!("the campaign did not get going: {} slices", slices());
}

/// Kills the runner in mid-campaign; checks that all of it goes; finishes the campaign.
fn survives_a_kill(dir: &Path, command: impl Fn(&[&str]) -> Command) {
    let out = dir.join("out");
    let file = scenario(dir, "small", SMALL);
    let namespaces = network_namespaces();
    let mut runner = start(command(&[
        "run",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]));
    wait_until_measuring(&out);
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait(Duration::from_secs(2));
    let left: Vec<_> = network_namespaces()
        .difference(&namespaces)
        .cloned()
        .collect();
    assert!(left.is_empty(), "namespaces left: {left:?}");

    let output = command(&["run", "--resume", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let record = fs::read_to_string(out.join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["installs"].as_array().map(Vec::len), Some(2));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for another process"
)]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn a_killed_campaign_leaves_nothing_and_is_resumed() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    survives_a_kill(dir.path(), tollgate);
}

#[test]
fn a_killed_rootless_campaign_leaves_nothing_and_is_resumed() {
    if no_lab() || !is_root() {
        return;
    }
    let dir = tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    survives_a_kill(dir.path(), as_user);
}

#[test]
fn without_root_all_but_ebpf_runs() {
    if no_lab() || !is_root() {
        return;
    }
    let dir = tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let file = scenario(dir.path(), "small", SMALL);
    let out = dir.path().join("out");
    let output = as_user(&[
        "run",
        file.to_str().unwrap(),
        "--rounds",
        "1",
        "--out",
        out.to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    assert!(
        stderr(&output).contains("skipping socket"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_interrupted_campaign_keeps_what_it_has_and_says_how_to_go_on() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let file = scenario(dir.path(), "small", SMALL);
    let mut command = tollgate(&[
        "run",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_measuring(&out);
    let pid = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
}
