//! The rules of one cell: from effects to a finding, from findings to a ruling.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Interval;
use crate::verdict::{Inference, Scale};

/// What one stage says of a cell.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Proved: the whole 95 % interval lies below the margin.
    Pass,
    /// Proved worse, and estimated at the margin or beyond.
    Suspect,
    /// Neither.
    Inconclusive,
    /// There are enough rounds, but not what an interval needs: too few samples in the tail, or no finite value.
    Insufficient,
    /// The measurement is not what it claims to be, or not as much as the policy demands.
    Invalid,
}

/// What the gate says of a cell.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// Proved no worse than the margin, in either stage. Wrong in at most 5 % of cells that are worse by the margin.
    Pass,
    /// Suspect in the first stage; the second has not been measured.
    Suspect,
    /// Suspect in both stages, on fresh installs.
    Fail,
    /// Neither was proved.
    Inconclusive,
    /// The environment: nothing can be said of the arm.
    Invalid,
    /// The margin lies below what this host can tell.
    NotGateable,
}

impl Ruling {
    /// Returns the ruling as it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Suspect => "SUSPECT",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Invalid => "INVALID",
            Self::NotGateable => "NOT GATEABLE",
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Judges the effects of one stage's rounds: ln θ, or the difference; positive is worse. Fewer than 6 rounds are
/// [`Finding::Invalid`], an effect that is not a number [`Finding::Insufficient`].
///
/// `margin` is on θ - 1, or on the difference.
#[must_use]
pub fn find(effects: &[f64], scale: Scale, margin: f64) -> Finding {
    match Inference::of(effects, scale) {
        Some(inference) => {
            let interval = inference.estimate().interval95;
            find_in(&inference, interval, scale, margin)
        }
        None if effects.iter().any(|effect| effect.is_nan()) => Finding::Insufficient,
        None => Finding::Invalid,
    }
}

/// Judges an inference by one of its intervals.
pub(super) fn find_in(
    inference: &Inference,
    interval: Interval,
    scale: Scale,
    margin: f64,
) -> Finding {
    let limit = scale.neutral() + margin;
    if interval.high < limit {
        Finding::Pass
    } else if interval.low > scale.neutral() && inference.estimate().value >= limit {
        Finding::Suspect
    } else {
        Finding::Inconclusive
    }
}

/// Rules on a cell from its findings: PASS in either stage is PASS, SUSPECT in both is FAIL, INVALID is INVALID, all else
/// is INCONCLUSIVE. Without a second stage a suspect stays one.
#[must_use]
pub const fn judge(first: Finding, second: Option<Finding>) -> Ruling {
    match (first, second) {
        (Finding::Pass, _) => Ruling::Pass,
        (Finding::Invalid, _) | (_, Some(Finding::Invalid)) => Ruling::Invalid,
        (_, Some(Finding::Pass)) => Ruling::Pass,
        (Finding::Suspect, Some(Finding::Suspect)) => Ruling::Fail,
        (Finding::Suspect, None) => Ruling::Suspect,
        _ => Ruling::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_takes_two_suspicions_and_a_pass_takes_one() {
        use Finding::{Inconclusive, Insufficient, Invalid, Pass, Suspect};
        for (first, second, ruling) in [
            (Pass, None, Ruling::Pass),
            (Pass, Some(Suspect), Ruling::Pass),
            (Suspect, Some(Suspect), Ruling::Fail),
            (Suspect, None, Ruling::Suspect),
            (Suspect, Some(Inconclusive), Ruling::Inconclusive),
            (Suspect, Some(Pass), Ruling::Pass),
            (Inconclusive, Some(Suspect), Ruling::Inconclusive),
            (Inconclusive, None, Ruling::Inconclusive),
            (Insufficient, Some(Suspect), Ruling::Inconclusive),
            (Suspect, Some(Invalid), Ruling::Invalid),
            (Invalid, Some(Suspect), Ruling::Invalid),
            (Invalid, None, Ruling::Invalid),
        ] {
            assert_eq!(judge(first, second), ruling, "{first:?} {second:?}");
        }
    }

    #[test]
    fn findings_follow_interval_and_estimate() {
        let around = |centre: f64, spread: f64| -> Vec<f64> {
            let steps = (-5..5).map(|step| f64::from(step) + 0.5);
            steps.map(|step| centre + spread * step).collect()
        };
        let ratio = |effects: &[f64]| find(effects, Scale::Ratio, 0.05);
        assert_eq!(ratio(&around(0.0, 0.002)), Finding::Pass);
        assert_eq!(ratio(&around(0.03, 0.002)), Finding::Pass);
        assert_eq!(ratio(&around(0.1, 0.002)), Finding::Suspect);
        // Proved worse, but by less than the margin; and beyond it, but not proved.
        assert_eq!(ratio(&around(0.045, 0.004)), Finding::Inconclusive);
        assert_eq!(ratio(&around(0.1, 0.08)), Finding::Inconclusive);
        assert_eq!(ratio(&[0.1; 5]), Finding::Invalid);
        assert_eq!(ratio(&[f64::NAN; 8]), Finding::Insufficient);
        assert_eq!(ratio(&[f64::INFINITY; 8]), Finding::Suspect);
        // Without any loss the interval is a point.
        assert_eq!(find(&[0.0; 10], Scale::Difference, 0.001), Finding::Pass);
        assert_eq!(
            find(&[0.01; 10], Scale::Difference, 0.001),
            Finding::Suspect
        );
    }
}
