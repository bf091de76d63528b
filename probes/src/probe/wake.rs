//! How a call that waits for the network comes back in time, so that an abort is seen within 100 ms.

use std::io;
use std::time::Duration;

use socket2::Socket;

/// Longest wait.
pub(crate) const TURN: Duration = Duration::from_millis(20);

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The socket's own time-out, after this long: to the point, but it costs a kernel timer for each wait.
    Timeout(Duration),
    /// The [alarm](crate::alarm) of the thread, which rings that often whenever it is: it costs nothing.
    Alarm,
}

impl Wake {
    /// Sets a socket up.
    pub(super) fn set(self, socket: &Socket) -> io::Result<()> {
        if let Self::Timeout(turn) = self {
            socket.set_read_timeout(Some(turn))?;
            socket.set_write_timeout(Some(turn))?;
        }
        Ok(())
    }
}

/// Returns how long a call may wait for a reply that is lost after `timeout`: a whole fraction of it.
pub(crate) fn turn(timeout: Duration) -> Duration {
    let turns = timeout.as_nanos().div_ceil(TURN.as_nanos()).max(1);
    let turns = u32::try_from(turns).unwrap_or(u32::MAX);
    // A time-out of 0 would wait for ever.
    (timeout / turns).max(Duration::from_micros(1))
}
