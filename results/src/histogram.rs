//! Latency histograms: HDR, 3 significant digits, 1 ns to 60 s.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{
    Deserializer, Serializer as _, V2DeflateSerializer, V2Serializer,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest latency that is told apart, in nanoseconds (DESIGN §4.4); larger ones are kept as this.
pub const HIGHEST_NS: u64 = 60_000_000_000;

/// Significant decimal digits: an error of at most 0.1 % (statistics §2.3).
const SIGNIFICANT_DIGITS: u8 = 3;

/// First bytes of the uncompressed V2 encoding.
const V2_COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x13];

/// Length of the header of the V2 encoding: cookie, payload length, offset, digits, bounds, ratio.
const V2_HEADER: usize = 40;

/// Bytes of the longest count that is read: 2^41 samples in one bucket, years of traffic. Their sum fits 64 bits.
const LONGEST_COUNT: usize = 6;

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
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Histogram(hdrhistogram::Histogram<u64>);

/// A histogram that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read a histogram: {0}")]
pub struct HistogramError(String);

impl Histogram {
    /// Returns an empty histogram; the only place where one allocates.
    ///
    /// # Panics
    ///
    /// Never: the bounds are constants that HDR accepts.
    #[must_use]
    pub fn new() -> Self {
        let inner = hdrhistogram::Histogram::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS);
        Self(inner.expect("the bounds are valid constants"))
    }

    /// Records one latency in nanoseconds. Does not allocate.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    /// Records the same latency in nanoseconds so many times. Does not allocate.
    pub fn record_many(&mut self, ns: u64, count: u64) {
        self.0.saturating_record_n(ns.max(1), count);
    }

    /// Returns how many latencies were recorded.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes every sample; keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Adds all samples of another histogram.
    ///
    /// # Panics
    ///
    /// Never: all histograms of this type share their bounds.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    /// Returns the latency at a quantile in [0, 1] of *all sent* requests, in nanoseconds: the nearest
    /// rank `ceil(q * (received + lost))`, highest equivalent value.
    ///
    /// A lost reply is an infinite delay: where the rank falls among the lost, and where nothing
    /// was sent, the answer is `None`.
    #[must_use]
    pub fn quantile_of_sent(&self, quantile: f64, lost: u64) -> Option<u64> {
        let share = self.share_at(quantile, lost)?;
        Some(self.0.value_at_quantile(share))
    }

    /// Returns the same for many quantiles in one pass. They must ascend; of those that don't, each costs a pass of
    /// its own.
    #[must_use]
    pub fn quantiles_of_sent(&self, quantiles: &[f64], lost: u64) -> Vec<Option<u64>> {
        let shares: Vec<Option<f64>> = quantiles
            .iter()
            .map(|quantile| self.share_at(*quantile, lost))
            .collect();
        let mut values = self.0.value_at_quantiles(shares.iter().copied().flatten());
        shares
            .iter()
            .map(|share| {
                let share = (*share)?;
                // The pass ends where shares stop to ascend.
                let value = values.next();
                Some(value.unwrap_or_else(|| self.0.value_at_quantile(share)))
            })
            .collect()
    }

    /// Returns the share of those received that lies up to a quantile of all sent; `None` among the lost.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts stay far below 2^53 and the quantile is in [0, 1]"
    )]
    fn share_at(&self, quantile: f64, lost: u64) -> Option<f64> {
        let received = self.0.len();
        let sent = received.saturating_add(lost);
        if sent == 0 {
            return None;
        }
        // The small slack keeps 0.9 * 1000 at rank 900 though 0.9 is not exact in binary.
        let rank = ((quantile * sent as f64 - 1e-9).ceil() as u64).clamp(1, sent);
        // Half a rank below names the rank whatever the division rounds to.
        (rank <= received).then(|| (rank as f64 - 0.5) / received as f64)
    }

    /// Returns every latency that occurs, upwards, with how often it does: the highest equivalent value in
    /// nanoseconds, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let steps = self.0.iter_recorded();
        steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
    }

    /// Returns the mean of the received replies, in nanoseconds; 0 when empty.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.0.mean()
    }

    /// Returns the smallest latency, in nanoseconds; 0 when empty.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    /// Returns the largest latency, in nanoseconds; 0 when empty.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.0.max()
    }

    /// Returns the histogram as a line of an HDR V2 interval log (`HistogramLogProcessor`). The tag must have
    /// neither commas nor blanks.
    ///
    /// # Panics
    ///
    /// Never: writing to memory cannot fail, and the counts fit 64 bits.
    #[must_use]
    pub fn to_log_line(&self, start: Duration, length: Duration, tag: &str) -> Vec<u8> {
        let mut line = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut line, &mut serializer)
            .expect("writing to memory cannot fail");
        log.write_histogram(&self.0, start, length, Tag::new(tag))
            .expect("writing to memory cannot fail and the counts fit 64 bits");
        line
    }

    /// Reads the HDR V2 encoding, uncompressed, from a source that need not be trusted.
    ///
    /// # Errors
    ///
    /// When it is damaged, or claims more than it has: no allocation follows from its own figures.
    pub fn from_v2(bytes: &[u8]) -> Result<Self, HistogramError> {
        if !bytes.starts_with(&V2_COOKIE) {
            return Err(HistogramError(
                "it is not in the HDR V2 encoding".to_owned(),
            ));
        }
        let payload = bytes.get(V2_HEADER..);
        let stated = bytes.get(4..8).map(|length| {
            let digits = length.iter();
            digits.fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
        });
        if payload.is_none() || stated != payload.map(<[u8]>::len) {
            return Err(HistogramError(
                "its length is not the one that it states".to_owned(),
            ));
        }
        // Counts are numbers of 7 bits a byte; the top bit says that another byte follows.
        let continued = |byte: &&[u8]| byte.iter().all(|byte| byte & 0x80 != 0);
        if payload.is_some_and(|payload| payload.windows(LONGEST_COUNT).any(|run| continued(&run)))
        {
            return Err(HistogramError("a count is out of range".to_owned()));
        }
        let hdr = Deserializer::new()
            .deserialize(&mut &*bytes)
            .map_err(|error| HistogramError(error.to_string()))?;
        Self::from_hdr(&hdr)
    }

    /// Takes over an HDR histogram of any bounds; an error when its samples don't fit this type's.
    fn from_hdr(hdr: &hdrhistogram::Histogram<u64>) -> Result<Self, HistogramError> {
        let mut histogram = Self::new();
        histogram
            .0
            .add(hdr)
            .map_err(|error| HistogramError(error.to_string()))?;
        Ok(histogram)
    }
}

