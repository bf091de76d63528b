//! Figures in plain words, for sentences that stand in the analysis itself.

use crate::model::{Estimate, Interval, Unit};

/// Writes a share as percent with its sign: `+24.8 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", signed(share * 100.0, decimals(&[share])))
}

/// Writes a relative change with its 95 % interval: `+24.8 % [24.5, 26.6]`.
pub(crate) fn change(estimate: &Estimate) -> String {
    let Estimate {
        value, interval95, ..
    } = *estimate;
    bracketed(value, interval95.low, interval95.high)
}

/// Writes a relative change with its 90 % interval, which decides equivalence.
pub(crate) fn change90(estimate: &Estimate) -> String {
    let Estimate {
        value, interval90, ..
    } = *estimate;
    bracketed(value, interval90.low, interval90.high)
}

/// Writes a relative change with the bounds of its interval.
pub(crate) fn bracketed(value: f64, low: f64, high: f64) -> String {
    let decimals = decimals(&[value, low, high]);
    let bound = |share: f64| unsigned_plus(share * 100.0, decimals);
    format!(
        "{} % [{}, {}]",
        signed(value * 100.0, decimals),
        bound(low),
        bound(high)
    )
}

/// Writes a margin: `±5 %`.
pub(crate) fn margin(share: f64) -> String {
    let percent = (share * 1e10).round() / 1e8;
    format!("±{percent} %")
}

/// Writes half the width of an interval: `±4.1 %`.
pub(crate) fn half_width(share: f64) -> String {
    if share.is_finite() {
        format!("±{:.*} %", decimals(&[share]), share * 100.0)
    } else {
        "unbounded".to_owned()
    }
}

/// Writes a difference in its natural unit with sign: `+4.53 µs`, `-1.20 Gbit/s`, `+0.10 percentage points`.
pub(crate) fn shift(unit: Unit, value: f64) -> String {
    let (scale, name) = natural(unit, value.abs());
    format!("{}{name}", three_digits(value / scale, true))
}

/// Writes a difference with its 95 % interval: `+12.3 µs [11.1, 13.6]`.
pub(crate) fn shift_with_interval(unit: Unit, estimate: &Estimate) -> String {
    shift_within(unit, estimate.value, estimate.interval95)
}

/// Writes a difference with its 90 % interval, which decides equivalence.
pub(crate) fn shift90(unit: Unit, estimate: &Estimate) -> String {
    shift_within(unit, estimate.value, estimate.interval90)
}

fn shift_within(unit: Unit, value: f64, interval: Interval) -> String {
    let (scale, name) = natural(unit, value.abs());
    let bound = |value: f64| three_digits(value / scale, false);
    format!(
        "{}{name} [{}, {}]",
        three_digits(value / scale, true),
        bound(interval.low),
        bound(interval.high)
    )
}

/// Writes a length of time roughly: `40 s`, `6 min`, `2.5 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5_400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// Writes a count with thousands separators: `10,000`.
pub(crate) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Puts a comma between every three digits of a whole number, its sign aside.
pub(crate) fn grouped(number: &str) -> String {
    let start = number
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(number.len());
    let (sign, digits) = number.split_at(start);
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of things: `1 round`, `7 rounds`.
pub(crate) fn plural(count: usize, singular: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {singular}{ending}")
}

/// The scale of a unit for a size, with the name behind the figure.
fn natural(unit: Unit, size: f64) -> (f64, &'static str) {
    let steps: &[(f64, &'static str)] = match unit {
        Unit::Nanoseconds => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs")],
        Unit::PerSecond => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        Unit::BitsPerSecond => &[
            (1e9, " Gbit/s"),
            (1e6, " Mbit/s"),
            (1e3, " kbit/s"),
            (1.0, " bit/s"),
        ],
        Unit::Share => &[(0.01, " percentage points")],
    };
    let fits = steps.iter().find(|(scale, _)| size >= *scale);
    fits.or(steps.last()).copied().unwrap_or((1.0, ""))
}

/// Decimals of percentages that stand together: two below 1 %, none above 100 %.
fn decimals(shares: &[f64]) -> usize {
    let finite = shares.iter().filter(|share| share.is_finite());
    let largest = finite.fold(0.0_f64, |largest, share| largest.max(share.abs()));
    match largest {
        small if small < 0.01 => 2,
        middle if middle < 1.0 => 1,
        _ => 0,
    }
}

fn signed(value: f64, decimals: usize) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+∞" } else { "-∞" }.to_owned();
    }
    without_negative_zero(format!("{value:+.decimals$}"), '+')
}

