//! Walsh averages of many values, without making them all: what [`super::walsh`] says, in time and memory that grow with
//! the number of values and not with its square.

use super::signed_rank::SignedRank;
use super::student::normal_below;
use super::{real, sorted};

/// Up to so many values the exact distribution is used; beyond, the normal one, whose tails are the heavier.
const EXACT: usize = 100;

/// Halvings of a range that find an average: its width is below 10⁻¹⁵ of the range then.
const HALVINGS: usize = 50;

/// Finite values, of which the Walsh averages are counted.
#[derive(Debug, Clone)]
pub(crate) struct ManyWalsh {
    sorted: Vec<f64>,
}

impl ManyWalsh {
    /// Takes values. `None` for no value or one that isn't finite.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let finite = !values.is_empty() && values.iter().all(|value| value.is_finite());
        finite.then(|| Self {
            sorted: sorted(values),
        })
    }

    /// Returns the same values less a constant.
    pub(crate) fn less(mut self, constant: f64) -> Self {
        for value in &mut self.sorted {
            *value -= constant;
        }
        self
    }

    /// Returns how many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns how many averages there are.
    const fn averages(&self) -> usize {
        self.sorted.len() * (self.sorted.len() + 1) / 2
    }

    /// Counts averages whose double satisfies a condition that holds up to a point.
    fn count(&self, holds: impl Fn(f64) -> bool) -> usize {
        let mut end = self.sorted.len();
        let mut count = 0;
        for (index, value) in self.sorted.iter().enumerate() {
            while end > index && !holds(value + self.sorted[end - 1]) {
                end -= 1;
            }
            if end <= index {
                break;
            }
            count += end - index;
        }
        count
    }

    /// Returns the average of this rank, from 1.
    fn ranked(&self, rank: usize) -> f64 {
        let (mut low, mut high) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.count(|sum| sum <= 2.0 * middle) >= rank {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// Returns the Hodges-Lehmann estimate.
    pub(crate) fn estimate(&self) -> f64 {
        let averages = self.averages();
        let upper = self.ranked(averages / 2 + 1);
        if averages % 2 == 1 {
            return upper;
        }
        f64::midpoint(self.ranked(averages / 2), upper)
    }

    /// Returns the interval of at least `1 - alpha` with its confidence; `None` where there are too few values for one.
    pub(crate) fn interval(&self, alpha: f64) -> Option<(f64, f64, f64)> {
        let (rank, confidence) = self.rank(alpha)?;
        let low = self.ranked(rank);
        let high = self.ranked(self.averages() + 1 - rank);
        Some((low, high, confidence))
    }

    /// Returns the two-sided p of the signed-rank test against 0.
    pub(crate) fn p_equality(&self) -> f64 {
        let above = self.averages() - self.count(|sum| sum <= 0.0);
        let below = self.count(|sum| sum < 0.0);
        (2.0 * self.at_least(above).min(self.at_least(below))).min(1.0)
    }

    /// Returns `P(T⁺ ≥ t)`.
    fn at_least(&self, t: usize) -> f64 {
        if self.sorted.len() <= EXACT {
            return SignedRank::of(self.sorted.len()).at_least(t);
        }
        upper_tail((real(t) - 0.5 - self.mean()) / self.deviation())
    }

    /// Returns which averages from both ends bound the interval.
    fn rank(&self, alpha: f64) -> Option<(usize, f64)> {
        if self.sorted.len() <= EXACT {
            return SignedRank::of(self.sorted.len()).rank(alpha);
        }
        // The largest k with P(T⁺ ≤ k - 1) ≤ alpha / 2.
        let (mut low, mut high) = (0, self.averages() / 2);
        while low < high {
            let middle = usize::midpoint(low, high + 1);
            if self.at_most(middle - 1) <= alpha / 2.0 {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        (low > 0).then(|| (low, 1.0 - 2.0 * self.at_most(low - 1)))
    }

    fn at_most(&self, t: usize) -> f64 {
        upper_tail((self.mean() - 0.5 - real(t)) / self.deviation())
    }

    fn mean(&self) -> f64 {
        real(self.averages()) / 2.0
    }

    fn deviation(&self) -> f64 {
        let n = real(self.sorted.len());
        (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt()
    }
}

/// Returns the upper tail of the normal distribution.
fn upper_tail(z: f64) -> f64 {
    normal_below(-z)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::walsh::Walsh;
    use super::*;

    #[test]
    fn the_normal_distribution_takes_over_without_a_step() {
        let values: Vec<f64> = (0..EXACT).map(|i| real(i * 37 % 101) - 45.0).collect();
        let exact = ManyWalsh::of(&values).unwrap();
        let table = SignedRank::of(EXACT);
        for t in [2_600, 2_900, 3_200, 3_400] {
            let normal = upper_tail((real(t) - 0.5 - exact.mean()) / exact.deviation());
            let off = normal / table.at_least(t);
            assert!((0.97..1.25).contains(&off), "{t}: {off}");
        }
        let more: Vec<f64> = values.iter().copied().chain([0.5]).collect();
        let (one, other) = (exact.interval(0.05).unwrap(), {
            ManyWalsh::of(&more).unwrap().interval(0.05).unwrap()
        });
        assert!((one.0 - other.0).abs() < 1.0 && (one.1 - other.1).abs() < 1.0);
        assert!(other.2 >= 0.95, "{}", other.2);
    }

    #[test]
    fn nothing_is_made_of_nothing_or_of_what_is_lost() {
        assert!(ManyWalsh::of(&[]).is_none());
        assert!(ManyWalsh::of(&[1.0, f64::INFINITY]).is_none());
        assert!(ManyWalsh::of(&[1.0; 5]).unwrap().interval(0.05).is_none());
    }

    proptest! {
        #[test]
        fn it_says_what_all_averages_say(values in prop::collection::vec(-2.0_f64..2.0, 1..60)) {
            let (all, many) = (Walsh::of(&values).unwrap(), ManyWalsh::of(&values).unwrap());
            prop_assert!((all.estimate() - many.estimate()).abs() < 1e-9);
            prop_assert!((all.p_equality() - many.p_equality()).abs() < 1e-9);
            match (all.interval(0.05), many.interval(0.05)) {
                (None, None) => {}
                (Some(all), Some((low, high, confidence))) => {
                    prop_assert!((all.low - low).abs() < 1e-9 && (all.high - high).abs() < 1e-9);
                    prop_assert!((all.confidence - confidence).abs() < 1e-9);
                }
                (all, many) => prop_assert!(false, "{all:?} {many:?}"),
            }
        }
    }
}
