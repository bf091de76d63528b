//! `tollgate cluster inspect` on dumps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn tollgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
}

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/tests/fixtures");
    fixtures.join(format!("{name}.yaml"))
}

fn inspect(file: &Path, more: &[&str]) -> Output {
    let mut command = tollgate();
    command.args(["cluster", "inspect", "--from"]).arg(file);
    command.args(more).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_dump_is_told_in_eighty_columns_and_as_json() {
    let file = fixture("cilium-native-dsr");
    let output = inspect(&file, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in ["cilium", "dsr", "v1.20.5", "unknown", "bpf-lb-mode = dsr"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let output = inspect(&file, &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["findings"]["wire"]["value"], "native");
    assert_eq!(json["findings"]["wire"]["basis"], "stated");
}

#[test]
fn a_dump_may_come_by_a_pipe() {
    let mut command = tollgate();
    command.args(["cluster", "inspect", "--from", "-", "--json"]);
    let input = fs::File::open(fixture("k3s")).unwrap();
    let output = command.stdin(input).output().unwrap();
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["findings"]["cni"]["value"], "flannel");
}

#[test]
fn what_is_no_dump_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (content, part) in [
        (
            &b"Error from server (Forbidden): nodes is forbidden"[..],
            "object 1 has no `kind`",
        ),
        (&b"\xff\xfe"[..], "it is not text in UTF-8"),
        (&b""[..], "there is no object in it"),
        (
            &b"{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"spec\":[]}"[..],
            "Node `without a name`",
        ),
    ] {
        let file = dir.path().join("dump");
        fs::write(&file, content).unwrap();
        let output = inspect(&file, &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(part) && told.lines().count() == 1, "{told}");
    }
    let output = inspect(&dir.path().join("nothing"), &[]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("No such file")
    );
}

/// Judges a split of 90 to 10 in what a probe printed.
fn split(files: &[&str], more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tollgate();
    command.args([
        "cluster",
        "split",
        "--weight",
        "stable=90",
        "--weight",
        "canary=10",
    ]);
    command.args(more).arg("--from");
    for (index, text) in files.iter().enumerate() {
        let file = dir.path().join(index.to_string());
        fs::write(&file, text).unwrap();
        command.arg(file);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// What a probe prints, as far as it matters.
fn responses(backends: &str) -> String {
    format!(r#"{{"schema": 1, "http": {{"statuses": {{"200": 1}}, "backends": {backends}}}}}"#)
}

#[test]
fn a_split_is_judged() {
    let told = |files: &[&str]| {
        let output = split(files, &[]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let good = told(&[&responses(r#"{"stable": 3610, "canary": 390}"#)]);
    assert!(
        good.contains("AS DECLARED: 4000 responses of 3786"),
        "{good}"
    );
    let off = told(&[&responses(r#"{"stable": 3400, "canary": 600}"#)]);
    assert!(off.contains("OFF:") && off.contains("85.0 % *"), "{off}");
    let few = told(&[&responses(r#"{"stable": 9, "canary": 1}"#)]);
    assert!(few.contains("INSUFFICIENT"), "{few}");
    let strange = told(&[&responses(r#"{"stable": 3610, "canary": 390, "old": 1}"#)]);
    assert!(
        strange.contains("OFF:") && strange.contains("1 responses are of backends"),
        "{strange}"
    );
    let kept: Vec<String> = (0..10)
        .map(|index| {
            responses(if index == 0 {
                r#"{"canary": 1000}"#
            } else {
                r#"{"stable": 1000}"#
            })
        })
        .collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let clustered = told(&kept);
    assert!(
        clustered.contains("INSUFFICIENT") && clustered.contains("10 connections are worth"),
        "{clustered}"
    );
    assert!(
        clustered.lines().all(|line| line.chars().count() <= 110),
        "{clustered}"
    );
}

#[test]
fn what_is_no_split_is_refused() {
    for (text, more, part) in [
        ("{}", &[][..], "is not of `tollgate-probe http"),
        ("", &[], "there is no measurement in it"),
        ("nonsense", &[], "document 1"),
        (
            "{\"http\": {\"statuses\": {}, \"backends\": {\"a\": -1}}}",
            &[],
            "document 1",
        ),
        ("{}", &["--weight", "x"], "write NAME=WEIGHT"),
        (
            r#"{"http": {"statuses": {}}}"#,
            &["--tolerance", "0%"],
            "tolerance",
        ),
    ] {
        let output = split(&[text], more);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(part), "{text} {more:?}: {told}");
    }
}
