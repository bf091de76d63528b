//! The one place of this crate that reads a clock or waits.

use std::time::{Duration, Instant};

/// Returns the monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns the time since `start` in nanoseconds.
pub(crate) fn since_ns(start: Instant) -> u64 {
    u64::try_from(now().duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Asks `done` again and again, `every` so often, until it says yes or `limit` has passed.
///
/// Returns whether it said yes.
pub(crate) fn wait_until(limit: Duration, every: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + limit;
    loop {
        if done() {
            return true;
        }
        if now() >= end {
            return false;
        }
        pause(every);
    }
}
