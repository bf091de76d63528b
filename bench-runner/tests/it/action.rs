//! `scripts/action.sh`, all that the GitHub Action does, with GitHub's files and variables stubbed.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::gate::{SLOW, folder};
use crate::support::{is_root, no_lab, stderr, stdout};

/// The unprivileged user of the tests.
const NOBODY: u32 = 65534;

/// Runs a step of the action as GitHub's runner does, as root or as an ordinary user.
fn step(dir: &Path, name: &str, user: Option<u32>, set: &[(&str, &str)]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/action.sh");
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={user}"))
                .arg("--clear-groups")
                .arg(script);
            command
        }
        None => Command::new(script),
    };
    let bin = Path::new(env!("CARGO_BIN_EXE_tollgate")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    command
        .arg(name)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("HOME", dir)
        .env("RUNNER_TEMP", dir)
        .env("GITHUB_PATH", dir.join("path"))
        .env("GITHUB_OUTPUT", dir.join("output"))
        .env("GITHUB_STEP_SUMMARY", dir.join("summary"))
        .envs(set.iter().copied())
        .output()
        .unwrap()
}

/// What a step wrote for later ones: `KEY=VALUE` a line.
fn outputs(dir: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(dir.join("output")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A pull request that makes the path dearer, gated as that user.
fn gates(user: Option<u32>, privilege: &str) -> TempDir {
    let dir = folder(SLOW);
    if let Some(user) = user {
        chown(dir.path(), Some(user), Some(user)).unwrap();
    }
    // Else it would be built, from the network.
    let probe = Path::new(env!("CARGO_BIN_EXE_tollgate")).with_file_name("tollgate-probe");
    assert!(
        probe.exists(),
        "build it first: cargo build -p tollgate-probes"
    );
    let installed = step(dir.path(), "install", user, &[]);
    assert!(installed.status.success(), "{}", stderr(&installed));
    assert!(stdout(&installed).contains("is here"), "it is built anew");

    let set = [
        ("TOLLGATE_SCENARIO", "slow.toml"),
        ("TOLLGATE_POLICY", "gate.toml"),
        ("TOLLGATE_PRIVILEGE", privilege),
        ("TOLLGATE_ARGUMENTS", "--seed\n7\n"),
    ];
    let output = step(dir.path(), "gate", user, &set);
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let found = outputs(dir.path());
    let [(first, code), (second, out)] = &found[..] else {
        panic!("{found:?}: {}{}", stdout(&output), stderr(&output))
    };
    assert_eq!((first.as_str(), second.as_str()), ("exit-code", "folder"));
    // On a busy machine it may be invalid for noise.
    assert!(["1", "4"].contains(&code.as_str()), "{}", stdout(&output));
    let out = PathBuf::from(out);
    let summary = fs::read_to_string(dir.path().join("summary")).unwrap();
    assert_eq!(summary, fs::read_to_string(out.join("gate.md")).unwrap());
    assert!(
        stdout(&output).contains("::error file=gate.toml"),
        "{}",
        stdout(&output)
    );
    assert!(out.join("junit.xml").exists());
    let result = step(dir.path(), "result", user, &[("TOLLGATE_EXIT", code)]);
    assert_eq!(result.status.code(), code.parse().ok());
    dir
}

#[test]
fn the_action_shows_a_gate_and_ends_with_its_exit_code() {
    if no_lab() {
        return;
    }
    gates(None, "auto");
}

#[test]
fn the_action_runs_without_root() {
    if no_lab() || !is_root() {
        return;
    }
    gates(Some(NOBODY), "rootless");
}

#[test]
fn what_the_action_lacks_is_an_annotation() {
    let dir = folder(SLOW);
    let missing = step(dir.path(), "gate", None, &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stdout(&missing).starts_with("::error title=Tollgate::scenario: is missing"));
    let set = [
        ("TOLLGATE_SCENARIO", "slow.toml"),
        ("TOLLGATE_PRIVILEGE", "some"),
    ];
    let unknown = step(dir.path(), "gate", None, &set);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stdout(&unknown).contains("privilege: `some` is unknown"));

    // A gate without a result is told, and fails the job at its end.
    let set = [("TOLLGATE_SCENARIO", "nothing.toml")];
    let output = step(dir.path(), "gate", None, &set);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        outputs(dir.path()),
        [("exit-code".to_owned(), "2".to_owned())]
    );
    let summary = fs::read_to_string(dir.path().join("summary")).unwrap();
    assert!(summary.contains("no result"), "{summary}");
    assert!(
        stdout(&output).contains("::error title=Tollgate::tollgate gate ended with exit code 2")
    );
    assert_eq!(step(dir.path(), "result", None, &[]).status.code(), Some(2));
}
