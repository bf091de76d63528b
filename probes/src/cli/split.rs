//! What is told of round trips that the kernel's timestamps split.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{JobReport, Stamps, Timed};

use super::print::write_row;
use super::summary::Times;

/// The parts of round trips, and which stamps came.
#[derive(Debug, Serialize)]
pub(crate) struct Split {
    /// Replies that were split.
    replies: u64,
    #[serde(flatten)]
    stamps: Stamps,
    /// Percentiles are of the replies that were split.
    parts: BTreeMap<Timed, Times>,
}

/// How people read each part, in the order of a round trip. The inset ones are parts of the one before.
const PARTS: [(Timed, &str); 5] = [
    (Timed::UserToDriver, "user to driver"),
    (Timed::InQueue, "  of it queued"),
    (Timed::DriverToDriver, "driver to driver"),
    (Timed::FarEnd, "  of it far end"),
    (Timed::DriverToUser, "driver to user"),
];

impl Split {
    /// Returns `None` where no stamps were asked for.
    pub(crate) fn new(report: &JobReport) -> Option<Self> {
        let stamps = report.outcome.stamps?;
        let parts = PARTS.iter().filter_map(|&(part, _)| {
            let histogram = report.histograms.get(&part)?;
            (!histogram.is_empty()).then(|| (part, Times::new(histogram, 0)))
        });
        let path = report.histograms.get(&Timed::DriverToDriver);
        Some(Self {
            replies: path.map_or(0, Histogram::len),
            stamps,
            parts: parts.collect(),
        })
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            replies,
            stamps,
            parts,
        } = self;
        writeln!(out, "\nwhere the time goes, by the kernel's timestamps\n")?;
        let header = ["p50", "p90", "p99", "p99.9", "max", "mean"].map(str::to_owned);
        write_row(out, ("µs", 18), &header)?;
        for (part, name) in PARTS {
            if let Some(times) = parts.get(&part) {
                write_row(out, (name, 18), &times.cells())?;
            }
        }
        let clock = stamps.clock_error_ns.map_or_else(
            || "the wall clock was set meanwhile".to_owned(),
            |ns| format!("the two clocks are compared to within {ns} ns"),
        );
        writeln!(
            out,
            "\n{replies} replies split, {} not; {clock}",
            stamps.unsplit
        )
    }

    /// Says in one line what stamps are missing, and why that may be.
    pub(crate) fn hint(&self) -> Option<String> {
        let all = self.replies + self.stamps.unsplit;
        let missing = match self.stamps {
            _ if self.replies > 0 || all == 0 => return None,
            Stamps {
                clock_error_ns: None,
                ..
            } => return Some("not split: the wall clock was set meanwhile; try again".to_owned()),
            Stamps { sent: 0, .. } => "requests are not stamped by the driver",
            Stamps { received: 0, .. } => "replies are not stamped as they arrive",
            _ => "stamps are out of order",
        };
        Some(format!(
            "not split: {missing}; see what the device can do with `ethtool -T`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::outcome::{Histograms, Outcome};

    use super::*;

    fn split(stamps: Stamps, parts: &[(Timed, u64)]) -> Split {
        let histograms = parts.iter().map(|&(part, ns)| {
            let mut histogram = Histogram::new();
            histogram.record(ns);
            (part, histogram)
        });
        let report = JobReport {
            outcome: Outcome {
                stamps: Some(stamps),
                ..Outcome::default()
            },
            histograms: histograms.collect::<Histograms>(),
            started_ns: None,
        };
        Split::new(&report).unwrap()
    }

    #[test]
    fn parts_are_told_in_the_order_of_a_round_trip() {
        let stamps = Stamps {
            queue: 1,
            sent: 1,
            received: 1,
            far_end: 0,
            unsplit: 0,
            clock_error_ns: Some(25),
        };
        let parts = [
            (Timed::UserToDriver, 2_000),
            (Timed::InQueue, 100),
            (Timed::DriverToDriver, 9_000),
            (Timed::DriverToUser, 4_000),
        ];
        let split = split(stamps, &parts);
        let mut out = Vec::new();
        split.write(&mut out).unwrap();
        let expected = "
where the time goes, by the kernel's timestamps

µs                       p50       p90       p99     p99.9       max      mean
user to driver           2.0       2.0       2.0       2.0       2.0       2.0
  of it queued           0.1       0.1       0.1       0.1       0.1       0.1
driver to driver         9.0       9.0       9.0       9.0       9.0       9.0
driver to user           4.0       4.0       4.0       4.0       4.0       4.0

1 replies split, 0 not; the two clocks are compared to within 25 ns
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(split.hint(), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Stamps {
            unsplit: 5,
            clock_error_ns: Some(25),
            ..Stamps::default()
        };
        let unset = Stamps {
            clock_error_ns: None,
            ..none
        };
        let received = Stamps { sent: 5, ..none };
        for (stamps, expected) in [
            (none, "requests are not stamped"),
            (received, "replies are not stamped"),
            (unset, "clock was set"),
        ] {
            let hint = split(stamps, &[]).hint().unwrap();
            assert!(hint.contains(expected), "{hint}");
        }
        assert_eq!(split(Stamps::default(), &[]).hint(), None);
    }
}
