//! A scenario resolved for one machine: what will be measured, how often, and what cannot be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, Name};
use crate::claim::{Claim, ClaimedPair};
use crate::units::{Nanoseconds, Share};
use crate::workload::Workload;

/// What a campaign will do. Arms and workloads keep the scenario's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: Name,
    /// One sentence: what the scenario compares.
    pub about: String,
    /// SHA-256 of the scenario file's text, in hexadecimal.
    pub scenario_hash: String,
    /// Source of every random choice of the campaign.
    pub seed: u64,
    /// How often and how long is measured.
    pub rounds: Rounds,
    /// The arm with which others are compared unless they name another.
    pub reference: Name,
    /// Arms that run here.
    pub arms: Vec<Arm>,
    /// Workloads, each run on the arms that name it.
    pub workloads: Vec<Workload>,
    /// Arms of the scenario that cannot run here, each with the reason.
    pub skipped: Vec<Skipped>,
    /// Statements of folklore that the campaign tests; pairs of arms that were not chosen are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

impl Plan {
    /// Returns the arm of this name.
    #[must_use]
    pub fn arm(&self, name: &Name) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == *name)
    }

    /// Returns the workload of this name.
    #[must_use]
    pub fn workload(&self, name: &Name) -> Option<&Workload> {
        self.workloads
            .iter()
            .find(|workload| workload.name == *name)
    }

    /// Takes an arm out of the plan with the reason, and with it every arm that it is the reference of.
    pub fn skip(&mut self, name: &Name, reason: &str) {
        let Some(index) = self.arms.iter().position(|arm| arm.name == *name) else {
            return;
        };
        self.arms.remove(index);
        self.skipped.push(Skipped {
            arm: name.clone(),
            reason: reason.to_owned(),
        });
        let orphan = |arm: &&Arm| arm.reference.as_ref() == Some(name);
        while let Some(orphan) = self.arms.iter().find(orphan).map(|arm| arm.name.clone()) {
            self.skip(&orphan, &format!("its reference `{name}` can't run here"));
        }
    }

    /// Has every other arm compared with this one; returns whether the plan has it. Slices stay what they are: each
    /// round has one of every arm, whatever it is compared with.
    pub fn compare_with(&mut self, reference: &Name) -> bool {
        if self.arm(reference).is_none() {
            return false;
        }
        for arm in &mut self.arms {
            arm.reference = (arm.name != *reference).then(|| reference.clone());
        }
        self.reference = reference.clone();
        true
    }

    /// Returns how many comparisons a claim has here: pairs of arms, each on every workload that both run.
    #[must_use]
    pub fn comparisons(&self, claim: &Claim) -> usize {
        let runs = |arm: &Name, workload: &Name| {
            let arm = self.arm(arm);
            arm.is_some_and(|arm| arm.workloads.contains(workload))
        };
        let of_pair = |pair: &ClaimedPair| {
            let both =
                |workload: &&Name| runs(&pair.arm, workload) && runs(&pair.baseline, workload);
            claim.workloads.iter().filter(both).count()
        };
        claim.pairs.iter().map(of_pair).sum()
    }

    /// Returns whether arms are configurations of one cluster that a command of the user's switches between: they can't
    /// stand at the same time, and what repeats is the install (statistics §2.2).
    #[must_use]
    pub fn reconfigures(&self) -> bool {
        self.arms
            .iter()
            .any(|arm| arm.datapath.cluster.is_some() && !arm.change.apply.is_empty())
    }

    /// Returns how many slices one round has.
    #[must_use]
    pub fn slices_per_round(&self) -> usize {
        self.arms.iter().map(|arm| arm.workloads.len()).sum()
    }
}

/// How often and how long is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rounds {
    /// Rounds after round 0, which is discarded: 1 to 1,000.
    pub count: u32,
    /// Measured length of a slice: 10 ms to 10 min.
    pub slice: Nanoseconds,
    /// Traffic before the measured window of a slice: 0 to 1 min.
    pub warmup: Nanoseconds,
    /// Equivalence margin: arms closer than this are `equivalent`. 0.1 % to 50 %.
    pub margin: Share,
    /// Installs of the arms over which the rounds are spread, at least: 1 to 100, at most one a round.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub installs: u32,
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
const fn is_one(installs: &u32) -> bool {
    *installs == 1
}

/// An arm that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The arm's name.
    pub arm: Name,
    /// What is missing and how to mend it, in one line.
    pub reason: String,
}
