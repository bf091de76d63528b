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

    /// Returns the point this many nanoseconds earlier, or the start of time.
    #[inline]
    #[must_use]
    pub const fn minus(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
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

/// Returns the CPU time that the calling thread has taken so far, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the kernel has this clock");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

/// The kernel's `CLOCK_REALTIME`, in which it stamps packets, against [`Monotonic`]. Both run at one rate, so
/// that their distance holds until the wall clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WallClock {
    ahead_ns: i64,
    error_ns: u64,
}

/// Pairs of readings of which the closest counts: one of them is not interrupted.
const READINGS: u32 = 32;

impl WallClock {
    /// Takes a distance and its error.
    #[cfg(test)]
    pub(crate) const fn new(ahead_ns: i64, error_ns: u64) -> Self {
        Self { ahead_ns, error_ns }
    }

    /// Reads the distance, in some microseconds: the wall clock between two readings of the other.
    pub(crate) fn read() -> Self {
        let reading = || {
            let before = Monotonic.now();
            let wall_ns = Self::now_ns();
            let error_ns = Monotonic.now().since(before).div_ceil(2);
            Self {
                ahead_ns: wall_ns.wrapping_sub(before.ns() + error_ns).cast_signed(),
                error_ns,
            }
        };
        let first = reading();
        (1..READINGS).map(|_| reading()).fold(first, |best, next| {
            if next.error_ns < best.error_ns {
                next
            } else {
                best
            }
        })
    }

    /// Returns the wall clock, in nanoseconds since 1970.
    #[inline]
    pub(crate) fn now_ns() -> u64 {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("the kernel has this clock");
        now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
    }

    /// Returns when the wall clock showed this.
    #[inline]
    pub(crate) const fn moment(self, wall_ns: u64) -> Moment {
        Moment(wall_ns.saturating_add_signed(self.ahead_ns.saturating_neg()))
    }

    /// Returns how well the distance is known from this reading to a later one, in nanoseconds; `None` if the
    /// wall clock was set between them.
    pub(crate) fn error_until(self, later: Self) -> Option<u64> {
        let drift_ns = self.ahead_ns.abs_diff(later.ahead_ns);
        (drift_ns <= self.error_ns + later.error_ns).then(|| self.error_ns.max(later.error_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_keeps_its_distance() {
        let wall = WallClock::read();
        for _ in 0..1_000 {
            let before = Monotonic.now().minus(wall.error_ns);
            let between = wall.moment(WallClock::now_ns());
            let after = Monotonic.now().plus(wall.error_ns);
            assert!(before <= between && between <= after, "{wall:?}");
        }
        let error = wall.error_until(WallClock::read());
        assert!(error.is_some_and(|error| error > 0), "{wall:?}");
    }

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
