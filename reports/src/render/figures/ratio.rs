//! Axes of ratios to the reference: logarithmic, so that half and double lie equally far from 1, and labelled as
//! changes.

use super::super::number;
use super::super::svg::{Axis, Tick};

/// Ratios further apart than this are labelled as factors.
const WIDE: f64 = 3.0;

/// An axis wide enough for all finite positive ratios.
pub(super) fn axis(title: &str, ratios: &[f64]) -> Axis {
    let finite = ratios.iter().copied();
    let ratios: Vec<f64> = finite
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect();
    let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ratios.iter().copied().fold(0.0, f64::max);
    let mut axis = Axis::log(title, &ratios);
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
