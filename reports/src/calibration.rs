//! Calibration: how much a machine's own noise moves the same path against itself (statistics §2.8).
//!
//! A/A campaigns, the arms deployed anew for each, say how often equal arms would be told apart, and below which
//! margin a gate on this machine is a lottery.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::Workload;

use crate::gate::{self, Finding, Policy};
use crate::model::{Analysis, Cell, Estimate, FloorBasis, Metric, NoiseFloor, Verdict};
use crate::stats::sequence::rank;
use crate::stats::{binomial, components, median, real64, rounds, sorted};
use crate::verdict::Scale;
use crate::words;

/// Version of [`Calibration`] as JSON.
pub const CALIBRATION_SCHEMA: u32 = 1;

/// Days after which a calibration no longer counts.
const MOST_DAYS: f64 = 30.0;

/// Campaigns from which a noise floor is told: the 95th percentile of fewer is their maximum.
const ENOUGH_CAMPAIGNS: usize = 20;

/// What is known of a machine's noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// [`CALIBRATION_SCHEMA`] of the writer.
    pub schema: u32,
    /// Fingerprint of the machine: it counts for no other.
    pub fingerprint: String,
    /// The scenario that was measured.
    pub scenario: Name,
    /// Wall clock at the start of the last campaign, in milliseconds since 1970.
    pub made_unix_ms: u64,
    /// A/A campaigns that it rests on.
    pub campaigns: u32,
    /// Measured length of a slice; shorter ones are noisier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Nanoseconds>,
    /// The workloads as they were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    /// For each workload and metric.
    pub cells: Vec<CellCalibration>,
    /// What a reader should know, one line each.
    pub notes: Vec<String>,
}

/// What is known of the noise of one metric of one workload. Effects are ln θ, for loss differences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellCalibration {
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// A/A comparisons with an interval.
    pub comparisons: u32,
    /// Rounds of the typical comparison.
    pub rounds: u32,
    /// φ: 95th percentile of the distance between equal arms, |θ - 1|.
    pub phi: f64,
    /// Standard deviation of the effect from round to round within an install.
    pub s_round: f64,
    /// Standard deviation of the effect from install to install; `None` for fewer than 4 installs.
    pub s_install: Option<f64>,
    /// Smallest difference that nine of ten such campaigns find (θ - 1).
    pub mde: f64,
    /// How often equal arms were called slower or faster: 5 % by construction where installs don't differ.
    pub told_apart: Rate,
    /// How often one stage of a gate with default margins was SUSPECT; `None` for a metric without one.
    pub suspected: Option<Rate>,
}

/// How often something happened, with its exact upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// How often it happened.
    pub hits: u32,
    /// How often it could have.
    pub trials: u32,
    /// Upper bound of the true rate, at 95 % (Clopper and Pearson, one-sided).
    pub at_most: f64,
}

/// What rounds and installs cost, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Costs {
    /// Deploying all arms, and their discarded first round.
    pub install_seconds: f64,
    /// One round.
    pub round_seconds: f64,
}

/// How to spend time on a cell (Kalibera and Jones).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// Rounds that one install is worth; `None` where installs don't differ or are too few to tell.
    pub rounds_per_install: Option<u32>,
    /// Installs of so many rounds that tell the margin in nine of ten campaigns, at least 4.
    pub installs: Option<u32>,
    /// Rounds on one install that would do if installs didn't differ.
    pub rounds: Option<u32>,
    /// The advice in one sentence.
    pub words: String,
}

/// Campaigns that calibrate nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// There is none.
    #[error("there is no campaign to calibrate from; run some")]
    Empty,
    /// They are of several scenarios or machines.
    #[error(
        "the campaigns are not all of one scenario and one machine; calibrate from those of one"
    )]
    Mixed,
    /// No arm is a second install of its reference.
    #[error(
        "no arm is its reference deployed a second time; calibrate with a scenario that has such an arm"
    )]
    NoTwin,
    /// No comparison has an interval.
    #[error("no comparison has an interval; measure at least 6 valid rounds a campaign")]
    NoInterval,
}

