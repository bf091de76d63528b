//! All pairs of a cluster's nodes: outlying nodes, zones, directions, pairs that fail; pure, from the record of a mesh.
//!
//! A node is compared with the other nodes of its zone, to the same peers. Where there are passes enough, a pass is the
//! observation, as a round is elsewhere, and few nodes do; else each peer is one, and nodes must be ten or more. Verdicts
//! hold together (Holm), and want an effect beyond the margin: a thousand nodes are never all equal.
//!
//! - `matrix`: logarithms of latencies by pass, client and server
//! - `fit`: what nodes and zones make of them
//! - `judge`: from observations to verdicts
//! - `nodes`: each node against the others, and as sender against responder
//! - `zones`: what it costs to cross from one zone to another
//! - `heat`: which nodes share a row of the heat map, and its cells

mod fit;
mod heat;
mod judge;
mod matrix;
mod model;
mod nodes;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::BTreeMap;

use tollgate_results::cluster::Aspect;
use tollgate_results::mesh::{Meeting, MeshRecord, Met};

use self::fit::Fit;
use self::judge::{Rule, can_tell};
use self::matrix::{Square, over, passes};
pub use self::model::{
    Basis, Effect, FailedPair, Heat, HeatCell, HeatGroup, MeshReport, MeshSubject, NodeReport,
    SlowPair, Spread, ZonePair,
};
use self::zones::Zones;

/// Most slow pairs and failed pairs that are listed.
const MOST_LISTED: usize = 20;

/// Analyses a mesh.
#[must_use]
pub fn analyse(record: &MeshRecord, meetings: &[Meeting]) -> MeshReport {
    let mesh = Analysed::of(record, meetings);
    let nodes = nodes::reports(&mesh);
    let zones = zones::compare(
        &mesh.zones,
        &mesh.typical,
        &mesh.fits,
        mesh.rule,
        record.seed,
    );
    MeshReport {
        subject: subject(record, meetings),
        basis: mesh.rule.basis,
        pairs: mesh.spread(),
        heat: heat::heat(&mesh, &nodes),
        slow_pairs: slow_pairs(&mesh),
        failed_pairs: failed_pairs(&mesh),
        nodes,
        zones,
    }
}

/// Returns how many passes would tell an outlier among the nodes of a record.
#[must_use]
pub fn passes_wanted(nodes: usize) -> u32 {
    judge::passes_that_tell(nodes)
}

/// What all parts of the analysis share.
struct Analysed<'a> {
    record: &'a MeshRecord,
    meetings: &'a [Meeting],
    zones: Zones,
    /// ln p50 by client and server, for each pass.
    passes: Vec<Square>,
    /// Those that are observations: see [`whole_passes`].
    whole: Vec<usize>,
    /// The median over passes.
    directed: Square,
    /// The same without directions.
    typical: Square,
    /// The model of all passes together.
    fit: Fit,
    /// The models of those passes, where a pass is the observation.
    fits: Vec<Fit>,
    rule: Rule,
    /// The last reason of pairs of which every meeting failed, by the places of both, the smaller first.
    failed: BTreeMap<(u32, u32), &'a str>,
}

impl<'a> Analysed<'a> {
    fn of(record: &'a MeshRecord, meetings: &'a [Meeting]) -> Self {
        let zones = Zones::of(record);
        let passes = passes(record, meetings);
        let folded: Vec<Square> = passes.iter().map(Square::folded).collect();
        let typical = over(&folded);
        let fit = Fit::of(&typical, &zones.of);
        let whole = whole_passes(&folded, &typical);
        let nodes = record.nodes.len();
        let basis = if can_tell(whole.len(), nodes) {
            Basis::Passes
        } else if can_tell(nodes.saturating_sub(1), nodes) {
            Basis::Peers
        } else {
            Basis::Nothing
        };
        let fits = match basis {
            Basis::Passes => whole
                .iter()
                .map(|&pass| Fit::of(&folded[pass], &zones.of))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            record,
            meetings,
            directed: over(&passes),
            typical,
            fit,
            fits,
            zones,
            rule: Rule {
                basis,
                margin: record.margin.0,
            },
            failed: failed(record, meetings),
            passes,
            whole,
        }
    }

    fn nodes(&self) -> usize {
        self.record.nodes.len()
    }

