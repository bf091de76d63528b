//! What is wrong with a scenario or the command line laid over it: one line each, all at once.

use std::fmt;

/// Everything that is wrong, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns the faults, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// Returns `value` where nothing is wrong, else all that is.
    pub(crate) fn or<T>(faults: Vec<Fault>, value: T) -> Result<T, Self> {
        if faults.is_empty() {
            Ok(value)
        } else {
            Err(Self::of(faults))
        }
    }

    /// Sorts faults by their place; those without one come last.
    pub(crate) fn of(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.place.is_none(), fault.place));
        Self(faults)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// One thing that is wrong. Prints as `FILE:LINE:COLUMN: KEY: what and how to mend it`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the option of the command line.
    pub source: String,
    /// Where in the file, as far as it is known.
    pub place: Option<Place>,
    /// Path of the key, for example `arm.vxlan.wire`; empty where no key is at fault.
    pub key: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// A place in a file, both counted from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Fault {
    /// A fault of a whole file or of an option.
    pub(crate) fn new(source: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            place: None,
            key: String::new(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self
            .place
            .map(|place| format!(":{}:{}", place.line, place.column));
        let place = place.unwrap_or_default();
        let separator = if self.key.is_empty() { "" } else { ": " };
        let line = format!(
            "{}{place}{separator}{}: {}",
            self.source, self.key, self.message
        );
        // What the file says is repeated here: it must not break the line or steer the terminal.
        for c in line.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Returns `; did you mean ...?` where a candidate is near, else what there is to choose from.
pub(crate) fn suggestion<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let nearest = candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, nearest)) = nearest {
        return format!("; did you mean `{nearest}`?");
    }
    match candidates.as_slice() {
        [] => String::new(),
        [only] => format!("; there is only `{only}`"),
        many => {
            let shown: Vec<_> = many
                .iter()
                .take(20)
                .map(|name| format!("`{name}`"))
                .collect();
            let more = if many.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            format!("; there are {}{more}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_lists_all() {
        let known = ["payload", "cpu"];
        assert_eq!(suggestion("paylod", known), "; did you mean `payload`?");
        assert_eq!(suggestion("cup", known), "; did you mean `cpu`?");
        assert_eq!(suggestion("rounds", known), "; there are `payload`, `cpu`");
    }

    #[test]
    fn a_fault_is_one_line_whatever_the_file_says() {
        let fault = Fault::new("x.toml", "`a\nb\u{1b}[31m` is unknown");
        assert_eq!(fault.to_string(), "x.toml: `a\\nb\\u{1b}[31m` is unknown");
    }
}
