//! Paired rounds: what the reference and an arm took in each round, joined.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::svg::{self, Axis, Ink, Margins, Plot};
use super::super::{number, words};
use super::{Figure, WIDTH, key, rounds_words};
use crate::model::{Analysis, Cell};

const HEIGHT: u32 = 210;

/// Draws one figure for each arm of a workload, for its main metric.
pub(in crate::render) fn rounds(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Vec<Figure> {
    let main = words::main_metric(analysis, workload);
    let cells = analysis.cells_of(&workload.name);
    let cells = cells.filter(|cell| cell.metric == main && !cell.pairs.is_empty());
    cells.map(|cell| figure(legend, cell)).collect()
}

fn figure(legend: &Legend, cell: &Cell) -> Figure {
    let values = || {
        cell.pairs
            .iter()
            .flat_map(|pair| [pair.reference, pair.arm])
    };
    let largest = values()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let (unit, scale) = words::axis_unit(cell.unit, largest);
    let scaled: Vec<f64> = values().map(|value| value / scale).collect();
    let numbers: Vec<f64> = cell
        .pairs
        .iter()
        .map(|pair| f64::from(pair.round))
        .collect();
    let mut x = Axis::linear("round", &numbers);
    x.ticks
        .retain(|tick| tick.value >= 0.0 && tick.value.fract().abs() < 1e-9);
    let y = Axis::linear(
        &format!("{} in {unit}", words::short_metric(cell.metric)),
        &scaled,
    );
    let label = format!(
        "{}: {} and {} in each round",
        cell.workload, cell.reference, cell.arm
    );
    let svg = svg::draw(WIDTH, HEIGHT, &label, |canvas| {
        let plot = Plot::new(canvas, (WIDTH, HEIGHT), Margins::USUAL, x, y);
        let (arm, reference) = (legend.arm(&cell.arm), legend.arm(&cell.reference));
        for pair in &cell.pairs {
            let round = f64::from(pair.round);
            let (from, to) = (pair.reference / scale, pair.arm / scale);
            plot.line(&[(round, from), (round, to)], Ink::Muted, 1.0);
            plot.marker(round, from, reference);
            plot.marker(round, to, arm);
        }
    });
    Figure {
        name: format!("{}-{}-rounds", cell.workload, cell.arm),
        svg,
        caption: caption(cell),
        key: key(legend, [&cell.reference, &cell.arm]),
    }
}

fn caption(cell: &Cell) -> maud::Markup {
    let lost = cell
        .pairs
        .iter()
        .filter(|pair| !(pair.arm + pair.reference).is_finite())
        .count();
    html! {
        b { (cell.workload) ", " (cell.arm) }
        ": " (words::metric(cell.metric)) " of " (cell.arm) " and " (cell.reference) " in each round, "
        (rounds_words(cell.rounds)) "."
        @if let Some(share) = cell.worse_in {
            " Worse than " (cell.reference) " in " (number::share(share)) " of them."
        }
        @if let Some(change) = words::change(cell) {
            " Change " (words::unbroken(&change)) " (Hodges-Lehmann, exact 95 % signed-rank interval)."
        } @else {
            " Too few rounds for an interval."
        }
        @if lost > 0 { " Rounds with an infinite value, " (lost) ", are not drawn." }
    }
}
