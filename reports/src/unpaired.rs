//! Two campaigns compared offline: the weaker kind, for rounds that were not measured in pairs.
//!
//! Each arm is compared through its own reference: the toll of a round is ln (arm / reference), or for loss the difference,
//! and what is compared are the tolls of one campaign with those of the other. What moved arm and reference alike
//! (another time, a busier host) cancels; what moved one of them alone does not. The references
//! themselves have no such anchor: their levels are shown and not judged, since campaigns one after the
//! other raise false alarms in 22 to 51 % of comparisons (statistics §0.4).
//!
//! The rounds of two campaigns are independent samples, so that the paired signed-rank test does not fit them: the shift is
//! Hodges-Lehmann's of two samples with the exact rank-sum interval. Rounds say nothing of how much installs differ
//! (statistics §2.8); with at least 4 installs in both campaigns their means are compared by Welch's t instead.

mod cells;
mod differences;
mod inference;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use crate::model::{Analysis, Direction, Estimate, Metric, Typical, Unit, Verdict};

pub(crate) use inference::Unpaired;
pub(crate) use words::{toll, worse_by};

/// Version of [`Comparison`] as JSON.
pub const COMPARISON_SCHEMA: u32 = 1;

/// Two campaigns compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// [`COMPARISON_SCHEMA`] of the writer.
    pub schema: u32,
    /// Whether rounds are paired: never, here.
    pub paired: bool,
    /// The earlier campaign of the two, or what it was called on.
    pub before: Side,
    /// The campaign that is judged.
    pub after: Side,
    /// What keeps the two from being comparable, where they were compared all the same.
    pub differences: Vec<Difference>,
    /// What this comparison can't tell, one line each.
    pub costs: Vec<String>,
    /// Every arm, workload and metric that both campaigns have.
    pub cells: Vec<ComparedCell>,
    /// Levels of the references, which nothing anchors: not judged.
    pub references: Vec<Moved>,
    /// What only one of the two has, one line each.
    pub left_out: Vec<String>,
}

/// One of the two campaigns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The scenario.
    pub scenario: Name,
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// Version of Tollgate that measured.
    pub tool_version: String,
    /// Wall clock at the start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Rounds kept.
    pub rounds: u32,
    /// Installs of the arms.
    pub installs: u32,
    /// Why the whole campaign is invalid, where it is.
    pub invalid: Option<String>,
}

/// Something in which the two campaigns differ and should not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// What it is about: `machine`, `scenario`, `workload rr`, `arm vxlan`.
    pub about: String,
    /// What differs, in one line.
    pub text: String,
    /// What it costs to compare all the same, in one line.
    pub cost: String,
}

/// One arm, workload and metric of both campaigns. Effects are oriented so that more is worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedCell {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// Its reference in both campaigns.
    pub reference: Name,
    /// Unit of the values.
    pub unit: Unit,
    /// Which way is worse.
    pub direction: Direction,
    /// What may be said of the later campaign.
    pub verdict: Verdict,
    /// The verdict is `equivalent`, yet the 95 % interval excludes equality.
    pub measurable: bool,
    /// Why it is invalid or insufficient, in one line.
    pub reason: Option<String>,
    /// The verdict in words.
    pub words: String,
    /// The toll in the earlier campaign: θ, or for loss the difference.
    pub before: Option<Estimate>,
    /// The toll in the later campaign.
    pub after: Option<Estimate>,
    /// By how much it grew: the ratio of the tolls, or for loss their difference.
    pub effect: Option<Estimate>,
    /// What the interval rests on.
    pub method: Method,
    /// Equivalence margin on `effect` - 1, or for loss on `effect`.
    pub margin: f64,
    /// Rounds of the earlier and of the later campaign.
    pub rounds: [u32; 2],
    /// Installs of the earlier and of the later campaign.
    pub installs: [u32; 2],
}

/// What an unpaired interval rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Hodges-Lehmann shift, rank-sum interval over rounds: for these installs only.
    RankSum,
    /// Welch's t over the means of at least 4 installs of each campaign.
    InstallMeans,
}

/// The level of a reference in both campaigns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// Unit of the values.
    pub unit: Unit,
    /// Typical value in the earlier campaign.
    pub before: Typical,
    /// Typical value in the later campaign.
    pub after: Typical,
}

/// Campaigns that can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// One campaign twice.
    #[error("both folders hold one campaign; name another one, measured before or after")]
    OneCampaign,
    /// They differ in what decides whether figures may be compared.
    #[error("{}", lines(.0))]
    Differ(Vec<Difference>),
    /// They have no cell in common.
    #[error(
        "they have no arm with a reference, workload and metric in common: nothing can be compared"
    )]
    NothingInCommon,
}

fn lines(differences: &[Difference]) -> String {
    let lines = differences.iter();
    let lines: Vec<String> = lines
        .map(|difference| format!("{}: {}", difference.about, difference.text))
        .collect();
    lines.join("\n")
}

/// Compares a campaign with an earlier one. `anyway` compares what differs in machine or plan too and says what that
/// costs; `margin` takes the place of the earlier plan's.
///
/// # Errors
///
/// Where they are one campaign, differ and should not, or have nothing in common.
pub fn compare(
    before: &Analysis,
    after: &Analysis,
    margin: Option<f64>,
    anyway: bool,
) -> Result<Comparison, ComparisonError> {
    let stamp = |of: &Analysis| {
        let subject = &of.subject;
        (
            subject.started_unix_ms,
            subject.seed,
            subject.fingerprint.clone(),
        )
    };
    if stamp(before) == stamp(after) {
        return Err(ComparisonError::OneCampaign);
    }
    let differences = differences::of(before, after);
    if !anyway && !differences.is_empty() {
        return Err(ComparisonError::Differ(differences));
    }
    let margin = margin.unwrap_or(before.subject.rounds.margin.0);
    let (cells, left_out) = cells::of(before, after, margin);
    if cells.is_empty() {
        return Err(ComparisonError::NothingInCommon);
    }
    Ok(Comparison {
        schema: COMPARISON_SCHEMA,
        paired: false,
        before: side(before),
        after: side(after),
        costs: words::costs(before, after, &differences, &cells),
        differences,
        references: cells::references(before, after),
        cells,
        left_out,
    })
}

fn side(analysis: &Analysis) -> Side {
    let subject = &analysis.subject;
    Side {
        scenario: subject.scenario.clone(),
        fingerprint: subject.fingerprint.clone(),
        tool_version: subject.tool_version.clone(),
        started_unix_ms: subject.started_unix_ms,
        rounds: analysis.conduct.kept,
        installs: subject.installs,
        invalid: analysis.conduct.invalid.clone(),
    }
}
