//! `tollgate gate` and `calibrate` as a user meets them.

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::{TempDir, tempdir};
use tollgate_reports::gate::{Exit, GateReport, Ruling};
use tollgate_store::CampaignDir;

use crate::campaign::{as_user, start, wait_for_slices};
use crate::support::{is_root, no_lab, run, scenario, stderr, stdout, tollgate};

pub(crate) const SLOW: &str = r#"
schema = 1
name = "slow"
about = "A known toll"
reference = "native"

[rounds]
slice = "60ms"
warmup = "10ms"

[arm.native]
wire = "native"

[arm.slow]
planted = "300us"
apply = [{ on = "client-node", run = ["sysctl", "-w", "net.ipv4.tcp_ecn=1"] }]
ready = { on = "client", run = ["sysctl", "net.ipv4.tcp_ecn"] }

[workload.rr.tcp-rr]
payload = "64 B"
"#;

const POLICY: &str = r#"
[margins]
p50 = "5%"

[first]
rounds = 6
installs = 1

[second]
rounds = 6
installs = 2
"#;

/// A folder with the scenario `slow.toml` and the policy `gate.toml`.
pub(crate) fn folder(text: &str) -> TempDir {
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", text);
    fs::write(dir.path().join("gate.toml"), POLICY).unwrap();
    dir
}

fn gate(dir: &Path, args: &[&str]) -> Output {
    let mut command = tollgate(&["gate"]);
    command.args(args).current_dir(dir);
    // Neither this user's calibrations are to count, nor are any to be left there.
    command.env("XDG_STATE_HOME", dir.join("state"));
    command.output().unwrap()
}

/// What a gate left in the folder `g`.
fn left_in(dir: &Path) -> GateReport {
    serde_json::from_slice(&fs::read(dir.join("g/gate.json")).unwrap()).unwrap()
}

