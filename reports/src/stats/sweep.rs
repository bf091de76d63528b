//! The rise along a sweep: fitted in each round, so that the round stays the unit of replication.

use super::fit::Curve;
use super::{real, sorted};
use crate::model::Shape;

/// Fewest levels for which a shape is told.
pub(crate) const LEVELS_FOR_A_SHAPE: usize = 5;

/// Fewest levels for which a rise is told.
pub(crate) const LEVELS_FOR_A_RISE: usize = 3;

/// A simpler shape wins unless a richer one predicts the left-out rounds better by this share.
const SIMPLER_WINS_BY: f64 = 0.02;

/// Values of one metric: rounds × levels, all finite and positive.
#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    levels: &'a [f64],
    rounds: &'a [Vec<f64>],
    /// The rounds, each divided by its geometric mean.
    normalised: Vec<Vec<f64>>,
}

/// What a sweep shows.
#[derive(Debug)]
pub(crate) struct Rise {
    /// ln of the value at the highest level over that at the lowest, fitted in each round.
    pub(crate) log_ratio: Vec<f64>,
    /// Average rise per 1,000 of level, fitted in each round.
    pub(crate) per_thousand: Vec<f64>,
    /// The shape that predicts left-out rounds best.
    pub(crate) shape: Shape,
    /// The best-fitting curve's value at each level, on the scale of the values.
    pub(crate) curve: Vec<f64>,
}

impl<'a> Sweep<'a> {
    /// Takes levels in ascending order and for each round one value per level. `None` for too few of either or a
    /// value that isn't positive and finite.
    pub(crate) fn new(levels: &'a [f64], rounds: &'a [Vec<f64>]) -> Option<Self> {
        let good = |round: &Vec<f64>| {
            round.len() == levels.len() && round.iter().all(|y| y.is_finite() && *y > 0.0)
        };
        if levels.len() < LEVELS_FOR_A_RISE || rounds.len() < 2 || !rounds.iter().all(good) {
            return None;
        }
        let normalised = rounds
            .iter()
            .map(|round| round.iter().map(|y| y / geometric_mean(round)).collect())
            .collect();
        Some(Self {
            levels,
            rounds,
            normalised,
        })
    }

    /// Fits the rise of each round and tells the shape.
    ///
    /// The rise is fitted with the best shape that can rise: were a constant allowed, every rise would be 0 and
    /// "flat" proved by assumption.
    pub(crate) fn rise(&self) -> Option<Rise> {
        const SHAPES: [Shape; 4] = [
            Shape::Constant,
            Shape::Logarithmic,
            Shape::Linear,
            Shape::Quadratic,
        ];
        let errors: Vec<(Shape, f64)> = SHAPES
            .iter()
            .map(|&shape| (shape, self.left_out_error(shape)))
            .collect();
        let rising = simplest_of_the_best(&errors[1..]);
        let shape = simplest_of_the_best(&errors);
        let (first, last) = (*self.levels.first()?, *self.levels.last()?);
        let mut log_ratio = Vec::with_capacity(self.rounds.len());
        let mut per_thousand = Vec::with_capacity(self.rounds.len());
        for round in self.rounds {
            let curve = Curve::fit(rising, &self.points(round))?;
            let (low, high) = (curve.at(first), curve.at(last));
            // A curve that dips below zero is no latency: then the measured ends speak for the round.
            log_ratio.push(if low > 0.0 && high > 0.0 {
                (high / low).ln()
            } else {
                (round[round.len() - 1] / round[0]).ln()
            });
            per_thousand.push((high - low) / (last - first) * 1e3);
        }
        Some(Rise {
            log_ratio,
            per_thousand,
            shape,
            curve: self.curve(shape)?,
        })
    }

    /// Mean squared log error of every round, predicted from all others.
    fn left_out_error(&self, shape: Shape) -> f64 {
        let mut squares = 0.0;
        for (left_out, round) in self.normalised.iter().enumerate() {
            let others: Vec<(f64, f64)> = self
                .normalised
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != left_out)
                .flat_map(|(_, other)| self.points(other))
                .collect();
            let Some(curve) = Curve::fit(shape, &others) else {
                return f64::INFINITY;
            };
            for (&level, &value) in self.levels.iter().zip(round) {
                let predicted = curve.at(level);
                if predicted <= 0.0 {
                    return f64::INFINITY;
                }
                squares += (value / predicted).ln().powi(2);
            }
        }
        squares / real(self.rounds.len() * self.levels.len())
    }

    /// The shape fitted to all rounds, scaled to their typical size.
    fn curve(&self, shape: Shape) -> Option<Vec<f64>> {
        let all: Vec<_> = self
            .normalised
            .iter()
            .flat_map(|round| self.points(round))
            .collect();
        let curve = Curve::fit(shape, &all)?;
        let sizes: Vec<f64> = self
            .rounds
            .iter()
            .map(|round| geometric_mean(round))
            .collect();
        let size = geometric_mean(&sizes);
        Some(self.levels.iter().map(|&n| curve.at(n) * size).collect())
    }

    fn points(&self, round: &[f64]) -> Vec<(f64, f64)> {
        self.levels
            .iter()
            .copied()
            .zip(round.iter().copied())
            .collect()
    }
}

/// Picks the first shape that no richer one beats clearly; shapes are given from simple to rich.
fn simplest_of_the_best(errors: &[(Shape, f64)]) -> Shape {
    let mut best = errors[0];
    for &candidate in &errors[1..] {
        if candidate.1 < best.1 * (1.0 - SIMPLER_WINS_BY) {
            best = candidate;
        }
    }
    best.0
}

fn geometric_mean(values: &[f64]) -> f64 {
    let logs: f64 = sorted(values).iter().map(|value| value.ln()).sum();
    (logs / real(values.len())).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 3_000.0, 10_000.0];

    #[test]
    fn an_exact_line_gives_its_slope() {
        let rounds: Vec<Vec<f64>> = (0..8)
            .map(|_| LEVELS.iter().map(|n| 50.0 + n / 1_000.0).collect())
            .collect();
        let rise = Sweep::new(&LEVELS, &rounds).unwrap().rise().unwrap();
        assert_eq!(rise.shape, Shape::Linear);
        for slope in &rise.per_thousand {
            assert!((slope - 1.0).abs() < 1e-9);
        }
        assert!((rise.log_ratio[0] - (60.0 / 50.001_f64).ln()).abs() < 1e-9);
        assert!((rise.curve[5] - 60.0).abs() < 1e-6);
    }

    #[test]
    fn infinite_values_and_missing_levels_are_refused() {
        let infinite = vec![vec![1.0, 2.0, f64::INFINITY]; 8];
        assert!(Sweep::new(&[1.0, 2.0, 3.0], &infinite).is_none());
        let short = vec![vec![1.0, 2.0]; 8];
        assert!(Sweep::new(&[1.0, 2.0, 3.0], &short).is_none());
        assert!(Sweep::new(&[1.0, 2.0], &short).is_none());
    }
}
