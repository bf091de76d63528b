//! The verdict forest: the change of each arm against its reference with its interval, for one workload.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::svg::{self, Anchor, Axis, Ink, Margins, Plot};
use super::super::{number, table, words};
use super::{Figure, WIDTH, ratio, shortened};
use crate::model::{Analysis, Cell, Direction, Estimate, Floor, Metric};

/// Height of a row in pixels.
pub(super) const ROW: f64 = 19.0;

/// More rows than this, and only the workload's main metric is drawn.
const MANY_ROWS: usize = 60;

/// One metric with its arms.
struct Group<'a> {
    metric: Metric,
    floor: Option<&'a Floor>,
    arms: Vec<(&'a Cell, Estimate)>,
}

/// Draws the forest of one workload; `None` where no cell has an interval.
pub(in crate::render) fn forest(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Option<Figure> {
    let main = words::main_metric(analysis, workload);
    let mut groups = groups(analysis, workload, |_| true);
    if groups.iter().map(rows).sum::<usize>() > MANY_ROWS {
        groups = self::groups(analysis, workload, |metric| metric == main);
    }
    if groups.is_empty() {
        return None;
    }
    let margin = analysis.subject.rounds.margin.0;
    let axis = ratio::axis(
        "change of the value against the reference",
        &shown(&groups, margin),
    );
    let label = format!(
        "{}: change of each arm against its reference, with interval and margin",
        workload.name
    );
    let count = words::to_f64(groups.iter().map(rows).sum::<usize>() as u64);
    let margins = Margins {
        left: 120.0,
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
    let svg = svg::draw(WIDTH, height, &label, |canvas| {
        let plot = Plot::behind(canvas, (WIDTH, height), margins, axis, lanes, |plot| {
            plot.band(1.0 / (1.0 + margin), 1.0 + margin, Ink::Band);
        });
        plot.vertical(1.0, Ink::Text, 1.4);
        let mut lane = count;
        for group in &groups {
            draw_group(&plot, legend, group, lane);
            lane -= words::to_f64(rows(group) as u64);
        }
    });
    Some(Figure {
        name: format!("{}-verdicts", workload.name),
        svg,
        caption: caption(analysis, workload, &groups, margin),
        key: Vec::new(),
    })
}

fn groups<'a>(
    analysis: &'a Analysis,
    workload: &'a Workload,
    shown: impl Fn(Metric) -> bool,
) -> Vec<Group<'a>> {
    let metrics = Metric::ALL.into_iter().filter(|metric| shown(*metric));
    let groups = metrics.map(|metric| {
        let cells = analysis.cells_of(&workload.name);
        let cells = cells.filter(|cell| cell.metric == metric);
        Group {
            metric,
            floor: words::floor(analysis, &workload.name, metric),
            arms: cells
                .filter_map(|cell| Some((cell, cell.change?)))
                .collect(),
        }
    });
    groups.filter(|group| !group.arms.is_empty()).collect()
}

/// Rows of a group: its heading and its arms.
fn rows(group: &Group<'_>) -> usize {
    group.arms.len() + 1
}

