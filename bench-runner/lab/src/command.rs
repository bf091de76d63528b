//! Commands in an arm that must come to an end: bounded in time, with their last words.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read as _, pipe};
use std::os::fd::AsFd as _;
use std::process::ExitStatus;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tollgate_results::arm::Name;

use crate::clock;
use crate::error::{Doing as _, LabError};
use crate::lab::Lab;
use crate::protocol::Role;

/// How much of what a command writes is kept: its end.
const KEPT: usize = 4 << 10;

/// Longest line that is handed on, in characters.
const LONGEST_LINE: usize = 200;

/// How long what a command wrote is waited for after its end: a daemon that it left behind may hold its output open.
const GRACE: Duration = Duration::from_millis(100);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub status: ExitStatus,
    /// How long it took.
    pub took_ns: u64,
    /// The last line that it wrote, to either output, if any.
    pub said: Option<String>,
}

impl Lab {
    /// Runs a command in an arm to its end, with this process's environment and directory and without input. One that
    /// takes longer than `within` is ended, with those that it started.
    ///
    /// # Errors
    /// There is no such arm, the program cannot be run, or it does not end in time.
    pub fn run(
        &self,
        arm: &Name,
        role: Role,
        argv: &[String],
        within: Duration,
    ) -> Result<Ran, LabError> {
        let doing = || format!("run `{}`", argv.first().map_or("", String::as_str));
        let start = clock::now();
        let input = File::open("/dev/null").doing(doing)?;
        let (reader, writer) = pipe().doing(doing)?;
        let words: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let stdio = [input.as_fd(), writer.as_fd(), writer.as_fd()];
        let program = self.exec_start(arm, role, &words, stdio)?;
        drop(writer);
        let output = collect(reader);
        let Some(status) = program.wait_for(within)? else {
            return Err(LabError::said(
                doing(),
                format!("it did not end within {} s", within.as_secs_f64()),
            ));
        };
        let took_ns = clock::since_ns(start);
        let said = output.recv_timeout(GRACE).unwrap_or_default();
        Ok(Ran {
            status,
            took_ns,
            said: last_line(&said),
        })
    }
}

/// Reads all that comes and hands on its end, once nobody can write any more.
fn collect(mut reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut piece = [0; KEPT];
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            kept.extend_from_slice(&piece[..count]);
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
        }
        // Nobody waits any more where a daemon held the pipe open.
        let _ = sender.send(kept);
    });
    receiver
}

/// Returns the last line that says something, fit to stand within a line.
#[must_use]
pub fn last_line(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rfind(|line| !line.trim().is_empty())?;
    let printable = line.trim().chars().filter(|c| !c.is_control());
    Some(printable.take(LONGEST_LINE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kept_and_cannot_steer_a_terminal() {
        assert_eq!(last_line(b"one\n two\x1b[31m \n\n").unwrap(), "two[31m");
        assert_eq!(last_line(b" \n"), None);
        assert_eq!(
            last_line("ä".repeat(500).as_bytes())
                .unwrap()
                .chars()
                .count(),
            LONGEST_LINE
        );
    }
}
