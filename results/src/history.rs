//! What a history keeps of a campaign: the ratios of its cells, where it ran, and what people call it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::{Datapath, Name};
use crate::facts::short_digest;
use crate::plan::Rounds;
use crate::run::TargetKind;
use crate::workload::Workload;

/// Most characters of a label or of a release's name.
pub const LONGEST_LABEL: usize = 100;

/// One campaign of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignEntry {
    /// The scenario's name.
    pub scenario: Name,
    /// SHA-256 of the scenario file's text.
    pub scenario_hash: String,
    /// Seed of the campaign. Together with the scenario, the start and the machine it says which campaign this is.
    pub seed: u64,
    /// Wall clock at the start, in milliseconds since 1970: what a history is ordered by.
    pub started_unix_ms: u64,
    /// What was measured, as people call it: a commit, a version.
    pub label: Option<String>,
    /// Name of the release that was measured, where it was one.
    pub release: Option<String>,
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// The machine in one line.
    pub machine: String,
    /// Version of the record.
    pub schema: u32,
    /// Version of Tollgate that measured.
    pub version: String,
    /// Where it ran.
    pub target: TargetKind,
    /// Rounds that count.
    pub rounds: u32,
    /// Why the campaign says nothing, where it does not.
    pub invalid: Option<String>,
    /// Path of its folder, as the history's owner reaches it.
    pub folder: Option<String>,
    /// Its cells, in the plan's order.
    pub cells: Vec<CellEntry>,
}

/// One cell of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellEntry {
    /// The workload.
    pub workload: Name,
    /// The metric, as it stands in reports.
    pub metric: String,
    /// The arm.
    pub arm: Name,
    /// What it was compared with in the same campaign.
    pub reference: Name,
    /// Says what was compared: 12 hexadecimal digits, from [`setup_of`].
    pub setup: String,
    /// The verdict, as it stands in reports.
    pub verdict: String,
    /// θ with its 95 % interval; above 1 is worse. `None` where there is none.
    pub ratio: Option<RatioEntry>,
    /// Standard deviation of ln θ from round to round.
    pub spread: Option<f64>,
    /// Rounds compared.
    pub rounds: u32,
    /// Typical value of the arm in the metric's unit: kept, and never compared between campaigns.
    pub arm_value: Option<f64>,
    /// Typical value of the reference.
    pub reference_value: Option<f64>,
}

/// θ with its exact interval. Bounds may be infinite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioEntry {
    /// The estimate.
    pub value: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Its confidence, at least 0.95.
    pub confidence: f64,
}

/// Returns 12 hexadecimal digits that are equal for cells that compare the same things in the same way: workload, both
/// datapaths, length of slice and warm-up.
///
/// # Panics
///
/// Never: plain values always serialise.
#[must_use]
pub fn setup_of(
    workload: &Workload,
    arm: &Datapath,
    reference: &Datapath,
    rounds: &Rounds,
) -> String {
    let compared = (workload, arm, reference, rounds.slice, rounds.warmup);
    let text = serde_json::to_string(&compared).expect("plain values serialise");
    short_digest(&text)
}

/// Returns why a text is no label: it is empty, too long, or has something in it that is no letter, figure, sign or
/// blank.
///
/// # Errors
///
/// One line that says what is wrong.
pub fn check_label(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("a label must not be empty".to_owned());
    }
    let length = text.chars().count();
    if length > LONGEST_LABEL {
        return Err(format!(
            "a label has at most {LONGEST_LABEL} characters, this has {length}"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("a label must be one line without control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_short_line() {
        assert!(check_label("v1.2 – größer").is_ok());
        assert!(check_label(&"x".repeat(LONGEST_LABEL)).is_ok());
        for bad in ["", "  ", "a\nb", "\u{1b}[31m"] {
            assert!(check_label(bad).is_err(), "{bad:?}");
        }
        assert!(check_label(&"x".repeat(LONGEST_LABEL + 1)).is_err());
    }
}
