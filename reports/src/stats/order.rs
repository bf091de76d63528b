//! Order-statistic intervals of a quantile: exact, free of any distribution.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::by_count::ByCount;

/// The ranks, from 1, that bound a quantile, with the exact confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranks {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) confidence: f64,
}

/// Returns the ranks of the 95 % interval of a median: [`ranks`], each number of values once.
pub(crate) fn ranks_of_median(n: usize) -> Option<Ranks> {
    static RANKS: ByCount<Option<Ranks>> = ByCount::new();
    RANKS.of(n, |n| ranks(n, 0.5, 0.05))
}

/// Returns the equal-tailed ranks of a quantile in (0, 1) among n values: each side errs with at most
/// `alpha / 2`. `None` where n is too small.
pub(crate) fn ranks(n: usize, quantile: f64, alpha: f64) -> Option<Ranks> {
    let binomial = Binomial::new(quantile, n as u64).ok()?;
    // The value of rank j lies above the quantile exactly when fewer than j values lie below it.
    let at_most = |count: usize| binomial.cdf(count as u64);
    let low = first(n, |rank| at_most(rank - 1) > alpha / 2.0).checked_sub(1)?;
    let high = first(n, |rank| 1.0 - at_most(rank - 1) <= alpha / 2.0);
    if low < 1 || high > n {
        return None;
    }
    Some(Ranks {
        low,
        high,
        confidence: at_most(high - 1) - at_most(low - 1),
    })
}

/// Returns the first rank in 1..=n that fulfils a condition which stays fulfilled, else n + 1.
fn first(n: usize, condition: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (1, n + 1);
    while low < high {
        let middle = usize::midpoint(low, high);
        if condition(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_ranks_and_confidence() {
        for (n, quantile, low, high, confidence) in [
            (10, 0.5, 2, 9, 0.978_52),
            (1_000, 0.99, 983, 997, 0.976_09),
            (10_000, 0.99, 9_880, 9_920, 0.955_75),
            (100_000, 0.999, 99_880, 99_920, 0.954_79),
        ] {
            let found = ranks(n, quantile, 0.05).unwrap();
            assert_eq!((found.low, found.high), (low, high), "n={n}");
            assert!(
                (found.confidence - confidence).abs() < 5.1e-6,
                "n={n}: {}",
                found.confidence
            );
        }
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert!(ranks(5, 0.5, 0.05).is_none());
        assert!(ranks(6, 0.5, 0.05).is_some());
        assert!(ranks(0, 0.5, 0.05).is_none());
        // The hard floors of statistics §2.3.
        assert!(ranks(367, 0.99, 0.05).is_none());
        assert!(ranks(368, 0.99, 0.05).is_some());
        assert!(ranks(3_687, 0.999, 0.05).is_none());
        assert!(ranks(3_688, 0.999, 0.05).is_some());
    }
}
