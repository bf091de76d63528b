//! What a job measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
pub use crate::http::HttpOutcome;
use crate::stream::{BesideTotals, Datagrams, StreamTotals, TcpSample};
use crate::sweep::FlowSweep;
use crate::workload::SocketKind;

/// What an agent reports of one job: the counts and, apart from them, the histograms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobReport {
    /// What was sent and what came back.
    pub outcome: Outcome,
    /// One histogram for each thing that was timed.
    pub histograms: Histograms,
    /// When the window began, by the monotonic clock of the sender's kernel: tells how simultaneously several clients of
    /// one kernel began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ns: Option<u64>,
}

/// The histograms of one slice.
pub type Histograms = BTreeMap<Timed, Histogram>;

/// What a histogram times.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Timed {
    /// Closed loop: from the start of a request to the end of its reply; for CRR from before `connect`.
    Latency,
    /// CRR and HTTP on new connections: the `connect` call alone.
    Connect,
    /// Open loop: from the planned start of a request to the end of its reply. What a user would wait.
    FromPlan,
    /// Open loop: from the actual start of a request to the end of its reply. Service time alone: it leaves
    /// out what requests waited for those before them.
    FromSend,
    /// Open loop: from the planned start of a request to its actual one, by the probe's own fault. Requests
    /// that were [`OpenOutcome::held`] back are not in it.
    Lateness,
    /// Kernel timestamps: from before the send call to the driver, as it takes the last packet of the request.
    UserToDriver,
    /// Kernel timestamps, a part of [`Timed::UserToDriver`]: in the device's queueing discipline.
    InQueue,
    /// Kernel timestamps: from the driver, as it takes the last packet of the request, to the driver, as it
    /// hands over the last packet of the reply. The path both ways and the far end.
    DriverToDriver,
    /// Kernel timestamps, a part of [`Timed::DriverToDriver`]: at the far end from its driver to before its
    /// send call, by its own clock.
    FarEnd,
    /// Kernel timestamps: from the driver, as it hands over the last packet of the reply, to after the
    /// receive call: the protocols, the wake-up, the call.
    DriverToUser,
    /// HTTP on new connections over TLS: the handshake, after [`Timed::Connect`].
    Tls,
    /// HTTP: from the start of the request, on a connection that stands, to the first byte of its response.
    FirstByte,
    /// HTTP: from the first byte of the response to its last one; 1 ns where both came at once.
    LastByte,
    /// Paced datagrams, client to server: from before the send call to after the receive call. Only where both
    /// ends read one clock ([`crate::stream::OneWay::one_clock`]).
    OneWayUp,
    /// The same, server to client.
    OneWayDown,
    /// Packet delay variation (RFC 5481 §4.2), client to server: one-way delay minus the least one of the window.
    /// Needs no common clock.
    PdvUp,
    /// The same, server to client.
    PdvDown,
    /// Inter-packet delay variation (RFC 5481 §4.1), client to server: size of the difference of the one-way delays
    /// of a datagram and the one sent before it, where both came. Needs no common clock.
    IpdvUp,
    /// The same, server to client.
    IpdvDown,
}

impl Timed {
    /// Everything that can be timed.
    pub const ALL: [Self; 19] = [
        Self::Latency,
        Self::Connect,
        Self::FromPlan,
        Self::FromSend,
        Self::Lateness,
        Self::UserToDriver,
        Self::InQueue,
        Self::DriverToDriver,
        Self::FarEnd,
        Self::DriverToUser,
        Self::Tls,
        Self::FirstByte,
        Self::LastByte,
        Self::OneWayUp,
        Self::OneWayDown,
        Self::PdvUp,
        Self::PdvDown,
        Self::IpdvUp,
        Self::IpdvDown,
    ];

    /// Returns the name as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Connect => "connect",
            Self::FromPlan => "from-plan",
            Self::FromSend => "from-send",
            Self::Lateness => "lateness",
            Self::UserToDriver => "user-to-driver",
            Self::InQueue => "in-queue",
            Self::DriverToDriver => "driver-to-driver",
            Self::FarEnd => "far-end",
            Self::DriverToUser => "driver-to-user",
            Self::Tls => "tls",
            Self::FirstByte => "first-byte",
            Self::LastByte => "last-byte",
            Self::OneWayUp => "one-way-up",
            Self::OneWayDown => "one-way-down",
            Self::PdvUp => "pdv-up",
            Self::PdvDown => "pdv-down",
            Self::IpdvUp => "ipdv-up",
            Self::IpdvDown => "ipdv-down",
        }
    }
}