#[test]
fn a_policy_with_faults_is_refused_with_all_of_them() {
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", SLOW);
    let text = "schema = 2\non-inconclusive = \"maybe\"\n[margins]\np50 = \"80%\"\n[first]\nrounds = 5\ninstalls = 1\n";
    fs::write(dir.path().join("gate.toml"), text).unwrap();
    let output = gate(dir.path(), &["slow.toml", "--policy", "gate.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    for part in [
        "gate.toml:1:1: schema: 2 is not known; write 1",
        "gate.toml:2:19: on-inconclusive: `maybe` is unknown here",
        "margins: p50 = 80% is not in",
        "gate.toml:6:1: first.rounds: 5 is not in 6 to 1,000",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!dir.path().join("gates").exists(), "nothing is begun");
}

#[test]
fn a_folder_that_is_no_gates_is_told() {
    let dir = tempdir().unwrap();
    let output = gate(dir.path(), &["--resume", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is no gate's folder"));
    let output = run(&["calibrate", "--resume", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is no calibration's folder"));
}

#[test]
fn a_known_toll_fails_and_each_run_is_counted() {
    if no_lab() {
        return;
    }
    let dir = folder(SLOW);
    let args = [
        "slow.toml",
        "--policy",
        "gate.toml",
        "--out",
        "g",
        "--junit",
        "junit.xml",
        "--github",
    ];
    let output = gate(dir.path(), &args);
    let report = left_in(dir.path());
    // On a busy machine it may be invalid for noise.
    let code = output.status.code();
    assert_eq!(code, Some(i32::from(report.exit.code())));
    assert!(
        matches!(code, Some(1 | 4)),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("planted toll of 300us"))
    );
    assert!(
        fs::read_to_string(dir.path().join("junit.xml"))
            .unwrap()
            .contains("<testsuite")
    );
    let first = dir.path().join("g/run-1/stage-1");
    let (_, campaign) = CampaignDir::open(&first).unwrap();
    let slow = "slow".parse().unwrap();
    let applied = &campaign.run.installs[0].arms[&slow].applied;
    assert_eq!(applied.len(), 2, "{applied:?}");
    assert_eq!(applied[0].said.as_deref(), Some("net.ipv4.tcp_ecn = 1"));

    let again = gate(dir.path(), &["--resume", "g"]);
    assert_eq!(again.status.code(), code, "it is not measured again");
    let next = gate(dir.path(), &args[..5]);
    assert!(matches!(next.status.code(), Some(1 | 4)));
    let report = left_in(dir.path());
    assert_eq!(report.earlier.len(), 1);
}

#[test]
fn a_calibration_counts_for_a_gate_on_the_same_path() {
    if no_lab() {
        return;
    }
    let dir = folder(SLOW);
    let mut command = tollgate(&[
        "calibrate",
        "slow.toml",
        "--campaigns",
        "2",
        "--rounds",
        "6",
    ]);
    command
        .current_dir(dir.path())
        .env("XDG_STATE_HOME", dir.path().join("state"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("are few"), "{}", stdout(&output));
    gate(
        dir.path(),
        &["slow.toml", "--policy", "gate.toml", "--out", "g"],
    );
    let text = fs::read_to_string(dir.path().join("g/gate.json")).unwrap();
    assert!(text.contains("age_days"), "{text}");
}

#[test]
fn a_command_that_fails_is_named_and_nothing_is_left() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", &SLOW.replace("tcp_ecn=1", "nonsense=1"));
    let output = gate(dir.path(), &["slow.toml", "--out", "g"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("apply (client-node: sysctl -w net.ipv4.nonsense=1)"));
    assert!(!dir.path().join("g").exists(), "it was no try");
}

#[test]
fn a_killed_gate_has_no_verdict_and_goes_on_with_new_installs() {
    if no_lab() {
        return;
    }
    let dir = folder(SLOW);
    let mut command = tollgate(&["gate", "slow.toml", "--policy", "gate.toml", "--out", "g"]);
    command
        .current_dir(dir.path())
        .env("XDG_STATE_HOME", dir.path().join("state"));
    let mut runner = start(command);
    let stage = dir.path().join("g/run-1/stage-1");
    wait_for_slices(&stage, 4);
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(
        !dir.path().join("g/gate.json").exists(),
        "a verdict of half a gate"
    );
    let rebuilt = run(&["report", dir.path().join("g").to_str().unwrap()]);
    assert_eq!(rebuilt.status.code(), Some(2));
    assert!(
        stderr(&rebuilt).contains("was never finished"),
        "{}",
        stderr(&rebuilt)
    );

    let output = gate(dir.path(), &["--resume", "g"]);
    let code = output.status.code();
    assert!(
        matches!(code, Some(1 | 4)),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let (_, campaign) = CampaignDir::open(&stage).unwrap();
    assert_eq!(campaign.run.installs.len(), 2, "the arms are new installs");
    let written = fs::read(dir.path().join("g/gate.json")).unwrap();
    let rebuilt = run(&["report", dir.path().join("g").to_str().unwrap()]);
    assert_eq!(rebuilt.status.code(), code);
    assert!(
        fs::read(dir.path().join("g/gate.json")).unwrap() == written,
        "not the same bytes"
    );
}

#[test]
fn an_ordinary_user_has_a_gate_too() {
    if no_lab() || !is_root() {
        return;
    }
    let dir = folder(SLOW);
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let mut command = as_user(&["gate", "slow.toml", "--policy", "gate.toml", "--out", "g"]);
    let output = command
        .current_dir(dir.path())
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(1 | 4)),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert_eq!(
        output.status.code(),
        Some(i32::from(left_in(dir.path()).exit.code()))
    );
}

#[test]
fn a_stored_campaign_is_the_weaker_reference() {
    if no_lab() {
        return;
    }
    let dir = folder(&SLOW.replace("planted = \"300us\"\n", ""));
    let before = tollgate(&["run", "slow.toml", "--rounds", "8", "--out", "before"])
        .current_dir(dir.path())
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .output()
        .unwrap();
    if before.status.code() != Some(0) {
        // On a busy machine it may be invalid for noise: then nothing is gated against it.
        let refused = gate(dir.path(), &["slow.toml", "--against", "before"]);
        assert!(
            stderr(&refused).contains("is invalid itself"),
            "{}",
            stderr(&refused)
        );
        return;
    }
    scenario(dir.path(), "slow", SLOW);
    let args = [
        "slow.toml",
        "--policy",
        "gate.toml",
        "--against",
        "before",
        "--out",
        "g",
    ];
    let output = gate(dir.path(), &args);
    let report = left_in(dir.path());
    assert!(
        matches!(report.exit, Exit::Failed | Exit::Invalid),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert_eq!(output.status.code(), Some(i32::from(report.exit.code())));
    assert!(report.against.is_some());
    let told = stdout(&output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(told.contains("the weaker kind"), "{told}");

    let other = SLOW.replace("payload = \"64 B\"", "payload = \"65 B\"");
    scenario(dir.path(), "slow", &other);
    let refused = gate(
        dir.path(),
        &["slow.toml", "--against", "before", "--out", "h"],
    );
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("did not measure the same: another workload `rr`"),
        "{}",
        stderr(&refused)
    );
    assert!(!dir.path().join("h").exists(), "nothing is begun");
}

#[test]
fn a_control_stands_beside_the_arms() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", SLOW);
    fs::write(
        dir.path().join("gate.toml"),
        format!("control = true\n{POLICY}"),
    )
    .unwrap();
    let output = gate(
        dir.path(),
        &["slow.toml", "--policy", "gate.toml", "--out", "g"],
    );
    let report = left_in(dir.path());
    assert!(
        matches!(report.exit, Exit::Failed | Exit::Invalid),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert!(report.cells.iter().all(|cell| cell.arm.as_str() == "slow"));
    // Where it differs, that is the reason; else it stands in a note.
    let said =
        |text: &String| text.contains("native-again, a second install of native, differs by");
    let told = report.notes.iter().any(said)
        || report
            .cells
            .iter()
            .all(|cell| cell.ruling == Ruling::Invalid);
    assert!(told, "{:?}", report.notes);
}
