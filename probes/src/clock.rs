//! Monotonic time, and the only place that reads it or waits for it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A point of the monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Takes a point given in nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Returns the point in nanoseconds.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Returns the nanoseconds from an earlier point to this one; 0 if it is not earlier.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the point this many nanoseconds later, or the end of time.
    #[inline]
    #[must_use]
    pub const fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// Tells the time and waits. Tests pass a clock of their own.
pub trait Clock {
    /// Returns the present moment; never earlier than one returned before.
    fn now(&self) -> Moment;

    /// Returns when `deadline` has passed.
    fn wait_until(&self, deadline: Moment);
}

/// The kernel's `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    #[inline]
    fn now(&self) -> Moment {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the kernel has this clock");
        Moment(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the Clock seam")]
    fn wait_until(&self, deadline: Moment) {
        loop {
            let left = deadline.since(self.now());
            if left == 0 {
                return;
            }
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_never_returns_early() {
        let deadline = Monotonic.now().plus(2_000_000);
        Monotonic.wait_until(deadline);
        assert!(Monotonic.now() >= deadline);
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(Moment::from_ns(1).since(Moment::from_ns(2)), 0);
        assert_eq!(Moment::from_ns(u64::MAX).plus(1).ns(), u64::MAX);
    }
}