fn unsigned_plus(value: f64, decimals: usize) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    without_negative_zero(format!("{value:.decimals$}"), ' ')
        .trim_start()
        .to_owned()
}

/// Three significant digits, or all digits of a larger whole number.
fn three_digits(value: f64, sign: bool) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = if sign {
        signed(value, decimals)
    } else {
        unsigned_plus(value, decimals)
    };
    if decimals == 0 { grouped(&text) } else { text }
}

/// A figure that rounds to zero from below is no negative figure.
fn without_negative_zero(text: String, sign: char) -> String {
    let zero = text.starts_with('-') && !text.contains(|c: char| ('1'..='9').contains(&c));
    if zero {
        text.replacen('-', &sign.to_string(), 1)
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        let interval = Interval {
            low,
            high,
            confidence: 0.95,
        };
        Estimate {
            value,
            interval95: interval,
            interval90: interval,
        }
    }

    #[test]
    fn changes_read_as_people_write_them() {
        assert_eq!(
            change(&estimate(0.248, 0.245, 0.266)),
            "+24.8 % [24.5, 26.6]"
        );
        assert_eq!(
            change(&estimate(0.004, -0.001, 0.009)),
            "+0.40 % [-0.10, 0.90]"
        );
        assert_eq!(
            change(&estimate(2.5, 2.0, f64::INFINITY)),
            "+250 % [200, ∞]"
        );
        assert_eq!(
            change(&estimate(-0.000_001, 0.0, 0.0)),
            "+0.00 % [0.00, 0.00]"
        );
    }

    #[test]
    fn shifts_carry_their_unit() {
        assert_eq!(shift(Unit::Nanoseconds, 4_530.0), "+4.53 µs");
        assert_eq!(shift(Unit::Nanoseconds, -800.0), "-0.80 µs");
        assert_eq!(shift(Unit::PerSecond, -12_340.0), "-12.3k/s");
        assert_eq!(shift(Unit::BitsPerSecond, 1.2e9), "+1.20 Gbit/s");
        assert_eq!(shift(Unit::Share, 0.001), "+0.10 percentage points");
        assert_eq!(shift(Unit::Nanoseconds, f64::INFINITY), "+∞ s");
        assert_eq!(
            shift_with_interval(Unit::PerSecond, &estimate(-776.0, -1_615.0, 62.0)),
            "-776/s [-1,615, 62.0]"
        );
        assert_eq!(
            shift_with_interval(Unit::Nanoseconds, &estimate(12_300.0, 11_100.0, 13_600.0)),
            "+12.3 µs [11.1, 13.6]"
        );
    }

    #[test]
    fn lengths_counts_and_margins() {
        assert_eq!(duration(360.0), "6 min");
        assert_eq!(duration(42.4), "42 s");
        assert_eq!(duration(9_000.0), "2.5 h");
        assert_eq!(count(10_000), "10,000");
        assert_eq!(count(999), "999");
        assert_eq!(margin(0.05), "±5 %");
        assert_eq!(margin(0.07), "±7 %");
        assert_eq!(half_width(0.041), "±4.1 %");
        assert_eq!(percent(0.2), "+20.0 %");
        assert_eq!(plural(1, "round"), "1 round");
        assert_eq!(plural(2, "round"), "2 rounds");
    }
}
