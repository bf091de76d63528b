//! Samples in the order in which they were taken: how many independent ones they are worth, and how much each
//! remembers of the one before.

use super::{real, sorted};

/// Fewest samples whose batches say anything.
const FEWEST: usize = 16;

/// Returns how many independent samples a sequence is worth at a quantile in (0, 1): from the variance of batch
/// means of "above the quantile", batches of ⌈√n⌉ (statistics §2.3). At most n; `None` for fewer than 16
/// samples or one that is not a number.
pub(crate) fn effective(samples: &[f64], quantile: f64) -> Option<f64> {
    if samples.len() < FEWEST || samples.iter().any(|sample| sample.is_nan()) {
        return None;
    }
    let n = real(samples.len());
    let ordered = sorted(samples);
    let at = ordered[rank(samples.len(), quantile) - 1];
    let above = |sample: &f64| f64::from(u8::from(*sample > at));
    let share = samples.iter().map(above).sum::<f64>() / n;
    let root = samples.len().isqrt();
    let batch = root + usize::from(root * root < samples.len());
    let means: Vec<f64> = samples
        .chunks_exact(batch)
        .map(|batch| batch.iter().map(above).sum::<f64>() / real(batch.len()))
        .collect();
    let variance = super::spread(&means)?.powi(2);
    let effective = n * share * (1.0 - share) / (real(batch) * variance);
    // Nothing above, or equally many in each batch: nothing speaks against n.
    Some(if effective.is_nan() {
        n
    } else {
        effective.min(n)
    })
}

/// The nearest rank, from 1, of a quantile among n values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies between 1 and n"
)]
pub(crate) fn rank(n: usize, quantile: f64) -> usize {
    // The small slack keeps 0.9 * 1000 at rank 900 though 0.9 is not exact in binary.
    ((quantile * real(n) - 1e-9).ceil() as usize).clamp(1, n.max(1))
}

/// Returns the correlation of each value with the next, corrected for the means that were taken off: `residuals`
/// are deviations from the means of `segments` stretches. 0 for fewer than three values, or equal ones.
pub(crate) fn lag_one(residuals: &[f64], segments: usize) -> f64 {
    let n = real(residuals.len());
    let squares: f64 = residuals.iter().map(|value| value * value).sum();
    if residuals.len() < 3 || squares <= 0.0 {
        return 0.0;
    }
    let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let raw = products / squares;
    // Kendall's correction of the bias, once for each mean.
    (raw + real(segments) * (1.0 + 3.0 * raw) / n).clamp(-0.99, 0.99)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A sequence that remembers a share of its last value.
    fn remembering(share: f64, n: usize) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut last = 0.0;
        let mut next = || {
            let uniform: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
            last = share * last + (1.0 - share * share).sqrt() * (uniform - 6.0);
            last
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn independent_samples_are_worth_themselves_and_others_less() {
        let independent = effective(&remembering(0.0, 10_000), 0.5).unwrap();
        assert!(independent > 6_500.0, "{independent}");
        // The indicator of the median has correlation 2/π asin ρ at lag 1: about a sixth for ρ = 0.8.
        let memory = effective(&remembering(0.8, 10_000), 0.5).unwrap();
        assert!((800.0..3_000.0).contains(&memory), "{memory}");
        assert!(effective(&[1.0; 15], 0.5).is_none());
        assert!(effective(&[f64::NAN; 50], 0.5).is_none());
        assert_eq!(effective(&[1.0; 50], 0.5), Some(50.0));
    }

    #[test]
    fn memory_is_found_again() {
        for share in [0.0, 0.5, 0.9] {
            let found = lag_one(&remembering(share, 20_000), 1);
            assert!((found - share).abs() < 0.03, "{share}: {found}");
        }
        assert!(lag_one(&[1.0, 2.0], 1).abs() < f64::EPSILON);
        assert!(lag_one(&[0.0; 9], 1).abs() < f64::EPSILON);
    }
}
