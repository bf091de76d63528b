//! What is told of an open loop besides.

use std::io::{self, Write};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use tollgate_results::outcome::{Bottleneck, JobReport, OpenOutcome, Timed};

use super::summary::Times;

/// The figures of an open loop that a closed one doesn't have.
#[derive(Debug)]
pub(crate) struct Open {
    outcome: OpenOutcome,
    offered_per_s: f64,
    achieved_per_s: f64,
    /// From the actual start of a request to the end of its reply.
    pub(crate) service: Times,
    /// From the planned start to the actual one.
    pub(crate) lateness: Times,
    bottleneck: Option<Bottleneck>,
}

impl Open {
    /// Takes the figures of an open loop; `None` of a closed one.
    pub(crate) fn new(report: &JobReport) -> Option<Self> {
        let outcome = report.outcome.open?;
        let times = |timed, lost| {
            let histogram = report.histograms.get(&timed);
            histogram.map_or_else(Times::default, |histogram| Times::new(histogram, lost))
        };
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let per_second = |count: u64, ns: u64| count as f64 * 1e9 / ns.max(1) as f64;
        Some(Self {
            outcome,
            offered_per_s: per_second(outcome.planned, outcome.planned_ns),
            achieved_per_s: per_second(report.outcome.replied, report.outcome.window_ns),
            service: times(Timed::FromSend, report.outcome.lost),
            lateness: times(Timed::Lateness, 0),
            bottleneck: report.outcome.bottleneck(&report.histograms),
        })
    }

    /// Says in one line that the generator was the bottleneck, where it was.
    pub(crate) fn hint(&self) -> Option<String> {
        let what = match self.bottleneck? {
            Bottleneck::Unsent { share } => format!(
                "{:.1} % of the plan was not sent: the target, or the bounds --connections and --in-flight, held it back",
                share * 100.0
            ),
            Bottleneck::Late { p50_ns, p99_ns } => format!(
                "requests went out late (p50 {:.1} µs, p99 {:.1} µs): give the probe a CPU of its own (--cpu) or a lower --rate",
                micros(p50_ns),
                micros(p99_ns)
            ),
        };
        Some(format!("the generator was the bottleneck: {what}"))
    }

    /// Writes the lines for people.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let OpenOutcome {
            planned,
            unsent,
            held,
            most_in_flight,
            spin_ns,
            ..
        } = self.outcome;
        writeln!(
            out,
            "open loop: {planned} planned, {unsent} not sent, {held} held back; {:.0}/s offered, {:.0}/s achieved",
            self.offered_per_s, self.achieved_per_s
        )?;
        writeln!(
            out,
            "at most {most_in_flight} in flight; the probe spun for the last {:.1} µs before each plan",
            micros(spin_ns)
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

impl Serialize for Open {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let OpenOutcome {
            planned_ns,
            planned,
            unsent,
            held,
            most_in_flight,
            spin_ns,
        } = self.outcome;
        for (key, value) in [
            ("planned_ns", planned_ns),
            ("planned", planned),
            ("unsent", unsent),
            ("held", held),
            ("most_in_flight", most_in_flight),
            ("spin_ns", spin_ns),
        ] {
            map.serialize_entry(key, &value)?;
        }
        map.serialize_entry("offered_per_s", &self.offered_per_s)?;
        map.serialize_entry("achieved_per_s", &self.achieved_per_s)?;
        for (key, value) in [
            ("service_p50_ns", self.service.p50_ns),
            ("service_p99_ns", self.service.p99_ns),
            ("lateness_p50_ns", self.lateness.p50_ns),
            ("lateness_p99_ns", self.lateness.p99_ns),
            ("lateness_max_ns", self.lateness.max_ns),
        ] {
            map.serialize_entry(key, &value)?;
        }
        map.serialize_entry("bottleneck", &self.bottleneck)?;
        map.end()
    }
}
