//! Latency histograms: HDR, 3 significant digits, 1 ns to 60 s.

mod buckets;
mod encoding;

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use encoding::HistogramError;

/// Largest latency that is told apart, in nanoseconds (DESIGN §4.4); larger ones are kept as this.
pub const HIGHEST_NS: u64 = 60_000_000_000;

/// A latency histogram in nanoseconds.
///
/// In JSON it is the HDR V2 encoding in base64. Merging and recording never lose a sample: a value
/// above [`HIGHEST_NS`] counts as [`HIGHEST_NS`], a value of 0 as 1.
///
/// Nothing but what was measured gets in: there is no correction for coordinated omission, which would count
/// the wait of an open loop twice.
///
/// ```compile_fail
/// # use tollgate_results::histogram::Histogram;
/// Histogram::new().record_correct(1_000, 100);
/// ```
///
/// ```compile_fail
/// # use tollgate_results::histogram::Histogram;
/// let corrected = Histogram::new().clone_correct(100);
/// ```
// The encodings are the crate's `hdrhistogram`. Counting is done here, since an analysis adds and walks thousands of
// histograms, and only the buckets between their smallest and largest latency matter: a tenth of all.
#[derive(PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Histogram {
    /// How many latencies each bucket holds.
    counts: Box<[u64]>,
    /// The first bucket that holds any; beyond the last where none does.
    first: usize,
    /// The bucket after the last that holds any.
    end: usize,
    /// How many there are.
    total: u64,
}

impl Histogram {
    /// Returns an empty histogram; the only place where one allocates.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: vec![0; buckets::COUNT].into_boxed_slice(),
            first: buckets::COUNT,
            end: 0,
            total: 0,
        }
    }

    /// Records one latency in nanoseconds. Does not allocate.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.count(buckets::holding(ns.max(1)), 1);
    }

    /// Records the same latency in nanoseconds so many times. Does not allocate.
    pub fn record_many(&mut self, ns: u64, count: u64) {
        if count > 0 {
            self.count(buckets::holding(ns.max(1)), count);
        }
    }

    #[inline]
    fn count(&mut self, bucket: usize, count: u64) {
        let counted = &mut self.counts[bucket];
        *counted = counted.saturating_add(count);
        self.total = self.total.saturating_add(count);
        self.first = self.first.min(bucket);
        self.end = self.end.max(bucket + 1);
    }

    /// Returns how many latencies were recorded.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Returns whether nothing was recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Removes every sample; keeps the memory.
    pub fn clear(&mut self) {
        let used = self.used();
        self.counts[used].fill(0);
        (self.first, self.end, self.total) = (buckets::COUNT, 0, 0);
    }

    /// Adds all samples of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let used = other.used();
        let counts = self.counts[used.clone()].iter_mut();
        for (count, more) in counts.zip(&other.counts[used]) {
            *count = count.saturating_add(*more);
        }
        self.first = self.first.min(other.first);
        self.end = self.end.max(other.end);
        self.total = self.total.saturating_add(other.total);
    }

    /// The buckets from the first to the last that hold a latency.
    fn used(&self) -> Range<usize> {
        self.first.min(self.end)..self.end
    }

    /// Returns the latency at a quantile in [0, 1] of *all sent* requests, in nanoseconds: the nearest
    /// rank `ceil(q * (received + lost))`, highest equivalent value.
    ///
    /// A lost reply is an infinite delay: where the rank falls among the lost, and where nothing
    /// was sent, the answer is `None`.
    #[must_use]
    pub fn quantile_of_sent(&self, quantile: f64, lost: u64) -> Option<u64> {
        let rank = self.rank(quantile, lost)?;
        Some(Walk::over(self).to(rank))
    }

    /// Returns the same for many quantiles in one pass. Where they don't ascend, another pass begins.
    #[must_use]
    pub fn quantiles_of_sent(&self, quantiles: &[f64], lost: u64) -> Vec<Option<u64>> {
        let mut walk = Walk::over(self);
        let ranks = quantiles.iter().map(|quantile| self.rank(*quantile, lost));
        ranks
            .map(|rank| {
                let rank = rank?;
                if rank <= walk.below {
                    walk = Walk::over(self);
                }
                Some(walk.to(rank))
            })
            .collect()
    }

    /// Returns the rank, among those received, of a quantile of all sent, counted from 1; `None` among the lost.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts stay far below 2^53 and the quantile is in [0, 1]"
    )]
    fn rank(&self, quantile: f64, lost: u64) -> Option<u64> {
        let sent = self.total.saturating_add(lost);
        if sent == 0 {
            return None;
        }
        // The small slack keeps 0.9 * 1000 at rank 900 though 0.9 is not exact in binary.
        let rank = ((quantile * sent as f64 - 1e-9).ceil() as u64).clamp(1, sent);
        (rank <= self.total).then_some(rank)
    }

    /// Returns every latency that occurs, upwards, with how often it does: the highest equivalent value in
    /// nanoseconds, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.recorded().map(|(_, highest, count)| (highest, count))
    }

    /// Every bucket that holds a latency, upwards: its smallest and largest latency, and its count.
    fn recorded(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let used = self.used();
        let counts = used.clone().zip(&self.counts[used]);
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| {
                let (lowest, highest) = buckets::bounds(index);
                (lowest, highest, *count)
            })
    }

    /// Returns the mean of the received replies, in nanoseconds; 0 when empty.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "latencies and counts stay far below 2^53"
    )]
    pub fn mean_ns(&self) -> f64 {
        self.recorded().fold(0.0, |mean, (lowest, highest, count)| {
            let middle = lowest + (highest - lowest).div_ceil(2);
            mean + middle as f64 * count as f64 / self.total as f64
        })
    }

    /// Returns the smallest latency, in nanoseconds; 0 when empty.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        let smallest = self.recorded().next();
        smallest.map_or(0, |(lowest, _, _)| lowest)
    }

    /// Returns the largest latency, in nanoseconds; 0 when empty.
    #[must_use]
    pub const fn max_ns(&self) -> u64 {
        match self.end.checked_sub(1) {
            Some(last) => buckets::bounds(last).1,
            None => 0,
        }
    }
}

