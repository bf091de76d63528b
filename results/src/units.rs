//! Quantities that people write with a unit: `"200ms"`, `"64 B"`, `"5%"`.
//!
//! Each type parses from and serialises to such a string. Numbers in records carry the unit in
//! the field's name instead (`window_ns`).

mod relative;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use relative::RelativeChange;

/// A quantity that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not {expected}; write {example}")]
pub struct UnitError {
    input: String,
    expected: &'static str,
    example: String,
}

/// A length of time in whole nanoseconds, written `"1s"`, `"200 ms"`, `"50us"`, `"10ns"`, `"2m"`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Nanoseconds(pub u64);

impl Nanoseconds {
    /// Returns the same length as a [`std::time::Duration`].
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// Returns the length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Returns the length as people read it, where [`fmt::Display`] is exact: `200 ms`, `1.5 s`, `2 min 52 s`. At most
    /// three decimals; whole seconds from two minutes on.
    #[must_use]
    pub fn words(self) -> String {
        let Self(ns) = self;
        let seconds = ns.saturating_add(500_000_000) / 1_000_000_000;
        match ns {
            0 => "0 s".to_owned(),
            1..1_000 => format!("{ns} ns"),
            1_000..1_000_000 => format!("{} µs", thousandths(ns)),
            1_000_000..1_000_000_000 => format!("{} ms", thousandths(ns / 1_000)),
            1_000_000_000..120_000_000_000 => format!("{} s", thousandths(ns / 1_000_000)),
            120_000_000_000..7_200_000_000_000 => {
                parts([(seconds / 60, "min"), (seconds % 60, "s")])
            }
            _ => parts([(seconds / 3600, "h"), (seconds % 3600 / 60, "min")]),
        }
    }
}

/// Writes a number of thousandths as a decimal without idle zeros.
fn thousandths(count: u64) -> String {
    let text = format!("{}.{:03}", count / 1000, count % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes a large part and, where there is any, a small one.
fn parts([(large, unit), (small, rest)]: [(u64, &str); 2]) -> String {
    if small == 0 {
        format!("{large} {unit}")
    } else {
        format!("{large} {unit} {small} {rest}")
    }
}

/// Time units, largest first, with their length in nanoseconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for Nanoseconds {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let error = |example: String| UnitError {
            input: input.to_owned(),
            expected: "a length of time with a unit (h, m, s, ms, us, ns)",
            example,
        };
        let (number, unit) = split(input);
        if unit.is_empty() && !number.is_empty() {
            return Err(error(format!("\"{number}s\" for seconds")));
        }
        let unit = if unit == "µs" { "us" } else { unit };
        let scale = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, scale)| *scale);
        scale
            .and_then(|scale| scaled(number, scale))
            .map(Self)
            .ok_or_else(|| error("for example \"200ms\"".to_owned()))
    }
}

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_exact(f, self.0, &TIME_UNITS, "")
    }
}

/// An amount of data in bytes, written `"64 B"`, `"16 KiB"`, `"1 MB"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub u64);

/// Byte units, with their size.
const BYTE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let error = |example: String| UnitError {
            input: input.to_owned(),
            expected: "an amount of data with a unit (B, kB, KiB, MB, MiB, GB, GiB)",
            example,
        };
        if let (number, "") = split(input)
            && !number.is_empty()
        {
            return Err(error(format!("\"{number} B\" for bytes")));
        }
        in_units(input, &BYTE_UNITS)
            .map(Self)
            .ok_or_else(|| error("for example \"64 B\"".to_owned()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary: Vec<_> = BYTE_UNITS
            .iter()
            .copied()
            .filter(|(name, _)| matches!(*name, "GiB" | "MiB" | "KiB" | "B"))
            .collect();
        display_exact(f, self.0, &binary, " ")
    }
}

/// A number of events per second, written `"10k/s"`, `"450/s"`, `"1.5 M/s"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Rate(pub u64);

impl Rate {
    /// Returns the rate per second.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "nothing happens 2^53 times a second"
    )]
    pub fn per_second(self) -> f64 {
        self.0 as f64
    }
}

/// Units of a rate, with their number of events per second.
const RATE_UNITS: [(&str, u64); 3] = [("M/s", 1_000_000), ("k/s", 1_000), ("/s", 1)];

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let error = |example: String| UnitError {
            input: input.to_owned(),
            expected: "a rate with a unit (/s, k/s, M/s)",
            example,
        };
        let (number, unit) = split(input);
        if unit.is_empty() && !number.is_empty() {
            return Err(error(format!("\"{number}/s\" for each second")));
        }
        let scale = RATE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, scale)| *scale);
        scale
            .and_then(|scale| scaled(number, scale))
            .map(Self)
            .ok_or_else(|| error("for example \"10k/s\"".to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_exact(f, self.0, &RATE_UNITS, "")
    }
}

/// An amount of data per second in bits, written `"100 Mbit/s"`, `"2.5 Gbit/s"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct BitRate(pub u64);

/// Reads a number with one of these units; `None` where it is neither.
fn in_units(input: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(input);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    scaled(number, *scale)
}

/// Units of a bit rate, with their number of bits per second.
const BIT_RATE_UNITS: [(&str, u64); 4] = [
    ("Gbit/s", 1_000_000_000),
    ("Mbit/s", 1_000_000),
    ("kbit/s", 1_000),
    ("bit/s", 1),
];

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let error = |example: String| UnitError {
            input: input.to_owned(),
            expected: "a bit rate with a unit (bit/s, kbit/s, Mbit/s, Gbit/s)",
            example,
        };
        if let (number, "") = split(input)
            && !number.is_empty()
        {
            return Err(error(format!("\"{number} bit/s\" for bits per second")));
        }
        in_units(input, &BIT_RATE_UNITS)
            .map(Self)
            .ok_or_else(|| error("for example \"100 Mbit/s\"".to_owned()))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_exact(f, self.0, &BIT_RATE_UNITS, " ")
    }
}

