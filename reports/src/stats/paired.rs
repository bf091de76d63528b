//! The paired t on finite rounds: a cross-check of the signed-rank interval, never a verdict.

use super::{mean, real, sorted, spread, student};

/// Mean and standard error of finite rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairedT {
    pub(crate) mean: f64,
    pub(crate) standard_error: f64,
    degrees: f64,
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
            degrees: n - 1.0,
        })
    }

    /// Returns the interval of confidence `1 - alpha`.
    pub(crate) fn interval(&self, alpha: f64) -> (f64, f64) {
        let reach = student::quantile(1.0 - alpha / 2.0, self.degrees) * self.standard_error;
        (self.mean - reach, self.mean + reach)
    }

    /// Returns the p of the two one-sided t tests of lying within ±margin.
    #[cfg(test)]
    pub(crate) fn p_equivalence(&self, margin: f64) -> f64 {
        let p = |distance: f64| student::at_least(distance / self.standard_error, self.degrees);
        p(margin - self.mean).max(p(margin + self.mean))
    }
}
