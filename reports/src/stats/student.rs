//! Student's t and the normal distribution: quantiles and probabilities.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// Returns the quantile of t with these degrees of freedom, at least 1.
pub(crate) fn quantile(probability: f64, degrees: f64) -> f64 {
    distribution(degrees).inverse_cdf(probability)
}

/// Returns `P(T ≥ t)`.
pub(crate) fn at_least(t: f64, degrees: f64) -> f64 {
    distribution(degrees).sf(t)
}

/// Returns the chance that a standard normal variate lies below `z`.
pub(crate) fn normal_below(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

fn distribution(degrees: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).expect("location, scale and degrees are in range")
}
