//! What a campaign still has to measure: planned rounds, spread over installs, and rounds in place of those that the
//! rules drop.

use std::collections::BTreeSet;

use tollgate_reports::standing::{Standing, standing};
use tollgate_results::run::Campaign;

use crate::schedule;

/// What is still to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// Planned rounds that were not measured yet.
    pub(super) planned: u32,
    /// Whether a round is wanted in place of one that doesn't count; only once all planned ones are measured.
    pub(super) replace: bool,
    /// Installs that the planned rounds still need, at least 1.
    installs: u32,
    pub(super) standing: Standing,
}

impl Course {
    /// Looks at what was measured.
    pub(super) fn of(campaign: &Campaign) -> Self {
        let rounds = campaign.run.plan.rounds;
        let standing = standing(campaign);
        let whole = count(standing.whole.len());
        let planned = rounds.count.saturating_sub(whole);
        let used: BTreeSet<u32> = campaign
            .slices
            .iter()
            .filter(|slice| standing.whole.contains(&slice.record.key.round))
            .map(|slice| slice.record.install)
            .collect();
        Self {
            planned,
            replace: planned == 0 && replaceable(campaign, &standing, whole),
            installs: rounds.installs.saturating_sub(count(used.len())).max(1),
            standing,
        }
    }

    /// Returns whether nothing is left to measure.
    pub(super) fn is_over(&self) -> bool {
        self.planned == 0 && !self.replace
    }

    /// Returns how many of the planned rounds the next install gets.
    pub(super) fn share(&self) -> u32 {
        self.planned.div_ceil(self.installs)
    }

    /// Returns how many rounds will be measured if none is replaced, discarded ones included.
    pub(super) fn rounds_left(&self) -> u32 {
        match self.planned {
            0 => 1 + u32::from(self.replace),
            planned => planned + self.installs.min(planned),
        }
    }

    /// Returns the rounds whose order the next one should balance.
    pub(super) fn counted(&self) -> &BTreeSet<u32> {
        if self.planned > 0 {
            &self.standing.whole
        } else {
            &self.standing.good
        }
    }
}

/// Says whether another round would help: at most half as many as planned are added (statistics §2.9), and none to a
/// campaign that is invalid anyway, or whose replicates are installs: one that lost a round still counts.
fn replaceable(campaign: &Campaign, standing: &Standing, whole: u32) -> bool {
    if campaign.run.plan.reconfigures() {
        return false;
    }
    let planned = campaign.run.plan.rounds.count;
    let lacks = count(standing.good.len()) < planned
        || !schedule::is_even(&campaign.run.plan, &campaign.slices, &standing.good);
    lacks && standing.invalid.is_none() && whole < planned + planned / 2
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
