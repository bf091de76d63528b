//! Claims: what this machine says of folklore.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use super::{Estimate, Metric};

/// What may be said of a claim.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimVerdict {
    /// Proved: the whole interval of the change lies within what is claimed.
    Holds,
    /// One comparison: proved to lie outside of what is claimed, but on the side of no difference that the claim says.
    /// Several: it holds, or holds in part, for some of them.
    HoldsInPart,
    /// Proved to lie outside of what is claimed, and not proved to lie on its side of no difference.
    DoesNotHold,
    /// Nothing was proved.
    Undecided,
    /// An arm can't run here.
    Untested,
    /// The measurement is not what it should be.
    Invalid,
}

impl ClaimVerdict {
    /// Returns the verdict as it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsInPart => "holds in part",
            Self::DoesNotHold => "doesn't hold",
            Self::Undecided => "undecided",
            Self::Untested => "not tested",
            Self::Invalid => "invalid",
        }
    }

    /// Returns what verdicts on parts of a claim say of the whole: what all say that were judged; else that it holds
    /// in part where it does so anywhere; else nothing.
    #[must_use]
    pub fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.into_iter().collect();
        let judged = |part: &&Self| !matches!(part, Self::Untested | Self::Invalid);
        let mut rest = parts.iter().filter(judged);
        let Some(first) = rest.next() else {
            return parts.into_iter().max().unwrap_or(Self::Untested);
        };
        if rest.all(|part| part == first) {
            return *first;
        }
        if parts
            .iter()
            .any(|part| matches!(part, Self::Holds | Self::HoldsInPart))
        {
            Self::HoldsInPart
        } else {
            Self::Undecided
        }
    }
}

impl fmt::Display for ClaimVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A claim with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedClaim {
    /// Its name in the scenario.
    pub name: Name,
    /// The statement as people make it.
    pub about: String,
    /// The figure that it speaks of.
    pub metric: Metric,
    /// Lower end of the claimed change, arm / baseline - 1; `None` where it is open.
    pub from: Option<f64>,
    /// Upper end of the claimed change; `None` where it is open.
    pub to: Option<f64>,
    /// The claimed change in words: `-30 % to -20 %`.
    pub claimed: String,
    /// What may be said of the whole.
    pub verdict: ClaimVerdict,
    /// For how many pairs it holds, in words.
    pub words: String,
    /// Comparisons that were judged together, by Holm: pairs × workloads.
    pub comparisons: u32,
    /// Each pair of arms, in the scenario's order.
    pub pairs: Vec<TestedPair>,
}

impl TestedClaim {
    /// Returns the workloads on which any pair was compared, in the plan's order.
    #[must_use]
    pub fn workloads<'a>(&'a self, order: impl IntoIterator<Item = &'a Name>) -> Vec<&'a Name> {
        let compared = |name: &&Name| {
            let mut comparisons = self.pairs.iter().flat_map(|pair| &pair.comparisons);
            comparisons.any(|comparison| comparison.workload == **name)
        };
        order.into_iter().filter(compared).collect()
    }
}

/// An arm against one baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedPair {
    /// The arm that the claim speaks for.
    pub arm: Name,
    /// What it is compared with.
    pub baseline: Name,
    /// What may be said over all workloads.
    pub verdict: ClaimVerdict,
    /// Why it was not tested, or is invalid, in one line.
    pub reason: Option<String>,
    /// One for each workload, in the plan's order.
    pub comparisons: Vec<TestedComparison>,
}

/// A claim on one workload, for one pair of arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedComparison {
    /// The workload.
    pub workload: Name,
    /// What may be said.
    pub verdict: ClaimVerdict,
    /// Relative change of the value itself, arm / baseline - 1, with its intervals.
    pub change: Option<Estimate>,
    /// Rounds compared.
    pub rounds: u32,
    /// p of the statement, by the exact signed-rank test.
    pub p: Option<f64>,
    /// The same, adjusted by Holm over all comparisons of the claim: at most 5 % where something is said.
    pub p_holm: Option<f64>,
    /// What a reader should know: how it misses what is claimed, or why nothing is said.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::ClaimVerdict::{DoesNotHold, Holds, HoldsInPart, Invalid, Undecided, Untested};
    use super::*;

    #[test]
    fn parts_make_a_whole() {
        for (parts, whole) in [
            (vec![Holds, Holds], Holds),
            (vec![Holds, Undecided], HoldsInPart),
            (vec![HoldsInPart, DoesNotHold], HoldsInPart),
            (vec![DoesNotHold, DoesNotHold, Untested], DoesNotHold),
            (vec![DoesNotHold, Undecided], Undecided),
            (vec![Undecided], Undecided),
            (vec![Untested, Holds], Holds),
            (vec![Untested, Invalid], Invalid),
            (vec![Untested], Untested),
            (vec![], Untested),
        ] {
            assert_eq!(ClaimVerdict::of_all(parts.clone()), whole, "{parts:?}");
        }
    }
}
