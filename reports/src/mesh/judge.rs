//! From observations to verdicts that hold together: Hodges-Lehmann, signed-rank intervals, Holm's adjustment.

use std::collections::BTreeMap;

use super::matrix::median;
use super::model::{Basis, Effect};
use crate::model::{Interval, Verdict};
use crate::parallel;
use crate::stats::many::ManyWalsh;
use crate::stats::{holm, real};

/// How sure verdicts are, all of them together.
pub(super) const ALPHA: f64 = 0.05;

/// Fewest observations of an interval.
const FEWEST: usize = 6;

/// What observations are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// What they are.
    pub(super) basis: Basis,
    /// Smaller effects are of no interest; a ratio less 1.
    pub(super) margin: f64,
}

/// Returns whether so many observations can tell one of `together` items from the others: whether the smallest p there is
/// passes Holm's first step.
pub(super) fn can_tell(observations: usize, together: usize) -> bool {
    let halvings = i32::try_from(observations).unwrap_or(i32::MAX);
    observations >= FEWEST && 2.0 * 0.5_f64.powi(halvings) * real(together) <= ALPHA
}

/// Returns how many passes tell one of `together` items from the others.
pub(super) fn passes_that_tell(together: usize) -> u32 {
    let enough = (1_u32..64).find(|passes| can_tell(*passes as usize, together));
    enough.unwrap_or(64)
}

/// Judges the effects of items that are looked at together, each by its observations: logarithms of ratios. Where items are in
/// groups, each effect is against the typical one of its group: what the group as a whole is off by is no item's.
pub(super) fn judge(items: &[Vec<f64>], groups: Option<&[usize]>, rule: Rule) -> Vec<Effect> {
    let walsh: Vec<Option<(ManyWalsh, f64)>> = parallel::map(items, |observations| {
        let known = |value: &f64| value.is_finite();
        let finite: Vec<f64> = observations.iter().copied().filter(known).collect();
        let walsh = ManyWalsh::of(&finite)?;
        let estimate = walsh.estimate();
        Some((walsh, estimate))
    });
    let typical = typical(&walsh, groups);
    let pairs: Vec<(Option<(ManyWalsh, f64)>, f64)> = walsh.into_iter().zip(typical).collect();
    let found: Vec<Found> = parallel::map(&pairs, |(walsh, typical)| match walsh {
        Some((walsh, estimate)) => Found::of(&walsh.clone().less(*typical), estimate - typical),
        None => Found::default(),
    });
    let (places, p_values): (Vec<usize>, Vec<f64>) = found
        .iter()
        .enumerate()
        .filter_map(|(place, found)| Some((place, found.p?)))
        .unzip();
    let mut adjusted = vec![None; found.len()];
    for (place, p) in places.into_iter().zip(holm::adjust(&p_values)) {
        adjusted[place] = Some(p);
    }
    found
        .iter()
        .zip(adjusted)
        .map(|(found, p_holm)| found.effect(p_holm, rule))
        .collect()
}

/// Returns for each item the typical effect of its group; 0 without groups.
fn typical(walsh: &[Option<(ManyWalsh, f64)>], groups: Option<&[usize]>) -> Vec<f64> {
    let Some(groups) = groups else {
        return vec![0.0; walsh.len()];
    };
    let mut estimates: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (group, walsh) in groups.iter().zip(walsh) {
        let estimate = walsh.as_ref().map(|(_, estimate)| *estimate);
        estimates.entry(*group).or_default().extend(estimate);
    }
    let of_group: BTreeMap<usize, f64> = estimates
        .into_iter()
        .map(|(group, mut estimates)| (group, median(&mut estimates).unwrap_or(0.0)))
        .collect();
    groups
        .iter()
        .map(|group| of_group.get(group).copied().unwrap_or(0.0))
        .collect()
}

/// What is known of one item by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    observations: usize,
    estimate: Option<f64>,
    interval95: Option<(f64, f64, f64)>,
    interval90: Option<(f64, f64, f64)>,
    p: Option<f64>,
}

impl Found {
    fn of(walsh: &ManyWalsh, estimate: f64) -> Self {
        let interval95 = walsh.interval(ALPHA);
        Self {
            observations: walsh.len(),
            estimate: Some(estimate),
            interval95,
            interval90: walsh.interval(2.0 * ALPHA),
            // Where there is no interval there is no test.
            p: interval95.map(|_| walsh.p_equality()),
        }
    }

    fn effect(&self, p_holm: Option<f64>, rule: Rule) -> Effect {
        let interval = |(low, high, confidence): (f64, f64, f64)| Interval {
            low: low.exp(),
            high: high.exp(),
            confidence,
        };
        Effect {
            verdict: self.verdict(p_holm, rule),
            ratio: self.estimate.map(f64::exp),
            interval95: self.interval95.map(interval),
            p: self.p,
            p_holm,
            observations: u32::try_from(self.observations).unwrap_or(u32::MAX),
        }
    }

    fn verdict(&self, p_holm: Option<f64>, rule: Rule) -> Verdict {
        let (Some(estimate), Some(p_holm)) = (self.estimate, p_holm) else {
            return Verdict::Insufficient;
        };
        if rule.basis == Basis::Nothing {
            return Verdict::Insufficient;
        }
        let margin = rule.margin.ln_1p();
        if p_holm <= ALPHA && estimate >= margin {
            return Verdict::Slower;
        }
        if p_holm <= ALPHA && estimate <= -margin {
            return Verdict::Faster;
        }
        match self.interval90 {
            Some((low, high, _)) if -margin < low && high < margin => Verdict::Equivalent,
            _ => Verdict::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        basis: Basis::Peers,
        margin: 0.05,
    };

    /// Observations around a value, in steps of a thousandth.
    fn around(value: f64, count: usize) -> Vec<f64> {
        (0..count)
            .map(|i| value + 1e-3 * (real(i * 7 % count) - real(count) / 2.0))
            .collect()
    }

    #[test]
    fn what_is_beyond_the_margin_and_proved_is_told() {
        let mut items = vec![around(0.02, 20); 8];
        items[3] = around(0.32, 20);
        items[5] = around(-0.28, 20);
        // Two percent more than the others is no outlier, however sure.
        items[6] = around(0.04, 20);
        let verdicts: Vec<Verdict> = judge(&items, Some(&[0; 8]), RULE)
            .iter()
            .map(|effect| effect.verdict)
            .collect();
        assert_eq!(verdicts[3], Verdict::Slower);
        assert_eq!(verdicts[5], Verdict::Faster);
        for place in [0, 1, 2, 4, 6, 7] {
            assert_eq!(verdicts[place], Verdict::Equivalent, "{place}");
        }
    }

    #[test]
    fn too_few_observations_are_insufficient_and_still_estimated() {
        let items = [around(0.3, 5), Vec::new(), around(0.0, 5)];
        let found = judge(&items, Some(&[0; 3]), RULE);
        for effect in &found {
            assert_eq!(effect.verdict, Verdict::Insufficient);
            assert_eq!(effect.p_holm, None);
        }
        assert!(found[0].ratio.unwrap() > 1.1);
        assert_eq!(found[1].ratio, None);
    }

    #[test]
    fn how_many_observations_can_tell() {
        assert!(!can_tell(8, 9) && can_tell(9, 10) && can_tell(999, 1_000));
        assert_eq!(passes_that_tell(3), 7);
        assert_eq!(passes_that_tell(4), 8);
        assert_eq!(passes_that_tell(1_000), 16);
    }
}
