//! Programs and agents inside an arm.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use tollgate_lab::Role;

use crate::harness::{lab, name, native, open_to_all, run};

#[test]
fn programs_run_where_they_are_told() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    for (role, address) in [
        (Role::Client, "10.244.0.2"),
        (Role::Server, "10.244.1.2"),
        (Role::NodeA, "192.168.77.1"),
        (Role::NodeB, "192.168.77.2"),
    ] {
        let (well, printed) = run(&lab, &arm, role, &["cat", "/proc/net/fib_trie"]);
        assert!(well && printed.contains(address), "{role:?}: {printed}");
    }
}

#[test]
fn programs_know_the_ends_by_name() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    for (host, address) in [("client", "10.244.0.2"), ("server", "10.244.1.2")] {
        let (well, printed) = run(&lab, &arm, Role::Client, &["getent", "hosts", host]);
        assert!(well && printed.starts_with(address), "{host}: {printed}");
    }
    let machine = fs::read_to_string("/etc/hosts").unwrap();
    assert!(
        !machine.contains("10.244.1.2"),
        "the machine's own file is untouched"
    );
}

#[test]
fn a_program_gives_its_exit_status_environment_and_directory() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    let null = File::open("/dev/null").unwrap();
    let exec = |script: &str| {
        let argv: Vec<OsString> = ["sh", "-c", script].map(OsString::from).into();
        lab.exec(
            &arm,
            Role::Client,
            &argv,
            [null.as_fd(), null.as_fd(), null.as_fd()],
        )
        .unwrap()
    };
    assert_eq!(exec("exit 7").code(), Some(7));
    assert_eq!(exec("kill -TERM $$").signal(), Some(15));
    let (_, printed) = run(&lab, &arm, Role::Client, &["sh", "-c", "pwd; echo $PATH"]);
    let here = std::env::current_dir().unwrap();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(printed, format!("{}\n{path}\n", here.display()));
    let argv = [OsString::from("no-such-program")];
    let stdio = [null.as_fd(), null.as_fd(), null.as_fd()];
    let error = lab
        .exec(&arm, Role::Client, &argv, stdio)
        .unwrap_err()
        .chain();
    assert!(
        error.contains("no-such-program") && error.contains("no such program"),
        "{error}"
    );
}

#[test]
fn a_program_can_be_signalled_and_ends_with_its_caller() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    let null = File::open("/dev/null").unwrap();
    let start = || {
        let argv = ["sleep", "1000"].map(OsString::from);
        let stdio = [null.as_fd(), null.as_fd(), null.as_fd()];
        lab.exec_start(&arm, Role::Client, &argv, stdio).unwrap()
    };
    let program = start();
    program.signal(2).unwrap();
    assert_eq!(program.wait().unwrap().signal(), Some(2));
    drop(start());
    let gone = || {
        run(
            &lab,
            &arm,
            Role::NodeA,
            &["sh", "-c", "ps -e -o comm= | grep sleep"],
        )
    };
    let limit = (0..100).any(|_| {
        std::thread::park_timeout(Duration::from_millis(20));
        !gone().0
    });
    assert!(limit, "the program outlived its caller");
}

#[test]
fn an_agent_serves_the_stream_that_comes_back() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    // What a probe does with `agent --fd N`, as a script.
    let probe = script(
        folder.path(),
        "probe",
        "[ \"$1 $2\" = 'agent --fd' ] && echo here >&$3",
    );
    let mut said = String::new();
    lab.agent(&arm, Role::Client, &probe)
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "here\n");
}

#[test]
fn an_agent_that_dies_at_once_has_its_last_words_kept() {
    let Some(lab) = lab() else { return };
    let arm = name("arm");
    lab.deploy(&arm, &native(), 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let probe = script(
        folder.path(),
        "probe",
        "echo 'port 8080 is in use' >&2; exit 3",
    );
    let mut said = Vec::new();
    lab.agent(&arm, Role::Server, &probe)
        .unwrap()
        .read_to_end(&mut said)
        .unwrap();
    assert!(said.is_empty());
    let end = lab.agent_end(&arm, Role::Server).unwrap();
    assert_eq!(end.as_deref(), Some("exit status: 3: port 8080 is in use"));
    let error = lab
        .agent(&arm, Role::Client, Path::new("/nowhere/probe"))
        .unwrap_err()
        .chain();
    assert!(error.contains("/nowhere/probe"), "{error}");
}

fn script(folder: &Path, file: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(file);
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    open_to_all(&path);
    path
}
