//! A program in a lab's arm, in the foreground: what asks this command to end goes to the program.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::process::ExitStatus;
use std::thread;

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use tollgate_lab::{Lab, Role};
use tollgate_results::arm::Name;

/// What a terminal or a service manager sends to end a program. Other signals end this command, and the program hears that
/// nobody listens any more: `SIGQUIT` for one that won't end, `SIGHUP` where the terminal has gone.
const HANDED_ON: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// Runs a program to its end.
///
/// # Errors
///
/// When there is no such arm, or the program can't be run.
pub(super) fn exec(
    lab: &Lab,
    arm: &Name,
    role: Role,
    program: &[OsString],
    stdio: [BorrowedFd<'_>; 3],
) -> anyhow::Result<ExitStatus> {
    let signals: SigSet = HANDED_ON.into_iter().collect();
    // From here on they wait until somebody takes them, so that none is lost before the program runs.
    signals.thread_block().context("failed to hold signals")?;
    let program = lab.exec_start(arm, role, program, stdio)?;
    let signaller = program.signaller()?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            let number = u8::try_from(signal as i32).unwrap_or_default();
            // A program that has ended needs none.
            if signaller.signal(number).is_err() {
                return;
            }
        }
    });
    Ok(program.wait()?)
}
