//! The exact two-sample U test of Mann and Whitney, ties included: the cross-check with benchstat, never a verdict.

use super::{real, sorted};

/// Most values of one sample for which the distribution is counted.
pub(crate) const MOST: usize = 50;

/// Returns the exact two-sided p of two independent samples being drawn alike: the chance, over all ways to deal
/// the values to the two, of a U at least as far out on its side, doubled. `None` for an empty sample, one
/// of more than 50, or a value that is not a number.
pub(crate) fn p_two_sided(one: &[f64], other: &[f64]) -> Option<f64> {
    let sizes = 1..=MOST;
    let unfit =
        |sample: &[f64]| !sizes.contains(&sample.len()) || sample.iter().any(|x| x.is_nan());
    if unfit(one) || unfit(other) {
        return None;
    }
    let observed = twice_u(one, other);
    let ways = deal(&tied(one, other), one.len(), one.len() * other.len());
    let all: f64 = ways.iter().sum();
    let below: f64 = ways[..=observed].iter().sum();
    let above: f64 = ways[observed..].iter().sum();
    Some((2.0 * below.min(above) / all).min(1.0))
}

/// 2 U of the first sample: 2 for each pair that it wins, 1 for each tie.
fn twice_u(one: &[f64], other: &[f64]) -> usize {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    pairs
        .map(|(a, b)| match a.total_cmp(b) {
            std::cmp::Ordering::Greater => 2,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Less => 0,
        })
        .sum()
}

/// How many values of both samples together are equal, from the smallest value upwards.
fn tied(one: &[f64], other: &[f64]) -> Vec<usize> {
    let all = sorted(&[one, other].concat());
    all.chunk_by(|a, b| a.total_cmp(b).is_eq())
        .map(<[f64]>::len)
        .collect()
}

/// Counts the ways to deal groups of equal values so that the first sample gets `size`, by 2 U.
fn deal(groups: &[usize], size: usize, pairs: usize) -> Vec<f64> {
    let width = 2 * pairs + 1;
    let mut ways = vec![vec![0.0; width]; size + 1];
    ways[0][0] = 1.0;
    let mut before = 0;
    for &group in groups {
        let mut next = vec![vec![0.0; width]; size + 1];
        for (taken, row) in ways.iter().enumerate().take(before + 1) {
            let beaten = before - taken;
            for more in 0..=group.min(size - taken) {
                let gain = more * (2 * beaten + group - more);
                let choices = choose(group, more);
                for (u, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                    if let Some(cell) = next[taken + more].get_mut(u + gain) {
                        *cell += count * choices;
                    }
                }
            }
        }
        ways = next;
        before += group;
    }
    ways.swap_remove(size)
}

/// n over k.
fn choose(n: usize, k: usize) -> f64 {
    (0..k).fold(1.0, |product, i| product * real(n - i) / real(i + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ties_it_is_the_textbook_table() {
        // Three against three, all below: one way of twenty on each side.
        let p = p_two_sided(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert!((p - 0.1).abs() < 1e-12, "{p}");
        let p = p_two_sided(&[1.0, 5.0, 6.0], &[2.0, 3.0, 4.0]).unwrap();
        assert!((p - 0.7).abs() < 1e-12, "{p}");
    }

    #[test]
    fn all_equal_is_no_difference_and_nonsense_has_no_p() {
        let p = p_two_sided(&[1.0; 4], &[1.0; 9]).unwrap();
        assert!((p - 1.0).abs() < 1e-12, "{p}");
        assert_eq!(p_two_sided(&[], &[1.0]), None);
        assert_eq!(p_two_sided(&[f64::NAN], &[1.0]), None);
        assert_eq!(p_two_sided(&[1.0; 51], &[1.0]), None);
        assert!(p_two_sided(&[1.0; 50], &[2.0; 50]).unwrap() < 1e-20);
    }
}
