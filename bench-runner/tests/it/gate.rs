//! `tollgate gate` and `calibrate` as a user meets them.

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::tempdir;
use tollgate_reports::gate::GateReport;
use tollgate_store::CampaignDir;

use crate::support::{no_lab, run, scenario, stderr, stdout, tollgate};

const SLOW: &str = r#"
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

fn gate(dir: &Path, args: &[&str]) -> Output {
    let mut command = tollgate(&["gate"]);
    command.args(args).current_dir(dir);
    // Neither this user's calibrations are to count, nor are any to be left there.
    command.env("XDG_STATE_HOME", dir.join("state"));
    command.output().unwrap()
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
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", SLOW);
    fs::write(dir.path().join("gate.toml"), POLICY).unwrap();
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
    let report: GateReport =
        serde_json::from_slice(&fs::read(dir.path().join("g/gate.json")).unwrap()).unwrap();
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
    let report: GateReport =
        serde_json::from_slice(&fs::read(dir.path().join("g/gate.json")).unwrap()).unwrap();
    assert_eq!(report.earlier.len(), 1);
}

#[test]
fn a_calibration_counts_for_a_gate_on_the_same_path() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    scenario(dir.path(), "slow", SLOW);
    fs::write(dir.path().join("gate.toml"), POLICY).unwrap();
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
