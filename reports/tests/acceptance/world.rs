//! A noisy machine to simulate, and the bands in which figures are accepted.

use std::ops::RangeInclusive;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tollgate_results::histogram::Histogram;

/// Latencies of a slice (statistics §2.4).
pub(crate) const SAMPLES: u32 = 5_000;

/// Rounds of the campaigns of §2.4.
pub(crate) const ROUNDS: usize = 12;

/// Everything random, from one seed.
pub(crate) struct World {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

/// How a slice's own noise is distributed, with a scale of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    Gaussian,
    /// One slice of twenty is five times as noisy.
    Contaminated,
    /// Student's t with 3 degrees of freedom.
    Heavy,
}

/// An environment that remembers a share of what it was.
pub(crate) struct Environment {
    memory: f64,
    spread: f64,
    now: f64,
}

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            spare: None,
        }
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.rng.random()
    }

    /// A standard normal variate by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    pub(crate) fn noise(&mut self, law: Law) -> f64 {
        match law {
            Law::Contaminated if self.uniform() < 0.05 => 5.0 * self.normal(),
            Law::Gaussian | Law::Contaminated => self.normal(),
            Law::Heavy => {
                let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
                self.normal() / (squares / 3.0).sqrt()
            }
        }
    }

    /// The effect of one round: ln θ and the noise of both arms' slices, `spread` in all where it is Gaussian.
    pub(crate) fn effect(&mut self, theta: f64, spread: f64, law: Law) -> f64 {
        let own = spread / 2.0_f64.sqrt();
        theta.ln() + own * (self.noise(law) - self.noise(law))
    }

    pub(crate) fn effects(&mut self, rounds: usize, theta: f64, spread: f64) -> Vec<f64> {
        let law = Law::Contaminated;
        (0..rounds)
            .map(|_| self.effect(theta, spread, law))
            .collect()
    }

    pub(crate) fn environment(&mut self, memory: f64, spread: f64) -> Environment {
        let now = spread * self.normal();
        Environment {
            memory,
            spread,
            now,
        }
    }

    pub(crate) fn step(&mut self, environment: &mut Environment) -> f64 {
        let Environment {
            memory,
            spread,
            now,
        } = *environment;
        environment.now = memory * now + (1.0 - memory * memory).sqrt() * spread * self.normal();
        environment.now
    }

    /// An A/A campaign of §2.4, the latencies of both arms by round: within a slice each latency remembers 0.8 of the
    /// one before; the environment remembers 0.7 from slice to slice and varies by 8 %; each slice has 2.5 % of
    /// its own; one latency of a hundred is stretched by a Pareto burst with index 1.6.
    pub(crate) fn campaign(&mut self, rounds: &mut [[Histogram; 2]]) {
        let mut environment = self.environment(0.7, 0.08);
        for (index, round) in rounds.iter_mut().enumerate() {
            for place in 0..2 {
                // Rounds come in pairs of opposite order.
                let arm = if index % 2 == 0 { place } else { 1 - place };
                let factor = self.step(&mut environment) + 0.025 * self.normal();
                self.slice(&mut round[arm], 20_000.0 * factor.exp());
            }
        }
    }

    fn slice(&mut self, histogram: &mut Histogram, typical_ns: f64) {
        histogram.clear();
        let mut own = self.normal();
        for _ in 0..SAMPLES {
            own = 0.8 * own + 0.6 * self.normal();
            let burst = if self.uniform() < 0.01 {
                self.uniform().max(1e-6).powf(-1.0 / 1.6)
            } else {
                1.0
            };
            histogram.record(whole(typical_ns * (0.15 * own).exp() * burst));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up latencies are positive and far below 2^63"
)]
fn whole(ns: f64) -> u64 {
    ns as u64
}

/// A share of simulated campaigns.
#[expect(clippy::cast_precision_loss, reason = "counts of campaigns are small")]
pub(crate) fn share(hits: usize, trials: usize) -> f64 {
    hits as f64 / trials as f64
}

/// Prints a figure with its band, and fails outside it.
#[track_caller]
pub(crate) fn accept(what: &str, found: f64, band: RangeInclusive<f64>) {
    println!(
        "{what}: {found:.4} (accepted: {} to {})",
        band.start(),
        band.end()
    );
    assert!(band.contains(&found), "{what}: {found} is not in {band:?}");
}

/// Prints the figure of a broken variant, and fails where the band would have let it through.
#[track_caller]
pub(crate) fn teeth(what: &str, found: f64, band: RangeInclusive<f64>) {
    println!(
        "{what}: {found:.4} (teeth: must be outside {} to {})",
        band.start(),
        band.end()
    );
    assert!(
        !band.contains(&found),
        "{what}: {found} is in {band:?}: the test sees nothing"
    );
}

/// Prints a figure that nothing depends on.
pub(crate) fn tell(what: &str, found: f64) {
    println!("{what}: {found:.4}");
}
