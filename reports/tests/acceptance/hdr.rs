//! G7: an interval log that another implementation wrote (see `data/README.md`) is read sample by sample.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use tollgate_results::histogram::Histogram;

const LOG: &str = include_str!("data/tagged-Log.logV2.hlog");

struct Interval {
    tagged: bool,
    /// The maximum that the log states in words, in milliseconds.
    stated_max: f64,
    /// Its samples as the crate decodes them, in buckets as coarse as jHiccup's.
    theirs: hdrhistogram::Histogram<u64>,
    /// The same through Tollgate's own reader.
    ours: Histogram,
}

fn intervals() -> Vec<Interval> {
    let entries = IntervalLogIterator::new(LOG.as_bytes()).map(Result::unwrap);
    let intervals = entries.filter_map(|entry| {
        let LogEntry::Interval(interval) = entry else {
            return None;
        };
        let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
        let theirs = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .unwrap();
        let mut plain = Vec::new();
        V2Serializer::new().serialize(&theirs, &mut plain).unwrap();
        Some(Interval {
            tagged: interval.tag().is_some(),
            stated_max: interval.max(),
            theirs,
            ours: Histogram::from_v2(&plain).unwrap(),
        })
    });
    intervals.collect()
}

#[test]
#[expect(
    clippy::cast_precision_loss,
    reason = "latencies are far below 2^53 ns"
)]
fn g7_a_log_of_jhiccup_is_read_whole() {
    let intervals = intervals();
    let lines = LOG.lines().filter(|line| line.contains(",HIST")).count();
    assert!(lines > 40, "{lines}");
    assert_eq!(intervals.len(), lines);
    for Interval {
        stated_max,
        theirs,
        ours,
        ..
    } in &intervals
    {
        // The text has three decimals.
        assert!(
            (theirs.max() as f64 / 1e6 - stated_max).abs() < 0.001,
            "{stated_max}"
        );
        assert_eq!(ours.len(), theirs.len());
        assert!(theirs.equivalent(ours.max_ns(), theirs.max()), "{ours:?}");
        for quantile in [0.5, 0.99, 1.0] {
            let ours = ours.quantile_of_sent(quantile, 0).unwrap();
            assert!(
                theirs.equivalent(ours, theirs.value_at_quantile(quantile)),
                "{quantile}"
            );
        }
    }
}

#[test]
fn g7_what_was_duplicated_with_a_tag_is_equal_and_merges_to_the_double() {
    let intervals = intervals();
    let pool = |tagged: bool| {
        let mut pooled = Histogram::new();
        for interval in intervals
            .iter()
            .filter(|interval| interval.tagged == tagged)
        {
            pooled.merge(&interval.ours);
        }
        pooled
    };
    let (plain, tagged) = (pool(false), pool(true));
    assert!(plain.len() > 10_000, "{plain:?}");
    assert_eq!(plain, tagged);
    let mut all = plain.clone();
    all.merge(&tagged);
    assert_eq!(all.len(), 2 * plain.len());
    assert_eq!(
        all.quantile_of_sent(0.99, 0),
        plain.quantile_of_sent(0.99, 0)
    );
}
