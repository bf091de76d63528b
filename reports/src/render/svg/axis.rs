//! Axes: the range that the data need, and the ticks that people read.

use super::super::{number, words};

/// Width that a letter of a label takes, in pixels of the nominal size: as in the widest of usual fonts.
const LETTER: f64 = 7.6;

/// Height that a label takes with room around it, in pixels of the nominal size.
const LINE: f64 = 22.0;

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::render) struct Tick {
    /// Where.
    pub value: f64,
    /// What is written there.
    pub label: String,
}

impl Tick {
    /// Width of the label, roughly, in pixels of the nominal size.
    fn width(&self) -> f64 {
        words::to_f64(self.label.chars().count() as u64) * LETTER
    }
}

/// One axis. A logarithmic one maps the logarithm of what it is given.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::render) struct Axis {
    /// Smallest value shown.
    pub low: f64,
    /// Largest value shown; above `low`.
    pub high: f64,
    /// Whether equal ratios have equal lengths.
    pub logarithmic: bool,
    /// Where the grid lines and labels stand.
    pub ticks: Vec<Tick>,
    /// What the axis shows, with the unit.
    pub title: String,
}

impl Axis {
    /// An axis with equal lengths for equal differences, wide enough for all finite values.
    pub(in crate::render) fn linear(title: &str, values: &[f64]) -> Self {
        let (mut low, mut high) = bounds(values).unwrap_or((0.0, 1.0));
        let pad = ((high - low) * 0.08).max(high.abs() * 0.02).max(1e-9);
        low = if low >= 0.0 && low < pad {
            0.0
        } else {
            low - pad
        };
        high += pad;
        Self {
            low,
            high,
            logarithmic: false,
            ticks: linear_ticks(low, high),
            title: title.to_owned(),
        }
    }

    /// A linear axis that starts at 0.
    pub(in crate::render) fn from_zero(title: &str, values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.push(0.0);
        Self::linear(title, &values)
    }

    /// An axis with equal lengths for equal ratios, wide enough for all finite positive values.
    pub(in crate::render) fn log(title: &str, values: &[f64]) -> Self {
        let positive: Vec<f64> = values
            .iter()
            .copied()
            .filter(|value| *value > 0.0)
            .collect();
        let (low, high) = bounds(&positive).unwrap_or((1.0, 10.0));
        let pad = (high / low).powf(0.06).max(1.03);
        let (low, high) = (low / pad, high * pad);
        Self {
            low,
            high,
            logarithmic: true,
            ticks: log_ticks(low, high),
            title: title.to_owned(),
        }
    }

    /// Leaves out ticks whose labels would run into one another on this many pixels; 0, or a ratio of 1, stays.
    pub(super) fn thinned(mut self, pixels: f64) -> Self {
        let rest = if self.logarithmic { 1.0 } else { 0.0 };
        let anchor = self
            .ticks
            .iter()
            .position(|tick| (tick.value - rest).abs() < 1e-9)
            .unwrap_or(0);
        let every = |stride: usize| -> Vec<&Tick> {
            let ticks = self.ticks.iter().enumerate();
            ticks
                .filter(|(index, _)| index % stride == anchor % stride)
                .map(|(_, tick)| tick)
                .collect()
        };
        let collides = |pair: &[&Tick]| {
            let gap = (self.place(pair[1].value) - self.place(pair[0].value)) * pixels;
            gap < f64::midpoint(pair[0].width(), pair[1].width()) + 6.0
        };
        let stride = (1..self.ticks.len()).find(|stride| !every(*stride).windows(2).any(collides));
        self.ticks = every(stride.unwrap_or(1)).into_iter().cloned().collect();
        self
    }

    /// Leaves out ticks of a vertical axis that is only so many pixels high.
    pub(in crate::render) fn coarse(mut self, pixels: f64) -> Self {
        let most = (pixels / LINE).max(2.0);
        let count = words::to_f64(self.ticks.len() as u64);
        let mut every = 1;
        while count / words::to_f64(every) > most {
            every += 1;
        }
        let mut index = 0;
        self.ticks.retain(|_| {
            index += 1;
            (index - 1) % every == 0
        });
        self
    }

