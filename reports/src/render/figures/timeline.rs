//! The campaign as it went: every slice of a workload in the order measured, with what the CPUs did beneath, on
//! one axis of time.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::palette::{Mark, Shape};
use super::super::svg::{self, Anchor, Axis, Canvas, Ink, Margins, Plot};
use super::super::words;
use super::{Figure, key};
use crate::model::{Analysis, Fate, SlicePoint, Steal, Unit};

/// Wider than other figures: time takes room.
const WIDTH: u32 = 560;

/// Heights of the main panel and of one beneath it, in pixels.
const MAIN: f64 = 170.0;
const BENEATH: f64 = 84.0;

/// Room above each panel for its title, and below all of them for the axis of time.
const TITLE: f64 = 26.0;
const TIME: f64 = 40.0;

/// More slices than this, and the panels beneath have lines alone.
const MANY: usize = 400;

/// How slices of rounds that don't count are drawn.
const DISCARDED: Mark = Mark {
    colour: Mark::DISCARDED,
    shape: Shape::Plus,
};

/// A slice with the minutes since the campaign's first.
type Timed<'a> = (&'a SlicePoint, f64);

/// One panel: its title with the unit, and the value of each slice.
struct Panel<'a> {
    title: String,
    values: Vec<(&'a SlicePoint, f64, f64)>,
    /// What stands in place of values that could not be read.
    missing: &'static str,
    from_zero: bool,
}

/// Draws the slices of a workload; `None` where none was measured.
pub(in crate::render) fn timeline(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Option<Figure> {
    let of_it = |slice: &&SlicePoint| slice.workload == workload.name;
    let slices = analysis.timeline.iter().filter(of_it);
    let slices: Vec<Timed<'_>> = slices
        .map(|slice| (slice, words::to_f64(slice.at_ms) / 60_000.0))
        .collect();
    let main = main(&slices)?;
    let hidden = analysis.conduct.steal == Steal::Unobservable;
    let panels = [
        main,
        Panel::of(&slices, "softirq, % of all CPU time", |slice| {
            Some(slice.softirq_share? * 100.0)
        }),
        Panel::of(&slices, "steal, % of the CPU that lost most", |slice| {
            Some(slice.steal_share.filter(|_| !hidden)? * 100.0)
        }),
    ];
    let what = panels[0].title.clone();
    let label = format!(
        "{}: {what}, softirq and steal of every slice over time",
        workload.name
    );
    let height = 3.0 * TITLE + MAIN + 2.0 * BENEATH + TIME;
    let svg = svg::draw(WIDTH, whole(height), &label, |canvas| {
        let mut top = 0.0;
        for (index, panel) in panels.iter().enumerate() {
            let tall = if index == 0 { MAIN } else { BENEATH };
            let bottom = top + TITLE + tall;
            let last = index + 1 == panels.len();
            let room = Margins {
                top: top + TITLE,
                bottom: height - bottom,
                ..Margins::USUAL
            };
            let markers = index == 0 || slices.len() <= MANY;
            panel.draw(
                canvas,
                analysis,
                legend,
                (whole(height), room),
                &slices,
                last,
                markers,
            );
            top = bottom;
        }
    });
    Some(Figure {
        name: format!("{}-time", workload.name),
        svg,
        caption: caption(analysis, workload, &what, slices.len()),
        key: key(legend, slices.iter().map(|(slice, _)| &slice.arm)),
    })
}

/// The panel on top: latency where there is any, else throughput.
fn main<'a>(slices: &[Timed<'a>]) -> Option<Panel<'a>> {
    let latency = Panel::of(slices, "p50 in µs", |slice| Some(slice.p50_ns? / 1e3));
    if !latency.values.is_empty() {
        return Some(Panel {
            from_zero: false,
            ..latency
        });
    }
    let largest = slices.iter().filter_map(|(slice, _)| slice.throughput);
    let (unit, scale) = words::axis_unit(Unit::BitsPerSecond, largest.fold(0.0, f64::max));
    let title = format!("throughput in {unit}");
    let panel = Panel::of(slices, &title, |slice| Some(slice.throughput? / scale));
    (!panel.values.is_empty()).then_some(Panel {
        from_zero: false,
        ..panel
    })
}

