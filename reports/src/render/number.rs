//! How figures are written: three significant digits, thousands separators, ratios in percent.

use crate::words::grouped;
pub(super) use crate::words::{count, percent};

/// What stands where a figure is not known.
pub(super) const UNKNOWN: &str = "–";

/// What stands where a percentile falls among the lost requests.
pub(super) const LOST: &str = "∞ (lost)";

/// Writes a number with three significant digits and thousands separators: `0.0123`, `12.3`, `1,230`.
pub(super) fn three_digits(value: f64) -> String {
    if value.is_nan() {
        return UNKNOWN.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    // 9.996 has to become 10.0, not 10.00: the exponent is taken after rounding.
    let text = format!("{magnitude:.2e}");
    let exponent: i32 = text
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0);
    let digits = if exponent >= 2 {
        let scale = 10_f64.powi(exponent - 2);
        grouped(&format!("{:.0}", (magnitude / scale).round() * scale))
    } else {
        let places = usize::try_from(2 - exponent).unwrap_or(0).min(9);
        format!("{magnitude:.places$}")
    };
    if value < 0.0 && digits.contains(|c: char| ('1'..='9').contains(&c)) {
        format!("-{digits}")
    } else {
        digits
    }
}

/// Writes nanoseconds as microseconds: `12.3 µs`; an infinite delay as lost.
pub(super) fn micros(ns: f64) -> String {
    if ns.is_infinite() {
        return LOST.to_owned();
    }
    format!("{} µs", three_digits(ns / 1e3))
}

/// Writes nanoseconds in the unit that suits their size: `12.3 µs`, `4.56 ms`, `1.20 s`.
pub(super) fn duration(ns: f64) -> String {
    match ns.abs() {
        size if !size.is_finite() => LOST.to_owned(),
        size if size < 1e6 => micros(ns),
        size if size < 1e9 => format!("{} ms", three_digits(ns / 1e6)),
        _ => format!("{} s", three_digits(ns / 1e9)),
    }
}

/// Writes whole seconds as people say them: `48 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Writes a fraction in percent without sign: `0.05` is `5 %`.
pub(super) fn share(fraction: f64) -> String {
    if !fraction.is_finite() {
        return UNKNOWN.to_owned();
    }
    // Ten significant digits hide that 0.07 * 100 is not 7 in binary.
    let percent = (fraction * 1e10).round() / 1e8;
    if percent > 0.0 && percent < 0.001 {
        return "< 0.001 %".to_owned();
    }
    let text = three_digits(percent);
    format!("{} %", shortest(&text))
}

/// Takes zeros away that say nothing: `5.00` is `5`, `100` stays.
pub(super) fn shortest(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

/// Writes milliseconds of the wall clock as a date in UTC: `2026-03-14 09:26 UTC`.
pub(crate) fn date(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds % 86_400 / 3600, seconds % 3600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Writes milliseconds of the wall clock as machines read it, in UTC: `2026-03-14T09:26:00`.
pub(super) fn timestamp(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds % 86_400 / 3600, seconds % 3600 / 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}",
        seconds % 60
    )
}

/// The day of the proleptic Gregorian calendar, from days since 1970 (Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Puts a plus before what is above zero.
pub(super) fn signed(digits: &str) -> String {
    let zero = !digits.contains(|c: char| ('1'..='9').contains(&c) || c == '∞');
    if zero || digits.starts_with('-') {
        digits.to_owned()
    } else {
        format!("+{digits}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_have_three_significant_digits() {
        for (ns, text) in [
            (12_345.0, "12.3 µs"),
            (1_234_567.0, "1,230 µs"),
            (123.4, "0.123 µs"),
            (9_996.0, "10.0 µs"),
            (999_600.0, "1,000 µs"),
            (0.0, "0 µs"),
            (f64::INFINITY, "∞ (lost)"),
            (f64::NAN, "– µs"),
        ] {
            assert_eq!(micros(ns), text, "{ns}");
        }
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        assert_eq!(duration(4_560_000.0), "4.56 ms");
        assert_eq!(duration(1.2e9), "1.20 s");
        assert_eq!(share(0.07), "7 %");
        assert_eq!(share(0.0), "0 %");
        assert_eq!(share(1.0), "100 %");
        assert_eq!(share(1e-7), "< 0.001 %");
        assert_eq!(span(48), "48 s");
        assert_eq!(span(200), "3 min 20 s");
        assert_eq!(span(7500), "2 h 5 min");
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_773_480_360_000), "2026-03-14 09:26 UTC");
        assert_eq!(timestamp(1_773_480_361_999), "2026-03-14T09:26:01");
    }

    proptest! {
        #[test]
        fn no_figure_is_minus_zero(value in -1e-3_f64..1e-3) {
            for text in [signed(&three_digits(value)), share(value), micros(value)] {
                let digits = |c: char| ('1'..='9').contains(&c);
                prop_assert!(!text.contains('-') || text.contains(digits), "{text}");
            }
        }
    }
}
