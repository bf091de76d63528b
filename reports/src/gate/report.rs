//! What a gate says: figures and words, for renderers that decide nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use super::policy::{OnInconclusive, Policy};
use super::rules::{Finding, Ruling};
use crate::model::{Estimate, Metric, Unit};

/// Version of [`GateReport`] as JSON: raised when a field is added or its meaning changes.
pub const GATE_SCHEMA: u32 = 1;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// [`GATE_SCHEMA`] of the writer.
    pub schema: u32,
    /// The scenario.
    pub scenario: Name,
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// What was demanded.
    pub policy: Policy,
    /// What is known of the machine's noise.
    pub calibration: CalibrationState,
    /// The stages that were measured: one or two.
    pub stages: Vec<StageSummary>,
    /// Whether all is decided that can be: `false` asks for a second stage.
    pub complete: bool,
    /// Every gated cell, in the plan's order.
    pub cells: Vec<GatedCell>,
    /// What the whole counts for.
    pub exit: Exit,
    /// The result in one sentence.
    pub words: String,
    /// Runs of this gate before this one, in the same folder: running again until it passes is no evidence, so they are
    /// counted and shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierRun>,
    /// The stored campaign that everything is compared with, where the reference wasn't measured now: the weaker kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<StoredReference>,
    /// What a reader must know beside the rulings (planted tolls, arms left out), one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An earlier run of the same gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierRun {
    /// Wall clock at its start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// What it counted for; `None` for one that was never finished.
    pub exit: Option<Exit>,
    /// Its result in one sentence.
    pub words: String,
}

/// A reference that was measured at another time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredReference {
    /// Wall clock at its start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Version of Tollgate that measured it.
    pub tool_version: String,
    /// What that costs, in one sentence.
    pub words: String,
}

impl GateReport {
    /// Returns the cells that a second stage has to measure.
    pub fn open(&self) -> impl Iterator<Item = &GatedCell> {
        self.cells.iter().filter(|cell| cell.open)
    }

    /// Returns what one of its cells counts for. A cell that the policy names and this host can't gate is no pass by
    /// silence.
    #[must_use]
    pub fn counts_for(&self, cell: &GatedCell) -> Exit {
        let none = || {
            let mut cells = self.cells.iter();
            cells.all(|cell| cell.ruling == Ruling::NotGateable)
        };
        match cell.ruling {
            Ruling::Fail => Exit::Failed,
            Ruling::Invalid => Exit::Invalid,
            Ruling::NotGateable if cell.named || none() => Exit::Invalid,
            Ruling::Suspect | Ruling::Inconclusive => match self.policy.on_inconclusive {
                OnInconclusive::Warn => Exit::Done,
                OnInconclusive::Fail => Exit::Inconclusive,
            },
            Ruling::Pass | Ruling::NotGateable => Exit::Done,
        }
    }
}

/// One cell with its ruling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatedCell {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// Unit of the effect where it is a difference.
    pub unit: Unit,
    /// Margin on θ - 1; for loss on the difference.
    pub margin: f64,
    /// Whether the policy names this cell.
    pub named: bool,
    /// What the gate says.
    pub ruling: Ruling,
    /// Whether a second stage has to measure it.
    pub open: bool,
    /// The ruling in words, with interval and margin.
    pub words: String,
    /// The effect, oriented so that more is worse: θ, or for loss the difference. From the second stage where there is one,
    /// since what the first found suspicious is exaggerated.
    pub effect: Option<Estimate>,
    /// The noise floor of this machine, on the scale of the margin.
    pub floor: Option<f64>,
    /// What the first stage says.
    pub first: Judged,
    /// What the second stage says, where it measured this cell.
    pub second: Option<Judged>,
}

/// What one stage says of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The finding.
    pub finding: Finding,
    /// Valid rounds.
    pub rounds: u32,
    /// Installs on which they were measured.
    pub installs: u32,
    /// The effect, oriented so that more is worse; `None` without an interval.
    pub effect: Option<Estimate>,
    /// Standard deviation of the effect per round.
    pub spread: Option<f64>,
    /// Why it is invalid or insufficient, in one line.
    pub reason: Option<String>,
    /// What would decide an inconclusive one.
    pub to_resolve: Option<String>,
}

impl Judged {
    /// Makes it invalid where there is a reason to.
    pub(super) fn unless(self, invalid: Option<&String>) -> Self {
        match invalid {
            Some(reason) => Self {
                finding: Finding::Invalid,
                reason: Some(reason.clone()),
                to_resolve: None,
                ..self
            },
            None => self,
        }
    }
}

/// What was measured in a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageSummary {
    /// Wall clock at the start of its first campaign, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Campaigns.
    pub campaigns: u32,
    /// Installs of the arms.
    pub installs: u32,
}

/// What is known of the machine's noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationState {
    /// Margins were checked against the noise floor.
    Calibrated {
        /// Age of the calibration when the gate ran, in days.
        age_days: f64,
    },
    /// Margins could not be checked: why, and how to mend it.
    Uncalibrated {
        /// One line.
        reason: String,
    },
}

/// What the whole counts for, the graver the later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// No FAIL.
    Done,
    /// Nothing was proved of some cell, and the policy counts that.
    Inconclusive,
    /// Some cell is FAIL.
    Failed,
    /// The environment: some cell is INVALID, or none could be gated.
    Invalid,
    /// Usage, unreadable input, or the tool's own failure.
    Usage,
}

impl Exit {
    /// Returns the exit code (DESIGN §6). The precedence is 2 > 4 > 1 > 3 > 0.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Invalid => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_exit_wins() {
        let all = [
            Exit::Failed,
            Exit::Done,
            Exit::Usage,
            Exit::Inconclusive,
            Exit::Invalid,
        ];
        let mut by_gravity = all;
        by_gravity.sort_unstable();
        by_gravity.reverse();
        assert_eq!(by_gravity.map(Exit::code), [2, 4, 1, 3, 0]);
    }
}
