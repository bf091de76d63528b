//! How long a probe sends, and how long it waits for what it sent.

use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_results::outcome::Failure;

use crate::clock::{Clock, Moment};

/// A TCP reply that takes longer is lost.
pub(crate) const REPLY_TIMEOUT_NS: u64 = 5_000_000_000;

/// A connection that isn't made and answered by then is lost: above the kernel's third retransmission of a SYN, 7 s after
/// the first where it backs off from the start (`tcp_syn_linear_timeouts` 0), so that these steps show.
pub(crate) const FRESH_TIMEOUT_NS: u64 = 8_000_000_000;

/// A TCP reply that is under way when the window closes is waited for as long as this: above the kernel's
/// first retransmission of a SYN (1 s), so that the delay that it causes is measured wherever it falls.
pub(crate) const GRACE_NS: u64 = 1_500_000_000;

/// Longest wait, after the window of a stream, for word of what is still under way.
pub(crate) const DRAIN_NS: u64 = 5_000_000_000;

/// The same after an abort.
pub(crate) const DRAIN_ABORTED_NS: u64 = 40_000_000;

/// Pause after a failure: a target that refuses sees 100 attempts a second.
const PAUSE_NS: u64 = 10_000_000;

/// The time in which requests are sent.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    /// The first request starts at this.
    pub(crate) start: Moment,
    /// No request starts at or after this.
    pub(crate) end: Moment,
    /// Raised to end at once.
    pub(crate) aborted: &'a AtomicBool,
}

/// Why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The job was aborted: the request doesn't count.
    Aborted,
    /// It failed.
    Failed(Failure),
}

impl<'a> Window<'a> {
    /// Opens a window now.
    pub(crate) fn open(clock: &impl Clock, duration_ns: u64, aborted: &'a AtomicBool) -> Self {
        let start = clock.now();
        Self {
            start,
            end: start.plus(duration_ns),
            aborted,
        }
    }

    /// Returns whether another request may start.
    #[inline]
    pub(crate) fn is_open(&self, now: Moment) -> bool {
        now < self.end && !self.is_aborted()
    }

    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// Returns the patience with a TCP exchange that starts now.
    pub(crate) fn patience<'b, C: Clock>(&'b self, clock: &'b C, now: Moment) -> Patience<'b, C> {
        Patience {
            clock,
            aborted: self.aborted,
            deadline: now.plus(REPLY_TIMEOUT_NS).min(self.end.plus(GRACE_NS)),
        }
    }

    /// Returns the patience with a new connection and its reply.
    pub(crate) fn patience_with_fresh<'b, C: Clock>(
        &'b self,
        clock: &'b C,
        now: Moment,
    ) -> Patience<'b, C> {
        Patience {
            clock,
            aborted: self.aborted,
            deadline: now.plus(FRESH_TIMEOUT_NS).min(self.end.plus(GRACE_NS)),
        }
    }

    /// Waits a little after a failure, but not beyond the window.
    pub(crate) fn pause(&self, clock: &impl Clock) {
        if !self.is_aborted() {
            clock.wait_until(clock.now().plus(PAUSE_NS).min(self.end));
        }
    }
}

/// How long one exchange may take. Asked only when a call came back with less than all.
#[derive(Debug)]
pub(crate) struct Patience<'a, C> {
    pub(crate) clock: &'a C,
    pub(crate) aborted: &'a AtomicBool,
    pub(crate) deadline: Moment,
}

impl<C: Clock> Patience<'_, C> {
    /// Returns whether to go on waiting.
    ///
    /// # Errors
    ///
    /// When the job was aborted or the time is up.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.aborted.load(Ordering::Relaxed) {
            Err(Fault::Aborted)
        } else if self.clock.now() >= self.deadline {
            Err(Fault::Failed(Failure::TimedOut))
        } else {
            Ok(())
        }
    }
}
