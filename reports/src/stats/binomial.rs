//! The exact binomial test.

use statrs::distribution::{Binomial, Discrete as _};

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
    fn six_of_six_drops_on_one_of_two_arms_are_no_accident() {
        assert!((p_two_sided(6, 6, 0.5) - 2.0 / 64.0).abs() < 1e-12);
        assert!((p_two_sided(2, 2, 0.5) - 0.5).abs() < 1e-12);
        assert!((p_two_sided(3, 6, 0.5) - 1.0).abs() < 1e-9);
        assert!((p_two_sided(0, 0, 0.5) - 1.0).abs() < 1e-12);
    }
}
