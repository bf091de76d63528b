//! Stages: the rounds of a gate's cells, from analyses.

use std::collections::BTreeSet;

use tollgate_results::arm::Name;

use super::policy::StagePolicy;
use super::report::{Judged, StageSummary};
use super::rules::{self, Finding};
use crate::calibration::Calibration;
use crate::model::{Analysis, Cell, Direction, Estimate, Metric, Pair, Unit, Verdict};
use crate::stats::real64;
use crate::stats::rounds::FEWEST;
use crate::stats::signed_rank::MOST_ROUNDS;
use crate::verdict::{Inference, Scale};

/// Samples of a slice that must lie beyond a percentile for a gate (statistics §2.3); a report needs 10.
const BEYOND: f64 = 20.0;

/// One stage of a gate: the campaigns that were measured for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub(super) scenario: Name,
    pub(super) fingerprint: String,
    /// Start of each campaign with its installs.
    pub(super) installs: BTreeSet<(u64, u32)>,
    campaigns: usize,
    pub(super) cells: Vec<Measured>,
}

/// One cell of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) workload: Name,
    pub(super) metric: Metric,
    pub(super) arm: Name,
    pub(super) reference: Name,
    pub(super) unit: Unit,
    effects: Vec<f64>,
    installs: BTreeSet<(u64, u32)>,
    /// Samples of a slice beyond the percentile, of the poorest campaign: the arm's and the reference's.
    beyond: Option<[f64; 2]>,
    pub(super) invalid: Option<String>,
    seconds_per_round: f64,
}

/// Stages that cannot be judged together: a mistake of the caller, exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A stage has no campaign.
    #[error("a stage has no campaign; measure one")]
    Empty,
    /// Campaigns of different scenarios.
    #[error("campaigns of `{0}` and `{1}` can't be gated together; give campaigns of one scenario")]
    Scenarios(Name, Name),
    /// Campaigns of machines that may not be compared.
    #[error(
        "campaigns of machines {0} and {1} can't be gated together; measure both stages on one machine"
    )]
    Machines(String, String),
    /// One campaign twice, or an install in both stages.
    #[error("the same install of the arms was given twice; a second stage needs fresh ones")]
    NotFresh,
    /// The policy selects no cell.
    #[error("the policy gates no cell of these campaigns: {0}")]
    Nothing(String),
}

impl Stage {
    /// Takes a stage's rounds from the analyses of its campaigns, one or several.
    ///
    /// # Errors
    ///
    /// Where there is none, or they are not of one scenario, machine and set of installs each.
    pub fn of(analyses: &[&Analysis]) -> Result<Self, GateError> {
        let first = analyses.first().ok_or(GateError::Empty)?;
        let mut stage = Self {
            scenario: first.subject.scenario.clone(),
            fingerprint: first.subject.fingerprint.clone(),
            installs: BTreeSet::new(),
            campaigns: 0,
            cells: Vec::new(),
        };
        for analysis in analyses {
            let subject = &analysis.subject;
            stage.agree(&subject.scenario, &subject.fingerprint)?;
            let rounds = analysis.conduct.rounds.iter();
            let installs: BTreeSet<(u64, u32)> = rounds
                .map(|round| (subject.started_unix_ms, round.install))
                .collect();
            if !stage.installs.is_disjoint(&installs) {
                return Err(GateError::NotFresh);
            }
            stage.installs.extend(installs);
            stage.campaigns += 1;
            for cell in &analysis.cells {
                stage.take(analysis, cell);
            }
        }
        Ok(stage)
    }

    pub(super) fn agree(&self, scenario: &Name, fingerprint: &str) -> Result<(), GateError> {
        if self.scenario != *scenario {
            let (one, other) = (self.scenario.clone(), scenario.clone());
            return Err(GateError::Scenarios(one, other));
        }
        if self.fingerprint != fingerprint {
            let (one, other) = (self.fingerprint.clone(), fingerprint.to_owned());
            return Err(GateError::Machines(one, other));
        }
        Ok(())
    }

    fn take(&mut self, analysis: &Analysis, cell: &Cell) {
        let started = analysis.subject.started_unix_ms;
        let measured = Measured {
            workload: cell.workload.clone(),
            metric: cell.metric,
            arm: cell.arm.clone(),
            reference: cell.reference.clone(),
            unit: cell.unit,
            effects: cell.pairs.iter().map(|pair| effect(cell, pair)).collect(),
            installs: cell
                .pairs
                .iter()
                .map(|pair| (started, pair.install))
                .collect(),
            beyond: beyond(analysis, cell),
            invalid: (cell.verdict == Verdict::Invalid)
                .then(|| cell.reason.clone().unwrap_or_else(|| "invalid".to_owned())),
            seconds_per_round: analysis.subject.elapsed_seconds
                / (f64::from(analysis.subject.rounds.count)
                    + f64::from(analysis.subject.rounds.installs)),
        };
        match self.cells.iter_mut().find(|known| known.is(&measured)) {
            Some(known) => known.merge(measured),
            None => self.cells.push(measured),
        }
    }

    pub(super) fn started_unix_ms(&self) -> u64 {
        self.installs.first().map_or(0, |(started, _)| *started)
    }

    pub(super) fn summary(&self) -> StageSummary {
        StageSummary {
            started_unix_ms: self.started_unix_ms(),
            campaigns: count(self.campaigns),
            installs: count(self.installs.len()),
        }
    }
}

