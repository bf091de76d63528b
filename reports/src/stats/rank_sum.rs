//! Two independent samples: the Hodges-Lehmann shift with the interval of the rank-sum test (Mann and Whitney), for
//! rounds that were not measured in pairs.

use super::signed_rank::MOST_ROUNDS;
use super::walsh::Bounds;
use super::{median_of_sorted, real, sorted, student};

/// Most pairs of values whose distribution is counted; beyond it the normal approximation is as good.
const MOST_COUNTED: usize = 4_000;

/// All differences of a later value and an earlier one, in ascending order.
///
/// Values may be infinite. The difference of two that are infinite alike is unknown: it counts as -∞ for a lower bound,
/// as +∞ for an upper one and as 0 for the estimate.
#[derive(Debug)]
pub(crate) struct RankSum {
    differences: Vec<f64>,
    unknown: usize,
    sizes: [usize; 2],
}

impl RankSum {
    /// Takes all differences. `None` for an empty sample, one of more than 1,000, or a value that is not a number.
    pub(crate) fn of(before: &[f64], after: &[f64]) -> Option<Self> {
        let unfit = |sample: &[f64]| {
            !(1..=MOST_ROUNDS).contains(&sample.len()) || sample.iter().any(|value| value.is_nan())
        };
        if unfit(before) || unfit(after) {
            return None;
        }
        let all = after
            .iter()
            .flat_map(|late| before.iter().map(move |early| late - early));
        let mut differences: Vec<f64> = all.filter(|difference| !difference.is_nan()).collect();
        differences.sort_unstable_by(f64::total_cmp);
        Some(Self {
            unknown: before.len() * after.len() - differences.len(),
            sizes: [before.len(), after.len()],
            differences,
        })
    }

    /// Returns the Hodges-Lehmann estimate of the shift: the median of all differences.
    pub(crate) fn estimate(&self) -> Option<f64> {
        if self.unknown == 0 {
            return median_of_sorted(&self.differences);
        }
        let mut all = self.differences.clone();
        all.resize(self.differences.len() + self.unknown, 0.0);
        median_of_sorted(&sorted(&all))
    }

    /// Returns the interval of confidence at least `1 - alpha`; `None` where there are too few values for one.
    pub(crate) fn interval(&self, alpha: f64) -> Option<Bounds> {
        let (rank, outside) = rank(self.sizes, alpha)?;
        let from_below = rank.checked_sub(1 + self.unknown);
        let low = from_below.map_or(f64::NEG_INFINITY, |index| self.differences[index]);
        let high = from_below.map_or(f64::INFINITY, |index| {
            self.differences[self.differences.len() - 1 - index]
        });
        Some(Bounds {
            low,
            high,
            rank,
            confidence: 1.0 - 2.0 * outside,
        })
    }
}

/// Returns the largest rank k with `P(U ≤ k - 1) ≤ alpha / 2`, and that probability.
fn rank([one, other]: [usize; 2], alpha: f64) -> Option<(usize, f64)> {
    let pairs = one * other;
    if pairs > MOST_COUNTED {
        let (pairs, all) = (real(pairs), real(one + other));
        let deviation = (pairs * (all + 1.0) / 12.0).sqrt();
        let below =
            |rank: usize| student::normal_below((real(rank) - 0.5 - pairs / 2.0) / deviation);
        let rank = (1..one * other / 2)
            .rev()
            .find(|&rank| below(rank) <= alpha / 2.0)?;
        return Some((rank, below(rank)));
    }
    let ways = ways(one, other);
    let all: f64 = ways.iter().sum();
    let mut below = 0.0;
    let mut found = None;
    for (u, count) in ways.iter().enumerate() {
        below += count / all;
        if below > alpha / 2.0 {
            break;
        }
        found = Some((u + 1, below));
    }
    found
}

/// Counts the ways to choose ranks for the first sample, by U.
fn ways(one: usize, other: usize) -> Vec<f64> {
    let mut ways = vec![vec![0.0; one * other + 1]; one + 1];
    ways[0][0] = 1.0;
    for value in 1..=one + other {
        for place in (1..=one.min(value)).rev() {
            // Taken as the place-th smallest, it beats all smaller values that are not of its sample.
            let beaten = value - place;
            if beaten > other {
                continue;
            }
            let (fewer, more) = ways.split_at_mut(place);
            let into = more[0][beaten..].iter_mut();
            for (into, from) in into.zip(&fewer[place - 1]) {
                *into += from;
            }
        }
    }
    ways.swap_remove(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mann_whitney;

    #[test]
    fn the_ranks_are_those_of_the_textbook() {
        // R: qwilcox(0.025, m, n) is the critical value; k is the rank of the bound.
        for (sizes, expected) in [([6, 6], 6), ([10, 10], 24), ([10, 20], 56), ([20, 20], 128)] {
            let (found, outside) = rank(sizes, 0.05).unwrap();
            assert_eq!(found, expected, "{sizes:?}");
            assert!(outside <= 0.025, "{outside}");
        }
        assert_eq!(rank([3, 3], 0.05), None);
    }

    #[test]
    fn the_interval_excludes_zero_exactly_where_the_test_rejects() {
        let before = [1.0, 2.5, 3.1, 4.7, 5.2, 6.6, 7.9];
        for shift in [0.3, 2.05, 4.13, 5.21, 6.07, 9.0] {
            let after = before.map(|value| value + shift);
            let interval = RankSum::of(&before, &after)
                .unwrap()
                .interval(0.05)
                .unwrap();
            let p = mann_whitney::p_two_sided(&before, &after).unwrap();
            assert_eq!(interval.low > 0.0, p <= 0.05, "{shift}: {interval:?} {p}");
        }
    }

    #[test]
    fn a_shift_is_found_and_mirrored() {
        let before: Vec<f64> = (0..10).map(f64::from).collect();
        let after: Vec<f64> = before.iter().map(|value| value + 100.0).collect();
        let there = RankSum::of(&before, &after).unwrap();
        let back = RankSum::of(&after, &before).unwrap();
        assert_eq!(there.estimate(), Some(100.0));
        assert_eq!(back.estimate(), Some(-100.0));
        let (there, back) = (there.interval(0.05).unwrap(), back.interval(0.05).unwrap());
        assert_eq!((there.low, there.high), (-back.high, -back.low));
        assert!((0.95..0.97).contains(&there.confidence), "{there:?}");
    }

    #[test]
    fn the_approximation_continues_the_count() {
        let (counted, _) = rank([60, 60], 0.05).unwrap();
        let (near, _) = rank([64, 64], 0.05).unwrap();
        assert!(near > counted && near < counted + 300, "{counted} {near}");
        assert!(rank([1_000, 1_000], 0.05).is_some());
    }

    #[test]
    fn what_is_lost_on_both_sides_bounds_nothing() {
        let lost = [f64::INFINITY; 8];
        let sum = RankSum::of(&lost, &lost).unwrap();
        let interval = sum.interval(0.05).unwrap();
        assert_eq!(
            (interval.low, interval.high),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        let sum = RankSum::of(&[1.0; 8], &lost).unwrap();
        assert!(sum.interval(0.05).unwrap().low.is_infinite());
        assert!(RankSum::of(&[f64::NAN], &lost).is_none());
        assert!(RankSum::of(&[], &lost).is_none());
    }
}
