//! What can be compared, in which unit, and which way is worse.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Median time of the `connect` call alone.
    ConnectP50,
    /// Replies per second.
    Rate,
    /// Payload that reached the far end.
    Throughput,
    /// Share of requests without a reply in time.
    Loss,
    /// CPU time of the client's and the server's threads for one request.
    CpuPerRequest,
    /// CPU time of the client's and the server's threads for one MiB of payload.
    CpuPerMib,
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
    pub const ALL: [Self; 10] = [
        Self::P50,
        Self::Throughput,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::ConnectP50,
        Self::Rate,
        Self::CpuPerRequest,
        Self::CpuPerMib,
        Self::Loss,
    ];

    /// Returns the name as it stands in records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::ConnectP50 => "connect p50",
            Self::Rate => "rate",
            Self::Throughput => "throughput",
            Self::Loss => "loss",
            Self::CpuPerRequest => "CPU per request",
            Self::CpuPerMib => "CPU per MiB",
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
            | Self::ConnectP50
            | Self::CpuPerRequest
            | Self::CpuPerMib => Unit::Nanoseconds,
            Self::Rate => Unit::PerSecond,
            Self::Throughput => Unit::BitsPerSecond,
            Self::Loss => Unit::Share,
        }
    }

    /// Returns which way is worse.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Rate | Self::Throughput => Direction::SmallerIsWorse,
            _ => Direction::LargerIsWorse,
        }
    }

    /// Returns the quantile of the latency that this metric is, if it is one.
    #[must_use]
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 | Self::ConnectP50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Rate | Self::Throughput | Self::Loss | Self::CpuPerRequest | Self::CpuPerMib => {
                None
            }
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
