//! The exact binomial test, and exact bounds of a share.

use statrs::distribution::{Beta, Binomial, ContinuousCDF as _, Discrete as _, Normal};

use super::real64;

/// Returns the exact bounds of Clopper and Pearson on a share that hit `hits` of `trials` times: each side errs
/// with at most `alpha`. Nothing was tried: from 0 to 1.
pub(crate) fn bounds(hits: u64, trials: u64, alpha: f64) -> (f64, f64) {
    let hits = hits.min(trials);
    bounds_of(real64(hits), real64(trials - hits), alpha)
}

/// The same for counts that needn't be whole: what a clustered sample is worth (Korn and Graubard).
pub(crate) fn bounds_of(yes: f64, no: f64, alpha: f64) -> (f64, f64) {
    let low = quantile(yes, no + 1.0, alpha).unwrap_or(0.0);
    let high = quantile(yes + 1.0, no, 1.0 - alpha).unwrap_or(1.0);
    (low, high)
}

/// Beyond this for both parameters the continued fraction of the incomplete beta function wants more terms than it is
/// given, and the normal approximation is good to eight digits.
const LARGE: f64 = 5_000.0;

/// Returns a quantile of the beta distribution; `None` where it has none.
fn quantile(a: f64, b: f64, p: f64) -> Option<f64> {
    if a.min(b) <= LARGE {
        return Beta::new(a, b).ok().map(|beta| beta.inverse_cdf(p));
    }
    // Abramowitz and Stegun 26.5.22.
    let deviate = -Normal::standard().inverse_cdf(p);
    let [inverse_a, inverse_b] = [a, b].map(|size| (2.0 * size - 1.0).recip());
    let size = 2.0 / (inverse_a + inverse_b);
    let lambda = (deviate * deviate - 3.0) / 6.0;
    let skew = (inverse_b - inverse_a) * (lambda + 5.0 / 6.0 - 2.0 / (3.0 * size));
    let log_odds = deviate * (size + lambda).sqrt() / size - skew;
    Some(a / (a + b * (2.0 * log_odds).exp()))
}

/// Returns the exact two-sided p of `hits` out of `trials` where each hits with `probability`: the
/// chance of all outcomes that are no likelier than this one.
pub(crate) fn p_two_sided(hits: u64, trials: u64, probability: f64) -> f64 {
    let Ok(binomial) = Binomial::new(probability, trials) else {
        return 1.0;
    };
    // Outcomes that are equally likely by symmetry may differ in the last digit.
    let limit = binomial.pmf(hits) * (1.0 + 1e-7);
    let p: f64 = (0..=trials)
        .map(|count| binomial.pmf(count))
        .filter(|&pmf| pmf <= limit)
        .sum();
    p.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_clopper_and_pearson() {
        // Statistics §2.8: no alarm in 60 bounds the rate at 4.9 %, none in 300 at 1.0 %.
        for (trials, high) in [(60, 1.0 - 0.05_f64.powf(1.0 / 60.0)), (300, 0.009_94)] {
            let found = bounds(0, trials, 0.05);
            assert!(
                found.0.abs() < 1e-12 && (found.1 - high).abs() < 1e-5,
                "{found:?}"
            );
        }
        // R: binom.test(7, 20)$conf.int
        let (low, high) = bounds(7, 20, 0.025);
        assert!((low - 0.153_909_2).abs() < 1e-6, "{low}");
        assert!((high - 0.592_188_5).abs() < 1e-6, "{high}");
        assert_eq!(bounds(0, 0, 0.05), (0.0, 1.0));
    }

    #[test]
    fn bounds_of_large_counts_go_on_from_those_of_small_ones() {
        let (a, b) = (4_900.0, 30_000.0);
        for p in [0.025, 0.5, 0.975] {
            let exact = quantile(a, b, p).unwrap();
            let scale = LARGE / a * 1.001;
            let large = quantile(a * scale, b * scale, p).unwrap();
            // The distance from the middle shrinks with the root of the size.
            let middle = a / (a + b);
            let expected = middle + (exact - middle) / scale.sqrt();
            assert!((large - expected).abs() < 2e-6, "{p}: {large} {expected}");
        }
        let (low, high) = bounds(50_000_000, 100_000_000, 0.025);
        assert!((high - 0.5 - 0.98e-4).abs() < 1e-7 && (0.5 - low - 0.98e-4).abs() < 1e-7);
    }

    #[test]
    fn six_of_six_drops_on_one_of_two_arms_are_no_accident() {
        assert!((p_two_sided(6, 6, 0.5) - 2.0 / 64.0).abs() < 1e-12);
        assert!((p_two_sided(2, 2, 0.5) - 0.5).abs() < 1e-12);
        assert!((p_two_sided(3, 6, 0.5) - 1.0).abs() < 1e-9);
        assert!((p_two_sided(0, 0, 0.5) - 1.0).abs() < 1e-12);
    }
}
