//! Ctrl-C and SIGTERM, taken by a thread that waits for them instead of a handler.

use std::thread::Builder;

use nix::sys::signal::{SigSet, Signal};
use tollgate_probes::error::ProbeError;
use tollgate_probes::job::Aborter;

/// The signals that ask the probe to end. No thread is interrupted by them any more.
#[derive(Debug)]
pub(crate) struct Interrupt(SigSet);

impl Interrupt {
    /// Holds the signals back; to be called before any thread is started.
    pub(crate) fn catch() -> Result<Self, ProbeError> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        match signals.thread_block() {
            Ok(()) => Ok(Self(signals)),
            Err(errno) => Err(refused(errno.into())),
        }
    }

    /// Returns when one of the signals came.
    pub(crate) fn wait(&self) {
        // It fails only for signals that don't exist.
        let _ = self.0.wait();
    }

    /// Aborts a job when one of the signals comes.
    pub(crate) fn then_abort(self, aborter: &Aborter) -> Result<(), ProbeError> {
        let aborter = aborter.clone();
        let started = Builder::new().name("tg-signal".to_owned()).spawn(move || {
            self.wait();
            aborter.abort();
        });
        started.map(drop).map_err(refused)
    }
}

fn refused(error: std::io::Error) -> ProbeError {
    ProbeError::refused("wait for Ctrl-C", error, "check the limits on processes")
}