    /// Returns the latencies of all pairs.
    fn spread(&self) -> Option<Spread> {
        let nodes = self.nodes();
        let mut values: Vec<f64> = (0..nodes)
            .flat_map(|one| self.typical.row(one)[..one].iter().copied())
            .filter(|value| !value.is_nan())
            .collect();
        Spread::of(&mut values)
    }
}

/// Returns the passes with a figure for at least half of those pairs that have one in any: what an interrupt or a node that
/// went left of a pass is still one observation of the others. Pairs that always failed take no pass away.
fn whole_passes(passes: &[Square], typical: &Square) -> Vec<usize> {
    let measured = |square: &Square| -> usize {
        let rows = (0..square.nodes()).flat_map(|node| square.row(node));
        rows.filter(|value| !value.is_nan()).count()
    };
    let all = measured(typical);
    let whole = passes
        .iter()
        .enumerate()
        .filter(|(_, pass)| 2 * measured(pass) >= all.max(1));
    whole.map(|(pass, _)| pass).collect()
}

/// Returns pairs of which every meeting failed.
fn failed<'a>(record: &MeshRecord, meetings: &'a [Meeting]) -> BTreeMap<(u32, u32), &'a str> {
    let mut failed = BTreeMap::new();
    let known = move || {
        meetings
            .iter()
            .filter(move |it| record.foreign(it).is_none())
    };
    let pair = |it: &Meeting| (it.client.min(it.server), it.client.max(it.server));
    for meeting in known() {
        match &meeting.outcome {
            Met::Failed { reason, .. } => {
                failed.insert(pair(meeting), reason.as_str());
            }
            Met::Measured(times) if times.p50_ns.is_none() => {
                failed.insert(pair(meeting), "most requests were lost");
            }
            Met::Measured(_) => {}
        }
    }
    if !failed.is_empty() {
        for meeting in known() {
            if matches!(&meeting.outcome, Met::Measured(times) if times.p50_ns.is_some()) {
                failed.remove(&pair(meeting));
            }
        }
    }
    failed
}

fn subject(record: &MeshRecord, meetings: &[Meeting]) -> MeshSubject {
    let measured = |meeting: &&Meeting| matches!(meeting.outcome, Met::Measured(_));
    let count = |found: usize| found as u64;
    let measured = count(meetings.iter().filter(measured).count());
    MeshSubject {
        tool_version: record.version.clone(),
        started_unix_ms: record.started_unix_ms,
        network: network(record),
        host_network: record.cluster.host_network,
        machines: record.machines,
        scenario: record.scenario.clone(),
        workload: record.workload.clone(),
        slice_ns: record.slice.0,
        seed: record.seed,
        passes: record.passes,
        both_ways: record.both_ways,
        at_once: record.at_once,
        installs: record.installs,
        margin: record.margin.0,
        planned: record.planned(),
        measured,
        failed: count(meetings.len()) - measured,
        skipped: record.skipped.clone(),
    }
}

/// Says what the cluster's network is, as far as it is known.
fn network(record: &MeshRecord) -> String {
    let aspects = [Aspect::Cni, Aspect::CniVersion, Aspect::Wire];
    let known = aspects
        .into_iter()
        .filter_map(|aspect| record.cluster.network.value(aspect));
    let words: Vec<&str> = known.collect();
    if words.is_empty() {
        "a network of which nothing is known".to_owned()
    } else {
        words.join(" ")
    }
}

/// Returns the pairs that are furthest beyond what their nodes and zones explain.
fn slow_pairs(mesh: &Analysed<'_>) -> Vec<SlowPair> {
    let margin = mesh.rule.margin.ln_1p();
    let mut found: Vec<(f64, usize, usize)> = Vec::new();
    for one in 0..mesh.nodes() {
        for other in one + 1..mesh.nodes() {
            let rest = mesh.typical.at(one, other) - mesh.fit.expected(one, other);
            if rest > margin {
                found.push((rest, one, other));
            }
        }
    }
    found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    found.truncate(MOST_LISTED);
    found
        .into_iter()
        .map(|(rest, one, other)| SlowPair {
            one: small(one),
            other: small(other),
            p50_ns: mesh.typical.at(one, other).exp(),
            ratio: rest.exp(),
        })
        .collect()
}

fn failed_pairs(mesh: &Analysed<'_>) -> Vec<FailedPair> {
    let listed = mesh.failed.iter().take(MOST_LISTED);
    listed
        .map(|(&(one, other), reason)| FailedPair {
            one,
            other,
            reason: (*reason).to_owned(),
        })
        .collect()
}

/// A place or a count in a report; there are far fewer than 2³².
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
