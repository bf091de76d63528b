//! How many rounds a margin needs, and how small a difference a number of rounds can tell (statistics §2.7).

use super::by_count::ByCount;
use super::{real, student};

/// Fewest rounds with a 95 % interval.
pub(crate) const FEWEST: usize = 6;

/// Returns the fewest rounds R, from 6 to 1,000, with `R ≥ ((t.975 + t.90) s / reach)²`: a chance of 90 %
/// that the interval stays within `reach` of the truth. `None` where 1,000 rounds don't do.
pub(crate) fn needed(spread: f64, reach: f64) -> Option<usize> {
    (FEWEST..=super::signed_rank::MOST_ROUNDS).find(|&rounds| resolved(spread, rounds) <= reach)
}

/// Returns the smallest difference that this many rounds find in nine of ten campaigns, on the scale
/// of `spread`.
pub(crate) fn resolved(spread: f64, rounds: usize) -> f64 {
    static REACH: ByCount<f64> = ByCount::new();
    let reach = REACH.of(rounds, |rounds| {
        let degrees = real(rounds.max(2) - 1);
        student::quantile(0.975, degrees) + student::quantile(0.90, degrees)
    });
    reach * spread / real(rounds.max(1)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_methodology_is_met() {
        // Statistics §2.7 prints the s_d and margin in percent.
        for (spread, margin, rounds) in [
            (0.01, 0.05_f64, 6),
            (0.03, 0.05, 7),
            (0.05, 0.03, 33),
            (0.05, 0.05, 14),
            (0.08, 0.05, 31),
            (0.15, 0.05, 102),
            (0.15, 0.03, 273),
        ] {
            let found = needed(spread, margin.ln_1p()).unwrap();
            assert!(found.abs_diff(rounds) <= 1, "{spread} {margin}: {found}");
        }
        assert_eq!(needed(1.0, 0.01), None);
    }

    #[test]
    fn detectable_differences_match_the_methodology() {
        for (spread, rounds, percent) in [(0.01, 10, 1.2), (0.03, 20, 2.3), (0.08, 30, 5.0)] {
            let found = 100.0 * resolved(spread, rounds).exp_m1();
            assert!((found - percent).abs() < 0.06, "{spread} {rounds}: {found}");
        }
    }
}
