//! What can be compared, in which unit, and which way is worse.

mod of_workload;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use of_workload::{all_metrics, metrics};

use crate::outcome::Timed;

/// A figure of one slice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Median latency of all requests sent.
    P50,
    /// 90th percentile of the latency of all requests sent.
    P90,
    /// 99th percentile of the latency of all requests sent.
    P99,
    /// 99.9th percentile of the latency of all requests sent.
    #[serde(rename = "p99.9")]
    P999,
    /// Open loop: median latency from the planned time, of all requests planned. Never comparable with a closed
    /// loop's, and therefore a metric of its own; so are the next three.
    PlanP50,
    /// Open loop: 90th percentile of the latency from the planned time.
    PlanP90,
    /// Open loop: 99th percentile of the latency from the planned time.
    PlanP99,
    /// Open loop: 99.9th percentile of the latency from the planned time.
    #[serde(rename = "plan-p99.9")]
    PlanP999,
    /// Open loop: median service time, from the actual send to the reply, of all requests sent.
    ServiceP50,
    /// Open loop: median lateness of the generator, which is no property of the path.
    LatenessP50,
    /// Open loop: 99th percentile of the lateness of the generator.
    LatenessP99,
    /// Median time of the `connect` call alone.
    ConnectP50,
    /// Median time of the TLS handshake alone.
    TlsP50,
    /// Median time from a request to the first byte of its response.
    FirstByteP50,
    /// Median time from the first byte of a response to its last one.
    LastByteP50,
    /// Replies per second; of a stream of datagrams, those that arrived.
    Rate,
    /// Payload that reached the far end.
    Throughput,
    /// Payload that reached the far end over the bulk connections beside the requests.
    Beside,
    /// Share of requests without a reply in time.
    Loss,
    /// CPU time of the client's and the server's threads for one request.
    CpuPerRequest,
    /// CPU time of the client's and the server's threads for one MiB of payload.
    CpuPerMib,
    /// Paced datagrams, client to server: median packet delay variation (RFC 5481).
    PdvUpP50,
    /// Paced datagrams, client to server: 99th percentile of the packet delay variation.
    PdvUpP99,
    /// Paced datagrams, server to client: median packet delay variation (RFC 5481).
    PdvDownP50,
    /// Paced datagrams, server to client: 99th percentile of the packet delay variation.
    PdvDownP99,
}

/// The unit of a figure; words for people are the renderer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Events per second.
    PerSecond,
    /// Bits per second.
    BitsPerSecond,
    /// A share of a whole, 0 to 1; its differences are percentage points.
    Share,
}

/// Which way is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// More is worse (latency).
    LargerIsWorse,
    /// Less is worse (throughput).
    SmallerIsWorse,
}

impl Metric {
    /// Every metric, the most telling first.
    pub const ALL: [Self; 25] = [
        Self::P50,
        Self::PlanP50,
        Self::Throughput,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::PlanP90,
        Self::PlanP99,
        Self::PlanP999,
        Self::ServiceP50,
        Self::ConnectP50,
        Self::TlsP50,
        Self::FirstByteP50,
        Self::LastByteP50,
        Self::Rate,
        Self::Beside,
        Self::CpuPerRequest,
        Self::CpuPerMib,
        Self::Loss,
        Self::PdvUpP50,
        Self::PdvUpP99,
        Self::PdvDownP50,
        Self::PdvDownP99,
        Self::LatenessP50,
        Self::LatenessP99,
    ];

