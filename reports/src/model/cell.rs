//! Cells: one metric of one workload, for one arm against its reference, with a verdict.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use super::extended::{self, Extended};
use super::{Direction, Metric, Unit};

/// What may be said of an arm against its reference (statistics §2.6).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Proved worse: the whole 95 % interval lies on the worse side.
    Slower,
    /// Proved better: the whole 95 % interval lies on the better side.
    Faster,
    /// Proved closer than the margin: the whole 90 % interval lies within it.
    Equivalent,
    /// Neither was proved.
    Inconclusive,
    /// Too few rounds or samples for any interval.
    Insufficient,
    /// The measurement is not what it claims to be.
    Invalid,
}

impl Verdict {
    /// Returns the verdict as it stands in records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
            Self::Insufficient => "insufficient",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One metric of one workload, for one arm against its reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// Unit of `shift` and of the typical values.
    pub unit: Unit,
    /// Which way is worse.
    pub direction: Direction,
    /// What may be said.
    pub verdict: Verdict,
    /// The verdict is `equivalent`, yet the 95 % interval excludes equality: the difference is real and small.
    pub measurable: bool,
    /// Why it is invalid or insufficient, in one line.
    pub reason: Option<String>,
    /// The verdict in words for a table: `slower +24.8 % [24.5, 26.6]`.
    pub words: String,
    /// θ, oriented so that more than 1 is worse: arm / reference, or its inverse where smaller is
    /// worse. `None` for loss, which is compared by `shift`, and where there is no interval.
    pub ratio: Option<Estimate>,
    /// Relative change of the value itself, arm / reference - 1, not oriented: a rate that falls by a
    /// fifth is -0.2.
    pub change: Option<Estimate>,
    /// Arm - reference in `unit`, not oriented; paired by round.
    pub shift: Option<Estimate>,
    /// Equivalence margin δ on θ - 1, or for loss on `shift`.
    pub margin: f64,
    /// Typical value of the arm.
    pub arm_typical: Option<Typical>,
    /// Typical value of the reference.
    pub reference_typical: Option<Typical>,
    /// Rounds compared, R.
    pub rounds: u32,
    /// Rank k of the Walsh average that bounds the 95 % interval.
    pub walsh_rank: Option<u32>,
    /// Standard deviation of the finite ln θ per round, `s_d`; for loss of the differences.
    pub spread: Option<f64>,
    /// Share of rounds in which the arm was worse; a tie counts half.
    pub worse_in: Option<f64>,
    /// The tests behind the verdict.
    pub tests: Option<Tests>,
    /// Every compared round, in order.
    pub pairs: Vec<Pair>,
    /// The result with no round dropped for noise, where rounds were dropped.
    pub undropped: Option<Undropped>,
    /// What would decide it, where it is inconclusive.
    pub to_resolve: Option<Resolution>,
    /// What a reader should know, one line each.
    pub notes: Vec<String>,
}

/// An estimate with its two intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The Hodges-Lehmann estimate; may be infinite where replies were lost.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub value: f64,
    /// The interval of at least 95 % confidence.
    pub interval95: Interval,
    /// The interval of at least 90 % confidence, which decides equivalence.
    pub interval90: Interval,
}

/// An exact interval. Bounds may be infinite where replies were lost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Lower bound.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub low: f64,
    /// Upper bound.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub high: f64,
    /// The exact confidence, at least the nominal one.
    pub confidence: f64,
}

impl Interval {
    /// Returns whether a value lies in the interval, bounds included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The typical value of one arm: the median over rounds. Percentiles are typical-slice percentiles, not those
/// of all traffic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Typical {
    /// Median over rounds.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub median: f64,
    /// Order-statistic interval of the median, where there are enough rounds for 95 %.
    pub interval: Option<Interval>,
    /// Rounds that it rests on.
    pub rounds: u32,
}

/// One compared round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The round.
    pub round: u32,
    /// The install.
    pub install: u32,
    /// The reference's value.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub reference: f64,
    /// The arm's value.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub arm: f64,
    /// Oriented θ of this round; for loss the difference arm - reference.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub effect: f64,
}

/// The tests behind a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tests {
    /// Two-sided p of the exact signed-rank test of equality.
    pub p_equality: f64,
    /// The same, adjusted by Holm over all cells of this metric.
    pub p_holm: f64,
    /// Whether `p_holm` is at most 5 %: the difference holds even when all cells of this metric are
    /// looked at together.
    pub holds_family_wise: bool,
    /// Whether `p_holm` can reach 5 % at all with this many rounds and cells.
    pub holm_attainable: bool,
    /// p of the two one-sided tests of equivalence (exact signed-rank).
    pub p_equivalence: f64,
    /// 95 % interval of θ by the paired t, as a cross-check; `None` with infinite rounds.
    pub t_interval: Option<Interval>,
}

/// The result with no round dropped for noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Undropped {
    /// What the verdict would have been.
    pub verdict: Verdict,
    /// Rounds compared.
    pub rounds: u32,
    /// θ; for loss the shift.
    pub effect: Option<Estimate>,
}

/// What would decide an inconclusive cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// Half the width of the 95 % interval now, on the scale of the margin.
    #[serde(with = "extended")]
    #[schemars(with = "Extended")]
    pub half_width: f64,
    /// Rounds in all that give 90 % chance of `equivalent` when the arms are equal; `None` where no number up
    /// to 1,000 does.
    pub rounds: Option<u32>,
    /// Time for that many rounds of this campaign, in seconds.
    pub seconds: Option<f64>,
    /// `±4.1 % now; ~26 rounds (≈6 min) would resolve ±5 %`.
    pub words: String,
}