/// A share of a whole as a fraction (0.05), written `"5%"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(input);
        let value: Option<f64> = number
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite() && *value >= 0.0);
        match (value, unit) {
            (Some(percent), "%") => Ok(Self(percent / 100.0)),
            _ => Err(UnitError {
                input: input.to_owned(),
                expected: "a share in percent",
                example: if unit.is_empty() && !number.is_empty() {
                    format!("\"{number}%\"")
                } else {
                    "for example \"5%\"".to_owned()
                },
            }),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ten significant digits hide that 0.07 * 100 is not 7 in binary.
        let percent = (self.0 * 1e10).round() / 1e8;
        write!(f, "{percent}%")
    }
}

macro_rules! string_serde {
    ($($unit:ident),+) => {$(
        impl TryFrom<String> for $unit {
            type Error = UnitError;

            fn try_from(input: String) -> Result<Self, UnitError> {
                input.parse()
            }
        }

        impl From<$unit> for String {
            fn from(value: $unit) -> Self {
                value.to_string()
            }
        }
    )+};
}
string_serde!(Nanoseconds, Bytes, Rate, BitRate, Share, RelativeChange);

/// Splits a quantity into its number and its unit, both trimmed.
fn split(input: &str) -> (&str, &str) {
    let input = input.trim();
    let end = input
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(input.len());
    (&input[..end], input[end..].trim())
}

/// Multiplies a decimal number by a whole scale; only an exact whole result that fits is kept.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut value = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars() {
        let digit = u64::from(digit.to_digit(10)?);
        if digit > 0 && !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        value = value.checked_add(digit * place)?;
    }
    Some(value)
}

/// Writes a value in the largest unit of which it is a whole multiple.
fn display_exact(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&str, u64)],
    gap: &str,
) -> fmt::Result {
    let exact = units
        .iter()
        .find(|(_, scale)| value > 0 && value.is_multiple_of(*scale));
    let (name, scale) = exact.or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{gap}{name}", value / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, expected) in [
            ("1s", 1_000_000_000),
            ("200 ms", 200_000_000),
            ("1.5s", 1_500_000_000),
            ("50µs", 50_000),
            ("2m", 120_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Nanoseconds(expected)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_a_suggestion() {
        let error = "30".parse::<Nanoseconds>().unwrap_err().to_string();
        assert!(error.contains("\"30s\""), "{error}");
        let error = "64".parse::<Bytes>().unwrap_err().to_string();
        assert!(error.contains("\"64 B\""), "{error}");
        let error = "450".parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains("\"450/s\""), "{error}");
        let error = "5".parse::<Share>().unwrap_err().to_string();
        assert!(error.contains("\"5%\""), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5.5s",
            "1 parsec",
            "0.5ns",
            "99999999999h",
        ] {
            assert!(text.parse::<Nanoseconds>().is_err(), "{text}");
        }
        assert!("NaN%".parse::<Share>().is_err());
    }

    #[test]
    fn rates_are_read_with_their_unit() {
        for (text, expected) in [("450/s", 450), ("10k/s", 10_000), ("1.5 M/s", 1_500_000)] {
            assert_eq!(text.parse(), Ok(Rate(expected)), "{text}");
        }
        for text in ["10k", "0.5/s", "-1/s", "10 K/s", "k/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn bit_rates_are_read_with_their_unit() {
        for (text, expected) in [
            ("9 bit/s", 9),
            ("2.5 Gbit/s", 2_500_000_000),
            ("10Mbit/s", 10_000_000),
        ] {
            assert_eq!(text.parse(), Ok(BitRate(expected)), "{text}");
        }
        for text in ["10 Mbps", "10 MB/s", "-1 bit/s", "Gbit/s", "0.5 bit/s"] {
            assert!(text.parse::<BitRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_prints_as_it_was_written() {
        assert_eq!("7%".parse::<Share>().unwrap().to_string(), "7%");
        assert_eq!("0.1%".parse::<Share>().unwrap().to_string(), "0.1%");
    }

    #[test]
    fn lengths_read_as_people_write_them() {
        for (ns, text) in [
            (0, "0 s"),
            (750, "750 ns"),
            (50_000, "50 µs"),
            (1_500_000, "1.5 ms"),
            (200_000_000, "200 ms"),
            (1_000_000_000, "1 s"),
            (1_250_000_000, "1.25 s"),
            (90_000_000_000, "90 s"),
            (171_600_000_000, "2 min 52 s"),
            (180_000_000_000, "3 min"),
            (7_500_000_000_000, "2 h 5 min"),
        ] {
            assert_eq!(Nanoseconds(ns).words(), text);
        }
        assert!(Nanoseconds(u64::MAX).words().ends_with("min"));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value: u64) {
            prop_assert_eq!(Nanoseconds(value).to_string().parse(), Ok(Nanoseconds(value)));
            prop_assert_eq!(Bytes(value).to_string().parse(), Ok(Bytes(value)));
            prop_assert_eq!(Rate(value).to_string().parse(), Ok(Rate(value)));
            prop_assert_eq!(BitRate(value).to_string().parse(), Ok(BitRate(value)));
        }
    }
}
