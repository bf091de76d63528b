//! What is told of a measurement: the same figures for people and for machines.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::agent::Job;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Failure, Flow, HttpOutcome, JobReport, Outcome, Timed};
use tollgate_results::stream::TcpSample;
use tollgate_results::sweep::FlowSpread;
use tollgate_results::workload::SocketKind;

use super::open::Open;
use super::split::Split;
use super::streams::Streams;

/// The figures of a measurement. A percentile is `None` where its rank falls among the lost requests.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    pub(crate) kind: &'static str,
    pub(crate) target: SocketAddr,
    #[serde(skip)]
    has_no_port: bool,
    pub(crate) window_ns: u64,
    pub(crate) sent: u64,
    pub(crate) replied: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) stray: u64,
    pub(crate) failures: BTreeMap<Failure, u64>,
    bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) rate_per_s: Option<f64>,
    pub(crate) bytes_per_s: Option<f64>,
    /// `closed` or `open`: figures of the two are not comparable.
    load: &'static str,
    /// In an open loop from the planned time, and of all planned requests.
    #[serde(flatten)]
    pub(crate) latency: Times,
    #[serde(flatten)]
    pub(crate) open: Option<Open>,
    /// Of the `connect` calls, where there is one for each request.
    pub(crate) connect: Option<Times>,
    /// The parts of an exchange over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_byte: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_byte: Option<Times>,
    /// Statuses and backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpOutcome>,
    /// Where round trips are split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<Split>,
    /// Through what kind of socket, where there is a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<SocketKind>,
    /// How far source ports differ, in a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<FlowSpread>,
    /// Replies that were a RST, where replies may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resets: Option<u64>,
    /// Of a stream.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) streams: Option<Streams>,
    /// What TCP's sending ends knew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tcp: Vec<TcpSample>,
    flow: Option<Flow>,
}

/// Percentiles of all sent requests, and the extremes and mean of those with a reply.
#[derive(Debug, Default, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "each name is a key of the JSON, and says its unit"
)]
pub(crate) struct Times {
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p90_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p99_9_ns: Option<u64>,
    pub(crate) min_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
    pub(crate) mean_ns: Option<f64>,
}

impl Times {
    pub(crate) fn new(histogram: &Histogram, lost: u64) -> Self {
        let some = !histogram.is_empty();
        Self {
            p50_ns: histogram.quantile_of_sent(0.5, lost),
            p90_ns: histogram.quantile_of_sent(0.9, lost),
            p99_ns: histogram.quantile_of_sent(0.99, lost),
            p99_9_ns: histogram.quantile_of_sent(0.999, lost),
            min_ns: some.then(|| histogram.min_ns()),
            max_ns: some.then(|| histogram.max_ns()),
            mean_ns: some.then(|| histogram.mean_ns()),
        }
    }
}

impl Summary {
    pub(crate) fn new(job: &Job, report: &JobReport) -> Self {
        let Outcome {
            window_ns,
            sent,
            replied,
            lost,
            late,
            duplicated,
            reordered,
            stray,
            ref failures,
            bytes_sent,
            bytes_received,
            flow,
            socket,
            resets,
            ref sweep,
            ref http,
            open: _,      // In `open`.
            stamps: _,    // In `split`.
            datagrams: _, // In `streams`.
            ref tcp,
            stream: _, // In `streams`.
            beside: _, // Only a runner asks for it.
        } = report.outcome;
        let times = |timed| {
            let histogram = report.histograms.get(&timed)?;
            Some(Times::new(histogram, lost))
        };
        let from_plan = report.histograms.get(&Timed::FromPlan);
        let from_plan =
            from_plan.map(|histogram| Times::new(histogram, report.outcome.lost_of_planned()));
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let per_second =
            |count: u64| (window_ns > 0).then(|| count as f64 * 1e9 / window_ns as f64);
        Self {
            schema: RECORD_SCHEMA,
            kind: job.traffic.kind(),
            target: job.target,
            has_no_port: job.traffic.has_no_port(),
            window_ns,
            sent,
            replied,
            lost,
            late,
            duplicated,
            reordered,
            stray,
            failures: failures.clone(),
            bytes_sent,
            bytes_received,
            rate_per_s: per_second(replied),
            bytes_per_s: per_second(bytes_received),
            load: job.load.open().map_or("closed", |_| "open"),
            latency: from_plan.or(times(Timed::Latency)).unwrap_or_default(),
            open: Open::new(report),
            connect: times(Timed::Connect),
            tls: times(Timed::Tls),
            first_byte: times(Timed::FirstByte),
            // What has no first byte has no last one.
            last_byte: report
                .histograms
                .get(&Timed::LastByte)
                .map(|histogram| Times::new(histogram, 0)),
            http: http.clone(),
            split: Split::new(report),
            socket,
            sweep: sweep.as_ref().map(|sweep| sweep.spread(job.seed)),
            resets,
            streams: Streams::new(job, report),
            tcp: tcp.clone(),
            flow,
        }
    }

