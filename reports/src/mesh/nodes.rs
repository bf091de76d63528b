//! Each node: against the others of its zone, as sender against responder, and what it didn't answer.

use tollgate_results::mesh::Met;

use super::fit::Fit;
use super::judge::judge;
use super::matrix::median;
use super::model::{Basis, Effect, NodeReport};
use super::{Analysed, small};
use crate::model::Verdict;
use crate::stats::real64;

/// Counts of a node's meetings.
#[derive(Debug, Clone, Default)]
struct Tally {
    sent: u64,
    lost: u64,
    absent: u32,
    p99: Vec<f64>,
}

/// Returns what is said of each node, in the order of the record.
pub(super) fn reports(mesh: &Analysed<'_>) -> Vec<NodeReport> {
    // A model's effects are against the zone's typical one in every pass; what peers leave is off by what the model is.
    let groups = (mesh.rule.basis != Basis::Passes).then_some(mesh.zones.of.as_slice());
    let effects = judge(&observations(mesh), groups, mesh.rule);
    let sending = sending(mesh);
    let mut tallies = tallies(mesh);
    let mut failed = vec![0_u32; mesh.nodes()];
    for &(one, other) in mesh.failed.keys() {
        failed[one as usize] += 1;
        failed[other as usize] += 1;
    }
    let nodes = mesh.record.nodes.iter().zip(effects).zip(sending);
    nodes
        .enumerate()
        .map(|(place, ((node, effect), sending))| {
            let mut known = mesh.typical.row(place).to_vec();
            let p50 = median(&mut known);
            let tally = &mut tallies[place];
            NodeReport {
                name: node.name.clone(),
                zone: node.zone.clone(),
                kernel: node.kernel.clone(),
                peers: small(known.len()),
                failed: failed[place],
                absent: tally.absent,
                lost: if tally.sent == 0 {
                    0.0
                } else {
                    real64(tally.lost) / real64(tally.sent)
                },
                p50_ns: p50.map(f64::exp),
                p99_ns: median(&mut tally.p99),
                effect,
                sending,
            }
        })
        .collect()
}

/// Returns for each node what tells its effect: of each pass the model's, else what each peer leaves unexplained.
///
/// A node that is alone in its zone has none: whatever it adds may be the zone's.
fn observations(mesh: &Analysed<'_>) -> Vec<Vec<f64>> {
    let zone_of = &mesh.zones.of;
    let is_measured = |node: usize| {
        let row = mesh.typical.row(node);
        row.iter().any(|value| !value.is_nan())
    };
    let mut sizes = vec![0_usize; mesh.zones.names.len()];
    for node in (0..mesh.nodes()).filter(|node| is_measured(*node)) {
        sizes[zone_of[node]] += 1;
    }
    (0..mesh.nodes())
        .map(|node| {
            if sizes[zone_of[node]] < 2 || !is_measured(node) {
                return Vec::new();
            }
            if mesh.rule.basis == Basis::Passes {
                return Fit::known_effects(&mesh.fits, node);
            }
            let row = mesh.typical.row(node).iter().enumerate();
            row.map(|(peer, known)| known - mesh.fit.between(node, peer) - mesh.fit.effect(peer))
                .collect()
        })
        .collect()
}

/// Judges each node as the sender against itself as the responder, to the same peers.
fn sending(mesh: &Analysed<'_>) -> Vec<Option<Effect>> {
    let nodes = mesh.nodes();
    let observations: Vec<Vec<f64>> = (0..nodes)
        .map(|node| match mesh.rule.basis {
            Basis::Passes => {
                let passes = mesh.whole.iter().map(|&pass| &mesh.passes[pass]);
                let medians = passes.filter_map(|pass| {
                    let ways = (0..nodes).map(|peer| pass.at(node, peer) - pass.at(peer, node));
                    median(&mut ways.collect())
                });
                medians.collect()
            }
            _ => (0..nodes)
                .map(|peer| mesh.directed.at(node, peer) - mesh.directed.at(peer, node))
                .collect(),
        })
        .collect();
    let effects = judge(&observations, None, mesh.rule).into_iter();
    effects
        .map(|effect| (effect.observations > 0).then_some(effect))
        .collect()
}

fn tallies(mesh: &Analysed<'_>) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); mesh.nodes()];
    for meeting in mesh.meetings {
        if mesh.record.foreign(meeting).is_some() {
            continue;
        }
        match &meeting.outcome {
            Met::Measured(times) => {
                for node in [meeting.client, meeting.server] {
                    let tally = &mut tallies[node as usize];
                    tally.sent += times.sent;
                    tally.lost += times.lost;
                    tally.p99.extend(times.p99_ns.map(real64));
                }
            }
            Met::Failed { node, .. } => {
                let absent = node.and_then(|node| tallies.get_mut(node as usize));
                if let Some(tally) = absent {
                    tally.absent += 1;
                }
            }
        }
    }
    tallies
}

impl NodeReport {
    /// Returns whether the node was told from the others of its zone.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self.effect.verdict, Verdict::Slower | Verdict::Faster)
    }
}
