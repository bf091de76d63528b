//! The statistics that verdicts rest on (statistics §2): plain functions on slices of numbers.

pub(crate) mod binomial;
pub(crate) mod by_count;
pub(crate) mod calibrated;
pub(crate) mod change_points;
pub(crate) mod components;
pub(crate) mod divisive;
pub(crate) mod fit;
pub(crate) mod holm;
pub(crate) mod mann_whitney;
pub(crate) mod many;
pub(crate) mod order;
pub(crate) mod paired;
pub(crate) mod rank_sum;
pub(crate) mod rounds;
pub(crate) mod sequence;
pub(crate) mod signed_rank;
pub(crate) mod student;
pub(crate) mod sweep;
pub(crate) mod walsh;

/// Converts a count to a real number.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts here stay far below 2^53, where every whole number is exact"
)]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}

/// The same for a count of events.
#[expect(
    clippy::cast_precision_loss,
    reason = "a relative error of 1e-16 is far below that of any measurement"
)]
pub(crate) const fn real64(count: u64) -> f64 {
    count as f64
}

/// Returns a sorted copy; infinite values go to the ends.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns the median; between two infinite values of unequal sign 0, the middle of the line.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    median_of_sorted(&sorted(values))
}

/// Returns the median of values in ascending order.
pub(crate) fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// Returns the middle of two values, 0 for two infinities of unequal sign.
pub(crate) fn midpoint(a: f64, b: f64) -> f64 {
    if a.is_infinite() && b.is_infinite() && a.signum() * b.signum() < 0.0 {
        0.0
    } else {
        f64::midpoint(a, b)
    }
}

/// Returns the standard deviation of the finite values (divisor n - 1); `None` for fewer than two.
///
/// Sums run over the sorted values, so that the order of rounds never shows in the last digit.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    let mut finite = sorted(values);
    finite.retain(|value| value.is_finite());
    if finite.len() < 2 {
        return None;
    }
    let mean = mean(&finite);
    let squares: f64 = finite.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / real(finite.len() - 1)).sqrt())
}

/// Returns the mean; not a number for no values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / real(values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_between_infinities_stays_a_number() {
        assert_eq!(median(&[f64::INFINITY, f64::NEG_INFINITY]), Some(0.0));
        assert_eq!(median(&[f64::INFINITY, 1.0]), Some(f64::INFINITY));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_spread_leaves_infinite_rounds_out() {
        assert_eq!(spread(&[1.0, 3.0, f64::INFINITY]), Some(2.0_f64.sqrt()));
        assert_eq!(spread(&[1.0, f64::INFINITY]), None);
    }
}