/// The counts of one measured window. `replied + lost == sent` for request/response traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Length of the measured window by the monotonic clock.
    pub window_ns: u64,
    /// Requests sent; for a stream, blocks or datagrams.
    pub sent: u64,
    /// Requests with a reply in time.
    pub replied: u64,
    /// Requests without a reply in time, those that failed included.
    pub lost: u64,
    /// Replies that came after their time-out.
    pub late: u64,
    /// Replies that came a second time.
    pub duplicated: u64,
    /// Replies that arrived after the reply to a later request.
    pub reordered: u64,
    /// Datagrams that answer none of the job's requests: foreign, forged or damaged. Ignored.
    pub stray: u64,
    /// Requests that failed, by cause. Each is counted in `lost` too.
    pub failures: BTreeMap<Failure, u64>,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received; for a stream, the bytes that the far end confirmed.
    pub bytes_received: u64,
    /// The job's connection, the last one where there were several. The remote address is the one that
    /// the client asked for, before any translation.
    pub flow: Option<Flow>,
    /// What an open loop counts besides; `None` for a closed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenOutcome>,
    /// Which kernel timestamps came; `None` where none were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamps: Option<Stamps>,
    /// What came back over HTTP; `None` for other traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpOutcome>,
    /// Replies that were a RST: a SYN to a closed port. `None` for other traffic, and where the kernel connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<u64>,
    /// Through what kind of socket it went, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketKind>,
    /// What became of the datagrams of a stream, by direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<Datagrams>,
    /// What TCP's sending ends knew: of a stream all along, of a kept connection at the end of the window. At most
    /// [`TcpSample::MOST`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpSample>,
    /// What each 5-tuple of a sweep over source ports gave; `None` where there was one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<FlowSweep>,
    /// What a stream took and gave; `None` for other traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamTotals>,
    /// What the bulk data beside it gave; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<BesideTotals>,
}

/// Which kernel timestamps came, of the requests with a reply in time. A socket accepts options for stamps
/// that no driver delivers, so that what there is shows by sending alone.
///
/// A reply is split where the driver's stamps of request and reply came, in order: as often as
/// [`Timed::DriverToDriver`] was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stamps {
    /// Requests stamped before the queueing discipline.
    pub queue: u64,
    /// Requests stamped by the driver.
    pub sent: u64,
    /// Replies stamped as the driver hands them over.
    pub received: u64,
    /// Replies in which the far end says how long they took there.
    pub far_end: u64,
    /// Replies that could not be split.
    pub unsplit: u64,
    /// Stamps are in the kernel's wall clock, requests are timed by the monotonic one: how well their
    /// distance is known, in nanoseconds. It can move time between [`Timed::UserToDriver`] and
    /// [`Timed::DriverToUser`], not change their sum. `None` where the wall clock was set meanwhile: nothing
    /// was split then.
    pub clock_error_ns: Option<u64>,
}

/// What an open loop counts besides. `planned == sent + unsent`.
///
/// An unsent request is as infinite a delay as a lost one: percentiles from the plan are of *planned* requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OpenOutcome {
    /// Length of the time for which requests were planned; replies are waited for a while longer.
    pub planned_ns: u64,
    /// Requests planned for it.
    pub planned: u64,
    /// Requests that could not be sent until the wait for replies was over.
    pub unsent: u64,
    /// Requests that were sent late because all connections were busy or the bound on requests in flight was
    /// reached: the far end's or the path's doing, within the bounds that were asked for.
    pub held: u64,
    /// Most requests that were in flight at once.
    pub most_in_flight: u64,
    /// Before each planned time the generator spins for this long instead of sleeping: how late this machine's
    /// timer was found to be as the job was armed.
    pub spin_ns: u64,
}

/// Why the figures of an open loop tell more of the generator than of the path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bottleneck {
    /// Fewer than 99 % of the planned requests were sent.
    Unsent {
        /// Share of the planned requests that was not sent.
        share: f64,
    },
    /// The generator's median lateness is more than a tenth of the median from the plan, or its 99th
    /// percentile more than half of that from the plan.
    Late {
        /// Median lateness in nanoseconds.
        p50_ns: u64,
        /// 99th percentile of lateness in nanoseconds.
        p99_ns: u64,
    },
}

impl Outcome {
    /// Returns requests without a reply in time, those that were planned but not sent included: how many
    /// infinite delays a percentile from the plan has.
    #[must_use]
    pub fn lost_of_planned(&self) -> u64 {
        self.open
            .map_or(self.lost, |open| self.lost.saturating_add(open.unsent))
    }

