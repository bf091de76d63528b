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
    /// Correlation of each value with the next, within stretches.
    pub(crate) memory: f64,
    pub(crate) p: f64,
}

/// Finds the changes of a series of logarithms at a p that fits its memory.
///
/// A change that was not taken off looks like memory, so the first pass, at the memory of the whole, is strict; a
/// second one takes the memory within the stretches that the first found.
pub(crate) fn detect(series: &[f64], magnitude: f64) -> Found {
    let first = at_memory(series, magnitude, &[]);
    if first.changes.is_empty() {
        return first;
    }
    let places: Vec<usize> = first.changes.iter().map(|change| change.index).collect();
    let second = at_memory(series, magnitude, &places);
    if second.changes.len() >= first.changes.len() {
        second
    } else {
        first
    }
}

fn at_memory(series: &[f64], magnitude: f64, places: &[usize]) -> Found {
    let mut residuals = Vec::with_capacity(series.len());
    let mut start = 0;
    for &end in places.iter().chain(std::iter::once(&series.len())) {
        let stretch = &series[start..end];
        let mean = mean(stretch);
        residuals.extend(stretch.iter().map(|value| value - mean));
        start = end;
    }
    let memory = lag_one(&residuals, places.len() + 1);
    // It is an estimate: a standard error on top keeps its low half from promising too much.
    let error = ((1.0 - memory * memory) / real(series.len().max(1))).sqrt();
    let p = p_at(memory + error);
    Found {
        changes: settled(series, p, magnitude),
        memory,
        p,
    }
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

/// The p for a memory, rounded up to the next step: simulated once, then kept.
fn p_at(memory: f64) -> f64 {
    static SIMULATED: [OnceLock<f64>; STEPS] = [const { OnceLock::new() }; STEPS];
    let step = (0..STEPS).find(|&step| of_step(step) >= memory);
    let step = step.unwrap_or(STEPS - 1);
    *SIMULATED[step].get_or_init(|| simulate(of_step(step)))
}

fn of_step(step: usize) -> f64 {
    0.05 * real(step)
}

/// Lowers p in half decades until series without change show few enough of them.
fn simulate(memory: f64) -> f64 {
    // The same series for every p and memory, so that p falls steadily with memory.
    let mut rng = ChaCha8Rng::seed_from_u64(0x0070_6F69_6E74_7321);
    let series: Vec<Vec<f64>> = (0..SERIES).map(|_| unchanged(&mut rng, memory)).collect();
    let mut p = LOOSEST;
    while p > STRICTEST {
        let found: usize = series
            .iter()
            .map(|series| settled(series, p, 0.0).len())
            .sum();
        if real(found) <= FALSE_PER_100 * real(SERIES) {
            break;
        }
        p /= 10.0_f64.sqrt();
    }
    p
}

/// 100 normal values, each remembering a share of the one before.
fn unchanged(rng: &mut ChaCha8Rng, memory: f64) -> Vec<f64> {
    let mut last = normal(rng);
    (0..100)
        .map(|_| {
            last = memory * last + (1.0 - memory * memory).sqrt() * normal(rng);
            last
        })
        .collect()
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
        let (none, some, much) = (p_at(0.0), p_at(0.5), p_at(0.8));
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