    /// Returns what the first request with a fault of its own ran into.
    fn fault<'a>(&'a self, otherwise: &'a str) -> &'a str {
        let fault = self.http.as_ref().and_then(|http| http.fault.as_deref());
        fault.unwrap_or(otherwise)
    }

    /// Returns the target as people write it: without a port where there is none.
    pub(crate) fn address(&self) -> String {
        if self.has_no_port {
            self.target.ip().to_string()
        } else {
            self.target.to_string()
        }
    }

    /// Says that nothing came back, where nothing did: there is no latency then, and a script has to notice.
    pub(crate) fn silence(&self) -> Option<String> {
        let silent = self.replied == 0 && self.bytes_received == 0;
        silent.then(|| {
            let Self { sent, .. } = self;
            format!(
                "not one reply from {}: all {sent} requests were lost",
                self.address()
            )
        })
    }

    /// Says in one line per cause what failed and what may be wrong.
    pub(crate) fn hints(&self) -> Vec<String> {
        let target = self.address();
        let failures = self.failures.iter().map(|(failure, count)| match failure {
            Failure::Refused if self.has_no_port => {
                format!("{count} refused: {target} answers no ICMP echo")
            }
            Failure::Refused if self.kind == "tcp-syn" => {
                format!("{count} refused: {target} is closed, which counts as an answer through a raw socket (--socket raw)")
            }
            Failure::Refused => format!(
                "{count} refused: nothing listens on {target}; start `tollgate-probe serve` there"
            ),
            Failure::Reset => format!(
                "{count} cut off: {target} closed the connection; is it a `tollgate-probe serve` of this version?"
            ),
            Failure::TimedOut => format!(
                "{count} without a reply in time: check the address, the route and firewalls to {target}"
            ),
            Failure::Malformed => format!(
                "{count} with a wrong reply (length or content): is {target} a `tollgate-probe serve`?"
            ),
            Failure::Unreachable if self.has_no_port => format!(
                "{count} unreachable: no route to {target}, here or further on (see `ip route get {target}`)"
            ),
            Failure::Unreachable => format!(
                "{count} not sent: no route to {target}, or no local port left (see `ip route get`, `ss -s`)"
            ),
            Failure::Status => format!(
                "{count} answered with an error status (4xx or 5xx): check the path, and what {target} allows \
                 (`tollgate-probe serve --max-response`)"
            ),
            Failure::Tls => format!("{count} without TLS: {}", self.fault("the handshake failed")),
            Failure::Version => format!(
                "{count} with another version: {}",
                self.fault("install the same tollgate-probe at both ends")
            ),
            Failure::HopsExceeded => format!(
                "{count} with too many hops: a router says that packets to {target} go round in a loop, or too far"
            ),
            Failure::TooBig => format!(
                "{count} too big for a hop or device on the way to {target}: make the payload smaller \
                 (`tollgate-probe path-mtu {}` says how small)",
                self.target.ip()
            ),
            Failure::Prohibited => format!(
                "{count} prohibited: a rule of this machine, or a router on the way, forbids packets to {target}"
            ),
        });
        let split = self.split.as_ref().and_then(Split::hint);
        let open = self.open.as_ref().and_then(Open::hint);
        failures.chain(split).chain(open).collect()
    }
}
