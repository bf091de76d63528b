//! The only place where the runner reads time.

#![expect(
    clippy::disallowed_methods,
    reason = "this module is the clock that others are handed"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time as the campaign sees it.
pub trait Clock {
    /// Returns the monotonic time in nanoseconds since an arbitrary start: for differences.
    fn now_ns(&self) -> u64;

    /// Returns the wall clock in milliseconds since 1970: for stamps only.
    fn unix_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts a clock.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> u64 {
        // A wall clock before 1970 stamps 0: stamps are for people only.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
