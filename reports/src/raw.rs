//! Statistics on samples that a tool kept in the order in which it took them. Tollgate's own records keep histograms.

use crate::stats::{mann_whitney, sequence};

/// Returns how many independent samples a sequence is worth at a quantile in (0, 1).
///
/// Neighbouring latencies are alike, so that a million of them may say as much as a thousand: the variance of
/// batches tells (batches of ⌈√n⌉, statistics §2.3). `None` for fewer than 16 samples or one that is not a number.
#[must_use]
pub fn effective_samples(samples: &[f64], quantile: f64) -> Option<f64> {
    sequence::effective(samples, quantile)
}

/// Returns the exact two-sided p of the U test of Mann and Whitney, ties included, as benchstat prints it.
///
/// It takes the values of both samples for independent, which rounds of one campaign are not: a cross-check
/// with other tools, never a verdict. `None` for samples of 0 or more than 50 values, or one that is not a number.
#[must_use]
pub fn u_test(one: &[f64], other: &[f64]) -> Option<f64> {
    mann_whitney::p_two_sided(one, other)
}