impl<'a> Panel<'a> {
    fn of(slices: &[Timed<'a>], title: &str, value: impl Fn(&SlicePoint) -> Option<f64>) -> Self {
        let values = slices
            .iter()
            .filter_map(|&(slice, minutes)| Some((slice, minutes, value(slice)?)));
        Self {
            title: title.to_owned(),
            values: values.collect(),
            missing: "this machine doesn't show it",
            from_zero: true,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a panel shares with its neighbours"
    )]
    fn draw(
        &self,
        canvas: &Canvas<'_>,
        analysis: &Analysis,
        legend: &Legend,
        (height, room): (u32, Margins),
        slices: &[Timed<'_>],
        last: bool,
        markers: bool,
    ) {
        let times: Vec<f64> = slices.iter().map(|(_, minutes)| *minutes).collect();
        let mut x = Axis::from_zero("minutes since the first slice", &times);
        if !last {
            x.title.clear();
            x.ticks.iter_mut().for_each(|tick| tick.label.clear());
        }
        let mut values: Vec<f64> = self.values.iter().map(|value| value.2).collect();
        let mut y = if self.from_zero {
            // An axis that never ends below 1 % keeps noise near zero looking like what it is.
            values.push(1.0);
            Axis::from_zero(&self.title, &values)
        } else {
            Axis::linear(&self.title, &values)
        };
        if self.values.is_empty() {
            y.ticks.clear();
        }
        let plot = Plot::behind(
            canvas,
            (WIDTH, height),
            room,
            x,
            y.coarse(room.height(height)),
            |plot| {
                for (from, to) in discarded(analysis, slices) {
                    plot.band(from, to, Ink::Grid);
                }
            },
        );
        if self.values.is_empty() {
            let (left, right) = plot.sides();
            let middle = room.top + room.height(height) / 2.0;
            let at = (f64::midpoint(left, right), middle);
            canvas.text(at, self.missing, Anchor::Middle, Ink::Muted);
        }
        for arm in lines(&self.values) {
            let mark = legend.arm(&arm[0].0.arm);
            let kept: Vec<_> = arm
                .iter()
                .filter(|point| point.0.kept)
                .map(|point| (point.1, point.2))
                .collect();
            plot.line(&kept, Ink::Arm(mark.colour), 0.8);
            for (slice, minutes, value) in arm.into_iter().filter(|_| markers) {
                let mark = if slice.kept { mark } else { DISCARDED };
                plot.marker(minutes, value, mark);
            }
        }
    }
}

/// When rounds that don't count were measured, from their first slice of this workload to their last.
fn discarded(analysis: &Analysis, slices: &[Timed<'_>]) -> Vec<(f64, f64)> {
    let rounds = analysis.conduct.rounds.iter();
    let spans = rounds
        .filter(|round| round.fate != Fate::Kept)
        .filter_map(|round| {
            let of_it = |slice: &SlicePoint| {
                (slice.round, slice.install) == (round.round, round.install) && !slice.kept
            };
            let mut times = slices
                .iter()
                .filter(|(slice, _)| of_it(slice))
                .map(|(_, minutes)| *minutes);
            let first = times.next()?;
            Some((first, times.next_back().unwrap_or(first)))
        });
    spans.collect()
}

/// Splits points by arm, in the order of their first slice.
fn lines<'a>(points: &[(&'a SlicePoint, f64, f64)]) -> Vec<Vec<(&'a SlicePoint, f64, f64)>> {
    let mut lines: Vec<Vec<(&SlicePoint, f64, f64)>> = Vec::new();
    for point in points {
        let line = lines.iter_mut().find(|line| line[0].0.arm == point.0.arm);
        match line {
            Some(line) => line.push(*point),
            None => lines.push(vec![*point]),
        }
    }
    lines
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few hundred pixels"
)]
fn whole(pixels: f64) -> u32 {
    pixels.round() as u32
}

fn caption(analysis: &Analysis, workload: &Workload, what: &str, slices: usize) -> maud::Markup {
    let resolution = match analysis.subject.facts.exact_irq_time {
        Some(true) => "the kernel accounts softirq exactly",
        Some(false) => "the kernel samples softirq at each tick, so one slice's figure is coarse",
        None => "how finely the kernel accounts softirq is unknown",
    };
    html! {
        b { (workload.name) }
        ": " (what) ", share of all CPU time in soft interrupts in %, and steal in % of the CPU that lost most, of each of n = " (slices)
        " slices of all arms in the order measured, warm-up rounds included. One marker is one slice, so there is no interval; CPU figures are counted at the slice's edges, and "
        (resolution) ". Steal: " (words::steal(analysis.conduct.steal))
        ". Grey crosses on grey: rounds that don't count. Medians of slices with half of the replies lost are not drawn."
    }
}
