//! When a receiver of bulk data rests, so that it is woken less often and acknowledges more at once.
//!
//! A receiver that is faster than the path sleeps after each piece, and the CPU that sends has to wake it and to take an
//! acknowledgement for the next one. A short rest after it has emptied its socket lets more come together. Docs:
//! `docs/adr/014-rest.md`.

use std::mem;

use nix::sys::prctl;

use crate::clock::{Clock as _, Monotonic};

/// Length of a rest. Longer ones carry yet more, but the acknowledgements that they hold back are part of the round trip by which
/// TCP grows and mends: 100 µs at each sleep take a third of a path's bytes where a packet in a thousand is lost.
const LENGTH_NS: u64 = 20_000;

/// Bytes that must have come in since the socket was last empty. Where less comes, the path is slower than what wakes up
/// for it, and a rest would only be late.
const LEAST: u64 = 64 * 1024;

/// Share of the receive buffer which those bytes may be: the next ones must find room, or the sender would have to stop
/// for the rest.
const SHARE: u64 = 8;

/// The state of one receiver.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Bytes since the socket was last empty.
    taken: u64,
    /// Whether this thread's timers are exact.
    exact: bool,
}

impl Rest {
    /// Notes what was taken in.
    #[inline]
    pub(super) const fn note(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// Rests where that is worth it, now that the socket is empty; `room` is the length of its buffer, in bytes.
    pub(super) fn rest(&mut self, room: impl FnOnce() -> u64) {
        if !self.is_due(room) {
            return;
        }
        if !mem::replace(&mut self.exact, true) {
            // Without it the kernel delays timers by 50 µs to save power. Nothing hangs on a failure.
            let _ = prctl::set_timerslack(1);
        }
        Monotonic.wait_until(Monotonic.now().plus(LENGTH_NS));
    }

    fn is_due(&mut self, room: impl FnOnce() -> u64) -> bool {
        let taken = mem::take(&mut self.taken);
        taken >= LEAST && taken <= room() / SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: u64 = 6 * 1024 * 1024;

    fn is_due(taken: &[usize], room: u64) -> bool {
        let mut rest = Rest::default();
        for &bytes in taken {
            rest.note(bytes);
        }
        rest.is_due(|| room)
    }

    #[test]
    fn it_rests_where_much_comes_and_more_has_room() {
        assert!(is_due(&[64 * 1024], ROOMY));
        assert!(is_due(&[40_000, 40_000], ROOMY));
        assert!(is_due(&[700_000], ROOMY));
    }

    #[test]
    fn a_slow_path_is_waited_for() {
        assert!(!is_due(&[], ROOMY));
        assert!(!is_due(&[64 * 1024 - 1], ROOMY));
    }

    #[test]
    fn a_small_buffer_is_emptied_at_once() {
        assert!(!is_due(&[64 * 1024], 8 * 64 * 1024 - 1));
        assert!(is_due(&[64 * 1024], 8 * 64 * 1024));
        assert!(!is_due(&[800_000], ROOMY));
    }

    #[test]
    fn each_sleep_starts_a_new_count() {
        let mut rest = Rest::default();
        rest.note(64 * 1024);
        assert!(rest.is_due(|| ROOMY));
        rest.note(1);
        assert!(!rest.is_due(|| ROOMY));
        rest.note(64 * 1024 - 1);
        assert!(!rest.is_due(|| ROOMY));
    }
}
