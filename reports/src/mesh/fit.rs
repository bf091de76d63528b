//! What nodes and zones make of the latencies: an additive model of their logarithms, by median polish (Tukey 1977, ch. 11).
//!
//! ln latency of two nodes = the block of their two zones + the effect of one + the effect of the other + a rest. Effects are
//! against the node's own zone: their median in each zone is 0, so that a far zone isn't taken for slow nodes.

use super::matrix::{Square, median};

/// Most passes over the table. It settles in about five; with 3 nodes it takes one more for each halving.
const MOST_STEPS: usize = 30;

/// A change of 0.01 % is below what any latency is measured to.
const SETTLED: f64 = 1e-4;

/// The model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    zones: usize,
    /// The zone of each node.
    zone_of: Vec<usize>,
    /// By two zones.
    blocks: Vec<f64>,
    /// By node.
    effects: Vec<f64>,
}

impl Fit {
    /// Fits the model to a square without directions.
    pub(super) fn of(square: &Square, zone_of: &[usize]) -> Self {
        let zones = zone_of.iter().max().map_or(0, |last| last + 1);
        let mut fit = Self {
            zones,
            zone_of: zone_of.to_vec(),
            blocks: vec![0.0; zones * zones],
            effects: vec![0.0; square.nodes()],
        };
        for _ in 0..MOST_STEPS {
            fit.polish_blocks(square);
            let moved = fit.polish_effects(square);
            if moved < SETTLED {
                break;
            }
        }
        fit.polish_blocks(square);
        fit
    }

    /// Returns the effect of a node.
    pub(super) fn effect(&self, node: usize) -> f64 {
        self.effects[node]
    }

    /// Returns what two zones alone make.
    pub(super) fn block(&self, zone: usize, other: usize) -> f64 {
        self.blocks[zone * self.zones + other]
    }

    /// Returns what the zones of two nodes alone make.
    pub(super) fn between(&self, one: usize, other: usize) -> f64 {
        self.block(self.zone_of[one], self.zone_of[other])
    }

    /// Returns what the model says of two nodes.
    pub(super) fn expected(&self, one: usize, other: usize) -> f64 {
        self.between(one, other) + self.effects[one] + self.effects[other]
    }

    fn polish_blocks(&mut self, square: &Square) {
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); self.zones * self.zones];
        for one in 0..square.nodes() {
            for other in 0..one {
                let known = square.at(one, other);
                if !known.is_nan() {
                    let (a, b) = (self.zone_of[one], self.zone_of[other]);
                    let rest = known - self.effects[one] - self.effects[other];
                    values[a.min(b) * self.zones + a.max(b)].push(rest);
                }
            }
        }
        for a in 0..self.zones {
            for b in a..self.zones {
                let found = median(&mut values[a * self.zones + b]).unwrap_or(f64::NAN);
                self.blocks[a * self.zones + b] = found;
                self.blocks[b * self.zones + a] = found;
            }
        }
    }

    /// Moves every effect by the median of its rests, all at once; returns the largest move.
    fn polish_effects(&mut self, square: &Square) -> f64 {
        let mut rests = Vec::with_capacity(square.nodes());
        let before = self.effects.clone();
        let mut moved = vec![f64::NAN; before.len()];
        for (one, slot) in moved.iter_mut().enumerate() {
            rests.clear();
            let row = square.row(one).iter().enumerate();
            rests.extend(row.map(|(other, known)| known - self.expected(one, other)));
            if let Some(rest) = median(&mut rests) {
                *slot = before[one] + rest;
            }
        }
        for zone in 0..self.zones {
            let of_zone = |node: &usize| self.zone_of[*node] == zone;
            let mut values: Vec<f64> = (0..moved.len())
                .filter(of_zone)
                .map(|node| moved[node])
                .collect();
            let middle = median(&mut values).unwrap_or(0.0);
            for node in (0..moved.len()).filter(of_zone) {
                moved[node] -= middle;
            }
        }
        let mut largest = 0.0_f64;
        for (node, value) in moved.into_iter().enumerate() {
            // A node of which nothing is known stays in the middle.
            self.effects[node] = if value.is_nan() { 0.0 } else { value };
            largest = largest.max((self.effects[node] - before[node]).abs());
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of these node effects, in zones 0 and 1 by turns, 0.5 between them.
    fn square(effects: &[f64]) -> (Square, Vec<usize>) {
        let zone_of: Vec<usize> = (0..effects.len()).map(|node| node % 2).collect();
        let mut square = Square::empty(effects.len());
        for one in 0..effects.len() {
            for other in 0..effects.len() {
                if one != other {
                    let crossing = if zone_of[one] == zone_of[other] {
                        0.0
                    } else {
                        0.5
                    };
                    square.set(one, other, 3.0 + crossing + effects[one] + effects[other]);
                }
            }
        }
        (square, zone_of)
    }

    #[test]
    fn effects_of_nodes_and_zones_are_taken_apart() {
        let effects = [0.0, 0.01, 0.3, -0.01, -0.02, 0.0, 0.02, 0.005, 0.0, -0.005];
        let (square, zone_of) = square(&effects);
        let fit = Fit::of(&square, &zone_of);
        for (node, effect) in effects.iter().enumerate() {
            assert!((fit.effect(node) - effect).abs() < 6e-3, "{node}: {fit:?}");
        }
        assert!((fit.block(0, 1) - fit.block(0, 0) - 0.5).abs() < 1e-2);
        assert!((fit.expected(2, 5) - square.at(2, 5)).abs() < 1e-2);
    }

    #[test]
    fn holes_and_single_nodes_do_no_harm() {
        let (mut square, _) = square(&[0.0, 0.4, 0.0, 0.0, 0.0, 0.0]);
        for node in 0..6 {
            square.set(5, node, f64::NAN);
            square.set(node, 5, f64::NAN);
        }
        let one_zone = Fit::of(&square, &[0; 6]);
        assert!(one_zone.effect(5).abs() < 1e-12);
        // A node that is alone in its zone has no effect: the zone has it.
        let alone = Fit::of(&square, &[0, 1, 0, 0, 0, 0]);
        assert!(alone.effect(1).abs() < 1e-12);
    }
}