impl Calibration {
    /// Calibrates from A/A campaigns: every arm that declares what its reference declares.
    ///
    /// # Errors
    ///
    /// Where they are none, mixed, or compare no arm with itself.
    pub fn of(analyses: &[&Analysis]) -> Result<Self, CalibrationError> {
        let first = analyses.first().ok_or(CalibrationError::Empty)?;
        let subject = &first.subject;
        let same = |other: &&Analysis| {
            (&other.subject.scenario, &other.subject.fingerprint)
                == (&subject.scenario, &subject.fingerprint)
        };
        if !analyses.iter().all(same) {
            return Err(CalibrationError::Mixed);
        }
        let mut cells: BTreeMap<(Name, Metric), Vec<&Cell>> = BTreeMap::new();
        for analysis in analyses {
            for cell in analysis.cells.iter().filter(|cell| is_twin(analysis, cell)) {
                let key = (cell.workload.clone(), cell.metric);
                cells.entry(key).or_default().push(cell);
            }
        }
        if cells.is_empty() {
            return Err(CalibrationError::NoTwin);
        }
        let cells: Vec<CellCalibration> = cells
            .into_iter()
            .filter_map(|((workload, metric), cells)| CellCalibration::of(workload, metric, &cells))
            .collect();
        if cells.is_empty() {
            return Err(CalibrationError::NoInterval);
        }
        let started = analyses
            .iter()
            .map(|analysis| analysis.subject.started_unix_ms);
        Ok(Self {
            schema: CALIBRATION_SCHEMA,
            fingerprint: subject.fingerprint.clone(),
            scenario: subject.scenario.clone(),
            made_unix_ms: started.max().unwrap_or(0),
            campaigns: count(analyses.len()),
            slice: Some(subject.rounds.slice),
            workloads: first.workloads.clone(),
            cells,
            notes: notes(analyses),
        })
    }

    /// Returns the noise floor of a metric, max(φ, MDE), on the scale of a margin: smaller ones can't be gated.
    #[must_use]
    pub fn floor(&self, workload: &Name, metric: Metric) -> Option<f64> {
        self.cell(workload, metric).map(CellCalibration::floor)
    }

    /// Returns φ of a metric: 95 % of equal arms differ by less (θ - 1).
    #[must_use]
    pub fn phi(&self, workload: &Name, metric: Metric) -> Option<f64> {
        self.cell(workload, metric).map(|cell| cell.phi)
    }

    fn cell(&self, workload: &Name, metric: Metric) -> Option<&CellCalibration> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.workload == *workload && cell.metric == metric)
    }

    /// Puts φ in place of the noise floors that a campaign told of itself.
    pub fn apply(&self, noise: &mut NoiseFloor) {
        for floor in &mut noise.floors {
            if let Some(phi) = self.phi(&floor.workload, floor.metric) {
                floor.distance = phi;
                floor.basis = FloorBasis::Calibration {
                    campaigns: self.campaigns,
                };
            }
        }
    }

    /// Keeps what holds for a plan: cells of workloads that are defined as they were when it was made, and measured in
    /// slices at least as long.
    #[must_use]
    pub fn fitting(mut self, plan: &Plan) -> Self {
        let shorter = self.slice.is_some_and(|slice| plan.rounds.slice < slice);
        let known = std::mem::take(&mut self.workloads);
        self.cells.retain(|cell| {
            let then = known.iter().find(|workload| workload.name == cell.workload);
            !shorter && then.is_none_or(|then| plan.workload(&cell.workload) == Some(then))
        });
        self.workloads = known;
        self
    }

    /// Returns why it doesn't count for a campaign, in one line that says how to mend it.
    #[must_use]
    pub fn unfit(&self, fingerprint: &str, started_unix_ms: u64) -> Option<String> {
        let age = self.age_days(started_unix_ms);
        if self.fingerprint != fingerprint {
            Some(format!(
                "the calibration is of machine {}, this is {fingerprint}; run `tollgate calibrate` here",
                self.fingerprint
            ))
        } else if age > MOST_DAYS {
            Some(format!(
                "the calibration is {age:.0} days old, more than {MOST_DAYS}; run `tollgate calibrate` again"
            ))
        } else {
            None
        }
    }

    /// Returns its age at a time, in days; 0 for a time before it.
    #[must_use]
    pub fn age_days(&self, unix_ms: u64) -> f64 {
        real64(unix_ms.saturating_sub(self.made_unix_ms)) / 86_400_000.0
    }
}