impl Measured {
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.workload, self.metric, &self.arm, &self.reference)
            == (&other.workload, other.metric, &other.arm, &other.reference)
    }

    fn merge(&mut self, other: Self) {
        self.effects.extend(other.effects);
        self.installs.extend(other.installs);
        self.beyond = match (self.beyond, other.beyond) {
            (Some([a, b]), Some([c, d])) => Some([a.min(c), b.min(d)]),
            (one, other) => one.or(other),
        };
        self.invalid = self.invalid.take().or(other.invalid);
        self.seconds_per_round = self.seconds_per_round.max(other.seconds_per_round);
    }

    /// Returns the effect of its rounds, where they have an interval.
    pub(super) fn estimate(&self) -> Option<Estimate> {
        let inference = Inference::of(&self.effects, Scale::of(self.metric))?;
        Some(inference.estimate())
    }

    pub(super) fn judge(&self, demanded: StagePolicy, margin: f64) -> Judged {
        let scale = Scale::of(self.metric);
        let inference = Inference::of(&self.effects, scale);
        let (rounds, installs) = (count(self.effects.len()), count(self.installs.len()));
        let fewer = |found: u32, demanded: u32, what: &str| {
            (found < demanded).then(|| format!("{found} of {demanded} {what}"))
        };
        let invalid = self
            .invalid
            .clone()
            .or_else(|| fewer(rounds, demanded.rounds, "valid rounds"))
            .or_else(|| fewer(installs, demanded.installs, "installs of the arms"))
            .or_else(|| {
                let fits = (FEWEST..=MOST_ROUNDS).contains(&self.effects.len());
                (!fits).then(|| {
                    format!("{rounds} rounds; an interval takes {FEWEST} to {MOST_ROUNDS}")
                })
            });
        let insufficient = || {
            let thin = self.beyond.filter(|[arm, _]| *arm < BEYOND);
            let thin = thin.map(|[arm, _]| thin_tail(self.metric, arm));
            let unknown = self.effects.iter().any(|effect| effect.is_nan());
            thin.or_else(|| {
                unknown.then(|| {
                    "in some rounds neither arm has a finite value (loss-limited): see loss"
                        .to_owned()
                })
            })
        };
        let (finding, reason) = match (invalid, insufficient()) {
            (Some(reason), _) => (Finding::Invalid, Some(reason)),
            (None, Some(reason)) => (Finding::Insufficient, Some(reason)),
            (None, None) => (rules::find(&self.effects, scale, margin), None),
        };
        let undecided = finding == Finding::Inconclusive && scale == Scale::Ratio;
        let to_resolve = inference.as_ref().filter(|_| undecided).map(|inference| {
            inference
                .resolution(margin, Some(self.seconds_per_round))
                .words
        });
        Judged {
            finding,
            rounds,
            installs,
            effect: inference.as_ref().map(Inference::estimate),
            spread: inference.as_ref().and_then(Inference::spread),
            reason,
            to_resolve,
        }
    }

    /// Why this machine, or this length of slices, can't tell the margin; and the noise floor.
    pub(super) fn not_gateable(
        &self,
        calibration: Option<&Calibration>,
        margin: f64,
    ) -> (Option<f64>, Option<String>) {
        let floor = calibration.and_then(|known| known.floor(&self.workload, self.metric));
        let thin = self
            .beyond
            .filter(|[_, reference]| *reference < BEYOND)
            .map(|[_, reference]| thin_tail(self.metric, reference));
        let noisy = floor.filter(|floor| *floor > margin).map(|floor| {
            let percent = |share: f64| {
                crate::words::margin(share)
                    .trim_start_matches('±')
                    .to_owned()
            };
            // Three digits are enough for a floor.
            let rounded = (floor * 1e3).ceil() / 1e3;
            format!(
                "not gateable on this host: noise floor {} > margin {}",
                percent(rounded),
                percent(margin)
            )
        });
        (floor, noisy.or(thin))
    }
}

fn thin_tail(metric: Metric, beyond: f64) -> String {
    format!(
        "about {beyond:.0} samples of a slice lie beyond {metric}: a gate needs {BEYOND} (longer slices)"
    )
}

/// Returns the oriented effect of a round: ln θ, or the difference. Not a number where neither arm has a finite value.
pub(crate) fn effect(cell: &Cell, pair: &Pair) -> f64 {
    match (Scale::of(cell.metric), cell.direction) {
        (Scale::Difference, _) => pair.arm - pair.reference,
        (Scale::Ratio, Direction::LargerIsWorse) => pair.arm.ln() - pair.reference.ln(),
        (Scale::Ratio, Direction::SmallerIsWorse) => pair.reference.ln() - pair.arm.ln(),
    }
}

/// Samples of the average slice beyond the cell's percentile: the arm's and the reference's.
fn beyond(analysis: &Analysis, cell: &Cell) -> Option<[f64; 2]> {
    let quantile = cell.metric.quantile()?;
    let timed = cell.metric.timed()?;
    let of = |arm: &Name| {
        let spectra = analysis.spectra.iter();
        let spectrum = spectra
            .filter(|spectrum| spectrum.workload == cell.workload && spectrum.timed == timed)
            .find(|spectrum| spectrum.arm == *arm)?;
        Some(real64(spectrum.sent) / f64::from(spectrum.rounds.max(1)) * (1.0 - quantile))
    };
    Some([of(&cell.arm)?, of(&cell.reference)?])
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
