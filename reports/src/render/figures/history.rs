//! A cell from campaign to campaign: ratios with their intervals, one colour for each machine, levels between
//! changes, releases and the budget.

use std::collections::BTreeMap;

use maud::html;

use super::super::palette::{Mark, Shape};
use super::super::svg::{self, Anchor, Axis, Ink, Margins, Plot};
use super::super::{number, words};
use super::{Figure, WIDTH};
use crate::history::{Series, SeriesPoint};

const HEIGHT: u32 = 230;

/// Most campaigns that are drawn, the latest: more would run into one another.
pub(in crate::render) const MOST_DRAWN: usize = 150;

/// What a campaign without a value has instead of a marker.
const GAP: Mark = Mark {
    colour: Mark::DISCARDED,
    shape: Shape::Cross,
};

/// Room at the right for half a day of the last campaign.
const MARGINS: Margins = Margins {
    right: 20.0,
    ..Margins::USUAL
};

/// A point with its series' place among those drawn.
struct Drawn<'a> {
    series: usize,
    index: usize,
    point: &'a SeriesPoint,
}

/// Draws one cell: its series on each machine, in one order of time. `marks` has each machine's marker.
pub(in crate::render) fn history(
    cell: &[&Series],
    marks: &BTreeMap<&str, Mark>,
    caption: maud::Markup,
) -> Option<Figure> {
    let drawn = drawn(cell);
    let first = cell.first()?;
    let place: BTreeMap<(usize, usize), f64> = drawn
        .iter()
        .enumerate()
        .map(|(place, drawn)| ((drawn.series, drawn.index), words::to_f64(place as u64)))
        .collect();
    let places: Vec<f64> = place.values().copied().collect();
    let (x, y) = (
        horizontal(&drawn, &places),
        Axis::linear(
            &format!("% against {} (+ is worse)", first.reference),
            &reach(cell, &drawn),
        ),
    );
    let floor = y.low;
    let label = format!(
        "{} {}, {} against {}: {} campaigns in order",
        first.workload,
        first.metric,
        first.arm,
        first.reference,
        drawn.len()
    );
    let svg = svg::draw(WIDTH, HEIGHT, &label, |canvas| {
        let plot = Plot::new(canvas, (WIDTH, HEIGHT), MARGINS, x, y);
        splits(&plot, cell, &drawn);
        for (number, series) in cell.iter().enumerate() {
            let at = |index: usize| place.get(&(number, index)).copied();
            let mark = marks.get(series.stretch.fingerprint.as_str());
            levels(&plot, series, &at);
            budget(&plot, series, &at);
            for (index, point) in series.points.iter().enumerate() {
                if let Some(x) = at(index) {
                    value(
                        &plot,
                        x,
                        point,
                        mark.copied().unwrap_or(Mark::REFERENCE),
                        floor,
                    );
                }
            }
        }
    });
    Some(Figure {
        name: format!("{}-{}-{}-history", first.workload, first.arm, first.metric)
            .replace(' ', "-"),
        svg,
        caption,
        key: Vec::new(),
    })
}

/// The latest campaigns of all series in the order of time.
fn drawn<'a>(cell: &[&'a Series]) -> Vec<Drawn<'a>> {
    let mut all: Vec<Drawn<'a>> = cell
        .iter()
        .enumerate()
        .flat_map(|(series, found)| {
            let points = found.points.iter().enumerate();
            points.map(move |(index, point)| Drawn {
                series,
                index,
                point,
            })
        })
        .collect();
    all.sort_by_key(|drawn| (drawn.point.at_unix_ms, drawn.point.campaign));
    all.split_off(all.len().saturating_sub(MOST_DRAWN))
}

/// Campaigns at equal distances; the first, the last and some between have their day.
fn horizontal(drawn: &[Drawn<'_>], places: &[f64]) -> Axis {
    let mut x = Axis::linear("campaigns in order, by day (UTC)", places);
    let last = drawn.len().saturating_sub(1);
    let step = last.div_ceil(3).max(1);
    x.low = -0.7;
    x.high = words::to_f64(last as u64) + 0.7;
    x.ticks = (0..=last)
        .step_by(step)
        .filter_map(|place| {
            let day = number::date(drawn.get(place)?.point.at_unix_ms);
            Some(svg::Tick {
                value: words::to_f64(place as u64),
                // Year and time are in the table.
                label: day.get(5..10)?.to_owned(),
            })
        })
        .collect();
    x
}

/// All values that have to be on the vertical axis, in percent.
fn reach(cell: &[&Series], drawn: &[Drawn<'_>]) -> Vec<f64> {
    let points = drawn.iter().map(|drawn| drawn.point);
    let ratios: Vec<f64> = points.clone().filter_map(|point| point.ratio).collect();
    let bounds = points.flat_map(|point| [point.low, point.high]).flatten();
    let limits = cell.iter().filter_map(|series| limit(series));
    // A wild interval must not flatten all others: it is cut at twice what the estimates span.
    let (low, high) = ratios
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), ratio| {
            (low.min(*ratio), high.max(*ratio))
        });
    let span = (high - low).max(0.02);
    let near = bounds.filter(|bound| *bound > low - 2.0 * span && *bound < high + 2.0 * span);
    let all: Vec<f64> = near.chain(limits).chain(ratios.iter().copied()).collect();
    all.into_iter().map(percent).collect()
}

