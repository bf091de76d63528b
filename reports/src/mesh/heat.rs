//! The heat map: which nodes share a row, and what the pairs of two rows gave.

use super::matrix::{either, median};
use super::model::{Heat, HeatCell, HeatGroup, NodeReport};
use super::{Analysed, small};

/// Most rows: a screen shows as many with room to see each.
const MOST_ROWS: usize = 60;

/// Most nodes that have a row of their own among groups: those that were told from the others, the furthest first.
const MOST_TOLD: usize = 20;

/// Returns the latencies of groups of nodes.
pub(super) fn heat(mesh: &Analysed<'_>, nodes: &[NodeReport]) -> Heat {
    let groups = groups(mesh, nodes);
    let group_of = {
        let mut group_of = vec![0; mesh.nodes()];
        for (place, group) in groups.iter().enumerate() {
            for node in &group.nodes {
                group_of[*node as usize] = place;
            }
        }
        group_of
    };
    let rows = groups.len();
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); rows * rows];
    for one in 0..mesh.nodes() {
        for other in (0..mesh.nodes()).filter(|other| *other != one) {
            // Where one of the two sent alone, its latency stands for both ways.
            let own = mesh.directed.at(one, other);
            let known = if own.is_nan() {
                either(own, mesh.directed.at(other, one))
            } else {
                own
            };
            if !known.is_nan() {
                values[group_of[one] * rows + group_of[other]].push(known);
            }
        }
    }
    let mut failed = vec![0_usize; rows * rows];
    for &(one, other) in mesh.failed.keys() {
        let (one, other) = (group_of[one as usize], group_of[other as usize]);
        failed[one * rows + other] += 1;
        failed[other * rows + one] += 1;
    }
    let typical = mesh.spread().map_or(1.0, |spread| spread.median_ns);
    let mut cell = |row: usize, column: usize| {
        let at = row * rows + column;
        if failed[at] > 0 && failed[at] >= values[at].len() {
            return HeatCell::Failed;
        }
        let middle = median(&mut values[at]);
        middle.map_or(HeatCell::Empty, |ln| HeatCell::Ratio(ln.exp() / typical))
    };
    let cells = (0..rows)
        .map(|row| (0..rows).map(|column| cell(row, column)).collect())
        .collect();
    Heat { groups, cells }
}

/// Returns which nodes share a row: none where all fit, else neighbours in the order of the record, with rows for those
/// that were told.
fn groups(mesh: &Analysed<'_>, nodes: &[NodeReport]) -> Vec<HeatGroup> {
    let all_fit = nodes.len() <= MOST_ROWS;
    let mut told: Vec<usize> = (0..nodes.len())
        .filter(|node| nodes[*node].is_told())
        .collect();
    let size = |node: usize| {
        nodes[node]
            .effect
            .ratio
            .map_or(0.0, |ratio| ratio.ln().abs())
    };
    told.sort_by(|a, b| size(*b).total_cmp(&size(*a)));
    told.truncate(MOST_TOLD);
    let zones = mesh.zones.names.len();
    let left = MOST_ROWS.saturating_sub(told.len() + zones);
    let mut groups = Vec::new();
    for zone in 0..zones {
        let own: Vec<usize> = mesh.zones.nodes(zone).collect();
        let group = |nodes: &[usize], told: bool| HeatGroup {
            zone: (zones > 1).then(|| mesh.zones.names[zone].clone()),
            nodes: nodes.iter().map(|node| small(*node)).collect(),
            told,
        };
        if all_fit {
            groups.extend(
                own.iter()
                    .map(|&node| group(&[node], nodes[node].is_told())),
            );
            continue;
        }
        let (apart, rest): (Vec<usize>, Vec<usize>) =
            own.iter().copied().partition(|node| told.contains(node));
        groups.extend(apart.iter().map(|&node| group(&[node], true)));
        // Each zone has a row, and its share of those that are left.
        let rows = 1 + left * own.len() / nodes.len();
        let each = rest.len().div_ceil(rows).max(1);
        groups.extend(rest.chunks(each).map(|chunk| group(chunk, false)));
    }
    groups
}
