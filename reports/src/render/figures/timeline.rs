//! What the CPUs did besides: soft interrupts and steal of every slice, in the order measured.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::palette::{Mark, Shape};
use super::super::svg::{self, Axis, Ink, Margins, Plot};
use super::super::words;
use super::{Figure, WIDTH};
use crate::model::{Analysis, SlicePoint, Steal};

const HEIGHT: u32 = 210;

/// How slices of rounds that don't count are drawn.
const DISCARDED: Mark = Mark {
    colour: Mark::DISCARDED,
    shape: Shape::Plus,
};

/// Draws the share of CPU time in soft interrupts of a workload's slices; `None` where it was not readable.
pub(in crate::render) fn softirq(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Option<Figure> {
    let of_it = |slice: &&SlicePoint| slice.workload == workload.name;
    let slices: Vec<_> = analysis.timeline.iter().filter(of_it).collect();
    let svg = figure(legend, &slices, "softirq, % of all CPU time", |slice| {
        slice.softirq_share
    })?;
    let resolution = match analysis.subject.facts.exact_irq_time {
        Some(true) => "The kernel accounts it exactly.",
        Some(false) => "The kernel samples it at each tick, so one slice's figure is coarse.",
        None => "How finely the kernel accounts it is unknown.",
    };
    let caption = html! {
        b { (workload.name) }
        ": share of all CPU time in soft interrupts, in %, of each of " (slices.len())
        " slices of all arms, warm-up rounds included. Counted at the slice's edges; no interval. " (resolution)
        " Grey crosses: rounds that don't count."
    };
    Some(Figure { svg, caption })
}

/// Draws the steal of every slice; `None` where nothing can be said of it.
pub(in crate::render) fn steal(analysis: &Analysis, legend: &Legend) -> Option<Figure> {
    if analysis.conduct.steal == Steal::Unobservable {
        return None;
    }
    let slices: Vec<_> = analysis.timeline.iter().collect();
    let svg = figure(legend, &slices, "steal, % of one CPU", |slice| {
        slice.steal_share
    })?;
    let caption = html! {
        b { "All workloads" }
        ": CPU time that the hypervisor gave to others, in % of the CPU that lost most, of each of "
        (slices.len()) " slices of all arms. Counted at the slice's edges; no interval. Over the whole campaign: "
        (words::steal(analysis.conduct.steal)) "."
    };
    Some(Figure { svg, caption })
}

fn figure(
    legend: &Legend,
    slices: &[&SlicePoint],
    title: &str,
    share: impl Fn(&SlicePoint) -> Option<f64>,
) -> Option<maud::PreEscaped<String>> {
    let points = slices.iter().filter_map(|slice| {
        let minutes = words::to_f64(slice.at_ms) / 60_000.0;
        Some((*slice, minutes, share(slice)? * 100.0))
    });
    let points: Vec<_> = points.collect();
    if points.is_empty() {
        return None;
    }
    let times: Vec<f64> = points.iter().map(|point| point.1).collect();
    let values: Vec<f64> = points.iter().map(|point| point.2).collect();
    let x = Axis::from_zero("minutes since the first slice", &times);
    // An axis that never ends below 1 % keeps noise near zero looking like what it is.
    let mut reach = values.clone();
    reach.push(1.0);
    let y = Axis::from_zero(title, &reach);
    Some(svg::draw(WIDTH, HEIGHT, title, |canvas| {
        let plot = Plot::new(canvas, (WIDTH, HEIGHT), Margins::USUAL, x, y);
        for arm in lines(&points) {
            let mark = legend.arm(&arm[0].0.arm);
            let kept: Vec<_> = arm
                .iter()
                .filter(|point| point.0.kept)
                .map(|point| (point.1, point.2))
                .collect();
            plot.line(&kept, Ink::Arm(mark.colour), 0.6);
            for (slice, time, value) in arm {
                plot.marker(time, value, if slice.kept { mark } else { DISCARDED });
            }
        }
    }))
}

/// Splits points by workload and arm, in the order of their first slice.
fn lines<'a>(points: &[(&'a SlicePoint, f64, f64)]) -> Vec<Vec<(&'a SlicePoint, f64, f64)>> {
    let mut lines: Vec<Vec<(&SlicePoint, f64, f64)>> = Vec::new();
    for point in points {
        let of_it = |line: &&mut Vec<(&SlicePoint, f64, f64)>| {
            line[0].0.arm == point.0.arm && line[0].0.workload == point.0.workload
        };
        match lines.iter_mut().find(of_it) {
            Some(line) => line.push(*point),
            None => lines.push(vec![*point]),
        }
    }
    lines
}
