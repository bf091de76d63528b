//! Time to program each arm's services.

use maud::html;

use super::super::legend::Legend;
use super::super::svg::{self, Anchor, Axis, Ink, Margins, Plot};
use super::super::{number, words};
use super::{Figure, WIDTH, shortened};
use crate::model::{Analysis, ArmSummary, Programming};

/// Height of a row in pixels.
const ROW: u32 = 24;

/// Draws one row for each arm that has services; `None` where none has.
pub(in crate::render) fn programming(analysis: &Analysis, legend: &Legend) -> Option<Figure> {
    let arms = analysis
        .arms
        .iter()
        .filter_map(|arm| Some((arm, arm.programming.as_ref()?)));
    let arms: Vec<(&ArmSummary, &Programming)> = arms.collect();
    let times = arms
        .iter()
        .flat_map(|(_, programming)| &programming.times_ns);
    let times: Vec<f64> = times.map(|&ns| words::to_f64(ns) / 1e6).collect();
    if times.is_empty() {
        return None;
    }
    let rows = u32::try_from(arms.len()).unwrap_or(u32::MAX).min(1000);
    let margins = Margins {
        left: 120.0,
        right: 66.0,
        top: 8.0,
        bottom: 40.0,
    };
    let height = rows * ROW + 48;
    let count = f64::from(rows);
    // At least a decade, so that like times look alike.
    let reach = times.iter().flat_map(|time| [time / 3.0, time * 3.0]);
    let x = Axis::log("milliseconds (logarithmic)", &reach.collect::<Vec<_>>());
    let y = Axis {
        low: 0.0,
        high: count,
        logarithmic: false,
        ticks: Vec::new(),
        title: String::new(),
    };
    let svg = svg::draw(
        WIDTH,
        height,
        "time to program each arm's services",
        |canvas| {
            let plot = Plot::new(canvas, (WIDTH, height), margins, x, y);
            let (left, right) = plot.sides();
            for (index, (arm, programming)) in arms.iter().enumerate() {
                let lane = count - words::to_f64(index as u64) - 0.5;
                let mark = legend.arm(&arm.name);
                let at = plot.at(1.0, lane).1;
                canvas.line(
                    &[(left, at), plot.at(programming.median_ns / 1e6, lane)],
                    Ink::Arm(mark.colour),
                    1.6,
                );
                for &ns in &programming.times_ns {
                    plot.marker(words::to_f64(ns) / 1e6, lane, mark);
                }
                canvas.text(
                    (left - 6.0, at),
                    &shortened(&arm.name, 15),
                    Anchor::Right,
                    Ink::Muted,
                );
                let time = number::duration(programming.median_ns);
                canvas.text((right + 4.0, at), &time, Anchor::Left, Ink::Text);
            }
        },
    );
    let installs = analysis.subject.installs;
    let caption = html! {
        b { "Programming" }
        ": time to program all services of an arm, in ms. One marker for each install, n = " (installs)
        "; the figure is their median. Too few installs for an interval: read it as an order of magnitude."
    };
    Some(Figure {
        name: "programming".to_owned(),
        svg,
        caption,
        key: Vec::new(),
    })
}
