//! Running the command, and looking at what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command line of `tollgate`.
pub(crate) fn tollgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(args);
    command
}

/// Returns the probe's binary.
pub(crate) fn probe() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tollgate")).with_file_name("tollgate-probe")
}

/// Runs a command line to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    tollgate(args).output().expect("tollgate was built")
}

/// Returns what was written to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns what was written to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a scenario into a folder.
pub(crate) fn scenario(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, text).expect("the test's folder is writable");
    path
}

/// Returns the network namespaces of this machine in which some process lives.
pub(crate) fn network_namespaces() -> BTreeSet<PathBuf> {
    let processes = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read_link(process.path().join("ns/net")).ok())
        .collect()
}

/// Returns whether the tests run as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Returns whether a campaign came to its end. On a busy machine it may be invalid for noise (4).
pub(crate) fn ended(output: &Output) -> bool {
    matches!(output.status.code(), Some(0)) || stdout(output).contains("dropped for noise")
}

/// Says why a test that needs the lab is skipped, if this machine has neither root nor user namespaces.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn no_lab() -> bool {
    let output = run(&["plan", "quickstart"]);
    let cannot = output.status.code() == Some(4);
    if cannot {
        eprintln!("SKIPPED: no lab on this machine: {}", stderr(&output));
    }
    cannot
}