/// A walk upwards over a histogram's buckets.
struct Walk<'a> {
    counts: &'a [u64],
    /// The bucket that it has come to.
    at: usize,
    /// Latencies in the buckets before that one.
    below: u64,
}

impl<'a> Walk<'a> {
    /// Buckets that are added up at once, as a compiler does it best.
    const STRIDE: usize = 8;

    const fn over(histogram: &'a Histogram) -> Self {
        Self {
            counts: &histogram.counts,
            at: if histogram.first < histogram.end {
                histogram.first
            } else {
                0
            },
            below: 0,
        }
    }

    /// Goes on to the bucket that holds a rank above `below`, and returns its largest latency.
    fn to(&mut self, rank: u64) -> u64 {
        // No sum of counts comes near 2^64: that would be centuries of traffic.
        while let Some(counts) = self.counts.get(self.at..self.at + Self::STRIDE) {
            let all = counts
                .iter()
                .fold(0_u64, |sum, count| sum.wrapping_add(*count));
            let below = self.below.wrapping_add(all);
            if below >= rank {
                break;
            }
            self.below = below;
            self.at += Self::STRIDE;
        }
        while let Some(count) = self.counts.get(self.at) {
            let below = self.below.wrapping_add(*count);
            if below >= rank {
                break;
            }
            self.below = below;
            self.at += 1;
        }
        buckets::bounds(self.at).1
    }
}

impl Clone for Histogram {
    /// Copies what is used of the buckets.
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.merge(self);
        copy
    }
}

