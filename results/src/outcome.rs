//! What a job measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// What an agent reports of one job: the counts and, apart from them, the histograms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobReport {
    /// What was sent and what came back.
    pub outcome: Outcome,
    /// One histogram for each thing that was timed.
    pub histograms: Histograms,
}

/// The histograms of one slice.
pub type Histograms = BTreeMap<Timed, Histogram>;

/// What a histogram times.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Timed {
    /// From the start of a request to the end of its reply; for CRR from before `connect`.
    Latency,
    /// CRR and HTTP on new connections: the `connect` call alone.
    Connect,
}

impl Timed {
    /// Returns the name as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Connect => "connect",
        }
    }
}

/// The counts of one measured window. `replied + lost == sent` for request/response traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Length of the measured window by the monotonic clock.
    pub window_ns: u64,
    /// Requests sent; for a stream, writes.
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
    /// A reply that isn't one: wrong length, wrong content, wrong HTTP status.
    Malformed,
    /// No route, no local port, and whatever else the kernel refuses.
    Unreachable,
}

/// One connection as the client's socket sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client's address.
    pub local: SocketAddr,
    /// The address that the client connected to.
    pub remote: SocketAddr,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
