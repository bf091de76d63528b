//! The exact null distribution of Wilcoxon's signed-rank statistic.

use std::sync::OnceLock;

/// Most rounds for which the distribution is made: the most that a plan may have.
pub(crate) const MOST_ROUNDS: usize = 1_000;

/// The null distribution of T⁺ for one number of rounds.
#[derive(Debug)]
pub(crate) struct SignedRank {
    /// `P(T⁺ ≤ t)` at index t.
    cumulative: Vec<f64>,
}

impl SignedRank {
    /// Returns the distribution for a number of rounds, at most [`MOST_ROUNDS`]: made once, then kept.
    pub(crate) fn of(rounds: usize) -> &'static Self {
        static TABLES: [OnceLock<SignedRank>; MOST_ROUNDS + 1] =
            [const { OnceLock::new() }; MOST_ROUNDS + 1];
        let rounds = rounds.min(MOST_ROUNDS);
        TABLES[rounds].get_or_init(|| Self::build(rounds))
    }

    /// Each rank goes to T⁺ with probability one half; halving at each step keeps every term below 1.
    fn build(rounds: usize) -> Self {
        let mut probability = vec![0.0; rounds * (rounds + 1) / 2 + 1];
        probability[0] = 1.0;
        let mut largest = 0;
        for rank in 1..=rounds {
            largest += rank;
            for t in (0..=largest).rev() {
                let without = probability[t];
                let with = if t >= rank {
                    probability[t - rank]
                } else {
                    0.0
                };
                probability[t] = f64::midpoint(without, with);
            }
        }
        let cumulative = probability
            .iter()
            .scan(0.0, |sum, p| {
                *sum += p;
                Some(f64::min(*sum, 1.0))
            })
            .collect();
        Self { cumulative }
    }

    /// Returns the number of Walsh averages, `R (R + 1) / 2`.
    pub(crate) const fn averages(&self) -> usize {
        self.cumulative.len() - 1
    }

    /// Returns `P(T⁺ ≥ t)`.
    pub(crate) fn at_least(&self, t: usize) -> f64 {
        match self.averages().checked_sub(t) {
            Some(mirrored) => self.cumulative[mirrored],
            None => 0.0,
        }
    }

    /// Returns the largest k with `P(T⁺ ≤ k - 1) ≤ alpha / 2`, and the exact confidence of the interval
    /// that the k-th Walsh averages from both ends bound. `None` where no such interval exists.
    pub(crate) fn rank(&self, alpha: f64) -> Option<(usize, f64)> {
        let k = self
            .cumulative
            .partition_point(|&below| below <= alpha / 2.0);
        let below = self.cumulative.get(k.checked_sub(1)?)?;
        Some((k, 1.0 - 2.0 * below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_ranks_of_the_95_percent_interval() {
        for (rounds, k) in [
            (6, 1),
            (7, 3),
            (8, 4),
            (9, 6),
            (10, 9),
            (12, 14),
            (15, 26),
            (16, 30),
            (20, 53),
            (24, 82),
            (30, 138),
        ] {
            assert_eq!(
                SignedRank::of(rounds).rank(0.05).map(|found| found.0),
                Some(k),
                "R={rounds}"
            );
        }
        assert!(SignedRank::of(5).rank(0.05).is_none());
    }

    #[test]
    fn the_distribution_is_whole_and_symmetric() {
        for rounds in [1, 6, 31, 300] {
            let table = SignedRank::of(rounds);
            let all = table.averages();
            assert!((table.at_least(0) - 1.0).abs() < 1e-12);
            let low = table.cumulative[all / 3];
            assert!((low - table.at_least(all - all / 3)).abs() < 1e-12);
        }
        assert!((SignedRank::of(3).at_least(6) - 0.125).abs() < 1e-15);
    }

    #[test]
    fn more_rounds_than_a_plan_may_have_do_not_panic() {
        assert_eq!(SignedRank::of(0).averages(), 0);
        assert!(SignedRank::of(0).rank(0.05).is_none());
    }
}
