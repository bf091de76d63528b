//! The p at which change points of a series that remembers are rare enough, by simulation (statistics §2.11).
//!
//! The p of a change point is taken after its place was chosen, and as if values were independent; with memory from
//! one value to the next it promises far too much. So series of the same memory and without any change are
//! simulated, and p is lowered until they show few enough changes.

use std::sync::OnceLock;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::change_points::{self, Change, Flavour, Settings};
use super::sequence::lag_one;
use super::{mean, real};

/// False changes that are aimed at, per 100 values: what p = 0.001 gives for independent ones (statistics §2.11).
const FALSE_PER_100: f64 = 0.13;

/// The p to start from.
const LOOSEST: f64 = 1e-3;

/// Below this no t distribution can be trusted: the series remembers too much.
const STRICTEST: f64 = 1e-12;

/// Values looked at together.
pub(crate) const WINDOW: usize = 50;

/// Fewest values before a change.
pub(crate) const FEWEST_BEFORE: usize = 10;

/// Fewest values from a change on.
pub(crate) const FEWEST_AFTER: usize = 3;

/// Simulated series, of 100 values each.
const SERIES: usize = 400;

/// Steps of memory for which p is simulated: 0, 0.05 … 0.95.
const STEPS: usize = 20;

/// Changes of a series, and at which memory and p they were found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) changes: Vec<Change>,
    /// Correlation of each value with the next within stretches, as it is seen.
    pub(crate) memory: f64,
    pub(crate) p: f64,
}

/// Finds the changes of a series of logarithms at a p that fits its memory.
pub(crate) fn detect(series: &[f64], magnitude: f64) -> Found {
    let memory = seen_memory(series);
    // It is an estimate: a standard error on top keeps its low half from promising too much.
    let error = ((1.0 - memory * memory) / real(series.len().max(1))).sqrt();
    let p = p_for(memory + error);
    Found {
        changes: settled(series, p, magnitude),
        memory,
        p,
    }
}

/// The correlation of each value with the next within the stretches that the loosest p finds. A change that was left
/// in would look like memory; changes that are none take some memory off.
fn seen_memory(series: &[f64]) -> f64 {
    let changes = settled(series, LOOSEST, 0.0);
    let ends = changes.iter().map(|change| change.index);
    let mut residuals = Vec::with_capacity(series.len());
    for end in ends.chain(std::iter::once(series.len())) {
        let stretch = &series[residuals.len()..end];
        let mean = mean(stretch);
        residuals.extend(stretch.iter().map(|value| value - mean));
    }
    lag_one(&residuals, changes.len() + 1)
}

/// Changes with enough values on both sides.
fn settled(series: &[f64], p: f64, magnitude: f64) -> Vec<Change> {
    let settings = Settings {
        window: WINDOW,
        p,
        magnitude,
        flavour: Flavour::Logarithms,
    };
    let mut changes = change_points::detect(series, &settings);
    changes.retain(|change| {
        change.index >= FEWEST_BEFORE && series.len() - change.index >= FEWEST_AFTER
    });
    changes
}

/// The p for a memory as it is seen: that of the least memory whose simulated series look like it. Each step is
/// simulated once, then kept.
fn p_for(seen: f64) -> f64 {
    static SEEN: [OnceLock<f64>; STEPS] = [const { OnceLock::new() }; STEPS];
    static P: [OnceLock<f64>; STEPS] = [const { OnceLock::new() }; STEPS];
    let typical = |step: usize| {
        *SEEN[step].get_or_init(|| {
            let seen: Vec<f64> = unchanged(step)
                .iter()
                .map(|series| seen_memory(series))
                .collect();
            mean(&seen)
        })
    };
    let step = (0..STEPS).find(|&step| typical(step) >= seen);
    let step = step.unwrap_or(STEPS - 1);
    *P[step].get_or_init(|| simulate(&unchanged(step)))
}

fn of_step(step: usize) -> f64 {
    0.05 * real(step)
}

/// Lowers p in half decades until series without change show few enough of them.
fn simulate(unchanged: &[Vec<f64>]) -> f64 {
    let mut p = LOOSEST;
    while p > STRICTEST {
        let found: usize = unchanged
            .iter()
            .map(|series| settled(series, p, 0.0).len())
            .sum();
        if real(found) <= FALSE_PER_100 * real(unchanged.len()) {
            break;
        }
        p /= 10.0_f64.sqrt();
    }
    p
}

/// Series of 100 normal values, each remembering a step's share of the one before: from the same variates for every
/// step, so that p falls steadily.
fn unchanged(step: usize) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0x0070_6F69_6E74_7321);
    let memory = of_step(step);
    let mut series = || {
        let mut last = normal(&mut rng);
        let mut next = || {
            last = memory * last + (1.0 - memory * memory).sqrt() * normal(&mut rng);
            last
        };
        (0..100).map(|_| next()).collect()
    };
    (0..SERIES).map(|_| series()).collect()
}

/// A standard normal variate by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_asks_for_a_smaller_p() {
        let (none, some, much) = (p_for(0.0), p_for(0.4), p_for(0.6));
        assert!(
            none <= LOOSEST && some < none / 5.0 && much < some,
            "{none} {some} {much}"
        );
    }

    #[test]
    fn short_and_flat_series_have_no_changes() {
        for series in [vec![], vec![1.0], vec![2.0; 40]] {
            assert!(detect(&series, 0.0).changes.is_empty());
        }
    }
}
