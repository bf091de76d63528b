//! The analysis of a campaign: what renderers turn into bytes. Renderers format; they decide nothing.
//!
//! Order is meaningful everywhere: arms, workloads and cells stand in the plan's order, answers by importance.
//! Numbers are in the unit that their name or documentation says; those that may be infinite stand
//! in JSON as a number or as `"infinite"` or `"-infinite"`.

mod campaign;
mod cell;
mod claim;
mod description;
mod extended;
mod flows;
mod responses;
mod series;
mod splits;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::workload::Workload;

use crate::split::SplitVerdict;

pub use campaign::{
    ArmSummary, Check, Conduct, EndpointShare, EvidenceSummary, Fate, Judgement, Programming,
    RoundFate, SliceFailure, Steal, Subject,
};
pub use cell::{Cell, Estimate, Interval, Pair, Resolution, Tests, Typical, Undropped, Verdict};
pub use claim::{ClaimVerdict, TestedClaim, TestedComparison, TestedPair};
pub use description::{Description, InstallRatio, PooledRatio, RatioCurve, RatioPoint};
pub use flows::Flows;
pub use responses::Responses;
pub use series::{
    Scaling, ScalingClaim, ScalingPoint, ScalingVerdict, Shape, SlicePoint, Spectrum, SpectrumPoint,
};
pub use splits::{BackendLatency, Splits};
pub use tollgate_results::metric::{Direction, Metric, Unit};

/// Version of [`Analysis`] as JSON: raised when a field is added or its meaning changes.
pub const ANALYSIS_SCHEMA: u32 = 1;

/// Turns an analysis into bytes: pure, and the same bytes for the same analysis.
pub trait Renderer {
    /// Renders the whole analysis.
    fn render(&self, analysis: &Analysis) -> Vec<u8>;
}

/// Everything that may be said of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Analysis {
    /// [`ANALYSIS_SCHEMA`] of the writer.
    pub schema: u32,
    /// The answer in sentences, the most important first.
    pub answers: Vec<Answer>,
    /// What was compared, and where.
    pub subject: Subject,
    /// Which rounds count.
    pub conduct: Conduct,
    /// How small a difference this campaign could tell.
    pub noise_floor: NoiseFloor,
    /// The arms.
    pub arms: Vec<ArmSummary>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// One for each workload × metric × arm that has a reference.
    pub cells: Vec<Cell>,
    /// Typical values of every arm, references included.
    pub levels: Vec<Level>,
    /// Rises along sweeps.
    pub scalings: Vec<Scaling>,
    /// What became of the scenario's claims, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<TestedClaim>,
    /// What came back over HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<Responses>,
    /// Whether source ports differ, where slices sweep over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<Flows>,
    /// Whether a gateway splits requests as its weights say, where there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<Splits>,
    /// Percentile spectra.
    pub spectra: Vec<Spectrum>,
    /// Slices in the order measured.
    pub timeline: Vec<SlicePoint>,
    /// What can be described beyond the verdicts, where it was asked for: it takes resampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
}

impl Analysis {
    /// Returns the arm of this name.
    #[must_use]
    pub fn arm(&self, name: &Name) -> Option<&ArmSummary> {
        self.arms.iter().find(|arm| arm.name == *name)
    }

    /// Returns the cells of one workload, in order.
    pub fn cells_of<'a>(&'a self, workload: &'a Name) -> impl Iterator<Item = &'a Cell> {
        self.cells
            .iter()
            .filter(move |cell| cell.workload == *workload)
    }
}

/// One sentence of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// What it says.
    pub kind: AnswerKind,
    /// The sentence, with interval and natural unit, full stop included.
    pub text: String,
    /// The workload that it speaks of.
    pub workload: Option<Name>,
    /// The metric that it speaks of.
    pub metric: Option<Metric>,
    /// The arm or the series that it speaks of.
    pub arm: Option<Name>,
}

/// What a sentence says: lets a renderer give it a colour or a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// A verdict on a cell.
    Verdict(Verdict),
    /// A verdict on a rise.
    Scaling(ScalingVerdict),
    /// A verdict on a claim.
    Claim(ClaimVerdict),
    /// A verdict on a split of requests.
    Split(SplitVerdict),
    /// A warning about the whole.
    Warning,
}

/// How small a difference this campaign could tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseFloor {
    /// One or two sentences.
    pub statement: String,
    /// For the main metric of each workload.
    pub workloads: Vec<WorkloadNoise>,
    /// For every metric of each workload that is compared by ratio, the best that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floors: Vec<Floor>,
}

/// How far apart equal arms may look: a difference below it isn't worth an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Floor {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The distance, as θ - 1.
    pub distance: f64,
    /// Where it is known from.
    pub basis: FloorBasis,
}

/// Where a noise floor is known from, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FloorBasis {
    /// φ of this machine's calibration: the 95th percentile of the distance between equal arms.
    Calibration {
        /// A/A campaigns that it rests on.
        campaigns: u32,
    },
    /// An arm of this campaign is its reference deployed a second time: the farther end of its 95 % interval.
    Twin {
        /// The arm.
        arm: Name,
    },
    /// The spread of this campaign's rounds: the smallest difference that nine of ten campaigns like it find.
    Spread {
        /// Rounds compared.
        rounds: u32,
    },
}

/// How small a difference one workload could tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadNoise {
    /// The workload.
    pub workload: Name,
    /// Its main metric.
    pub metric: Metric,
    /// Median over arms of the standard deviation of ln θ per round.
    pub spread: f64,
    /// Rounds compared.
    pub rounds: u32,
    /// Smallest difference that would have been found in nine of ten campaigns like this (θ - 1).
    pub detectable: f64,
}

/// Typical value of one metric, for one arm and workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// The metric.
    pub metric: Metric,
    /// Unit of the value.
    pub unit: Unit,
    /// Median over kept rounds.
    pub typical: Typical,
}
