//! Installs as what repeats: where a command switches one cluster between the arms, its rounds on one install share the
//! luck of that install (statistics §2.2), and count once together.

use std::collections::BTreeMap;

use super::paired::pair;
use crate::analysis::values::RoundKey;
use crate::model::{Metric, Pair};
use crate::stats::real;

/// Makes one pair of each install's: of the means of both arms, geometric where arms are compared by their ratio.
pub(super) fn of_pairs(metric: Metric, pairs: &[Pair]) -> Vec<Pair> {
    let mut installs: BTreeMap<u32, Vec<&Pair>> = BTreeMap::new();
    for pair in pairs {
        installs.entry(pair.install).or_default().push(pair);
    }
    let of = |pairs: &[&Pair], value: fn(&Pair) -> f64| {
        let values: Vec<f64> = pairs.iter().map(|pair| value(pair)).collect();
        mean(metric, &values)
    };
    installs
        .into_iter()
        .filter_map(|(install, pairs)| {
            let round = pairs.first()?.round;
            let arm = of(&pairs, |pair| pair.arm);
            let reference = of(&pairs, |pair| pair.reference);
            Some(pair(metric, RoundKey { install, round }, arm, reference))
        })
        .collect()
}

/// Makes one value of each install's.
pub(super) fn of_values(metric: Metric, values: impl Iterator<Item = (RoundKey, f64)>) -> Vec<f64> {
    let mut installs: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (round, value) in values {
        installs.entry(round.install).or_default().push(value);
    }
    installs
        .values()
        .map(|values| mean(metric, values))
        .collect()
}

fn mean(metric: Metric, values: &[f64]) -> f64 {
    let of = |value: fn(f64) -> f64| {
        values.iter().map(|&one| value(one)).sum::<f64>() / real(values.len())
    };
    match metric {
        // A share that may be 0 has no logarithm.
        Metric::Loss => of(|share| share),
        _ => of(f64::ln).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_counts_once_by_the_means_of_its_rounds() {
        let round = |round, install| RoundKey { install, round };
        let pairs = [
            pair(Metric::P50, round(1, 0), 2.0, 1.0),
            pair(Metric::P50, round(2, 0), 8.0, 4.0),
            pair(Metric::P50, round(4, 1), 3.0, 2.0),
        ];
        let folded = of_pairs(Metric::P50, &pairs);
        assert_eq!(folded.len(), 2);
        let first = folded[0];
        assert_eq!((first.round, first.install), (1, 0));
        assert!((first.arm - 4.0).abs() < 1e-12 && (first.reference - 2.0).abs() < 1e-12);
        assert!((first.effect - 2.0).abs() < 1e-12);
        assert!((folded[1].effect - 1.5).abs() < 1e-12);

        let loss = [
            pair(Metric::Loss, round(1, 0), 0.5, 0.0),
            pair(Metric::Loss, round(2, 0), 0.0, 0.0),
        ];
        let folded = of_pairs(Metric::Loss, &loss);
        assert!((folded[0].effect - 0.25).abs() < 1e-12, "{folded:?}");

        let infinite = [
            pair(Metric::P99, round(1, 0), f64::INFINITY, 1.0),
            pair(Metric::P99, round(2, 0), 2.0, 1.0),
        ];
        let folded = of_pairs(Metric::P99, &infinite);
        assert!(
            folded[0].effect.is_infinite(),
            "a lost percentile stays lost"
        );
    }
}
