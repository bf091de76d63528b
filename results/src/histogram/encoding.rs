//! Histograms as other tools read and write them: the HDR V2 encoding, and lines of an interval log.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{
    Deserializer, Serializer as _, V2DeflateSerializer, V2Serializer,
};

use super::{HIGHEST_NS, Histogram, buckets};

/// Significant decimal digits: an error of at most 0.1 % (statistics §2.3).
const SIGNIFICANT_DIGITS: u8 = 3;

/// First bytes of the uncompressed V2 encoding.
const V2_COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x13];

/// Length of the header of the V2 encoding: cookie, payload length, offset, digits, bounds, ratio.
const V2_HEADER: usize = 40;

/// Bytes of the longest count that is read: 2^41 samples in one bucket, years of traffic. Their sum fits 64 bits.
const LONGEST_COUNT: usize = 6;

/// A histogram that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read a histogram: {0}")]
pub struct HistogramError(String);

impl Histogram {
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
        log.write_histogram(&self.to_hdr(), start, length, Tag::new(tag))
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
    fn from_hdr(hdr: &Hdr<u64>) -> Result<Self, HistogramError> {
        let (_, top) = buckets::bounds(buckets::COUNT - 1);
        if hdr.max() > top {
            return Err(HistogramError(format!(
                "it has a value of {}, and {HIGHEST_NS} is the largest there is",
                hdr.max()
            )));
        }
        let mut histogram = Self::new();
        for step in hdr.iter_recorded() {
            let lowest = hdr.lowest_equivalent(step.value_iterated_to());
            histogram.count(buckets::holding(lowest), step.count_at_value());
        }
        Ok(histogram)
    }

    /// Returns the same histogram as the crate has it that knows the encodings.
    fn to_hdr(&self) -> Hdr<u64> {
        let mut hdr = Hdr::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
            .expect("the bounds are valid constants");
        for (lowest, _, count) in self.recorded() {
            hdr.saturating_record_n(lowest, count);
        }
        hdr
    }
}

impl From<Histogram> for String {
    fn from(histogram: Histogram) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&histogram.to_hdr(), &mut bytes)
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

    use super::super::tests::of;
    use super::*;

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

    #[test]
    fn what_lies_beyond_the_bounds_is_refused() {
        let mut foreign = Hdr::<u64>::new_with_bounds(1, 1 << 50, SIGNIFICANT_DIGITS).unwrap();
        foreign.record(1 << 40).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&foreign, &mut bytes).unwrap();
        let error = Histogram::from_v2(&bytes).unwrap_err().to_string();
        assert!(error.contains("is the largest there is"), "{error}");
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

        /// The crate's own histogram is the oracle: every figure, and every byte of the encoding.
        #[test]
        fn it_is_the_histogram_that_the_crate_makes(
            values in prop::collection::vec(0..2 * HIGHEST_NS, 0..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let mut theirs = Hdr::<u64>::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS).unwrap();
            for &value in &values {
                theirs.saturating_record(value.max(1));
            }
            let ours = of(&values);
            prop_assert_eq!(ours.len(), theirs.len());
            prop_assert_eq!(ours.max_ns(), theirs.max());
            prop_assert_eq!(ours.mean_ns().to_bits(), theirs.mean().to_bits());
            if !values.is_empty() {
                prop_assert_eq!(ours.min_ns(), theirs.min());
                #[expect(clippy::cast_precision_loss, reason = "test oracle")]
                let share = {
                    let n = values.len() as f64;
                    let rank = (quantile * n - 1e-9).ceil().clamp(1.0, n);
                    (rank - 0.5) / n
                };
                prop_assert_eq!(ours.quantile_of_sent(quantile, 0), Some(theirs.value_at_quantile(share)));
            }
            let buckets: Vec<(u64, u64)> = theirs
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect();
            prop_assert_eq!(ours.buckets().collect::<Vec<_>>(), buckets);
            let mut bytes = Vec::new();
            V2Serializer::new().serialize(&theirs, &mut bytes).unwrap();
            prop_assert_eq!(String::from(ours), STANDARD.encode(bytes));
        }
    }
}
