//! `tollgate lab` as a user meets it: a lab that stands, and programs in it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::{TempDir, tempdir};

use crate::support::{no_lab, stderr, tollgate};

/// A lab that stands as long as this value.
struct Standing {
    runtime: TempDir,
    name: &'static str,
}

impl Standing {
    fn up(name: &'static str) -> Self {
        let standing = Self {
            runtime: tempdir().unwrap(),
            name,
        };
        let output = standing.tollgate(&["up", name]).output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(
            said.starts_with(&format!("Lab {name} stands after ")),
            "{said}"
        );
        standing
    }

    fn tollgate(&self, args: &[&str]) -> Command {
        let mut command = tollgate(&["lab"]);
        command
            .args(args)
            .env("XDG_RUNTIME_DIR", self.runtime.path());
        command
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.tollgate(&["down", self.name]).status();
    }
}

#[test]
fn what_asks_a_program_in_the_lab_to_end_comes_to_the_program() {
    if no_lab() {
        return;
    }
    let lab = Standing::up("asked");
    let trap = |name: &str| {
        format!("trap 'echo caught; exit 7' {name}; echo ready; while :; do sleep 0.02; done")
    };
    let deaf = "echo ready; exec sleep 1000".to_owned();
    for (signal, script, expected, code) in [
        (Signal::SIGINT, trap("INT"), "caught\n", 7),
        (Signal::SIGTERM, trap("TERM"), "caught\n", 7),
        (Signal::SIGINT, deaf, "", 128 + 2),
    ] {
        let mut child = lab
            .tollgate(&["exec", lab.name, "client", "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = i32::try_from(child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, expected, "{signal}: {script}");
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{signal}: {script}");
    }
}