impl CellCalibration {
    /// `None` where no comparison has an interval.
    fn of(workload: Name, metric: Metric, cells: &[&Cell]) -> Option<Self> {
        let scale = Scale::of(metric);
        let effect = |cell: &&&Cell| -> Option<Estimate> {
            let (ratio, shift) = (cell.ratio, cell.shift);
            let judged = !matches!(cell.verdict, Verdict::Invalid | Verdict::Insufficient);
            match scale {
                Scale::Ratio => ratio.filter(|_| judged),
                Scale::Difference => shift.filter(|_| judged),
            }
        };
        let compared: Vec<(&Cell, Estimate)> = cells
            .iter()
            .filter_map(|cell| Some((*cell, effect(&cell)?)))
            .collect();
        let distances: Vec<f64> = compared
            .iter()
            .map(|(_, estimate)| (estimate.value - scale.neutral()).abs())
            .collect();
        let effects: Vec<Vec<f64>> = compared
            .iter()
            .flat_map(|(cell, _)| by_install(cell))
            .collect();
        let spreads = components::of(&effects)?;
        let counts: Vec<f64> = compared
            .iter()
            .map(|(cell, _)| f64::from(cell.rounds))
            .collect();
        let typical = whole(median(&counts)?);
        let reach = rounds::resolved(spreads.round, usize::try_from(typical).ok()?);
        let hits = |hit: &dyn Fn(&(&Cell, Estimate)) -> bool| {
            let hits = compared.iter().filter(|compared| hit(compared)).count();
            Rate::of(hits, compared.len())
        };
        let margin = Policy::default().margins.get(&metric).map(|share| share.0);
        Some(Self {
            workload,
            metric,
            comparisons: count(compared.len()),
            rounds: typical,
            phi: sorted(&distances)[rank(distances.len(), 0.95) - 1],
            s_round: spreads.round,
            s_install: spreads.install,
            mde: match scale {
                Scale::Ratio => reach.exp_m1(),
                Scale::Difference => reach,
            },
            told_apart: hits(&|(_, estimate)| !estimate.interval95.contains(scale.neutral())),
            suspected: margin.map(|margin| {
                hits(&|(cell, _)| {
                    let effects: Vec<f64> = cell
                        .pairs
                        .iter()
                        .map(|pair| gate::effect(cell, pair))
                        .collect();
                    gate::find(&effects, scale, margin) == Finding::Suspect
                })
            }),
        })
    }

    /// Returns max(φ, MDE).
    #[must_use]
    pub fn floor(&self) -> f64 {
        self.phi.max(self.mde)
    }

    /// Advises how many rounds and installs tell a margin on θ - 1, for what they cost.
    #[must_use]
    pub fn advise(&self, margin: f64, costs: Costs) -> Advice {
        let reach = match Scale::of(self.metric) {
            Scale::Ratio => margin.ln_1p(),
            Scale::Difference => margin,
        };
        let spreads = components::Components {
            round: self.s_round,
            install: self.s_install,
        };
        let per = spreads.rounds_per_install(costs.install_seconds, costs.round_seconds);
        let installs = per.and_then(|per| spreads.installs_needed(per, reach));
        let rounds = rounds::needed(self.s_round, reach);
        let goal = words::margin(margin);
        let words = match (per, installs, rounds) {
            (Some(per), Some(installs), _) => format!(
                "{installs} installs of {} each tell {goal}: more rounds on one install tell nothing of the next",
                words::plural(per as usize, "round")
            ),
            (Some(_), None, _) => {
                format!("installs differ too much to tell {goal}: take a wider margin")
            }
            (None, _, Some(rounds)) => format!(
                "{} tell {goal}{}",
                words::plural(rounds, "round"),
                if self.s_install.is_some() {
                    "; installs don't differ measurably"
                } else {
                    " on one install; how much installs differ takes 4 of them to tell"
                }
            ),
            (None, _, None) => format!("1,000 rounds would not tell {goal} at this noise"),
        };
        Advice {
            rounds_per_install: per,
            installs: installs.map(count),
            rounds: rounds.map(count),
            words,
        }
    }
}

impl Rate {
    fn of(hits: usize, trials: usize) -> Self {
        let (hits, trials) = (count(hits), count(trials));
        let (_, at_most) = binomial::bounds(u64::from(hits), u64::from(trials), 0.05);
        Self {
            hits,
            trials,
            at_most,
        }
    }
}

/// Whether an arm declares what its reference declares.
fn is_twin(analysis: &Analysis, cell: &Cell) -> bool {
    let arms = analysis.arm(&cell.arm).zip(analysis.arm(&cell.reference));
    arms.is_some_and(|(arm, reference)| {
        (&arm.dimensions, &arm.change) == (&reference.dimensions, &reference.change)
    })
}

/// The effects of each install of a campaign.
fn by_install(cell: &Cell) -> Vec<Vec<f64>> {
    let mut installs: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for pair in &cell.pairs {
        let effects = installs.entry(pair.install).or_default();
        effects.push(gate::effect(cell, pair));
    }
    installs.into_values().collect()
}

fn notes(analyses: &[&Analysis]) -> Vec<String> {
    let mut notes = Vec::new();
    if analyses.len() < ENOUGH_CAMPAIGNS {
        notes.push(format!(
            "{} are few: the noise floor is their largest difference; 60 bound a false-alarm rate at 5 %",
            words::plural(analyses.len(), "campaign")
        ));
    }
    let invalid = |analysis: &&&Analysis| analysis.conduct.invalid.is_some();
    let invalid = analyses.iter().filter(invalid).count();
    if invalid > 0 {
        notes.push(format!(
            "{} left out as invalid",
            words::plural(invalid, "campaign")
        ));
    }
    notes
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a median of counts of rounds"
)]
fn whole(value: f64) -> u32 {
    value as u32
}
