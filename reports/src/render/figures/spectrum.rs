//! Percentile spectra: latency at every percentile, the tail stretched, one line for each arm.

use maud::html;
use tollgate_results::outcome::Timed;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::svg::{self, Axis, Ink, Margins, Plot, Tick};
use super::super::{number, words};
use super::{Figure, WIDTH, key, rounds_words};
use crate::model::{Analysis, Spectrum, SpectrumPoint};

const HEIGHT: u32 = 270;

/// Percentiles that are labelled and marked, with their place 1 / (1 - q).
const NAMED: [(f64, &str); 6] = [
    (2.0, "p50"),
    (10.0, "p90"),
    (100.0, "p99"),
    (1e3, "p99.9"),
    (1e4, "p99.99"),
    (1e5, "p99.999"),
];

/// Draws the spectra of one workload, one figure for each thing that was timed.
pub(in crate::render) fn spectra(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Vec<Figure> {
    let figures = Timed::ALL.into_iter().map(|timed| {
        let of_it = |line: &&Spectrum| {
            line.workload == workload.name && line.timed == timed && !line.points.is_empty()
        };
        let lines: Vec<&Spectrum> = analysis.spectra.iter().filter(of_it).collect();
        (!lines.is_empty()).then(|| figure(legend, workload, timed, &lines))
    });
    figures.flatten().collect()
}

fn figure(legend: &Legend, workload: &Workload, timed: Timed, lines: &[&Spectrum]) -> Figure {
    let what = match timed {
        Timed::Latency => "latency",
        Timed::Connect => "time to connect",
        Timed::Tls => "time of the TLS handshake",
        Timed::FirstByte => "time to the first byte of the response",
        Timed::LastByte => "time from the first byte of the response to its last",
        Timed::FromPlan => "latency from the planned start",
        Timed::FromSend => "service time",
        Timed::Lateness => "lateness of the generator",
        Timed::UserToDriver => "time from the send call to the driver",
        Timed::InQueue => "time in the queueing discipline",
        Timed::DriverToDriver => "time from driver to driver, both ways and at the far end",
        Timed::FarEnd => "time at the far end",
        Timed::DriverToUser => "time from the driver to the end of the receive call",
        Timed::OneWayUp => "one-way delay, client to server",
        Timed::OneWayDown => "one-way delay, server to client",
        Timed::PdvUp => "packet delay variation (PDV), client to server",
        Timed::PdvDown => "packet delay variation (PDV), server to client",
        Timed::IpdvUp => "inter-packet delay variation (IPDV), client to server",
        Timed::IpdvDown => "inter-packet delay variation (IPDV), server to client",
    };
    let points = || lines.iter().flat_map(|line| &line.points);
    let y: Vec<f64> = points().map(|point| point.ns / 1e3).collect();
    let far = points()
        .map(place)
        .filter(|x| x.is_finite())
        .fold(10.0, f64::max);
    let x = Axis {
        low: 1.0,
        high: far * 1.15,
        logarithmic: true,
        ticks: NAMED
            .iter()
            .filter(|(at, _)| *at <= far * 1.15)
            .map(|&(value, label)| Tick {
                value,
                label: label.to_owned(),
            })
            .collect(),
        title: "percentile of all requests sent".to_owned(),
    };
    let y = Axis::log(&format!("{what} in µs (logarithmic)"), &y);
    let label = format!("{}: {what} at every percentile", workload.name);
    let svg = svg::draw(WIDTH, HEIGHT, &label, |canvas| {
        let plot = Plot::new(
            canvas,
            (WIDTH, HEIGHT),
            Margins {
                right: 24.0,
                ..Margins::USUAL
            },
            x,
            y,
        );
        for line in lines {
            let mark = legend.arm(&line.arm);
            let points: Vec<_> = line
                .points
                .iter()
                .map(|point| (place(point), point.ns / 1e3))
                .collect();
            plot.line(&points, Ink::Arm(mark.colour), 1.8);
            for (at, _) in NAMED {
                let near = |(x, _): &&(f64, f64)| (x / at).ln().abs() < 0.02;
                if let Some(&(x, y)) = points.iter().find(near) {
                    plot.marker(x, y, mark);
                }
            }
        }
    });
    Figure {
        name: format!("{}-{}", workload.name, timed.as_str()),
        svg,
        caption: caption(workload, what, lines),
        key: key(legend, lines.iter().map(|line| &line.arm)),
    }
}

/// Where a quantile stands: 1 / (1 - q), which gives each decade of the tail equal room.
fn place(point: &SpectrumPoint) -> f64 {
    1.0 / (1.0 - point.quantile)
}

fn caption(workload: &Workload, what: &str, lines: &[&Spectrum]) -> maud::Markup {
    let sent: u64 = lines.iter().map(|line| line.sent).sum();
    let lost: u64 = lines.iter().map(|line| line.lost).sum();
    let rounds = lines.iter().map(|line| line.rounds).max().unwrap_or(0);
    html! {
        b { (workload.name) }
        ": " (what) " in µs at every percentile, of " (words::list(lines.iter().map(|line| &line.arm)))
        ". All requests of " (rounds_words(rounds)) " pooled: " (number::count(sent)) " sent, "
        (number::count(lost)) " lost. A description without interval: verdicts don't rest on it."
    }
}
