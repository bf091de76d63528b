//! Series for plots: percentile spectra, slices in the order measured, sweeps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::outcome::Timed;

use super::cell::{Estimate, Typical};
use super::extended::{self, Extended};
use super::{Metric, Unit};

/// Latency of one arm at many quantiles, all kept rounds pooled: descriptive, never the basis of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spectrum {
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// What was timed.
    pub timed: Timed,
    /// Rounds pooled.
    pub rounds: u32,
    /// Requests sent in them.
    pub sent: u64,
    /// Requests lost in them: their delay is infinite.
    pub lost: u64,
    /// Quantiles upwards, as far as at least 10 samples lie beyond.
    pub points: Vec<SpectrumPoint>,
}

/// One point of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpectrumPoint {
    /// The quantile, 0 to 1.
    pub quantile: f64,
    /// Latency in nanoseconds; infinite where the rank falls among the lost.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub ns: f64,
}

/// One slice in the order measured. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlicePoint {
    /// Place in the campaign, from 0.
    pub index: u32,
    /// Milliseconds since the first slice.
    pub at_ms: u64,
    /// The round.
    pub round: u32,
    /// The install.
    pub install: u32,
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// Whether its round counts.
    pub kept: bool,
    /// Whether it was measured at all.
    pub failed: bool,
    /// Median latency in nanoseconds, of an open loop from the planned time; `None` without latency or with half of
    /// the replies lost.
    pub p50_ns: Option<f64>,
    /// Of an open loop: 99th percentile of the generator's lateness in nanoseconds.
    pub lateness_p99_ns: Option<f64>,
    /// Bits per second, for a stream.
    pub throughput: Option<f64>,
    /// Share of all CPU time in soft interrupts.
    pub softirq_share: Option<f64>,
    /// Share of all CPU time that was not idle, steal excluded.
    pub busy_share: Option<f64>,
    /// Largest share of one CPU's time that the hypervisor gave to others.
    pub steal_share: Option<f64>,
    /// Time that the client's threads waited for a CPU, summed, as a share of the window.
    pub client_wait_share: Option<f64>,
    /// Time that the server's threads waited for a CPU, summed, as a share of the window.
    pub server_wait_share: Option<f64>,
    /// Connection-tracking entries of both nodes at the slice's start.
    pub conntrack_entries: Option<u64>,
    /// Sockets in TIME_WAIT at the client at the slice's end.
    pub time_wait: Option<u64>,
    /// Packets that softnet dropped on all CPUs.
    pub softnet_dropped: Option<u64>,
}

/// One metric of one workload along a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scaling {
    /// The sweep's name, for example `iptables-legacy`.
    pub series: Name,
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// Unit of the points.
    pub unit: Unit,
    /// Measured levels, upwards.
    pub points: Vec<ScalingPoint>,
    /// What may be said of the rise.
    pub claim: ScalingClaim,
}

/// One level of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingPoint {
    /// The number that varies.
    pub level: u64,
    /// The arm at this level.
    pub arm: Name,
    /// Its typical value.
    pub typical: Typical,
    /// The fitted curve's value at this level, where there is one.
    pub fitted: Option<f64>,
}

/// What may be said of the rise along a sweep, from the lowest level to the highest (statistics §2.10).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingClaim {
    /// The verdict on the rise.
    pub verdict: ScalingVerdict,
    /// Why it is insufficient or invalid, in one line.
    pub reason: Option<String>,
    /// The claim in words: `grows: +12.3 µs per 1k services [11.1, 13.6], tested to 10k`.
    pub words: String,
    /// Highest over lowest level on the fitted curve, as a ratio of values.
    pub rise: Option<Estimate>,
    /// Average rise per 1,000 between the lowest and the highest level, in the metric's unit.
    pub per_thousand: Option<Estimate>,
    /// Label of the shape that predicts best; the verdict doesn't rest on it.
    pub shape: Option<Shape>,
    /// Margin below which a rise is flat.
    pub margin: f64,
    /// Rounds in which every level was measured.
    pub rounds: u32,
}

/// Verdict on the rise along a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScalingVerdict {
    /// Proved to rise, by at least the margin.
    Grows,
    /// Proved to fall, by at least the margin.
    Falls,
    /// Proved to change by less than the margin.
    Flat,
    /// Nothing was proved.
    Inconclusive,
    /// Too few levels or rounds.
    Insufficient,
    /// An arm of the sweep isn't what it declares.
    Invalid,
}

impl ScalingVerdict {
    /// Returns the verdict as it stands in records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grows => "grows",
            Self::Falls => "falls",
            Self::Flat => "flat",
            Self::Inconclusive => "inconclusive",
            Self::Insufficient => "insufficient",
            Self::Invalid => "invalid",
        }
    }
}

/// Shape of a fitted curve.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// `a`.
    Constant,
    /// `a + b ln n`.
    Logarithmic,
    /// `a + b n`.
    Linear,
    /// `a + b n²`.
    Quadratic,
}

impl Shape {
    /// Returns the shape in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Logarithmic => "logarithmic",
            Self::Linear => "linear",
            Self::Quadratic => "quadratic",
        }
    }
}
