//! How a call that waits for the network comes back in time, so that an abort is seen within 100 ms.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use socket2::Socket;

use crate::timer::length;

/// Longest wait, in nanoseconds.
pub(crate) const TURN_NS: u64 = 20_000_000;

/// The same.
pub(crate) const TURN: Duration = Duration::from_nanos(TURN_NS);

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The socket's own time-out, after this long: a kernel timer for each wait.
    Timeout(Duration),
    /// The [alarm](crate::alarm) of the thread, which ends one in some hundred waits and costs the others nothing.
    Alarm,
}

impl Wake {
    /// Has sockets wait for a reply that is lost after `timeout` for a whole fraction of it, so that it ends as near to it
    /// as the kernel's ticks allow (10 ms are 16 ms where it ticks 250 times a second).
    pub(crate) fn within(timeout: Duration) -> Self {
        let turns = timeout.as_nanos().div_ceil(TURN.as_nanos()).max(1);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        // A time-out of 0 would wait for ever.
        Self::Timeout((timeout / turns).max(Duration::from_micros(1)))
    }

    /// Sets a socket up.
    pub(super) fn set(self, socket: &Socket) -> io::Result<()> {
        if let Self::Timeout(turn) = self {
            socket.set_read_timeout(Some(turn))?;
            socket.set_write_timeout(Some(turn))?;
        }
        Ok(())
    }
}

/// Waits for something to receive, but no longer than this.
pub(super) fn wait_for(socket: &impl AsFd, ns: u64) {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    // A signal may end it early: whoever waits looks at the clock.
    let _ = ppoll(&mut fds, Some(length(ns)), None);
}