    /// Says whether the generator was the bottleneck of an open loop, by the rule of [`Bottleneck`].
    #[must_use]
    pub fn bottleneck(&self, histograms: &Histograms) -> Option<Bottleneck> {
        let open = self.open?;
        // In whole numbers: more than one in a hundred.
        if u128::from(open.unsent) * 100 > u128::from(open.planned) {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let share = open.unsent as f64 / open.planned as f64;
            return Some(Bottleneck::Unsent { share });
        }
        let lateness = histograms.get(&Timed::Lateness)?;
        let from_plan = histograms.get(&Timed::FromPlan)?;
        let late = |quantile| lateness.quantile_of_sent(quantile, 0);
        // Where the percentile from the plan is among the lost, no lateness is a large part of it.
        let whole = |quantile| {
            let ns = from_plan.quantile_of_sent(quantile, self.lost_of_planned());
            ns.unwrap_or(u64::MAX)
        };
        let (p50_ns, p99_ns) = (late(0.5)?, late(0.99)?);
        let is_late = p50_ns > whole(0.5) / 10 || p99_ns > whole(0.99) / 2;
        is_late.then_some(Bottleneck::Late { p50_ns, p99_ns })
    }
}

/// Why a request failed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Connection refused, or ICMP port unreachable.
    Refused,
    /// Connection reset by the peer or closed in mid-reply.
    Reset,
    /// No reply in time.
    TimedOut,
    /// A reply that isn't one: wrong length, wrong content, not HTTP.
    Malformed,
    /// No route, no local port, and whatever else the kernel refuses; ICMP network or host unreachable.
    Unreachable,
    /// A whole HTTP response with an error status, 4xx or 5xx.
    Status,
    /// The far end's certificate was not accepted, or the TLS handshake failed otherwise.
    Tls,
    /// The far end speaks another version of the protocol.
    Version,
    /// The path has more hops than the packet was allowed, or a loop: ICMP time exceeded.
    HopsExceeded,
    /// Larger than a device or a hop takes: ICMP fragmentation needed, packet too big.
    TooBig,
    /// Forbidden by a rule: of this machine, or ICMP administratively prohibited.
    Prohibited,
}

impl Failure {
    /// Every cause, in order.
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::Reset,
        Self::TimedOut,
        Self::Malformed,
        Self::Unreachable,
        Self::Status,
        Self::Tls,
        Self::Version,
        Self::HopsExceeded,
        Self::TooBig,
        Self::Prohibited,
    ];
}

/// One connection as the client's socket sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client's address. ICMP has no port: in its place stands the identifier of the requests.
    pub local: SocketAddr,
    /// The address that the client connected to. ICMP has no port: in its place stands 0.
    pub remote: SocketAddr,
    /// CPU on which the kernel took in the last packet for the client's socket; `None` where it doesn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming_cpu: Option<u32>,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, of either family.
    Icmp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for &value in values {
            histogram.record(value);
        }
        histogram
    }

    fn outcome(open: OpenOutcome) -> Outcome {
        Outcome {
            sent: open.planned - open.unsent,
            replied: open.planned - open.unsent,
            open: Some(open),
            ..Outcome::default()
        }
    }

    fn times(from_plan: u64, lateness: u64) -> Histograms {
        let times = [(Timed::FromPlan, from_plan), (Timed::Lateness, lateness)];
        times.map(|(timed, ns)| (timed, of(&[ns; 100]))).into()
    }

    #[test]
    fn a_generator_that_lags_or_leaves_out_is_the_bottleneck() {
        let good = OpenOutcome {
            planned: 100,
            ..OpenOutcome::default()
        };
        assert_eq!(outcome(good).bottleneck(&times(50_000, 4_000)), None);
        let late = outcome(good).bottleneck(&times(50_000, 6_000));
        assert!(matches!(late, Some(Bottleneck::Late { .. })), "{late:?}");
        let mut few = times(50_000, 1_000);
        few.insert(
            Timed::Lateness,
            of(&[vec![1_000; 90], vec![30_000; 10]].concat()),
        );
        let late = outcome(good).bottleneck(&few);
        assert!(matches!(late, Some(Bottleneck::Late { .. })), "{late:?}");
        for (unsent, marked) in [(1, false), (2, true)] {
            let open = OpenOutcome { unsent, ..good };
            let mark = outcome(open).bottleneck(&times(50_000, 1));
            assert_eq!(mark.is_some(), marked, "{unsent}: {mark:?}");
        }
    }

    #[test]
    fn a_closed_loop_has_no_generator() {
        assert_eq!(Outcome::default().bottleneck(&times(1, 1_000)), None);
    }

    #[test]
    fn what_was_not_sent_is_lost_to_the_plan() {
        let open = OpenOutcome {
            planned: 10,
            unsent: 4,
            ..OpenOutcome::default()
        };
        let outcome = Outcome {
            lost: 1,
            ..outcome(open)
        };
        assert_eq!(outcome.lost_of_planned(), 5);
    }
}