impl fmt::Debug for Histogram {
    /// In short: nobody reads 27,648 buckets in a failed assertion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, least, most) = (self.len(), self.min_ns(), self.max_ns());
        write!(f, "Histogram({count} from {least} to {most} ns)")
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for &value in values {
            histogram.record(value);
        }
        histogram
    }

    #[test]
    fn a_lost_reply_is_an_infinite_delay() {
        let histogram = of(&[100, 200, 300]);
        assert_eq!(histogram.quantile_of_sent(0.5, 0), Some(200));
        assert_eq!(histogram.quantile_of_sent(0.5, 1), Some(200));
        assert_eq!(histogram.quantile_of_sent(0.9, 1), None);
        assert_eq!(Histogram::new().quantile_of_sent(0.5, 0), None);
        assert_eq!(Histogram::new().quantile_of_sent(0.5, 7), None);
        assert_eq!(histogram.quantile_of_sent(0.5, u64::MAX), None);
    }

    #[test]
    fn the_extremes_are_kept() {
        let histogram = of(&[0, u64::MAX]);
        assert_eq!(histogram.len(), 2);
        assert_eq!(histogram.min_ns(), 1);
        assert!(histogram.max_ns() >= HIGHEST_NS);
    }

    #[test]
    fn what_is_cleared_is_as_new() {
        let mut histogram = of(&[3, 5_000_000]);
        histogram.clear();
        assert_eq!(histogram, Histogram::new());
        assert_eq!(format!("{histogram:?}"), "Histogram(0 from 0 to 0 ns)");
        histogram.merge(&Histogram::new());
        histogram.record_many(9, 0);
        assert_eq!(histogram, Histogram::new());
        histogram.record(9);
        assert_eq!((histogram.min_ns(), histogram.max_ns()), (9, 9));
    }

    #[test]
    fn buckets_hold_every_sample() {
        let buckets: Vec<_> = of(&[7, 7, 900]).buckets().collect();
        assert_eq!(buckets, [(7, 2), (900, 1)]);
    }

    proptest! {
        #[test]
        fn merging_is_recording_all(
            left in prop::collection::vec(1..HIGHEST_NS, 0..50),
            right in prop::collection::vec(1..HIGHEST_NS, 0..50),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let all: Vec<u64> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(merged, of(&all));
        }

        #[test]
        fn quantiles_are_within_a_thousandth_of_the_sorted_sample(
            mut values in prop::collection::vec(1..HIGHEST_NS, 1..200),
            quantile in 0.0..=1.0_f64,
        ) {
            values.sort_unstable();
            let n = values.len();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "test oracle")]
            let rank = ((quantile * n as f64 - 1e-9).ceil() as usize).clamp(1, n);
            let exact = values[rank - 1];
            let got = of(&values).quantile_of_sent(quantile, 0).unwrap();
            prop_assert!(got.abs_diff(exact) * 1000 <= exact, "{got} against {exact}");
        }

        #[test]
        fn many_quantiles_at_once_are_those_one_by_one(
            values in prop::collection::vec(1..HIGHEST_NS, 0..100),
            lost in 0..20_u64,
            mut quantiles in prop::collection::vec(0.0..=1.0_f64, 0..20),
            ascending in any::<bool>(),
        ) {
            if ascending {
                quantiles.sort_unstable_by(f64::total_cmp);
            }
            let histogram = of(&values);
            let single: Vec<_> =
                quantiles.iter().map(|quantile| histogram.quantile_of_sent(*quantile, lost)).collect();
            prop_assert_eq!(histogram.quantiles_of_sent(&quantiles, lost), single);
        }

        #[test]
        fn every_rank_is_named_exactly(
            values in prop::collection::vec(1..HIGHEST_NS, 1..300),
            rank: prop::sample::Index,
        ) {
            let histogram = of(&values);
            let rank = rank.index(values.len()) as u64 + 1;
            #[expect(clippy::cast_precision_loss, reason = "test oracle")]
            let quantile = rank as f64 / values.len() as f64;
            let mut below = 0;
            let expected = histogram.buckets().find(|(_, count)| {
                below += count;
                below >= rank
            });
            prop_assert_eq!(histogram.quantile_of_sent(quantile, 0), expected.map(|(ns, _)| ns));
        }

        #[test]
        fn a_lost_packet_never_improves_a_percentile(
            values in prop::collection::vec(1..HIGHEST_NS, 1..50),
            lost in 0..20_u64,
            quantile in 0.0..=1.0_f64,
        ) {
            let histogram = of(&values);
            let finite_or_infinite = |ns: Option<u64>| ns.unwrap_or(u64::MAX);
            prop_assert!(
                finite_or_infinite(histogram.quantile_of_sent(quantile, lost + 1))
                    >= finite_or_infinite(histogram.quantile_of_sent(quantile, lost))
            );
        }
    }
}
