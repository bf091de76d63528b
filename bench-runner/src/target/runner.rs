//! Commands on the machine on which the runner runs: bounded in time, with their last words.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tollgate_lab::{Ran, last_line};
use tollgate_results::change::Command;

use crate::clock::{Clock as _, SystemClock};

/// How much of what a command writes is kept: its end.
const KEPT: usize = 4 << 10;

/// How long what a command wrote is waited for after its end: a daemon that it left behind may hold its output open.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a command to its end, with this process's environment and directory and without input. One that takes longer
/// than `within`, or isn't waited for any more, is ended with those that it started.
///
/// # Errors
///
/// When the program cannot be run, or does not end in time.
pub(super) async fn run(command: &Command, within: Duration) -> anyhow::Result<Ran> {
    let (program, arguments) = command
        .run
        .split_first()
        .context("a command names a program")?;
    let clock = SystemClock::start();
    let start_ns = clock.now_ns();
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to run `{program}`"))?;
    let group = Group::of(child.id());
    let said = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        child.stdout.take().map(|out| keep(out, &said)),
        child.stderr.take().map(|out| keep(out, &said)),
    ];
    let Ok(ended) = timeout(within, child.wait()).await else {
        bail!("it did not end within {} s", within.as_secs_f64());
    };
    let status = ended.with_context(|| format!("failed to wait for `{program}`"))?;
    let took_ns = clock.now_ns().saturating_sub(start_ns);
    group.forget();
    let all = async {
        for reader in readers.into_iter().flatten() {
            // A reader has nothing to fail by.
            let _ = reader.await;
        }
    };
    let _ = timeout(GRACE, all).await;
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Ran {
        status,
        took_ns,
        said: last_line(&said),
    })
}

/// The processes that a command started, which end when this goes.
struct Group(Option<Pid>);

impl Group {
    fn of(process: Option<u32>) -> Self {
        let id = process.and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }

    /// Lets them go on: the command has ended, and its number may be another's.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // Who has ended already needs no signal.
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

/// Keeps the end of what comes.
fn keep(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    said: &Arc<Mutex<Vec<u8>>>,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    tokio::spawn(async move {
        let mut piece = [0; KEPT];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let mut kept = said.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&piece[..count]);
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
        }
    })
}

#[cfg(test)]
mod tests {
    use tollgate_results::change::Place;
    use tollgate_results::units::Nanoseconds;

    use super::*;

    fn shell(script: &str) -> Command {
        Command {
            on: Place::Runner,
            run: ["sh", "-c", script].map(str::to_owned).to_vec(),
            within: Nanoseconds(1),
        }
    }

    #[tokio::test]
    async fn a_command_ends_with_its_status_and_last_words() {
        let within = Duration::from_secs(20);
        let ran = run(&shell("echo one; echo two >&2; exit 3"), within)
            .await
            .unwrap();
        assert_eq!(ran.status.code(), Some(3));
        assert!(
            matches!(ran.said.as_deref(), Some("one" | "two")),
            "{ran:?}"
        );
        let missing = Command {
            run: vec!["/no/such/program".to_owned()],
            ..shell("")
        };
        let error = format!("{:#}", run(&missing, within).await.unwrap_err());
        assert!(
            error.contains("failed to run `/no/such/program`"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_ends_with_those_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let error = run(&shell(&script), Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("did not end within 1 s"),
            "{error}"
        );
        let child: i32 = std::fs::read_to_string(&file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        for _ in 0..200 {
            // A process without a parent may stay as a zombie until somebody waits for it.
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{child} still runs");
    }
}
