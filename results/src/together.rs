//! Several clients that send to one server at once: what each of them measured, as one slice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::{JobReport, Outcome};
use crate::stream::{StreamTotals, TcpSample};
use crate::workload::{Load, Traffic, Workload};

/// How several clients sent at once. The counts and histograms of a slice are those of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Together {
    /// From the first client's window to the last one's, in nanoseconds, by the clock of the kernel that they share.
    pub skew_ns: u64,
    /// Replies, or blocks of a stream, of each client: 2 to [`Together::MOST`].
    pub replied: Vec<u64>,
}

impl Together {
    /// Most clients of an arm: each is a pod of one node, which takes some 110.
    pub const MOST: u8 = 16;

    /// Makes one report of several, whose samples of TCP are the first clients' as far as there is room; each over its own window of one length: counts add up, histograms merge, and the
    /// window is the longest of theirs. `None` where there aren't several, or one of them doesn't say when it began.
    #[must_use]
    pub fn join(reports: Vec<JobReport>) -> Option<(JobReport, Self)> {
        let started: Option<Vec<u64>> = reports.iter().map(|report| report.started_ns).collect();
        let started = started?;
        let skew_ns = started.iter().max()? - started.iter().min()?;
        let replied = reports.iter().map(|report| report.outcome.replied);
        let together = Self {
            skew_ns,
            replied: replied.collect(),
        };
        let mut reports = reports.into_iter();
        let mut all = reports.next()?;
        let several = reports.len() > 0;
        for more in reports {
            all.outcome.join(more.outcome);
            for (timed, histogram) in &more.histograms {
                all.histograms.entry(*timed).or_default().merge(histogram);
            }
        }
        several.then_some((all, together))
    }
}

impl Outcome {
    /// Adds what another client counted at the same time. What is of one client alone stays the first one's; what can't
    /// be added up goes, and no such workload has several clients ([`Workload::has_one_client`]).
    fn join(&mut self, more: Self) {
        self.window_ns = self.window_ns.max(more.window_ns);
        for (sum, more) in [
            (&mut self.sent, more.sent),
            (&mut self.replied, more.replied),
            (&mut self.lost, more.lost),
            (&mut self.late, more.late),
            (&mut self.duplicated, more.duplicated),
            (&mut self.reordered, more.reordered),
            (&mut self.stray, more.stray),
            (&mut self.bytes_sent, more.bytes_sent),
            (&mut self.bytes_received, more.bytes_received),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (failure, count) in more.failures {
            let sum = self.failures.entry(failure).or_default();
            *sum = sum.saturating_add(count);
        }
        self.resets = self
            .resets
            .zip(more.resets)
            .map(|(a, b)| a.saturating_add(b));
        match (&mut self.http, more.http) {
            (Some(http), Some(more)) => http.merge(more),
            (http, _) => *http = None,
        }
        self.stream = self.stream.zip(more.stream).map(|(a, b)| a.plus(b));
        let first = self.tcp.iter().map(|sample| sample.flow.saturating_add(1));
        let first = first.max().unwrap_or(0);
        let room = TcpSample::MOST.saturating_sub(self.tcp.len());
        let samples = more.tcp.into_iter().take(room);
        self.tcp.extend(samples.map(|sample| TcpSample {
            flow: first.saturating_add(sample.flow),
            ..sample
        }));
        (self.open, self.stamps, self.datagrams) = (None, None, None);
        (self.sweep, self.beside) = (None, None);
    }
}

impl StreamTotals {
    /// Adds up, without overflow: the far end says a part of it.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            bytes_up: self.bytes_up.saturating_add(more.bytes_up),
            bytes_down: self.bytes_down.saturating_add(more.bytes_down),
            near_cpu_ns: self.near_cpu_ns.saturating_add(more.near_cpu_ns),
            far_cpu_ns: self.far_cpu_ns.saturating_add(more.far_cpu_ns),
        }
    }
}