/// What the axis has to show. The far tail, whose intervals are often wide, doesn't stretch it.
fn shown(groups: &[Group<'_>], margin: f64) -> Vec<f64> {
    let mut ratios = vec![1.0 / (1.0 + margin), 1.0 + margin];
    for group in groups.iter().filter(|group| !group.metric.is_far_tail()) {
        for (_, change) in &group.arms {
            let interval = change.interval95;
            let ends = [change.value, interval.low, interval.high];
            ratios.extend(ends.map(|end| 1.0 + end));
        }
    }
    ratios
}

/// Draws a group from this lane downwards.
fn draw_group(plot: &Plot<'_, '_>, legend: &Legend, group: &Group<'_>, lane: f64) {
    let (left, right) = plot.sides();
    let y = plot.at(1.0, lane - 0.5).1 + 1.0;
    let canvas = plot.canvas();
    let heading = words::short_metric(group.metric);
    canvas.text((2.0, y), heading, Anchor::Left, Ink::Text);
    let (at, anchor, text) = match group.metric.direction() {
        Direction::LargerIsWorse => (left + 4.0, Anchor::Left, "← better"),
        Direction::SmallerIsWorse => (right - 4.0, Anchor::Right, "better →"),
    };
    canvas.text((at, y), text, anchor, Ink::Muted);
    if let Some(floor) = group.floor {
        let bottom = lane - words::to_f64(rows(group) as u64) + 0.1;
        brackets(plot, floor.distance, (lane - 1.0, bottom));
    }
    for (index, (cell, change)) in group.arms.iter().enumerate() {
        let lane = lane - words::to_f64(index as u64) - 1.5;
        draw_arm(plot, legend, cell, change, lane);
    }
}

/// Marks the noise floor on both sides of 1 by brackets that open inwards.
fn brackets(plot: &Plot<'_, '_>, distance: f64, (top, bottom): (f64, f64)) {
    for (ratio, inwards) in [(1.0 / (1.0 + distance), 4.0), (1.0 + distance, -4.0)] {
        if (plot.x().low..=plot.x().high).contains(&ratio) {
            let ((x, above), (_, below)) = (plot.at(ratio, top), plot.at(ratio, bottom));
            let line = [
                (x + inwards, above),
                (x, above),
                (x, below),
                (x + inwards, below),
            ];
            plot.canvas().line(&line, Ink::Muted, 1.0);
        }
    }
}

fn draw_arm(plot: &Plot<'_, '_>, legend: &Legend, cell: &Cell, change: &Estimate, lane: f64) {
    let (left, right) = plot.sides();
    let y = plot.at(1.0, lane).1;
    let mark = legend.arm(&cell.arm);
    bar(plot, change, lane, Ink::Arm(mark.colour));
    plot.marker(1.0 + change.value, lane, mark);
    let canvas = plot.canvas();
    let name = shortened(&cell.arm, 15);
    canvas.text((left - 6.0, y), &name, Anchor::Right, Ink::Muted);
    let symbol = words::symbol(cell.verdict);
    canvas.text((right + 4.0, y), symbol, Anchor::Left, Ink::Text);
    let change = number::percent(change.value);
    canvas.text((right + 19.0, y), &change, Anchor::Left, Ink::Text);
}

/// Draws the 95 % interval; an end beyond the axis is an arrow.
pub(super) fn bar(plot: &Plot<'_, '_>, change: &Estimate, lane: f64, ink: Ink) {
    let (low, high) = (1.0 + change.interval95.low, 1.0 + change.interval95.high);
    let from = plot.at(low.max(f64::MIN_POSITIVE), lane);
    let to = plot.at(high.min(f64::MAX), lane);
    plot.canvas().line(&[from, to], ink, 2.4);
    for (beyond, (x, y), back) in [
        (low < plot.x().low, from, 4.0),
        (high > plot.x().high, to, -4.0),
    ] {
        if beyond {
            let arrow = [(x + back, y - 4.0), (x, y), (x + back, y + 4.0)];
            plot.canvas().line(&arrow, ink, 1.6);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the height of at most a few hundred rows"
)]
pub(super) fn height(pixels: f64) -> u32 {
    pixels.round() as u32
}

fn caption(
    analysis: &Analysis,
    workload: &Workload,
    groups: &[Group<'_>],
    margin: f64,
) -> maud::Markup {
    let cells = groups.iter().flat_map(|group| &group.arms);
    let rounds = words::rounds_compared(cells.map(|(cell, _)| *cell));
    let floors: Vec<&Floor> = groups.iter().filter_map(|group| group.floor).collect();
    html! {
        b { (workload.name) }
        ": change of the value of each arm " (table::against_in_full(analysis, &workload.name))
        ", in % of the reference; the metric says on which side better lies. Marker: Hodges-Lehmann estimate of the ratio per round; bar: exact 95 % "
        "signed-rank interval, an arrow where it goes on; " (rounds) ". Shaded: the margin of ±" (number::share(margin))
        " of p50 (tails have wider ones). ▲ worse, ▼ better, ≈ equivalent, ? not decided."
        @if let Some(floor) = floors.first() {
            " Brackets: the noise floor, from the " (words::floor_basis(&floor.basis)) "."
        }
    }
}
