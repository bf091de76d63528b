//! Relative changes, which have a sign.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Share, UnitError};

/// How far a figure lies from another one, as a fraction of that (-0.2), written `"-20%"`, `"0%"`, `"+5%"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RelativeChange(pub f64);

impl RelativeChange {
    /// Returns the change as people read it, with its sign: `-20 %`, `+5 %`, `0 %`.
    #[must_use]
    pub fn words(self) -> String {
        let sign = if self.0 > 0.0 { "+" } else { "" };
        format!("{sign}{} %", self.to_string().trim_end_matches('%'))
    }
}

impl FromStr for RelativeChange {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        let text = input.trim();
        let (sign, size) = match text.strip_prefix('-') {
            Some(size) => (-1.0, size),
            None => (1.0, text.strip_prefix('+').unwrap_or(text)),
        };
        match size.parse::<Share>() {
            // The sum has no negative zero.
            Ok(Share(size)) => Ok(Self(sign * size + 0.0)),
            Err(_) => Err(UnitError {
                input: input.to_owned(),
                expected: "a change in percent",
                example: if size.parse::<f64>().is_ok() {
                    format!("\"{text}%\"")
                } else {
                    "for example \"-20%\"".to_owned()
                },
            }),
        }
    }
}

impl fmt::Display for RelativeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0.0 { "-" } else { "" };
        write!(f, "{sign}{}", Share(self.0.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_a_sign_and_prints_as_it_was_written() {
        for (text, value, printed) in [
            ("-20%", -0.2, "-20%"),
            ("+5 %", 0.05, "5%"),
            ("-0%", 0.0, "0%"),
            ("250%", 2.5, "250%"),
        ] {
            let change: RelativeChange = text.parse().unwrap();
            assert!((change.0 - value).abs() < 1e-12, "{text}");
            assert!(change.0.is_sign_positive() || value < 0.0, "{text}");
            assert_eq!(change.to_string(), printed);
            assert_eq!(printed.parse(), Ok(change));
        }
        assert_eq!(RelativeChange(0.05).words(), "+5 %");
        assert_eq!(RelativeChange(-0.2).words(), "-20 %");
    }

    #[test]
    fn what_is_no_change_is_refused_with_an_example() {
        for (text, example) in [
            ("-20", "\"-20%\""),
            ("a fifth", "\"-20%\""),
            ("--5%", "\"-20%\""),
            ("NaN%", "\"-20%\""),
        ] {
            let error = text.parse::<RelativeChange>().unwrap_err().to_string();
            assert!(error.contains(example), "{text}: {error}");
        }
    }
}
