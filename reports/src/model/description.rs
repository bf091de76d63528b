//! What can be described of a campaign beyond its verdicts: pooled percentiles, curves of quantile ratios, installs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use super::Metric;
use super::cell::{Estimate, Interval};
use super::extended::{self, Extended};

/// A description of a campaign: nothing in it is a verdict, and nothing may be gated on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Description {
    /// Source of the resampling.
    pub seed: u64,
    /// Resampled campaigns behind each pooled percentile.
    pub resamples: u32,
    /// Percentiles of all traffic, for each arm against its reference.
    pub pooled: Vec<PooledRatio>,
    /// How the ratio varies from low to high quantiles.
    pub curves: Vec<RatioCurve>,
    /// Ratios over installs, where there are at least 4.
    pub installs: Vec<InstallRatio>,
}

/// A percentile of all traffic of the kept rounds. It is not that of a typical slice: the worst round rules it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PooledRatio {
    /// The workload.
    pub workload: Name,
    /// The percentile.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// Rounds pooled.
    pub rounds: u32,
    /// The arm's percentile in nanoseconds.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub arm_ns: f64,
    /// The reference's percentile in nanoseconds.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub reference_ns: f64,
    /// arm / reference.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub ratio: f64,
    /// 95 % interval by the t-expanded cluster bootstrap of rounds.
    pub interval: Interval,
}

/// arm / reference at several quantiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioCurve {
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// Rounds compared.
    pub rounds: u32,
    /// Quantiles upwards.
    pub points: Vec<RatioPoint>,
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioPoint {
    /// The quantile, 0 to 1.
    pub quantile: f64,
    /// Hodges-Lehmann estimate of the ratio per round.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub ratio: f64,
    /// Exact interval at 1 - 0.05/7, so that all seven hold together at 95 %; `None` for fewer than 9 rounds.
    pub interval: Option<Interval>,
}

/// θ of a cell with installs as replicates: what another deployment of the same arms would give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstallRatio {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// Installs compared.
    pub installs: u32,
    /// Standard deviation of ln θ from round to round within an install.
    pub round_spread: f64,
    /// Standard deviation of ln θ from install to install.
    pub install_spread: f64,
    /// Mean over installs' means, with intervals by Student's t.
    pub ratio: Estimate,
}
