//! Ends the waiting calls of a thread every so often, by a signal.
//!
//! A time-out on a socket does so too, but sets a timer of the kernel at each wait, which costs where the CPU then goes
//! idle: with both ends on CPUs of their own a minimal loop in C takes 3 to 4 % more per round trip with a time-out
//! than without (docs/adr/013-alarm.md). One timer for all waits costs none of them anything, but the few that it ends.
#![expect(
    unsafe_code,
    reason = "no safe crate installs a handler that ends calls for good"
)]

use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{
    SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction,
};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::gettid;

/// The signal. This process uses it for nothing else.
const SIGNAL: Signal = Signal::SIGALRM;

/// A silent timer of one thread.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Timer,
    every: Duration,
}

impl Alarm {
    /// Sets an alarm up for the calling thread.
    ///
    /// # Errors
    ///
    /// When the kernel has no timer left for this user (`RLIMIT_SIGPENDING`).
    pub(crate) fn new(every: Duration) -> Result<Self, Errno> {
        static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
        (*INSTALLED.get_or_init(install))?;
        // Who started this program may have blocked it.
        SigSet::from(SIGNAL).thread_unblock()?;
        let event = SigEvent::new(SigevNotify::SigevThreadId {
            signal: SIGNAL,
            thread_id: gettid().as_raw(),
            si_value: 0,
        });
        let timer = Timer::new(ClockId::CLOCK_MONOTONIC, event)?;
        Ok(Self { timer, every })
    }

    /// Rings until what is returned is dropped: a call of the thread that waits then fails with `EINTR`.
    pub(crate) fn ring(&mut self) -> Ringing<'_> {
        self.set(Expiration::Interval(self.every.into()));
        Ringing(self)
    }

    fn set(&mut self, expiration: Expiration) {
        let set = self.timer.set(expiration, TimerSetTimeFlags::empty());
        set.expect("a timer that exists takes any length of time");
    }
}

/// An alarm that rings.
#[derive(Debug)]
pub(crate) struct Ringing<'a>(&'a mut Alarm);

impl Drop for Ringing<'_> {
    fn drop(&mut self) {
        self.0.set(Expiration::OneShot(Duration::ZERO.into()));
    }
}

/// Has the signal end calls and do nothing else.
fn install() -> Result<(), Errno> {
    extern "C" fn nothing(_: std::ffi::c_int) {}
    // Without SA_RESTART: the calls shall end.
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: a handler that does nothing is safe at any moment.
    unsafe { sigaction(SIGNAL, &action) }.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn a_call_that_waits_for_ever_ends_while_the_alarm_rings_and_only_then() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut alarm = Alarm::new(Duration::from_millis(5)).unwrap();
        let ringing = alarm.ring();
        for _ in 0..3 {
            let error = socket.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted);
        }
        drop(ringing);
        // A time-out of its own ends it now, though many alarms would have come before.
        let wait = Some(Duration::from_millis(100));
        socket.set_read_timeout(wait).unwrap();
        let error = socket.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
