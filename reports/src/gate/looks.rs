//! Several looks at one growing campaign, at Pocock's price (statistics §2.7): for those who want to stop early.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{Finding, find_in};
use crate::model::Interval;
use crate::verdict::{Inference, Scale};

/// Rounds after which one may look.
pub const LOOKS: [usize; 3] = [10, 20, 30];

/// Error of each look: three looks at this err as often as one at 5 % (Pocock 1977, K = 3). Three looks at 5 % each would
/// raise a false alarm in 11.5 %.
const ALPHA: f64 = 0.0221;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// Rounds seen.
    pub rounds: u32,
    /// The repeated interval: all looks hold together at 95 %.
    pub interval: Interval,
    /// What this look says.
    pub finding: Finding,
}

/// Returns the looks that these effects allow, in order: one may stop at the first that is not inconclusive.
///
/// Effects are ln θ or differences in the order measured. Rounds after the last look are not used.
#[must_use]
pub fn looks(effects: &[f64], scale: Scale, margin: f64) -> Vec<Look> {
    LOOKS
        .into_iter()
        .filter_map(|rounds| {
            let inference = Inference::of(effects.get(..rounds)?, scale)?;
            let interval = inference.interval(ALPHA)?;
            Some(Look {
                rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
                interval,
                finding: find_in(&inference, interval, scale, margin),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_looks_as_rounds_allow() {
        for (rounds, expected) in [(9, 0), (10, 1), (25, 2), (30, 3), (90, 3)] {
            assert_eq!(
                looks(&vec![0.0; rounds], Scale::Ratio, 0.05).len(),
                expected
            );
        }
        let first = looks(&[0.1; 10], Scale::Ratio, 0.05)[0];
        assert_eq!(first.finding, Finding::Suspect);
        assert!(first.interval.confidence >= 1.0 - ALPHA);
    }
}