impl fmt::Debug for Histogram {
    /// In short: nobody reads 37,000 buckets in a failed assertion.
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

impl From<Histogram> for String {
    fn from(histogram: Histogram) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&histogram.0, &mut bytes)
            .expect("writing to memory cannot fail and the counts fit 64 bits");
        STANDARD.encode(bytes)
    }
}

impl TryFrom<String> for Histogram {
    type Error = HistogramError;

    fn try_from(text: String) -> Result<Self, HistogramError> {
        let error = |cause: &dyn fmt::Display| HistogramError(cause.to_string());
        let bytes = STANDARD.decode(text).map_err(|cause| error(&cause))?;
        Self::from_v2(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
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
    fn buckets_hold_every_sample() {
        let buckets: Vec<_> = of(&[7, 7, 900]).buckets().collect();
        assert_eq!(buckets, [(7, 2), (900, 1)]);
    }

    #[test]
    fn damaged_text_is_refused() {
        assert!(Histogram::try_from("not base64!".to_owned()).is_err());
        assert!(Histogram::try_from("AAAA".to_owned()).is_err());
    }

    #[test]
    fn a_histogram_that_claims_much_is_refused_before_it_costs_memory() {
        let good = STANDARD.decode(String::from(of(&[7, 900]))).unwrap();
        assert_eq!(Histogram::from_v2(&good).unwrap(), of(&[7, 900]));
        let mut long = good.clone();
        long[4..8].fill(0xff);
        assert!(Histogram::from_v2(&long).is_err());
        let mut compressed = good.clone();
        compressed[3] = 0x14;
        assert!(Histogram::from_v2(&compressed).is_err());
        // The count that cannot be negated, and one that overflows every sum.
        for count in [
            [0xff; 9],
            [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            let mut great = good[..V2_HEADER].to_vec();
            great.extend(count);
            great[4..8].copy_from_slice(&9_u32.to_be_bytes());
            assert!(Histogram::from_v2(&great).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            values in prop::collection::vec(1..HIGHEST_NS, 0..50),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let mut bytes = STANDARD.decode(String::from(of(&values))).unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Histogram::from_v2(&bytes);
        }

        #[test]
        fn text_is_read_back(values in prop::collection::vec(1..HIGHEST_NS, 0..50)) {
            let histogram = of(&values);
            let text = String::from(histogram.clone());
            prop_assert_eq!(Histogram::try_from(text).unwrap(), histogram);
        }

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
