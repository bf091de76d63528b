//! The paired t on finite rounds: a cross-check of the signed-rank interval, never a verdict.

use super::by_count::ByCount;
use super::{mean, real, sorted, spread, student};

/// Mean and standard error of finite rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairedT {
    pub(crate) mean: f64,
    pub(crate) standard_error: f64,
    rounds: usize,
}

impl PairedT {
    /// Returns `None` for fewer than two rounds or an infinite one.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        if rounds.len() < 2 || rounds.iter().any(|round| !round.is_finite()) {
            return None;
        }
        let n = real(rounds.len());
        Some(Self {
            mean: mean(&sorted(rounds)),
            standard_error: spread(rounds)? / n.sqrt(),
            rounds: rounds.len(),
        })
    }

    /// Returns the 95 % interval.
    pub(crate) fn interval95(&self) -> (f64, f64) {
        static QUANTILES: ByCount<f64> = ByCount::new();
        let quantile = |rounds: usize| student::quantile(0.975, real(rounds) - 1.0);
        let reach = QUANTILES.of(self.rounds, quantile) * self.standard_error;
        (self.mean - reach, self.mean + reach)
    }

    /// Returns the interval of confidence `1 - alpha`.
    #[cfg(test)]
    pub(crate) fn interval(&self, alpha: f64) -> (f64, f64) {
        let reach = student::quantile(1.0 - alpha / 2.0, self.degrees()) * self.standard_error;
        (self.mean - reach, self.mean + reach)
    }

    /// Returns the p of the two one-sided t tests of lying within ±margin.
    #[cfg(test)]
    pub(crate) fn p_equivalence(&self, margin: f64) -> f64 {
        let p = |distance: f64| student::at_least(distance / self.standard_error, self.degrees());
        p(margin - self.mean).max(p(margin + self.mean))
    }

    #[cfg(test)]
    fn degrees(&self) -> f64 {
        real(self.rounds) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_mean_intervals_and_equivalence_by_t() {
        let rounds: Vec<f64> = [
            0.012, -0.004, 0.021, 0.008, 0.015, -0.011, 0.019, 0.003, 0.010, 0.006,
        ]
        .into_iter()
        .map(f64::ln_1p)
        .collect();
        let t = PairedT::of(&rounds).unwrap();
        assert!((t.mean - 0.007_824_858_918).abs() < 1e-9);
        assert!((t.standard_error - 0.003_133_187_303).abs() < 1e-9);
        // The table prints percent with four decimals, and p with six.
        let percent = |(low, high): (f64, f64)| (100.0 * low.exp_m1(), 100.0 * high.exp_m1());
        for (alpha, low, high) in [(0.05, 0.0737, 1.5024), (0.10, 0.2084, 1.3661)] {
            let found = percent(t.interval(alpha));
            assert!((found.0 - low).abs() < 5e-5, "{found:?}");
            assert!((found.1 - high).abs() < 5e-5, "{found:?}");
        }
        assert_eq!(t.interval95(), t.interval(0.05));
        for (margin, p) in [(0.01, 0.257_298), (0.02, 0.002_036), (0.03, 3.392e-5)] {
            let found = t.p_equivalence(f64::ln_1p(margin));
            let digits: f64 = if margin > 0.025 { 5e-9 } else { 5e-7 };
            assert!((found - p).abs() < digits, "{margin}: {found}");
        }
    }

    #[test]
    fn infinite_rounds_have_no_t() {
        assert!(PairedT::of(&[1.0, f64::INFINITY, 2.0]).is_none());
        assert!(PairedT::of(&[1.0]).is_none());
    }
}
