//! Rounds in which both arms were measured, and what can be inferred from them.

use std::collections::BTreeSet;

use tollgate_results::arm::{Arm, Name};

use super::installs;
use crate::analysis::context::Context;
use crate::analysis::values::{self, Observation, RoundKey};
use crate::model::{Direction, Estimate, Metric, Pair};
use crate::stats::rounds::FEWEST;
use crate::stats::{median, real64};
use crate::verdict::{Inference, Scale};
use crate::words;

/// Samples beyond a percentile below which it isn't told (statistics §2.3). Autocorrelation within a slice is not
/// corrected: only histograms are kept.
pub(super) const FEWEST_BEYOND: f64 = 10.0;

/// Samples beyond a percentile below which it is called thin.
pub(super) const FEW_BEYOND: f64 = 20.0;

/// The rounds in which both arms were measured.
pub(super) struct Paired {
    pub(super) metric: Metric,
    pub(super) scale: Scale,
    pub(super) pairs: Vec<Pair>,
    /// Rounds that count but lack one of the two.
    pub(super) missing: usize,
    /// Samples beyond the percentile, in the typical slice of the poorer arm.
    pub(super) beyond: Option<f64>,
    /// Whether each pair stands for an install, of which the rounds are not independent.
    by_install: bool,
}

impl Paired {
    /// Pairs two arms over the rounds given.
    pub(super) fn of(
        context: &Context<'_>,
        workload: &Name,
        metric: Metric,
        arm: &Arm,
        reference: &Arm,
        rounds: &BTreeSet<RoundKey>,
    ) -> Self {
        let mut pairs = Vec::new();
        let mut samples = Vec::new();
        for round in rounds {
            let at = |arm: &Arm| context.observations.at(workload, &arm.name, *round);
            let Some((own, other)) = at(arm).zip(at(reference)) else {
                continue;
            };
            let value = |slice: &Observation<'_>| slice.values.get(&metric).copied();
            if let Some((own_value, other_value)) = value(own).zip(value(other)) {
                let count = values::samples(metric, own).min(values::samples(metric, other));
                samples.push(real64(count));
                pairs.push(pair(metric, *round, own_value, other_value));
            }
        }
        let beyond = metric
            .quantile()
            .zip(median(&samples))
            .map(|(quantile, samples)| samples * (1.0 - quantile));
        let missing = rounds.len() - pairs.len();
        let by_install = context.campaign.run.plan.reconfigures();
        if by_install {
            pairs = installs::of_pairs(metric, &pairs);
        }
        Self {
            metric,
            scale: match metric {
                Metric::Loss => Scale::Difference,
                _ => Scale::Ratio,
            },
            missing,
            pairs,
            beyond,
            by_install,
        }
    }

    /// Returns the inference on the oriented effect, or why there is none.
    pub(super) fn inference(&self) -> Result<Inference, String> {
        self.infer(self.scale, |pair| self.effect(pair))
    }

    /// Returns the inference on ln(arm / reference), whichever way is worse, or why there is none.
    pub(super) fn change(&self) -> Result<Inference, String> {
        self.infer(Scale::Ratio, |pair| pair.arm.ln() - pair.reference.ln())
    }

    fn infer(&self, scale: Scale, effect: impl Fn(&Pair) -> f64) -> Result<Inference, String> {
        if self.pairs.len() < FEWEST {
            return Err(format!(
                "{} of both arms: an interval needs at least {FEWEST}",
                words::plural(
                    self.pairs.len(),
                    if self.by_install {
                        "valid install"
                    } else {
                        "valid round"
                    }
                )
            ));
        }
        if let Some(beyond) = self.beyond.filter(|beyond| *beyond < FEWEST_BEYOND) {
            return Err(format!(
                "about {beyond:.0} samples of a slice lie beyond {}: it needs at least {FEWEST_BEYOND} \
                 (longer slices)",
                self.metric
            ));
        }
        let effects: Vec<f64> = self.pairs.iter().map(effect).collect();
        if effects.iter().any(|effect| effect.is_nan()) {
            return Err(
                "in some rounds neither arm has a finite value (loss-limited): see loss".to_owned(),
            );
        }
        Inference::of(&effects, scale).ok_or_else(|| "too many rounds".to_owned())
    }

    /// The oriented effect on the scale of the inference.
    fn effect(&self, pair: &Pair) -> f64 {
        match self.scale {
            Scale::Difference => pair.arm - pair.reference,
            // A difference of logarithms is exactly antisymmetric when the arms are swapped.
            Scale::Ratio => match self.metric.direction() {
                Direction::LargerIsWorse => pair.arm.ln() - pair.reference.ln(),
                Direction::SmallerIsWorse => pair.reference.ln() - pair.arm.ln(),
            },
        }
    }

    /// Returns arm - reference in the metric's unit.
    pub(super) fn shift(&self) -> Option<Estimate> {
        let differences: Vec<f64> = self
            .pairs
            .iter()
            .map(|pair| pair.arm - pair.reference)
            .collect();
        Some(Inference::of(&differences, Scale::Difference)?.estimate())
    }
}

/// Makes a pair of one round's values, or of an install's.
pub(super) fn pair(metric: Metric, round: RoundKey, arm: f64, reference: f64) -> Pair {
    let effect = match (metric, metric.direction()) {
        (Metric::Loss, _) => arm - reference,
        (_, Direction::LargerIsWorse) => arm / reference,
        (_, Direction::SmallerIsWorse) => reference / arm,
    };
    Pair {
        round: round.round,
        install: round.install,
        reference,
        arm,
        // Where both are infinite or both zero, neither is worse.
        effect: if effect.is_nan() { 1.0 } else { effect },
    }
}
