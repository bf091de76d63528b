//! Student's t: quantiles and probabilities.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Returns the quantile of t with these degrees of freedom, at least 1.
pub(crate) fn quantile(probability: f64, degrees: f64) -> f64 {
    distribution(degrees).inverse_cdf(probability)
}

/// Returns `P(T ≥ t)`.
#[cfg(test)]
pub(crate) fn at_least(t: f64, degrees: f64) -> f64 {
    distribution(degrees).sf(t)
}

fn distribution(degrees: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).expect("location, scale and degrees are in range")
}