    /// Returns the name as it stands in records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::PlanP50 => "p50 from plan",
            Self::PlanP90 => "p90 from plan",
            Self::PlanP99 => "p99 from plan",
            Self::PlanP999 => "p99.9 from plan",
            Self::ServiceP50 => "service p50",
            Self::LatenessP50 => "lateness p50",
            Self::LatenessP99 => "lateness p99",
            Self::ConnectP50 => "connect p50",
            Self::TlsP50 => "TLS p50",
            Self::FirstByteP50 => "first byte p50",
            Self::LastByteP50 => "last byte p50",
            Self::Rate => "rate",
            Self::Throughput => "throughput",
            Self::Beside => "throughput beside",
            Self::Loss => "loss",
            Self::CpuPerRequest => "CPU per request",
            Self::CpuPerMib => "CPU per MiB",
            Self::PdvUpP50 => "PDV up p50",
            Self::PdvUpP99 => "PDV up p99",
            Self::PdvDownP50 => "PDV down p50",
            Self::PdvDownP99 => "PDV down p99",
        }
    }

    /// Returns the unit of its values.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::P50
            | Self::P90
            | Self::P99
            | Self::P999
            | Self::PlanP50
            | Self::PlanP90
            | Self::PlanP99
            | Self::PlanP999
            | Self::ServiceP50
            | Self::LatenessP50
            | Self::LatenessP99
            | Self::ConnectP50
            | Self::TlsP50
            | Self::FirstByteP50
            | Self::LastByteP50
            | Self::CpuPerRequest
            | Self::CpuPerMib
            | Self::PdvUpP50
            | Self::PdvUpP99
            | Self::PdvDownP50
            | Self::PdvDownP99 => Unit::Nanoseconds,
            Self::Rate => Unit::PerSecond,
            Self::Throughput | Self::Beside => Unit::BitsPerSecond,
            Self::Loss => Unit::Share,
        }
    }

    /// Returns which way is worse.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Rate | Self::Throughput | Self::Beside => Direction::SmallerIsWorse,
            _ => Direction::LargerIsWorse,
        }
    }

    /// Returns the quantile that this metric is, if it is one.
    #[must_use]
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50
            | Self::PlanP50
            | Self::ServiceP50
            | Self::LatenessP50
            | Self::ConnectP50
            | Self::TlsP50
            | Self::FirstByteP50
            | Self::LastByteP50
            | Self::PdvUpP50
            | Self::PdvDownP50 => Some(0.5),
            Self::P90 | Self::PlanP90 => Some(0.9),
            Self::P99 | Self::PlanP99 | Self::LatenessP99 | Self::PdvUpP99 | Self::PdvDownP99 => {
                Some(0.99)
            }
            Self::P999 | Self::PlanP999 => Some(0.999),
            Self::Rate
            | Self::Throughput
            | Self::Beside
            | Self::Loss
            | Self::CpuPerRequest
            | Self::CpuPerMib => None,
        }
    }
}

impl Metric {
    /// Returns what this metric is a quantile of, if it is one.
    #[must_use]
    pub const fn timed(self) -> Option<Timed> {
        match self {
            Self::P50 | Self::P90 | Self::P99 | Self::P999 => Some(Timed::Latency),
            Self::PlanP50 | Self::PlanP90 | Self::PlanP99 | Self::PlanP999 => Some(Timed::FromPlan),
            Self::ServiceP50 => Some(Timed::FromSend),
            Self::LatenessP50 | Self::LatenessP99 => Some(Timed::Lateness),
            Self::ConnectP50 => Some(Timed::Connect),
            Self::TlsP50 => Some(Timed::Tls),
            Self::FirstByteP50 => Some(Timed::FirstByte),
            Self::LastByteP50 => Some(Timed::LastByte),
            Self::PdvUpP50 | Self::PdvUpP99 => Some(Timed::PdvUp),
            Self::PdvDownP50 | Self::PdvDownP99 => Some(Timed::PdvDown),
            Self::Rate
            | Self::Throughput
            | Self::Beside
            | Self::Loss
            | Self::CpuPerRequest
            | Self::CpuPerMib => None,
        }
    }

    /// Returns whether this metric tells of the generator, not of the path.
    #[must_use]
    pub const fn is_of_generator(self) -> bool {
        matches!(self, Self::LatenessP50 | Self::LatenessP99)
    }

    /// Returns whether this metric is a 99.9th percentile: a slice has few samples beyond it.
    #[must_use]
    pub const fn is_far_tail(self) -> bool {
        matches!(self, Self::P999 | Self::PlanP999)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