impl Workload {
    /// Says what of it keeps several clients from sending it at once as one slice; `None` where nothing does.
    #[must_use]
    pub const fn has_one_client(&self) -> Option<&'static str> {
        match (&self.traffic, self.load) {
            (Traffic::UdpStream(_), _) => {
                Some("a stream of datagrams, whose order is one sender's")
            }
            (_, Load::Open(_)) => Some("an open loop, whose plan is one sender's"),
            _ if self.timestamps => Some("split by kernel timestamps"),
            _ if self.ports.is_some() => Some("a sweep over source ports"),
            _ if self.beside.is_some() => Some("beside bulk data"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::histogram::Histogram;
    use crate::http::HttpOutcome;
    use crate::outcome::{Failure, Histograms, OpenOutcome, Timed};

    /// What a client measured that began then and had so many replies, each after so long.
    fn report(started_ns: u64, replied: u64, latency_ns: u64) -> JobReport {
        let mut latency = Histogram::new();
        latency.record_many(latency_ns, replied);
        JobReport {
            outcome: Outcome {
                window_ns: 1_000 + replied,
                sent: replied + 1,
                replied,
                lost: 1,
                failures: BTreeMap::from([(Failure::TimedOut, 1)]),
                bytes_sent: 64 * replied,
                http: Some(HttpOutcome {
                    statuses: BTreeMap::from([(200, replied)]),
                    ..HttpOutcome::default()
                }),
                stream: Some(StreamTotals {
                    bytes_up: replied,
                    far_cpu_ns: u64::MAX,
                    ..StreamTotals::default()
                }),
                tcp: vec![sample(0), sample(1)],
                ..Outcome::default()
            },
            histograms: Histograms::from([(Timed::Latency, latency)]),
            started_ns: Some(started_ns),
        }
    }

    fn sample(flow: u32) -> TcpSample {
        TcpSample {
            flow,
            at_ns: 0,
            acked: 0,
            rtt_us: 0,
            min_rtt_us: 0,
            cwnd: 0,
            retransmits: 0,
            delivery_rate: 0,
        }
    }

    #[test]
    fn counts_add_up_histograms_merge_and_the_longest_window_counts() {
        let reports = vec![
            report(500, 10, 100),
            report(420, 30, 1_000),
            report(510, 20, 100),
        ];
        let (all, together) = Together::join(reports).unwrap();
        assert_eq!(together.skew_ns, 90);
        assert_eq!(together.replied, [10, 30, 20]);
        let outcome = &all.outcome;
        assert_eq!((outcome.sent, outcome.replied, outcome.lost), (63, 60, 3));
        assert_eq!(outcome.window_ns, 1_030);
        assert_eq!(outcome.failures[&Failure::TimedOut], 3);
        assert_eq!(outcome.http.as_ref().unwrap().statuses[&200], 60);
        assert_eq!(outcome.stream.unwrap().bytes_up, 60);
        assert_eq!(outcome.stream.unwrap().far_cpu_ns, u64::MAX);
        let flows: Vec<u32> = outcome.tcp.iter().map(|sample| sample.flow).collect();
        assert_eq!(flows, [0, 1, 2, 3, 4, 5], "no two clients have one flow");
        let latency = &all.histograms[&Timed::Latency];
        assert_eq!(latency.buckets().map(|(_, count)| count).sum::<u64>(), 60);
        assert_eq!(latency.quantile_of_sent(0.25, 0), Some(100));
    }

    #[test]
    fn one_client_or_one_without_a_start_is_no_company() {
        assert!(Together::join(Vec::new()).is_none());
        assert!(Together::join(vec![report(1, 1, 1)]).is_none());
        let without = JobReport {
            started_ns: None,
            ..report(1, 1, 1)
        };
        assert!(Together::join(vec![report(1, 1, 1), without]).is_none());
    }

    #[test]
    fn what_can_t_be_added_up_goes() {
        let mut open = report(1, 1, 1);
        open.outcome.open = Some(OpenOutcome::default());
        open.outcome.http = None;
        let (all, _) = Together::join(vec![open, report(1, 1, 1)]).unwrap();
        assert_eq!((all.outcome.open, all.outcome.http), (None, None));
    }
}
