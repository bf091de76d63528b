//! How late this machine's timer is, and what spinning costs: found once as an open loop is armed.
//!
//! A sleep ends late by the timer's slack, the interrupt, the way out of the CPU's idle state and the
//! scheduler: 5 µs on one machine, 100 µs on another. So a pacer sleeps until that much before a planned time
//! and spins for the rest. While it spins it looks for replies, but not in the last moment before the planned
//! time, since a look takes as long as a system call.

use nix::poll::ppoll;
use nix::sys::prctl;
use nix::sys::time::{TimeSpec, TimeValLike as _};

use crate::clock::{Clock, Moment};

/// Sleeps that are timed; with their length 10 to 15 ms at the start of a job.
const SLEEPS: usize = 100;

/// Length of each: the gap of 10,000 requests per second.
const SLEEP_NS: u64 = 100_000;

/// The sleep by which the others are judged, of a hundred in order, and how many times its lateness is spun.
/// Later ones are due to whatever else ran: no spin helps against that, and their cost shows in the lateness.
const QUANTILE: usize = 75;
const MARGIN: u64 = 2;

/// Bounds of the spin: below is not worth a sleep, above the timer is hopeless.
const SPIN_NS: (u64, u64) = (2_000, 200_000);

/// Looks that are timed.
const LOOKS: usize = 32;

/// Most that a look is believed to cost.
const LOOK_NS: u64 = 5_000;

/// What waiting costs on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Timer {
    /// How long before a planned time to stop sleeping.
    pub(crate) spin_ns: u64,
    /// How long before it to stop looking for replies.
    pub(crate) look_ns: u64,
}

impl Timer {
    /// Measures both on the calling thread, which wakes up as exactly as the kernel can from then on.
    pub(crate) fn measure(clock: &impl Clock, mut look: impl FnMut()) -> Self {
        // Without it the kernel delays timers by 50 µs to save power. Nothing hangs on a failure.
        let _ = prctl::set_timerslack(1);
        let mut late = [0; SLEEPS];
        for late in &mut late {
            let deadline = clock.now().plus(SLEEP_NS);
            sleep_until(clock, deadline);
            *late = clock.now().since(deadline);
        }
        late.sort_unstable();
        let mut looks = [0; LOOKS];
        for cost in &mut looks {
            let before = clock.now();
            look();
            *cost = clock.now().since(before);
        }
        looks.sort_unstable();
        Self {
            spin_ns: (late[SLEEPS * QUANTILE / 100] * MARGIN).clamp(SPIN_NS.0, SPIN_NS.1),
            look_ns: looks[LOOKS * 3 / 4].min(LOOK_NS),
        }
    }
}

/// Sleeps as a pacer does: by ppoll(2), in nanoseconds.
fn sleep_until(clock: &impl Clock, deadline: Moment) {
    // A signal ends it early, which counts as on time.
    let _ = ppoll(&mut [], Some(length(deadline.since(clock.now()))), None);
}

/// Converts a length for ppoll(2).
pub(crate) fn length(ns: u64) -> TimeSpec {
    TimeSpec::nanoseconds(i64::try_from(ns).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    #[test]
    fn both_figures_are_within_their_bounds() {
        let mut looks = 0;
        let timer = Timer::measure(&Monotonic, || looks += 1);
        assert!(
            (SPIN_NS.0..=SPIN_NS.1).contains(&timer.spin_ns),
            "{timer:?}"
        );
        assert!(timer.look_ns <= LOOK_NS, "{timer:?}");
        assert_eq!(looks, LOOKS);
    }
}
