//! Where a stretch of a series most likely changes: the divergence of E-divisive (Matteson and James, arXiv
//! 1306.4933) with exponent 1.

use super::real;

/// A place where a stretch may be split, with how far its sides diverge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// Index of the first value of the right side.
    pub(crate) index: usize,
    pub(crate) divergence: f64,
}

/// Returns the split of a stretch with the largest divergence, the first of equals; the right side may end before
/// the stretch does. `None` for fewer than two values.
pub(crate) fn best(stretch: &[f64]) -> Option<Split> {
    let n = stretch.len();
    let within = within_prefixes(stretch);
    // For each value: the sum of its distances from those before it, from `tau` on.
    let mut back: Vec<f64> = (0..n).map(|k| within[k + 1] - within[k]).collect();
    let mut best: Option<Split> = None;
    for tau in 1..n {
        for (sum, value) in back.iter_mut().zip(stretch).skip(tau) {
            *sum -= (value - stretch[tau - 1]).abs();
        }
        let mut right = 0.0;
        for kappa in tau + 1..=n {
            right += back[kappa - 1];
            let divergence = divergence(within[kappa], within[tau], right, tau, kappa - tau);
            if best.is_none_or(|best| divergence > best.divergence) {
                best = Some(Split {
                    index: tau,
                    divergence,
                });
            }
        }
    }
    best
}

/// Sums of the distances of all pairs among the first k values, for every k.
fn within_prefixes(stretch: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; stretch.len() + 1];
    for (k, newest) in stretch.iter().enumerate() {
        let added: f64 = stretch[..k]
            .iter()
            .map(|value| (value - newest).abs())
            .sum();
        sums[k + 1] = sums[k] + added;
    }
    sums
}

/// The scaled energy distance of `m` values on the left and `n` on the right, from sums over pairs: of both sides
/// together, of the left alone, of the right alone.
fn divergence(both: f64, left: f64, right: f64, m: usize, n: usize) -> f64 {
    let (m, n) = (real(m), real(n));
    let mean_of_pairs = |sum: f64, size: f64, weight: f64| {
        if size > 1.0 {
            2.0 * weight / (m + n) / (size - 1.0) * sum
        } else {
            0.0
        }
    };
    2.0 / (m + n) * (both - left - right) - mean_of_pairs(left, m, n) - mean_of_pairs(right, n, m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        let series: Vec<f64> = (0..20).map(|i| if i < 13 { 1.0 } else { 5.0 }).collect();
        let split = best(&series).unwrap();
        assert_eq!(split.index, 13);
        // 13 and 7 values, 4 apart: 2 · 13 · 7 · 4 / 20.
        assert!((split.divergence - 36.4).abs() < 1e-9, "{split:?}");
    }

    #[test]
    fn one_value_cannot_be_split() {
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[1.0]), None);
        assert_eq!(best(&[1.0, 3.0]).map(|split| split.index), Some(1));
    }
}
