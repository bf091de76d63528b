//! What it costs to cross from one zone to another.
//!
//! Two nodes of one zone and two of the other make a contrast: half of (their two pairs across less their two pairs within).
//! Whatever the four nodes add cancels, and by its symmetry whatever the distribution of the rests is. Contrasts that share
//! no pair are independent, so the signed-rank interval over them is exact.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use tollgate_results::mesh::MeshRecord;

use super::fit::Fit;
use super::judge::{Rule, judge};
use super::matrix::Square;
use super::model::{Basis, Spread, ZonePair};

/// Most contrasts of two zones: their interval is a tenth of their spread then.
const MOST_CONTRASTS: usize = 400;

/// Zones, and which node is in which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zones {
    /// Their names, ascending.
    pub(super) names: Vec<String>,
    /// The zone of each node.
    pub(super) of: Vec<usize>,
}

impl Zones {
    /// Most zones that are told apart: more are no zones, but a label that every node has for itself.
    const MOST: usize = 32;

    /// Sorts nodes by their zones; nodes without one are together.
    pub(super) fn of(record: &MeshRecord) -> Self {
        let nodes = record.nodes.iter();
        let zone = |zone: &Option<String>| zone.clone().unwrap_or_else(|| "no zone".to_owned());
        let own: Vec<String> = nodes.map(|node| zone(&node.zone)).collect();
        let names: BTreeSet<&String> = own.iter().collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        if names.len() > Self::MOST {
            return Self {
                names: vec![format!("{} zones", names.len())],
                of: vec![0; own.len()],
            };
        }
        let place = |zone: &String| names.binary_search(zone).unwrap_or(0);
        let of = own.iter().map(place).collect();
        Self { names, of }
    }

    /// Returns the nodes of a zone.
    pub(super) fn nodes(&self, zone: usize) -> impl Iterator<Item = usize> + '_ {
        let nodes = self.of.iter().enumerate();
        nodes.filter_map(move |(node, own)| (*own == zone).then_some(node))
    }
}

/// Compares every zone with every other.
pub(super) fn compare(
    zones: &Zones,
    typical: &Square,
    fits: &[Fit],
    rule: Rule,
    seed: u64,
) -> Vec<ZonePair> {
    if zones.names.len() < 2 {
        return Vec::new();
    }
    let all = 0..zones.names.len();
    let crossings: Vec<(usize, usize)> = all
        .clone()
        .flat_map(|zone| (zone + 1..zones.names.len()).map(move |other| (zone, other)))
        .collect();
    let observations: Vec<Vec<f64>> = crossings
        .iter()
        .map(|&(zone, other)| match rule.basis {
            Basis::Passes => fits.iter().map(|fit| crossing(fit, zone, other)).collect(),
            _ => contrasts(zones, typical, (zone, other), seed),
        })
        .collect();
    let effects = judge(&observations, None, rule);
    let own = all.map(|zone| (zone, zone, None));
    let crossed = crossings
        .into_iter()
        .zip(effects)
        .map(|((zone, other), effect)| (zone, other, Some(effect)));
    own.chain(crossed)
        .map(|(zone, other, crossing)| {
            let (pairs, spread) = spread(zones, typical, (zone, other));
            ZonePair {
                zone: zones.names[zone].clone(),
                other: zones.names[other].clone(),
                pairs,
                spread,
                crossing,
            }
        })
        .collect()
}

/// What crossing costs by a whole model; not a number where a zone has one node.
fn crossing(fit: &Fit, zone: usize, other: usize) -> f64 {
    fit.block(zone, other) - f64::midpoint(fit.block(zone, zone), fit.block(other, other))
}

/// Pairs of two zones, and their latencies.
fn spread(zones: &Zones, typical: &Square, (zone, other): (usize, usize)) -> (u32, Option<Spread>) {
    let mut values = Vec::new();
    for one in zones.nodes(zone) {
        for two in zones.nodes(other) {
            if zone != other || one < two {
                values.push(typical.at(one, two));
            }
        }
    }
    values.retain(|value| !value.is_nan());
    let pairs = u32::try_from(values.len()).unwrap_or(u32::MAX);
    (pairs, Spread::of(&mut values))
}

/// Returns independent contrasts of two zones, drawn by the seed.
fn contrasts(zones: &Zones, typical: &Square, pair: (usize, usize), seed: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut within = |zone: usize| {
        let nodes: Vec<usize> = zones.nodes(zone).collect();
        let mut pairs: Vec<(usize, usize)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(place, &one)| nodes[place + 1..].iter().map(move |&other| (one, other)))
            .filter(|&(one, other)| !typical.at(one, other).is_nan())
            .collect();
        pairs.shuffle(&mut random);
        pairs
    };
    let (ours, theirs) = (within(pair.0), within(pair.1));
    let at = |pair: &(usize, usize)| typical.at(pair.0, pair.1);
    let mut used = BTreeSet::new();
    let mut contrasts = Vec::new();
    for (our, their) in ours.into_iter().zip(theirs) {
        let straight = [(our.0, their.0), (our.1, their.1)];
        let crosswise = [(our.0, their.1), (our.1, their.0)];
        let is_free = |across: &(usize, usize)| !used.contains(across) && !at(across).is_nan();
        let Some(across) = [straight, crosswise]
            .into_iter()
            .find(|way| way.iter().all(is_free))
        else {
            continue;
        };
        let crossed: f64 = across.iter().map(at).sum();
        contrasts.push((crossed - at(&our) - at(&their)) / 2.0);
        used.extend(across);
        if contrasts.len() == MOST_CONTRASTS {
            break;
        }
    }
    contrasts
}

impl Spread {
    /// Returns median and quartiles of logarithms; their order is lost. `None` for none.
    pub(super) fn of(values: &mut [f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut at = |quarters: usize| {
            let rank = ((values.len() - 1) * quarters + 2) / 4;
            *values.select_nth_unstable_by(rank, f64::total_cmp).1
        };
        Some(Self {
            low_ns: at(1).exp(),
            median_ns: at(2).exp(),
            high_ns: at(3).exp(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_free_of_what_nodes_add() {
        let zones = Zones {
            names: vec!["a".to_owned(), "b".to_owned()],
            of: (0..20).map(|node| node / 10).collect(),
        };
        let mut square = Square::empty(20);
        for one in 0..20_u32 {
            for other in 0..20_u32 {
                let crossing = if one / 10 == other / 10 { 0.0 } else { 0.7 };
                // Node effects that are nothing like each other.
                let added = f64::from(one * one % 13) + f64::from(other * other % 13);
                square.set(one as usize, other as usize, crossing + added);
            }
        }
        let found = contrasts(&zones, &square, (0, 1), 7);
        assert!(found.len() >= 30, "{}", found.len());
        for contrast in &found {
            assert!((contrast - 0.7).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(found, contrasts(&zones, &square, (0, 1), 7));
    }
}
