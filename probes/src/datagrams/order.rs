//! Which datagrams came, how often and in what order, from their numbers alone.

use tollgate_results::histogram::Histogram;
use tollgate_results::stream::{Extent, OneWay};

/// Numbers behind the highest one within which a second copy is told from the first: at a million datagrams a
/// second one second, at 128 KiB of memory.
const SPAN: u64 = 1 << 20;

/// Gaps that are remembered, to say how far a datagram that fills one was displaced.
const GAPS: usize = 8_192;

/// Numbers to a word of the map.
const WORD: u64 = u64::BITS as u64;

/// Larger numbers are no stream's: 2^62 datagrams take centuries.
const MOST: u64 = 1 << 62;

/// What a datagram is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It came for the first time.
    First,
    /// It came before.
    Copy,
    /// It is too far behind to tell, or can't be.
    Unknown,
}

/// Numbers that were passed over when a higher one came.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    /// The first of them.
    from: u64,
    /// The one that came instead.
    to: u64,
    /// How many had come before that.
    at: u64,
}

/// The datagrams of one window. Memory is bounded, and in place from the start.
#[derive(Debug)]
pub(crate) struct Order {
    /// A bit for each of the last [`SPAN`] numbers.
    seen: Box<[u64]>,
    /// One above the highest number that came.
    next: u64,
    /// Datagrams that came, copies not counted.
    arrivals: u64,
    /// The numbers of the last three.
    last: [u64; 3],
    gaps: Box<[Gap]>,
    /// Gaps so far.
    gap_count: u64,
    copies: u64,
    unknown: u64,
    reordered: u64,
    reordered_by_3: u64,
    extents: Histogram,
}

impl Order {
    pub(crate) fn new() -> Self {
        let words = usize::try_from(SPAN / WORD).expect("a small number");
        let mut order = Self {
            seen: vec![0; words].into(),
            next: 0,
            arrivals: 0,
            last: [0; 3],
            gaps: vec![Gap::default(); GAPS].into(),
            gap_count: 0,
            copies: 0,
            unknown: 0,
            reordered: 0,
            reordered_by_3: 0,
            extents: Histogram::new(),
        };
        order.clear();
        order
    }

    /// Forgets everything; touches all memory, so that no page fault falls into a window.
    pub(crate) fn clear(&mut self) {
        self.seen.fill(0);
        self.gaps.fill(Gap::default());
        self.extents.clear();
        (self.next, self.arrivals, self.gap_count) = (0, 0, 0);
        (self.copies, self.unknown) = (0, 0);
        (self.reordered, self.reordered_by_3) = (0, 0);
    }

    /// Takes a datagram's number in.
    #[inline]
    pub(crate) fn take(&mut self, number: u64) -> Place {
        if number == self.next {
            self.next += 1;
            let word = self.word(number);
            if number.is_multiple_of(WORD) {
                *word = 1;
            } else {
                *word |= 1 << (number % WORD);
            }
            self.arrive(number);
            return Place::First;
        }
        self.take_out_of_turn(number)
    }

    /// Returns how many came, copies not counted.
    pub(crate) const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    #[cold]
    fn take_out_of_turn(&mut self, number: u64) -> Place {
        if number >= MOST {
            self.unknown += 1;
            return Place::Unknown;
        }
        if number > self.next {
            self.pass_over(number);
            self.arrive(number);
            return Place::First;
        }
        if self.next - number > SPAN {
            self.unknown += 1;
            return Place::Unknown;
        }
        let bit = 1 << (number % WORD);
        let word = self.word(number);
        if *word & bit != 0 {
            self.copies += 1;
            return Place::Copy;
        }
        *word |= bit;
        self.reordered += 1;
        if self.arrivals >= 3 && self.last.iter().all(|&last| last > number) {
            self.reordered_by_3 += 1;
        }
        if let Some(gap) = self.gap_of(number) {
            self.extents.record(self.arrivals - gap.at);
        }
        self.arrive(number);
        Place::First
    }

    #[inline]
    fn arrive(&mut self, number: u64) {
        self.arrivals += 1;
        self.last = [number, self.last[0], self.last[1]];
    }

    /// Goes on to a number beyond the next one.
    fn pass_over(&mut self, number: u64) {
        self.gaps[index(self.gap_count, GAPS)] = Gap {
            from: self.next,
            to: number,
            at: self.arrivals,
        };
        self.gap_count += 1;
        if number - self.next >= SPAN {
            self.seen.fill(0);
        } else {
            // Words that begin within the gap hold numbers of long ago.
            let first = self.next.next_multiple_of(WORD);
            let mut begin = first;
            while begin <= number {
                *self.word(begin) = 0;
                begin += WORD;
            }
        }
        *self.word(number) |= 1 << (number % WORD);
        self.next = number + 1;
    }

    /// Finds the gap that a number is in, unless too many came since.
    fn gap_of(&self, number: u64) -> Option<Gap> {
        let oldest = self.gap_count.saturating_sub(GAPS as u64);
        let (mut low, mut high) = (oldest, self.gap_count);
        while low < high {
            let middle = low + (high - low) / 2;
            let gap = self.gaps[index(middle, GAPS)];
            if number < gap.from {
                high = middle;
            } else if number >= gap.to {
                low = middle + 1;
            } else {
                return Some(gap);
            }
        }
        None
    }

    #[inline]
    fn word(&mut self, number: u64) -> &mut u64 {
        let words = self.seen.len();
        &mut self.seen[index(number / WORD, words)]
    }

    /// Says what became of `sent` datagrams.
    pub(crate) fn tell(&self, sent: u64, counts: &mut OneWay) {
        // More than were sent can only be forged: they don't make the loss negative.
        counts.received = self.arrivals.min(sent);
        counts.lost = sent - counts.received;
        counts.stray += self.arrivals - counts.received;
        counts.duplicated = self.copies;
        counts.late += self.unknown;
        counts.reordered = self.reordered;
        counts.reordered_by_3 = self.reordered_by_3;
        let quantile = |quantile| self.extents.quantile_of_sent(quantile, 0);
        counts.extent = quantile(0.5).zip(quantile(0.99)).map(|(p50, p99)| Extent {
            p50,
            p99,
            max: self.extents.max_ns(),
        });
    }
}

/// The place of a number in a ring whose length is a power of two.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is cut off is beyond the ring"
)]
const fn index(number: u64, len: usize) -> usize {
    number as usize & (len - 1)
}

#[cfg(test)]
mod tests;