    /// Where a value lies: 0 at the low end, 1 at the high end, held within both.
    pub(in crate::render) fn place(&self, value: f64) -> f64 {
        let (low, high, value) = if self.logarithmic {
            let value = value.max(f64::MIN_POSITIVE);
            (self.low.ln(), self.high.ln(), value.ln())
        } else {
            (self.low, self.high, value)
        };
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// Smallest and largest of the finite values.
fn bounds(values: &[f64]) -> Option<(f64, f64)> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let low = finite().reduce(f64::min)?;
    let high = finite().reduce(f64::max)?;
    Some((low, high))
}

/// The 1, 2 or 5 times a power of ten next above.
fn nice_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= step);
    factor.unwrap_or(10.0) * power
}

fn tick_label(value: f64, step: f64) -> String {
    let places = if step >= 1.0 { 0 } else { decimals(step) };
    let text = format!(
        "{:.places$}",
        if value.abs() < step / 2.0 { 0.0 } else { value }
    );
    match text.parse::<u64>() {
        Ok(whole) => number::count(whole),
        Err(_) => text,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to [0, 9]"
)]
fn decimals(step: f64) -> usize {
    (-step.log10().floor()).clamp(0.0, 9.0) as usize
}

/// Ticks at 1, 2 and 5 in each decade; fewer where they would crowd, more where none would be left.
fn log_ticks(low: f64, high: f64) -> Vec<Tick> {
    let choices: [&[f64]; 4] = [
        &[1.0],
        &[1.0, 3.0],
        &[1.0, 2.0, 5.0],
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    ];
    let ticks = choices.map(|factors| decade_ticks(low, high, factors));
    let [.., fine] = &ticks;
    let best = ticks
        .iter()
        .find(|ticks| (3..=7).contains(&ticks.len()))
        .unwrap_or(fine);
    if best.len() >= 3 {
        let stride = best.len().div_ceil(7);
        return best.iter().step_by(stride).cloned().collect();
    }
    // Less than a third of a decade: as on a linear axis.
    linear_ticks(low, high)
}

/// Two to seven ticks at multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64) -> Vec<Tick> {
    let step = nice_step((high - low) / 6.0);
    let first = (low / step).ceil();
    (0..8)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|value| *value <= high)
        .map(|value| Tick {
            value,
            label: tick_label(value, step),
        })
        .collect()
}

fn decade_ticks(low: f64, high: f64, factors: &[f64]) -> Vec<Tick> {
    let mut ticks = Vec::new();
    let mut power = 10_f64.powf(low.log10().floor());
    while power <= high && ticks.len() < 64 {
        let values = factors.iter().map(|factor| factor * power);
        ticks.extend(
            values
                .filter(|value| (low..=high).contains(value))
                .map(|value| Tick {
                    value,
                    label: number::shortest(&number::three_digits(value)).to_owned(),
                }),
        );
        power *= 10.0;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let labels = |axis: Axis| {
            axis.ticks
                .into_iter()
                .map(|tick| tick.label)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            labels(Axis::from_zero("", &[95.0])),
            ["0", "20", "40", "60", "80", "100"]
        );
        assert_eq!(
            labels(Axis::log("", &[1.0, 10_000.0])),
            ["1", "10", "100", "1,000", "10,000"]
        );
        assert_eq!(labels(Axis::log("", &[12.0, 130.0])), ["20", "50", "100"]);
    }

    #[test]
    fn no_data_give_an_axis_all_the_same() {
        assert!(Axis::linear("", &[]).high > Axis::linear("", &[]).low);
        assert!(Axis::log("", &[f64::INFINITY, 0.0]).high > 0.0);
    }

    proptest! {
        #[test]
        fn every_axis_has_legible_ticks(a in 1e-3_f64..1e9, b in 1e-3_f64..1e9) {
            for axis in [Axis::linear("", &[a, b]), Axis::log("", &[a, b])] {
                prop_assert!(axis.high > axis.low);
                prop_assert!((2..=8).contains(&axis.ticks.len()), "{axis:?}");
                prop_assert!(axis.place(a) >= 0.0 && axis.place(a) <= 1.0);
            }
        }
    }
}
