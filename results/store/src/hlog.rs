//! `histograms.hlog`: an HDR V2 interval log, as `HistogramLogProcessor` and every other HDR tool reads it.
//!
//! Values are nanoseconds. Each interval is one histogram of one slice, tagged `ROUND/WORKLOAD/ARM/TIMED`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, IntervalLogWriterBuilder, LogEntry,
};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::Timed;
use tollgate_results::slice::{Slice, SliceKey, SliceResult};

use crate::error::{StoreError, StoreErrorKind};
use crate::lines::{Placed, complete, key};

/// Line by which the Java tools know the column names; the last of the header.
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Largest histogram, inflated: eight times what 27,648 buckets take.
const MOST_BYTES: u64 = 2 << 20;

/// The histograms of each slice.
pub(crate) type BySlice = BTreeMap<SliceKey, BTreeMap<Timed, Found>>;

/// A histogram of the log, and where its line ends.
pub(crate) struct Found {
    pub(crate) histogram: Histogram,
    pub(crate) end: usize,
}

/// Returns the header of a log.
pub(crate) fn header(started_unix_ms: u64) -> Vec<u8> {
    let mut header = Vec::new();
    let start = UNIX_EPOCH.checked_add(Duration::from_millis(started_unix_ms));
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(" Tollgate: nanoseconds; tags are ROUND/WORKLOAD/ARM/TIMED")
        .with_start_time(start.unwrap_or(UNIX_EPOCH))
        .begin_log_with(&mut header, &mut V2DeflateSerializer::new())
        .expect("writing to memory cannot fail");
    header.extend(LEGEND.bytes());
    header
}

/// Returns the lines of one slice.
pub(crate) fn lines(slice: &Slice) -> Vec<u8> {
    let length = match &slice.record.result {
        SliceResult::Measured(measured) => measured.outcome.window_ns,
        SliceResult::Failed { .. } => 0,
    };
    let start = Duration::from_millis(slice.record.started_unix_ms);
    let length = Duration::from_nanos(length);
    let lines = slice.histograms.iter().map(|(timed, histogram)| {
        // Names have neither commas nor blanks.
        let tag = format!("{}/{}", key(&slice.record), timed.as_str());
        histogram.to_log_line(start, length, &tag)
    });
    lines.flatten().collect()
}

/// Reads all complete lines of a log.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<BySlice, StoreError> {
    let mut slices = BySlice::new();
    for Placed {
        item,
        number: line,
        end,
    } in complete(bytes)
    {
        let found = interval(item).and_then(|found| {
            let Some((key, timed, histogram)) = found else {
                return Ok(());
            };
            let tag = format!(
                "{}/{}/{}/{}",
                key.round,
                key.workload,
                key.arm,
                timed.as_str()
            );
            let slice = slices.entry(key).or_default();
            match slice.insert(timed, Found { histogram, end }) {
                None => Ok(()),
                Some(_) => Err(format!("histogram {tag} is there twice")),
            }
        });
        found.map_err(|reason| {
            StoreError::new("read", path, StoreErrorKind::DamagedLine { line, reason })
        })?;
    }
    Ok(slices)
}

/// Reads one line: `None` where it is a comment.
fn interval(line: &[u8]) -> Result<Option<(SliceKey, Timed, Histogram)>, String> {
    let entry = match IntervalLogIterator::new(line).next() {
        Some(Ok(LogEntry::Interval(entry))) => entry,
        Some(Err(_)) => return Err("not a line of an HDR interval log".to_owned()),
        Some(Ok(LogEntry::StartTime(_) | LogEntry::BaseTime(_))) | None => return Ok(None),
    };
    let tag = entry.tag().map_or("", |tag| tag.as_str());
    let (key, timed) = parse_tag(tag).ok_or_else(|| format!("tag `{tag}` names no slice"))?;
    Ok(Some((key, timed, histogram(&entry)?)))
}

/// Reads `ROUND/WORKLOAD/ARM/TIMED`.
fn parse_tag(tag: &str) -> Option<(SliceKey, Timed)> {
    let mut parts = tag.split('/');
    let key = SliceKey {
        round: parts.next()?.parse().ok()?,
        workload: parts.next()?.parse().ok()?,
        arm: parts.next()?.parse().ok()?,
    };
    let timed: StrDeserializer<'_, ValueError> = parts.next()?.into_deserializer();
    let timed = Timed::deserialize(timed).ok()?;
    parts.next().is_none().then_some((key, timed))
}

/// Reads the compressed histogram of an interval; no more is inflated than a histogram can have.
fn histogram(entry: &IntervalLogHistogram<'_>) -> Result<Histogram, String> {
    let damaged = |cause: &dyn std::fmt::Display| format!("its histogram is damaged ({cause})");
    let bytes = STANDARD
        .decode(entry.encoded_histogram())
        .map_err(|cause| damaged(&cause))?;
    // A compressed histogram is its cookie and its length, 4 bytes each, then zlib.
    let deflated = bytes.get(8..).ok_or_else(|| damaged(&"too short"))?;
    let mut inflated = Vec::new();
    ZlibDecoder::new(deflated)
        .take(MOST_BYTES)
        .read_to_end(&mut inflated)
        .map_err(|cause| damaged(&cause))?;
    Histogram::from_v2(&inflated).map_err(|cause| damaged(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_one_that_java_writes() {
        let header = String::from_utf8(header(1_700_000_000_250)).unwrap();
        let lines: Vec<_> = header.lines().collect();
        assert_eq!(lines[0], "#[Histogram log format version 1.3]");
        assert_eq!(
            lines[2],
            "#[StartTime: 1700000000.250 (seconds since epoch)]"
        );
        assert_eq!(lines[3], LEGEND.trim_end());
    }

    #[test]
    fn tags_name_a_slice_and_what_is_timed() {
        let (key, timed) = parse_tag("12/rr/ipt@1000/connect").unwrap();
        assert_eq!(
            (key.round, key.workload.as_str(), key.arm.as_str()),
            (12, "rr", "ipt@1000")
        );
        assert_eq!(timed, Timed::Connect);
        for timed in Timed::ALL {
            let tag = format!("0/rr/x/{}", timed.as_str());
            assert_eq!(
                parse_tag(&tag).map(|(_, timed)| timed),
                Some(timed),
                "{tag}"
            );
        }
        for bad in [
            "",
            "1/rr/x",
            "1/rr/x/latency/y",
            "-1/rr/x/latency",
            "1/rr/x/size",
            "1/RR/x/latency",
        ] {
            assert!(parse_tag(bad).is_none(), "{bad}");
        }
    }
}
