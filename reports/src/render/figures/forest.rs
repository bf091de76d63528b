//! The verdict forest: the ratio of each arm to its reference with its interval, for one workload.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::svg::{self, Anchor, Axis, Ink, Margins, Plot, Tick};
use super::super::{number, table, words};
use super::{Figure, WIDTH, rounds_words, shortened};
use crate::model::{Analysis, Cell, Direction, Estimate, Metric};

/// Height of a row in pixels.
const ROW: f64 = 19.0;

/// More rows than this, and only the workload's main metric is drawn.
const MANY_ROWS: usize = 60;

/// Ratios further apart than this are drawn on a logarithmic axis.
const WIDE: f64 = 3.0;

enum Row<'a> {
    Heading(String),
    Arm(&'a Cell, Estimate),
}

/// Draws the forest of one workload; `None` where no cell has an interval.
pub(in crate::render) fn forest(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Option<Figure> {
    let all = |_: &Metric| true;
    let main = words::main_metric(analysis, workload);
    let mut rows = rows(analysis, workload, all);
    if rows.len() > MANY_ROWS {
        rows = self::rows(analysis, workload, |metric| *metric == main);
    }
    if rows.is_empty() {
        return None;
    }
    let margin = analysis.subject.rounds.margin.0;
    let axis = ratio_axis(&rows, margin);
    let label = format!(
        "{}: ratio of each arm to its reference, with interval and margin",
        workload.name
    );
    let count = words::to_f64(rows.len() as u64);
    let margins = Margins {
        left: 120.0,
        right: 66.0,
        top: 20.0,
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
        canvas.text((margins.left, 9.0), "← better", Anchor::Left, Ink::Muted);
        canvas.text(
            (f64::from(WIDTH) - margins.right, 9.0),
            "worse →",
            Anchor::Right,
            Ink::Muted,
        );
        let plot = Plot::behind(canvas, (WIDTH, height), margins, axis, lanes, |plot| {
            plot.band(1.0 / (1.0 + margin), 1.0 + margin, Ink::Band);
        });
        plot.vertical(1.0, Ink::Text, 1.4);
        for (index, row) in rows.iter().enumerate() {
            let lane = count - words::to_f64(index as u64) - 0.5;
            draw_row(&plot, legend, row, lane);
        }
    });
    Some(Figure {
        svg,
        caption: caption(analysis, workload, &rows, margin),
    })
}

fn rows<'a>(
    analysis: &'a Analysis,
    workload: &'a Workload,
    shown: impl Fn(&Metric) -> bool,
) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for metric in Metric::ALL.into_iter().filter(shown) {
        let cells = analysis
            .cells_of(&workload.name)
            .filter(|cell| cell.metric == metric);
        let arms: Vec<Row<'_>> = cells
            .filter_map(|cell| cell.ratio.map(|ratio| Row::Arm(cell, ratio)))
            .collect();
        if !arms.is_empty() {
            rows.push(Row::Heading(match metric.direction() {
                Direction::LargerIsWorse => words::short_metric(metric).to_owned(),
                Direction::SmallerIsWorse => {
                    format!("{} (reference ÷ arm)", words::short_metric(metric))
                }
            }));
            rows.extend(arms);
        }
    }
    rows
}

fn draw_row(plot: &Plot<'_, '_>, legend: &Legend, row: &Row<'_>, lane: f64) {
    let (left, right) = plot.sides();
    let y = plot.at(1.0, lane).1;
    match row {
        Row::Heading(text) => plot
            .canvas()
            .text((2.0, y + 1.0), text, Anchor::Left, Ink::Text),
        Row::Arm(cell, estimate) => {
            let mark = legend.arm(&cell.arm);
            bar(plot, estimate, lane, Ink::Arm(mark.colour));
            plot.marker(estimate.value, lane, mark);
            let name = shortened(&cell.arm, 15);
            plot.canvas()
                .text((left - 6.0, y), &name, Anchor::Right, Ink::Muted);
            let change = number::percent(estimate.value - 1.0);
            plot.canvas()
                .text((right + 4.0, y), &change, Anchor::Left, Ink::Text);
        }
    }
}

/// Draws the 95 % interval; an end beyond the axis is an arrow.
fn bar(plot: &Plot<'_, '_>, estimate: &Estimate, lane: f64, ink: Ink) {
    let (low, high) = (estimate.interval95.low, estimate.interval95.high);
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

/// An axis of ratios, labelled as changes; logarithmic, so that half and double are equally far from 1. The far
/// tail, whose intervals are often wide, doesn't stretch it.
fn ratio_axis(rows: &[Row<'_>], margin: f64) -> Axis {
    let mut values = vec![1.0 / (1.0 + margin), 1.0 + margin];
    for row in rows {
        if let Row::Arm(cell, estimate) = row
            && !cell.metric.is_far_tail()
        {
            let interval = estimate.interval95;
            values.extend([estimate.value, interval.low, interval.high]);
        }
    }
    values.retain(|value| value.is_finite() && *value > 0.0);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    let mut axis = Axis::log("ratio to the reference (95 % interval)", &values);
    let ticks = if high / low > WIDE {
        factors()
    } else {
        percents(low, high)
    };
    axis.ticks = ticks
        .into_iter()
        .filter(|tick| (axis.low..=axis.high).contains(&tick.value))
        .collect();
    axis
}

/// Ticks for ratios that lie far apart.
fn factors() -> Vec<Tick> {
    [
        (0.1, "×0.1"),
        (0.2, "×0.2"),
        (0.5, "×0.5"),
        (1.0, "×1"),
        (2.0, "×2"),
        (5.0, "×5"),
        (10.0, "×10"),
        (30.0, "×30"),
        (100.0, "×100"),
        (1000.0, "×1,000"),
    ]
    .map(|(value, label)| Tick {
        value,
        label: label.to_owned(),
    })
    .to_vec()
}

/// Ticks for ratios that lie close together, as changes.
fn percents(low: f64, high: f64) -> Vec<Tick> {
    let ticks = Axis::linear("", &[(low - 1.0) * 100.0, (high - 1.0) * 100.0]).ticks;
    let ticks = ticks.into_iter().map(|tick| Tick {
        value: 1.0 + tick.value / 100.0,
        label: format!("{} %", number::signed(&tick.label)),
    });
    ticks.collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the height of at most a few hundred rows"
)]
fn height(pixels: f64) -> u32 {
    pixels.round() as u32
}

fn caption(
    analysis: &Analysis,
    workload: &Workload,
    rows: &[Row<'_>],
    margin: f64,
) -> maud::Markup {
    let compared = rows.iter().filter_map(|row| match row {
        Row::Arm(cell, _) => Some(cell.rounds),
        Row::Heading(_) => None,
    });
    let (least, most) = compared.fold((u32::MAX, 0), |(least, most), n| {
        (least.min(n), most.max(n))
    });
    let rounds = if least == most {
        rounds_words(most)
    } else {
        format!("n = {least} to {most} rounds")
    };
    let turned = rows
        .iter()
        .any(|row| matches!(row, Row::Arm(cell, _) if cell.direction == Direction::SmallerIsWorse));
    html! {
        b { (workload.name) }
        ": ratio of each arm " (table::against_in_full(analysis, &workload.name)) ", so that right is worse. Marker: Hodges-Lehmann estimate; bar: exact 95 % "
        "signed-rank interval, an arrow where it goes on; " (rounds) ". Shaded: the margin of ±" (number::share(margin)) ", within which arms are equivalent."
        @if turned { " Where more is better the ratio is turned over." }
    }
}
