//! One-way delay and its variation, from the times of both ends.
//!
//! The two clocks need not agree: their distance cancels in differences. It is taken as constant over a window;
//! where two machines' clocks drift apart, by some 10 µs a second, the drift is in the PDV of a long window.

use tollgate_results::histogram::{HIGHEST_NS, Histogram};

/// The delays of one window. Recording does not allocate.
#[derive(Debug)]
pub(crate) struct Delays {
    /// The first delay, by clocks that need not agree; the others are kept as differences from it.
    base: Option<i64>,
    /// Delays that are longer than that, by how much.
    above: Histogram,
    /// Delays that are shorter.
    below: Histogram,
    /// The least difference so far, below 0 or 0.
    least: i64,
    ipdv: Histogram,
    /// Delays themselves, where both ends read one clock.
    one_way: Option<Histogram>,
    /// Number and delay of the last datagram.
    last: Option<(u64, i64)>,
}

/// What came of a window.
#[derive(Debug)]
pub(crate) struct Variation {
    pub(crate) pdv: Histogram,
    pub(crate) ipdv: Histogram,
    pub(crate) one_way: Option<Histogram>,
}

impl Delays {
    pub(crate) fn new(one_clock: bool) -> Self {
        let mut delays = Self {
            base: None,
            above: Histogram::new(),
            below: Histogram::new(),
            least: 0,
            ipdv: Histogram::new(),
            one_way: one_clock.then(Histogram::new),
            last: None,
        };
        delays.clear();
        delays
    }

    /// Forgets everything; touches all memory, so that no page fault falls into a window.
    pub(crate) fn clear(&mut self) {
        for histogram in [&mut self.above, &mut self.below, &mut self.ipdv] {
            histogram.clear();
        }
        if let Some(one_way) = &mut self.one_way {
            one_way.clear();
        }
        (self.base, self.least, self.last) = (None, 0, None);
    }

    /// Takes in a datagram that came for the first time: its number, when it was sent by the sender's clock, and
    /// when it came by the receiver's.
    #[inline]
    pub(crate) fn take(&mut self, number: u64, sent_ns: u64, came_ns: u64) {
        // Any two numbers: what a forged one gives is wrong, not dangerous.
        let delay = came_ns.wrapping_sub(sent_ns).cast_signed();
        if let Some(one_way) = &mut self.one_way {
            one_way.record(u64::try_from(delay).unwrap_or(0));
        }
        let difference = delay.saturating_sub(*self.base.get_or_insert(delay));
        let size = difference.unsigned_abs();
        if difference >= 0 {
            self.above.record(size);
        } else {
            self.below.record(size);
            self.least = self.least.min(difference);
        }
        // Pairs whose later one came first are left out.
        if let Some((before, delay_before)) = self.last
            && number == before.wrapping_add(1)
        {
            self.ipdv.record(delay.abs_diff(delay_before));
        }
        self.last = Some((number, delay));
    }

    /// Says what came of the window. PDV counts from the least delay, which is known only now; shifting adds at
    /// most the histograms' own 0.1 % of the shift.
    pub(crate) fn tell(&self) -> Variation {
        let mut pdv = Histogram::new();
        let shift = self.least.unsigned_abs();
        let above = self
            .above
            .buckets()
            .map(|(ns, count)| (ns.saturating_add(shift), count));
        let below = self
            .below
            .buckets()
            .map(|(ns, count)| (shift.saturating_sub(ns), count));
        for (ns, count) in above.chain(below) {
            pdv.record_many(ns.min(HIGHEST_NS), count);
        }
        Variation {
            pdv,
            ipdv: self.ipdv.clone(),
            one_way: self.one_way.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delays as a receiver sees them whose clock is off by some 3 years.
    fn variation(delays: &[u64], one_clock: bool) -> Variation {
        let mut kept = Delays::new(one_clock);
        let ahead = if one_clock {
            0
        } else {
            100_000_000_000_000_000
        };
        for (number, delay) in delays.iter().enumerate() {
            let sent = 1_000_000 * (number as u64 + 1);
            kept.take(number as u64, sent + ahead, sent + delay);
        }
        kept.tell()
    }

    fn values(histogram: &Histogram) -> Vec<(u64, u64)> {
        histogram.buckets().collect()
    }

    #[test]
    fn variation_needs_no_common_clock() {
        for one_clock in [false, true] {
            let variation = variation(&[500, 400, 900, 400], one_clock);
            // From the least: 100 (and 1, as which a difference of 0 is kept), 0, 500, 0.
            assert_eq!(values(&variation.pdv), [(1, 2), (101, 1), (500, 1)]);
            assert_eq!(values(&variation.ipdv), [(100, 1), (500, 2)]);
            assert_eq!(variation.one_way.is_some(), one_clock);
        }
        let one_way = variation(&[500, 400], true).one_way.unwrap();
        assert_eq!(values(&one_way), [(400, 1), (500, 1)]);
    }

    #[test]
    fn pairs_with_a_gap_are_no_pairs() {
        let mut kept = Delays::new(false);
        for (number, delay) in [(0, 10), (2, 30), (1, 99), (3, 40), (4, 45)] {
            kept.take(number, 0, delay);
        }
        assert_eq!(values(&kept.tell().ipdv), [(5, 1)]);
    }

    #[test]
    fn times_that_cannot_be_do_no_harm() {
        let mut kept = Delays::new(true);
        for (sent, came) in [
            (u64::MAX, 0),
            (0, u64::MAX),
            (1 << 63, 0),
            (0, 1 << 63),
            (0, 5),
        ] {
            kept.take(0, sent, came);
        }
        assert_eq!(kept.tell().pdv.len(), 5);
    }

    #[test]
    fn a_new_window_starts_anew() {
        let mut kept = Delays::new(false);
        kept.take(0, 0, 1_000_000);
        kept.clear();
        assert!(kept.tell().pdv.is_empty());
        kept.take(1, 0, 7);
        assert_eq!(values(&kept.tell().pdv), [(1, 1)]);
        assert!(kept.tell().ipdv.is_empty());
    }
}
