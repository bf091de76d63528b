//! From the changes of paired rounds to what may be said of a claim.
//!
//! Of each comparison exactly one of two things is true: the change lies within what is claimed, or it doesn't. What is
//! said has to be proved, by the exact signed-rank test against the claimed ends. All comparisons of a claim are
//! judged together by Holm's adjustment, so that the chance of any false statement among them is at most 5 %. Unlike a
//! scenario's cells, of which there may be hundreds, they are few enough for that: see [`fewest_rounds`].

use tollgate_results::claim::ClaimedChange;
use tollgate_results::units::RelativeChange;

use super::Inference;
use crate::model::ClaimVerdict;
use crate::stats::rounds::FEWEST;
use crate::stats::{holm, real};

/// Most chance of any false statement among a claim's comparisons.
const LEVEL: f64 = 0.05;

/// A claimed change on the scale of ln(arm / baseline); an open end is infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Claimed {
    low: f64,
    high: f64,
}

/// What is said of one comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    /// What holds beside all other comparisons of the claim.
    pub(crate) verdict: ClaimVerdict,
    /// What would be said of this one taken by itself.
    pub(crate) alone: ClaimVerdict,
    /// p of the statement.
    pub(crate) p: f64,
    /// The same, adjusted by Holm.
    pub(crate) p_holm: f64,
}

impl Claimed {
    pub(crate) fn of(change: ClaimedChange) -> Self {
        let end = |end: Option<RelativeChange>, open: f64| end.map_or(open, |end| end.0.ln_1p());
        Self {
            low: end(change.from, f64::NEG_INFINITY),
            high: end(change.to, f64::INFINITY),
        }
    }

    /// Returns p against "not within": at most 5 % exactly where the 95 % interval lies within both ends.
    fn p_within(self, inference: &Inference) -> f64 {
        let mut p = 0.0_f64;
        if self.low.is_finite() {
            p = p.max(inference.walsh.p_above(self.low));
        }
        if self.high.is_finite() {
            p = p.max(inference.walsh.p_below(self.high));
        }
        (2.0 * p).min(1.0)
    }

    /// Returns p against "within": at most 5 % exactly where the 95 % interval lies beyond one of the ends.
    fn p_outside(self, inference: &Inference) -> f64 {
        let mut p = 1.0_f64;
        if self.low.is_finite() {
            p = p.min(inference.walsh.p_below(self.low));
        }
        if self.high.is_finite() {
            p = p.min(inference.walsh.p_above(self.high));
        }
        (2.0 * p).min(1.0)
    }

    /// Returns p against "not on the claim's side of no difference"; 1 for a claim that has no side.
    fn p_side(self, inference: &Inference) -> f64 {
        let p = if self.high <= 0.0 {
            inference.walsh.p_below(0.0)
        } else if self.low >= 0.0 {
            inference.walsh.p_above(0.0)
        } else {
            1.0
        };
        (2.0 * p).min(1.0)
    }
}

/// Judges all comparisons of a claim together; the effects of each are ln(arm / baseline).
pub(crate) fn judge(inferences: &[&Inference], claimed: Claimed) -> Vec<Judged> {
    let each = |p: fn(Claimed, &Inference) -> f64| -> Vec<f64> {
        let all = inferences.iter();
        all.map(|inference| p(claimed, inference)).collect()
    };
    let within = each(Claimed::p_within);
    let side = each(Claimed::p_side);
    // An interval lies within, outside or across an end: of two p of at most 5 % there is never more than one.
    let p: Vec<f64> = within
        .iter()
        .zip(each(Claimed::p_outside))
        .map(|(within, outside)| within.min(outside))
        .collect();
    let p_holm = holm::adjust(&p);
    let side_holm = holm::adjust(&side);
    (0..inferences.len())
        .map(|index| {
            let is_within = within[index] <= LEVEL;
            Judged {
                verdict: said(p_holm[index], is_within, side_holm[index]),
                alone: said(p[index], is_within, side[index]),
                p: p[index],
                p_holm: p_holm[index],
            }
        })
        .collect()
}

fn said(p: f64, is_within: bool, p_side: f64) -> ClaimVerdict {
    if p > LEVEL {
        ClaimVerdict::Undecided
    } else if is_within {
        ClaimVerdict::Holds
    } else if p_side <= LEVEL {
        ClaimVerdict::HoldsInPart
    } else {
        ClaimVerdict::DoesNotHold
    }
}

/// Returns the fewest rounds with which anything can be said of so many comparisons of a claim: the smallest p of n rounds, 2 / 2^n,
/// has to be at most 5 % of it. 10 rounds do for 25 comparisons, 12 for 102.
#[must_use]
pub fn fewest_rounds(comparisons: usize) -> usize {
    let mut rounds = FEWEST;
    let mut p = real(comparisons) * 2.0 / 64.0;
    while p > LEVEL {
        p /= 2.0;
        rounds += 1;
    }
    rounds
}

#[cfg(test)]
mod tests;
