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
    /// By node; not a number of one without a measured pair.
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

    /// Returns the effect of a node; not a number where none of its pairs was measured.
    pub(super) fn effect(&self, node: usize) -> f64 {
        self.effects[node]
    }

    /// Returns the effects of a node in those models that know it and another node of its zone: a node by itself is at 0
    /// whatever it adds, since its zone has that.
    pub(super) fn known_effects(fits: &[Self], node: usize) -> Vec<f64> {
        let telling = fits.iter().filter(|fit| fit.has_neighbour(node));
        let effects = telling.map(|fit| fit.effect(node));
        effects.filter(|effect| !effect.is_nan()).collect()
    }

    /// Returns whether another node of a node's zone has an effect.
    fn has_neighbour(&self, node: usize) -> bool {
        let mut others = (0..self.effects.len()).filter(|other| *other != node);
        others
            .any(|other| self.zone_of[other] == self.zone_of[node] && !self.effects[other].is_nan())
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
        for (now, before) in moved.iter().zip(before) {
            // Of a node of which nothing is known this is no number, which `max` passes over.
            largest = largest.max((now - before).abs());
        }
        self.effects = moved;
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
    fn a_node_without_a_pair_is_unknown_and_does_no_harm() {
        let (mut square, zone_of) = square(&[0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let whole = Fit::of(&square, &zone_of);
        for node in 0..10 {
            square.set(9, node, f64::NAN);
            square.set(node, 9, f64::NAN);
        }
        let holed = Fit::of(&square, &zone_of);
        assert!(holed.effect(9).is_nan());
        for node in 0..9 {
            let moved = holed.effect(node) - whole.effect(node);
            assert!(moved.abs() < 1e-2, "{node}: {holed:?}");
        }
        assert_eq!(Fit::known_effects(&[whole, holed], 9).len(), 1);
    }

    #[test]
    fn the_effect_of_a_node_by_itself_is_its_zones() {
        let (mut square, _) = square(&[0.0, 0.4, 0.0, 0.0, 0.0, 0.0]);
        let alone = Fit::of(&square, &[0, 1, 0, 0, 0, 0]);
        assert!(alone.effect(1).abs() < 1e-12);
        // The same where the other node of its zone was not measured.
        let zone_of = [0, 1, 0, 0, 0, 1];
        let both = Fit::of(&square, &zone_of);
        for node in 0..6 {
            square.set(5, node, f64::NAN);
            square.set(node, 5, f64::NAN);
        }
        let left = Fit::of(&square, &zone_of);
        assert!(left.effect(1).abs() < 1e-12);
        let fits = [alone, both, left];
        assert_eq!(Fit::known_effects(&fits, 1), [fits[1].effect(1)]);
    }
}
