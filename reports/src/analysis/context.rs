//! What every part of the analysis reads.

use std::collections::BTreeMap;

use tollgate_results::arm::{Arm, Name};
use tollgate_results::run::Campaign;

use super::values::{Observation, Observations, RoundKey};
use crate::model::{EvidenceSummary, Judgement};
use crate::validity::Validity;
use crate::validity::evidence;

/// A campaign with its figures and judgements.
pub(crate) struct Context<'a> {
    pub(crate) campaign: &'a Campaign,
    pub(crate) observations: &'a Observations<'a>,
    pub(crate) validity: Validity,
    pub(crate) evidence: BTreeMap<&'a Name, EvidenceSummary>,
    /// Time that one round takes, in seconds.
    pub(crate) seconds_per_round: Option<f64>,
}

impl<'a> Context<'a> {
    pub(crate) fn of(
        campaign: &'a Campaign,
        observations: &'a Observations<'a>,
        seconds_per_round: Option<f64>,
    ) -> Self {
        let plan = &campaign.run.plan;
        Self {
            campaign,
            observations,
            validity: crate::validity::judge(campaign, observations),
            evidence: plan
                .arms
                .iter()
                .map(|arm| {
                    let summary = evidence::summarise(&campaign.run, arm, observations);
                    (&arm.name, summary)
                })
                .collect(),
            seconds_per_round,
        }
    }

    /// Returns the measured slices of one arm and workload in rounds that count.
    pub(crate) fn kept(
        &self,
        workload: &Name,
        arm: &Name,
    ) -> impl Iterator<Item = (RoundKey, &Observation<'a>)> {
        self.observations
            .rounds(workload, arm)
            .filter(|(round, _)| self.validity.kept.contains(round))
    }

    /// Returns whether two arms are the same: of one datapath, and between hosts of one address.
    pub(crate) fn are_twins(&self, one: &Arm, other: &Arm) -> bool {
        let path = |arm: &Arm| self.campaign.run.path(&arm.name);
        (&one.datapath, &one.change) == (&other.datapath, &other.change) && path(one) == path(other)
    }

    /// Returns why a comparison of two arms is invalid, in one line, where it is.
    pub(crate) fn invalid(&self, arm: &Arm, reference: &Arm) -> Option<String> {
        self.contradiction(&arm.name)
            .or_else(|| self.contradiction(&reference.name))
            .or_else(|| self.validity.conduct.invalid.clone())
    }

    /// Returns what shows that an arm isn't what it declares.
    pub(crate) fn contradiction(&self, arm: &Name) -> Option<String> {
        let checks = &self.evidence.get(arm)?.checks;
        let worst = checks
            .iter()
            .find(|check| check.judgement == Judgement::Contradicts)?;
        Some(format!("{arm} is not what it declares: {}", worst.text))
    }
}
