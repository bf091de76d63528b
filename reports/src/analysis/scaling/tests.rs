//! Acceptance test S12 of statistics §4.2: what claims on a rise get right and wrong.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::stats::real;

const LEVELS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 3_000.0, 10_000.0];
const CAMPAIGNS: usize = 2_000;

/// Shares of campaigns with each claim and with each label.
struct Shares {
    flat: f64,
    grows: f64,
    linear: f64,
}

/// 50 µs and a rise per 1,000 on top; 8 rounds with 3 % noise and an environment that all levels share.
fn simulate(seed: u64, per_thousand: f64) -> Shares {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    };
    let (mut flat, mut grows, mut linear) = (0, 0, 0);
    for _ in 0..CAMPAIGNS {
        let rounds: Vec<Vec<f64>> = (0..8)
            .map(|_| {
                let environment = 0.08 * normal();
                let value = |n: &f64| {
                    let truth = 50.0 + per_thousand * n / 1e3;
                    truth * f64::exp(environment + 0.03 * normal())
                };
                LEVELS.iter().map(value).collect()
            })
            .collect();
        let rise = Sweep::new(&LEVELS, &rounds).unwrap().rise().unwrap();
        let log_rise = Inference::of(&rise.log_ratio, Scale::Ratio).unwrap();
        match claim(&log_rise, 0.05) {
            ScalingVerdict::Flat => flat += 1,
            ScalingVerdict::Grows => grows += 1,
            _ => {}
        }
        linear += usize::from(rise.shape == Shape::Linear);
    }
    let share = |count: usize| real(count) / real(CAMPAIGNS);
    Shares {
        flat: share(flat),
        grows: share(grows),
        linear: share(linear),
    }
}

#[test]
fn s12_what_is_flat_is_called_flat_and_never_grows() {
    let found = simulate(1, 0.0);
    assert!(found.flat >= 0.86, "flat in {}", found.flat);
    assert!(found.grows <= 0.002, "grows in {}", found.grows);
}

#[test]
fn s12_a_fifth_more_is_found_and_called_linear() {
    let found = simulate(2, 1.0);
    assert!(found.grows >= 0.995, "grows in {}", found.grows);
    assert!(found.linear >= 0.93, "linear in {}", found.linear);
}

#[test]
fn s12_a_fiftieth_more_is_rarely_called_growth() {
    let found = simulate(3, 0.1);
    assert!(found.grows <= 0.03, "grows in {}", found.grows);
}
