//! Curves of quantile ratios: whether an arm differs from its reference in the typical request or in the tail.

use maud::html;
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::number;
use super::super::svg::{self, Axis, Ink, Margins, Plot, Tick};
use super::{Figure, WIDTH, key, ratio, rounds_words};
use crate::model::{Analysis, RatioCurve, RatioPoint};

const HEIGHT: u32 = 230;

/// Draws one curve for each arm of a workload; all of them have one scale.
pub(in crate::render) fn curves(
    analysis: &Analysis,
    legend: &Legend,
    workload: &Workload,
) -> Vec<Figure> {
    let curves = analysis.description.iter().flat_map(|it| &it.curves);
    let of_it = |curve: &&RatioCurve| curve.workload == workload.name && curve.points.len() > 1;
    let curves: Vec<&RatioCurve> = curves.filter(of_it).collect();
    let margin = analysis.subject.rounds.margin.0;
    let mut ratios = vec![1.0 / (1.0 + margin), 1.0 + margin];
    for point in curves.iter().flat_map(|curve| &curve.points) {
        ratios.push(point.ratio);
        // A bound of the far tail may lie far out: it doesn't squeeze the rest.
        let bounds = point.interval.filter(|_| point.quantile < 0.995);
        ratios.extend(bounds.iter().flat_map(|bounds| [bounds.low, bounds.high]));
    }
    let y = ratio::axis("change against the reference", &ratios);
    let curves = curves.into_iter();
    curves
        .map(|curve| figure(legend, curve, y.clone(), margin))
        .collect()
}

fn figure(legend: &Legend, curve: &RatioCurve, y: Axis, margin: f64) -> Figure {
    let places = || (0_u32..).map(f64::from);
    let last = f64::from(u32::try_from(curve.points.len()).unwrap_or(u32::MAX)) - 1.0;
    let ticks = curve.points.iter().zip(places());
    let x = Axis {
        low: -0.3,
        high: last + 0.3,
        logarithmic: false,
        ticks: ticks
            .map(|(point, value)| Tick {
                value,
                label: percentile(point.quantile),
            })
            .collect(),
        title: "percentile of latency".to_owned(),
    };
    let label = format!(
        "{}: {} against {} at each percentile",
        curve.workload, curve.arm, curve.reference
    );
    let svg = svg::draw(WIDTH, HEIGHT, &label, |canvas| {
        let margins = Margins {
            left: 58.0,
            ..Margins::USUAL
        };
        let plot = Plot::behind(canvas, (WIDTH, HEIGHT), margins, x, y, |plot| {
            plot.belt(1.0 / (1.0 + margin), 1.0 + margin, Ink::Band);
        });
        plot.horizontal(1.0, Ink::Text, 1.4);
        let mark = legend.arm(&curve.arm);
        let ink = Ink::Arm(mark.colour);
        let points = || curve.points.iter().zip(places());
        let band = points().filter_map(|(point, x)| {
            let interval = point.interval?;
            Some((
                x,
                interval.low.max(f64::MIN_POSITIVE),
                interval.high.min(f64::MAX),
            ))
        });
        let band: Vec<_> = band.collect();
        if band.len() > 1 {
            plot.between(&band, ink);
        }
        let line: Vec<_> = points().map(|(point, x)| (x, point.ratio)).collect();
        plot.line(&line, ink, 1.8);
        for (x, ratio) in line {
            plot.marker(x, ratio, mark);
        }
    });
    Figure {
        name: format!("{}-{}-tail", curve.workload, curve.arm),
        svg,
        caption: caption(curve, margin),
        key: key(legend, [&curve.arm]),
    }
}

/// A quantile as people say it: `p50`, `p99.9`.
fn percentile(quantile: f64) -> String {
    let percent = number::three_digits(quantile * 100.0);
    format!("p{}", number::shortest(&percent))
}

fn caption(curve: &RatioCurve, margin: f64) -> maud::Markup {
    let known = |point: &RatioPoint| point.interval.is_some();
    let typical = curve
        .points
        .iter()
        .find(|point| (point.quantile - 0.5).abs() < 1e-9);
    html! {
        b { (curve.workload) ", " (curve.arm) }
        ": latency of " (curve.arm) " against " (curve.reference) ", in % of the reference, at each percentile of a slice; below the line is better; "
        (rounds_words(curve.rounds)) ". Line: Hodges-Lehmann estimate of the ratio per round. "
        @if curve.points.iter().any(known) {
            "Tinted: exact signed-rank intervals at 1 − 0.05/7, so that all seven hold together at 95 %; where they leave the picture they go on. "
        } @else {
            "Too few rounds for an interval that holds at all seven percentiles together (it takes 9). "
        }
        @if let Some(point) = typical {
            "At p50: " (number::percent(point.ratio - 1.0)) ". "
        }
        "Shaded: the margin of ±" (number::share(margin)) "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_written_as_people_say_them() {
        let all = [0.1, 0.25, 0.5, 0.9, 0.99, 0.999].map(percentile);
        assert_eq!(all, ["p10", "p25", "p50", "p90", "p99", "p99.9"]);
    }
}