/// The ratio at which the budget ends.
fn limit(series: &Series) -> Option<f64> {
    let since = series.budget.as_ref()?;
    let release = series.points.get(usize::try_from(since.at).ok()?)?;
    Some(release.ratio? * (1.0 + since.budget.allowed))
}

fn percent(ratio: f64) -> f64 {
    (ratio - 1.0) * 100.0
}

/// A line where the machine or the set-up becomes another.
fn splits(plot: &Plot<'_, '_>, cell: &[&Series], drawn: &[Drawn<'_>]) {
    if cell.len() < 2 {
        return;
    }
    for (place, pair) in drawn.windows(2).enumerate() {
        if pair[0].series != pair[1].series {
            plot.vertical(words::to_f64(place as u64) + 0.5, Ink::Grid, 2.5);
        }
    }
}

/// The typical ratio of each stretch between changes, and the changes.
fn levels(plot: &Plot<'_, '_>, series: &Series, at: &impl Fn(usize) -> Option<f64>) {
    let changes = &series.stretch.changes;
    let mut start = 0;
    for (number, change) in changes.iter().enumerate() {
        let index = usize::try_from(change.index).unwrap_or(usize::MAX);
        level(plot, at, start..index, change.before_ratio);
        if let Some(x) = at(index) {
            plot.vertical(x - 0.5, Ink::Arm(1), 1.5);
            let (x, y) = plot.at(x - 0.5, f64::INFINITY);
            let sign = if change.change > 0.0 { "▲" } else { "▼" };
            plot.canvas()
                .text((x, y - 6.0), sign, Anchor::Middle, Ink::Arm(1));
        }
        if number + 1 == changes.len() {
            level(plot, at, index..series.points.len(), change.after_ratio);
        }
        start = index;
    }
}

fn level(
    plot: &Plot<'_, '_>,
    at: &impl Fn(usize) -> Option<f64>,
    stretch: std::ops::Range<usize>,
    ratio: f64,
) {
    let mut places = stretch.filter_map(at);
    if let Some(first) = places.next() {
        let last = places.last().unwrap_or(first);
        let y = percent(ratio);
        plot.line(&[(first - 0.4, y), (last + 0.4, y)], Ink::Text, 1.5);
    }
}

/// How far the latest campaigns may be from the last release.
fn budget(plot: &Plot<'_, '_>, series: &Series, at: &impl Fn(usize) -> Option<f64>) {
    let (Some(since), Some(limit)) = (&series.budget, limit(series)) else {
        return;
    };
    let first = usize::try_from(since.at).unwrap_or(usize::MAX);
    let mut places = (first..series.points.len()).filter_map(at);
    if let Some(first) = places.next() {
        let last = places.last().unwrap_or(first);
        // Dashes, since plotters' lines are whole.
        let y = percent(limit);
        let steps = 24.0;
        for dash in 0..12_u32 {
            let part = |step: f64| first + (last + 0.5 - first) * step / steps;
            let from = f64::from(2 * dash);
            plot.line(&[(part(from), y), (part(from + 1.0), y)], Ink::Arm(4), 1.5);
        }
    }
}

/// The interval and the estimate of one campaign; the name of a release stands above it.
fn value(plot: &Plot<'_, '_>, x: f64, point: &SeriesPoint, mark: Mark, floor: f64) {
    let Some(ratio) = point.ratio else {
        plot.marker(x, floor, GAP);
        return;
    };
    let low = point.low.map_or(f64::MIN, percent);
    let high = point.high.map_or(f64::MAX, percent);
    plot.line(&[(x, low), (x, high)], Ink::Arm(mark.colour), 1.0);
    plot.marker(x, percent(ratio), mark);
    if let Some(release) = &point.release {
        let (x, y) = plot.at(x, f64::INFINITY);
        let name: String = release.chars().take(12).collect();
        plot.canvas()
            .text((x, y + 8.0), &name, Anchor::Middle, Ink::Text);
    }
}

/// Says what the drawing shows, after the cell's name.
pub(in crate::render) fn legend_words(several_machines: bool) -> maud::Markup {
    html! {
        "Each marker is a campaign with its exact 95 % signed-rank interval"
        @if several_machines { ", its shape the machine" }
        "; a cross at the bottom is one without a value. Lines are levels between changes (▲ ▼), dashes the end of the \
         budget against the last release, whose name stands above it."
    }
}
