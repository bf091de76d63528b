//! Claims: statements of folklore that a scenario tests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
use crate::metric::Metric;
use crate::units::RelativeChange;

/// A statement of folklore, in a form that a campaign can test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Its name, unique within the plan.
    pub name: Name,
    /// The statement as people make it, in one line.
    pub about: String,
    /// The figure that it speaks of.
    pub metric: Metric,
    /// How far the arm's figure is said to lie from the baseline's.
    pub change: ClaimedChange,
    /// The workloads on which it is tested.
    pub workloads: Vec<Name>,
    /// What is compared with what; each pair is judged for itself.
    pub pairs: Vec<ClaimedPair>,
}

/// An interval of the relative change, arm / baseline - 1; one end may be open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimedChange {
    /// The lower end; anything below the upper one where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelativeChange>,
    /// The upper end; anything above the lower one where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RelativeChange>,
}

/// An arm and what it is said to differ from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimedPair {
    /// The arm that the claim speaks for.
    pub arm: Name,
    /// The arm that it is compared with.
    pub baseline: Name,
}

impl ClaimedChange {
    /// Says the interval in words: `-30 % to -20 %`, `a fall`, `a rise by 10 % or more`.
    #[must_use]
    pub fn words(self) -> String {
        let size = |change: RelativeChange| {
            let words = change.words();
            words.trim_start_matches(['+', '-']).to_owned()
        };
        match (self.from, self.to) {
            (Some(from), Some(to)) => format!("{} to {}", from.words(), to.words()),
            (Some(from), None) if from.0 > 0.0 => format!("a rise by {} or more", size(from)),
            (Some(from), None) if from.0 < 0.0 => format!("no fall by more than {}", size(from)),
            (Some(_), None) => "a rise".to_owned(),
            (None, Some(to)) if to.0 < 0.0 => format!("a fall by {} or more", size(to)),
            (None, Some(to)) if to.0 > 0.0 => format!("no rise by more than {}", size(to)),
            (None, Some(_)) => "a fall".to_owned(),
            (None, None) => "any change".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_reads_as_people_say_it() {
        let change = |from: Option<f64>, to: Option<f64>| ClaimedChange {
            from: from.map(RelativeChange),
            to: to.map(RelativeChange),
        };
        for (from, to, words) in [
            (Some(-0.3), Some(-0.2), "-30 % to -20 %"),
            (Some(-0.05), Some(0.05), "-5 % to +5 %"),
            (None, Some(0.0), "a fall"),
            (None, Some(-0.1), "a fall by 10 % or more"),
            (None, Some(0.1), "no rise by more than 10 %"),
            (Some(0.0), None, "a rise"),
            (Some(0.1), None, "a rise by 10 % or more"),
            (Some(-0.1), None, "no fall by more than 10 %"),
        ] {
            assert_eq!(change(from, to).words(), words);
        }
    }
}
