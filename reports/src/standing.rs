//! What the rules make of the rounds measured so far: for the loop that replaces those that don't count.

use std::collections::BTreeSet;

use tollgate_results::run::Campaign;
use tollgate_results::slice::SliceResult;

use crate::analysis::values::Observations;
use crate::model::Fate;
use crate::validity;

/// What the rules make of the rounds measured so far. They look at no latency: slices may come without histograms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Rounds that are whole and not the first of an install, whatever else is made of them.
    pub whole: BTreeSet<u32>,
    /// Those of them that count in every cell: not dropped for noise, and every slice measured.
    pub good: BTreeSet<u32>,
    /// Why the whole campaign says nothing, where the rules say so.
    pub invalid: Option<String>,
}

/// Applies the rules of `validity` to a campaign that may not be complete.
#[must_use]
pub fn standing(campaign: &Campaign) -> Standing {
    let observations = Observations::of(&campaign.slices);
    let conduct = validity::judge(campaign, &observations).conduct;
    let failed: BTreeSet<u32> = campaign
        .slices
        .iter()
        .filter(|slice| matches!(slice.record.result, SliceResult::Failed { .. }))
        .map(|slice| slice.record.key.round)
        .collect();
    let rounds = |counts: &dyn Fn(Fate) -> bool| -> BTreeSet<u32> {
        let fates = conduct.rounds.iter().filter(|round| counts(round.fate));
        fates.map(|round| round.round).collect()
    };
    let kept = rounds(&|fate| fate == Fate::Kept);
    Standing {
        whole: rounds(&|fate| matches!(fate, Fate::Kept | Fate::Dropped)),
        good: kept.difference(&failed).copied().collect(),
        invalid: conduct.invalid,
    }
}
