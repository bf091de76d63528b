//! Latency against the number of services, one line for each series, with the claim for each.

use maud::html;
use tollgate_results::arm::Name;

use super::super::legend::Legend;
use super::super::svg::{self, Axis, Ink, Margins, Plot};
use super::super::{number, words};
use super::{Figure, WIDTH, rounds_words};
use crate::model::{Analysis, Metric, Scaling};

const HEIGHT: u32 = 290;

/// Values further apart than this are drawn on a logarithmic axis.
const WIDE: f64 = 4.0;

/// One workload's figure, with the sweeps that it shows.
pub(in crate::render) struct Panel<'a> {
    pub figure: Figure,
    pub scalings: Vec<&'a Scaling>,
}

/// Draws one figure for each workload and metric that was swept.
pub(in crate::render) fn panels<'a>(analysis: &'a Analysis, legend: &Legend) -> Vec<Panel<'a>> {
    let mut groups: Vec<((&Name, Metric), Vec<&Scaling>)> = Vec::new();
    for scaling in &analysis.scalings {
        let key = (&scaling.workload, scaling.metric);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(scaling),
            None => groups.push((key, vec![scaling])),
        }
    }
    let panels = groups
        .into_iter()
        .filter(|(_, group)| group.iter().any(|line| !line.points.is_empty()));
    panels
        .map(|(_, group)| Panel {
            figure: figure(legend, &group),
            scalings: group,
        })
        .collect()
}

fn figure(legend: &Legend, group: &[&Scaling]) -> Figure {
    let first = group[0];
    let points = || group.iter().flat_map(|line| &line.points);
    let medians = || {
        points()
            .map(|point| point.typical.median)
            .filter(|value| value.is_finite())
    };
    let largest = medians().fold(0.0, f64::max);
    let smallest = medians().fold(f64::INFINITY, f64::min);
    let (unit, scale) = words::axis_unit(first.unit, largest);
    let mut values: Vec<f64> = Vec::new();
    for point in points() {
        values.push(point.typical.median / scale);
        values.extend(
            point
                .typical
                .interval
                .iter()
                .flat_map(|interval| [interval.low / scale, interval.high / scale]),
        );
    }
    let levels: Vec<f64> = points().map(|point| words::to_f64(point.level)).collect();
    let x = Axis::log("services (logarithmic)", &levels);
    let title = format!("{} in {unit}", words::short_metric(first.metric));
    let y = if largest > smallest * WIDE {
        Axis::log(&format!("{title} (logarithmic)"), &values)
    } else {
        Axis::linear(&title, &values)
    };
    let label = format!(
        "{}: {} against the number of services",
        first.workload, first.metric
    );
    let svg = svg::draw(WIDTH, HEIGHT, &label, |canvas| {
        let plot = Plot::new(canvas, (WIDTH, HEIGHT), Margins::USUAL, x, y);
        for line in group {
            draw_series(&plot, legend, line, scale);
        }
    });
    Figure {
        name: format!(
            "{}-{}-scaling",
            first.workload,
            first.metric.as_str().replace(' ', "-")
        ),
        svg,
        caption: caption(group),
        key: group
            .iter()
            .map(|line| (line.series.clone(), legend.series(&line.series)))
            .collect(),
    }
}

fn draw_series(plot: &Plot<'_, '_>, legend: &Legend, line: &Scaling, scale: f64) {
    let mark = legend.series(&line.series);
    let ink = Ink::Arm(mark.colour);
    let fitted = line
        .points
        .iter()
        .filter_map(|point| Some((words::to_f64(point.level), point.fitted? / scale)));
    plot.line(&fitted.collect::<Vec<_>>(), ink, 1.6);
    for point in &line.points {
        let level = words::to_f64(point.level);
        if let Some(interval) = point.typical.interval {
            plot.line(
                &[
                    (level, interval.low / scale),
                    (level, interval.high / scale),
                ],
                ink,
                1.2,
            );
        }
        plot.marker(level, point.typical.median / scale, mark);
    }
}

fn caption(group: &[&Scaling]) -> maud::Markup {
    let first = group[0];
    let least = group
        .iter()
        .map(|line| line.claim.rounds)
        .min()
        .unwrap_or(0);
    html! {
        b { (first.workload) }
        ": " (words::metric(first.metric)) " against the number of services, of "
        (words::list(group.iter().map(|line| &line.series)))
        ". Marker: median over rounds, with its 95 % order-statistic interval; line: fitted curve; "
        (rounds_words(least)) ". A rise below " (number::share(first.claim.margin))
        ", proved by the 90 % interval over rounds, is flat."
    }
}
