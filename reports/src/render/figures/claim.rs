//! A claim: the change of each comparison with its interval, over what is claimed.

use maud::html;

use super::super::legend::Legend;
use super::super::svg::{self, Anchor, Axis, Ink, Margins, Plot};
use super::super::{layout, number, words};
use super::forest::{ROW, bar, height};
use super::{Figure, WIDTH, ratio};
use crate::model::{Estimate, TestedClaim, TestedComparison, TestedPair};

/// One pair with the comparisons that have an interval.
struct Group<'a> {
    pair: &'a TestedPair,
    found: Vec<(&'a TestedComparison, Estimate)>,
}

/// Draws one claim; `None` where no comparison has an interval.
pub(in crate::render) fn claim(legend: &Legend, claim: &TestedClaim) -> Option<Figure> {
    let groups: Vec<Group<'_>> = claim
        .pairs
        .iter()
        .map(|pair| Group {
            pair,
            found: pair
                .comparisons
                .iter()
                .filter_map(|one| Some((one, one.change?)))
                .collect(),
        })
        .filter(|group| !group.found.is_empty())
        .collect();
    if groups.is_empty() {
        return None;
    }
    let axis = ratio::axis(
        "change of the arm against the baseline",
        &shown(claim, &groups),
    );
    let count: usize = groups.iter().map(|group| group.found.len() + 1).sum();
    let count = words::to_f64(count as u64);
    let margins = Margins {
        left: 90.0,
        right: 78.0,
        top: 8.0,
        bottom: 42.0,
    };
    let height = height(count * ROW + margins.top + margins.bottom);
    let lanes = Axis {
        low: 0.0,
        high: count,
        logarithmic: false,
        ticks: Vec::new(),
        title: String::new(),
    };
    let label = format!(
        "Claim {}: change of each comparison, and what is claimed",
        claim.name
    );
    let svg = svg::draw(WIDTH, height, &label, |canvas| {
        let plot = Plot::behind(canvas, (WIDTH, height), margins, axis, lanes, |plot| {
            let (low, high) = (plot.x().low, plot.x().high);
            let from = claim.from.map_or(low, |from| (1.0 + from).max(low));
            let to = claim.to.map_or(high, |to| (1.0 + to).min(high));
            plot.band(from, to, Ink::Band);
        });
        plot.vertical(1.0, Ink::Text, 1.4);
        let mut lane = count;
        for group in &groups {
            draw_group(&plot, legend, group, lane);
            lane -= words::to_f64(group.found.len() as u64 + 1);
        }
    });
    Some(Figure {
        name: format!("claim-{}", claim.name),
        svg,
        caption: caption(claim, &groups),
        key: Vec::new(),
    })
}

/// What the axis has to show.
fn shown(claim: &TestedClaim, groups: &[Group<'_>]) -> Vec<f64> {
    let mut ratios = vec![1.0];
    ratios.extend(claim.from.into_iter().chain(claim.to).map(|end| 1.0 + end));
    for (_, change) in groups.iter().flat_map(|group| &group.found) {
        let interval = change.interval95;
        let ends = [change.value, interval.low, interval.high];
        ratios.extend(ends.map(|end| 1.0 + end));
    }
    ratios
}

/// Draws a pair from this lane downwards.
fn draw_group(plot: &Plot<'_, '_>, legend: &Legend, group: &Group<'_>, lane: f64) {
    let (left, right) = plot.sides();
    let canvas = plot.canvas();
    let y = plot.at(1.0, lane - 0.5).1 + 1.0;
    let TestedPair { arm, baseline, .. } = group.pair;
    let heading = format!("{arm} against {baseline}");
    canvas.text((2.0, y), &heading, Anchor::Left, Ink::Text);
    let mark = legend.arm(baseline);
    for (index, (one, change)) in group.found.iter().enumerate() {
        let lane = lane - words::to_f64(index as u64) - 1.5;
        let y = plot.at(1.0, lane).1;
        bar(plot, change, lane, Ink::Arm(mark.colour));
        plot.marker(1.0 + change.value, lane, mark);
        let name = super::shortened(&one.workload, 12);
        canvas.text((left - 6.0, y), &name, Anchor::Right, Ink::Muted);
        let symbol = words::claim_symbol(one.verdict);
        canvas.text((right + 4.0, y), symbol, Anchor::Left, Ink::Text);
        let change = number::percent(change.value);
        canvas.text((right + 19.0, y), &change, Anchor::Left, Ink::Text);
    }
}

fn caption(claim: &TestedClaim, groups: &[Group<'_>]) -> maud::Markup {
    let found = groups.iter().flat_map(|group| &group.found);
    let rounds = found.map(|(one, _)| one.rounds);
    let rounds = words::rounds_between(rounds);
    html! {
        b { "“" (layout::harmless(&claim.about)) "”" }
        ": change of the " (words::metric(claim.metric)) " of the arm, in % of the baseline's. Marker: Hodges-Lehmann estimate of the ratio per "
        "round; bar: exact 95 % signed-rank interval, an arrow where it goes on; " (rounds) ". Shaded: what is claimed (" (claim.claimed)
        "). ✓ holds, ○ holds in part, ≠ doesn't hold, ? undecided."
    }
}
