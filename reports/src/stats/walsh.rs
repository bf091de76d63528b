//! Walsh averages: the Hodges-Lehmann estimate and its exact interval.

use super::signed_rank::SignedRank;
use super::{median_of_sorted, midpoint, sorted};

/// All averages of two rounds, a round with itself included, in ascending order.
///
/// A round may be infinite: a percentile that fell among the lost. The average of a +∞ and a -∞
/// round is unknown; it counts as -∞ for a lower bound, as +∞ for an upper one and as 0 for the estimate.
#[derive(Debug)]
pub(crate) struct Walsh {
    averages: Vec<f64>,
    unknown: usize,
    estimate: f64,
    distribution: &'static SignedRank,
}

/// The bounds of an interval, with the rank and the exact confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) rank: usize,
    pub(crate) confidence: f64,
}

impl Walsh {
    /// Averages the rounds. `None` for no round or one that is not a number.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        if rounds.is_empty() || rounds.iter().any(|round| round.is_nan()) {
            return None;
        }
        let mut averages = Vec::with_capacity(rounds.len() * (rounds.len() + 1) / 2);
        let mut unknown = 0;
        for (i, &a) in rounds.iter().enumerate() {
            for &b in &rounds[i..] {
                if (a + b).is_nan() {
                    unknown += 1;
                } else {
                    averages.push(midpoint(a, b));
                }
            }
        }
        averages.sort_unstable_by(f64::total_cmp);
        let estimate = if unknown == 0 {
            median_of_sorted(&averages)?
        } else {
            let mut all = averages.clone();
            all.resize(averages.len() + unknown, 0.0);
            median_of_sorted(&sorted(&all))?
        };
        Some(Self {
            averages,
            unknown,
            estimate,
            distribution: SignedRank::of(rounds.len()),
        })
    }

    /// Returns the Hodges-Lehmann estimate.
    pub(crate) const fn estimate(&self) -> f64 {
        self.estimate
    }

    /// Returns the exact interval of at least `1 - alpha`; `None` where there are too few rounds for one.
    pub(crate) fn interval(&self, alpha: f64) -> Option<Bounds> {
        let (rank, confidence) = self.distribution.rank(alpha)?;
        let known = rank.checked_sub(self.unknown + 1);
        let low = known.map_or(Some(f64::NEG_INFINITY), |i| self.averages.get(i).copied());
        let high = known.map_or(Some(f64::INFINITY), |i| {
            self.averages.iter().rev().nth(i).copied()
        });
        Some(Bounds {
            low: low?,
            high: high?,
            rank,
            confidence,
        })
    }

    /// Returns the exact one-sided p against "not above `value`".
    pub(crate) fn p_above(&self, value: f64) -> f64 {
        let above = self.averages.iter().filter(|&&average| average > value);
        self.distribution.at_least(above.count())
    }

    /// Returns the exact one-sided p against "not below `value`".
    pub(crate) fn p_below(&self, value: f64) -> f64 {
        let below = self.averages.iter().filter(|&&average| average < value);
        self.distribution.at_least(below.count())
    }

    /// Returns the two-sided p of the signed-rank test against 0: at most 5 % exactly where the 95 % interval
    /// leaves 0 out.
    pub(crate) fn p_equality(&self) -> f64 {
        (2.0 * self.p_above(0.0).min(self.p_below(0.0))).min(1.0)
    }

    /// Returns the p of the two one-sided tests of lying within ±margin.
    pub(crate) fn p_equivalence(&self, margin: f64) -> f64 {
        self.p_above(-margin).max(self.p_below(margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_infinite_round_makes_as_many_averages_infinite_as_there_are_rounds() {
        // R=10 has k=9: ten infinite averages reach it. R=20 has k=53: two such rounds give 39.
        let mut ten = vec![0.01; 10];
        ten[3] = f64::INFINITY;
        let bounds = Walsh::of(&ten).unwrap().interval(0.05).unwrap();
        assert_eq!((bounds.low, bounds.high), (0.01, f64::INFINITY));

        let mut twenty = vec![0.01; 20];
        twenty[3] = f64::INFINITY;
        twenty[7] = f64::INFINITY;
        let bounds = Walsh::of(&twenty).unwrap().interval(0.05).unwrap();
        assert_eq!((bounds.low, bounds.high), (0.01, 0.01));
    }

    #[test]
    fn infinities_of_both_signs_widen_both_bounds() {
        let mut rounds = vec![0.0; 6];
        rounds[0] = f64::INFINITY;
        rounds[1] = f64::NEG_INFINITY;
        let walsh = Walsh::of(&rounds).unwrap();
        let bounds = walsh.interval(0.05).unwrap();
        assert_eq!(
            (bounds.low, bounds.high),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        assert!(walsh.estimate().abs() < f64::EPSILON);
    }

    #[test]
    fn five_rounds_have_no_interval() {
        assert!(Walsh::of(&[1.0; 5]).unwrap().interval(0.05).is_none());
        assert!(Walsh::of(&[]).is_none());
        assert!(Walsh::of(&[f64::NAN]).is_none());
    }
}
