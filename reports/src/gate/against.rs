//! Now against a stored campaign: the weaker kind of gate.
//!
//! Each arm is compared through its reference, which both campaigns measured: what is gated is the toll now over the
//! toll then. What moved arm and reference alike between the two cancels; what moved one of them alone does not, and
//! a calibration says nothing of it.

use tollgate_results::plan::Plan;

use crate::model::{Analysis, Cell, Pair};
use crate::verdict::Scale;

/// What comparing with a stored campaign costs, in one sentence.
pub const AGAINST_COSTS: &str = "Compared with a stored campaign, the weaker kind of gate: each arm's toll over its \
     reference now is held against that of another time, and what changed one of them alone in between counts as the \
     arm's; measure both versions in one campaign where you can";

/// Campaigns that can't be held against each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgainstError {
    /// Of two machines.
    #[error(
        "the stored campaign is of machine {stored}, this is {now}; measure the stored one anew here, or gate there"
    )]
    Machine {
        /// Fingerprint of the stored one.
        stored: String,
        /// Fingerprint of this machine.
        now: String,
    },
    /// It did not do the same.
    #[error("the stored campaign did not measure the same: {}; measure it anew", .0.join("; "))]
    Different(Vec<String>),
    /// It is invalid itself.
    #[error("the stored campaign is invalid itself ({0}); measure it anew")]
    Invalid(String),
    /// It has no cell in common.
    #[error(
        "the stored campaign has no arm, workload and metric in common; name one of this scenario"
    )]
    Nothing,
}

/// Checks that a stored campaign can be held against one that is to be measured.
///
/// # Errors
///
/// Where it is of another machine, measured something else, or is invalid.
pub fn comparable(stored: &Analysis, fingerprint: &str, plan: &Plan) -> Result<(), AgainstError> {
    let subject = &stored.subject;
    if subject.fingerprint != fingerprint {
        return Err(AgainstError::Machine {
            stored: subject.fingerprint.clone(),
            now: fingerprint.to_owned(),
        });
    }
    if let Some(reason) = &stored.conduct.invalid {
        return Err(AgainstError::Invalid(reason.clone()));
    }
    let mut differences = Vec::new();
    if subject.rounds.slice != plan.rounds.slice {
        let (then, now) = (subject.rounds.slice, plan.rounds.slice);
        differences.push(format!("slices of {then}, now {now}"));
    }
    for workload in &plan.workloads {
        let then = stored
            .workloads
            .iter()
            .find(|then| then.name == workload.name);
        if then.is_some_and(|then| then != workload) {
            differences.push(format!("another workload `{}`", workload.name));
        }
    }
    for arm in plan.arms.iter().filter(|arm| is_reference(plan, arm)) {
        let then = stored.arm(&arm.name);
        if then.is_some_and(|then| (&then.dimensions, &then.change) != (&arm.datapath, &arm.change))
        {
            differences.push(format!("another reference `{}`", arm.name));
        }
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(AgainstError::Different(differences))
    }
}

fn is_reference(plan: &Plan, arm: &tollgate_results::arm::Arm) -> bool {
    plan.arms
        .iter()
        .any(|other| other.reference.as_ref() == Some(&arm.name))
}

/// Returns the analysis of a campaign with each toll held against that of a stored one, for [`super::Stage::of`]: rounds
/// are paired in their order, which is as good as any, since nothing was measured together.
///
/// # Errors
///
/// Where nothing is in common.
pub fn against(now: &Analysis, stored: &Analysis) -> Result<Analysis, AgainstError> {
    let mut held = now.clone();
    held.cells = now
        .cells
        .iter()
        .filter_map(|cell| {
            let is = |then: &&Cell| {
                (&then.workload, then.metric, &then.arm, &then.reference)
                    == (&cell.workload, cell.metric, &cell.arm, &cell.reference)
            };
            let then = stored.cells.iter().find(is)?;
            let pairs = cell.pairs.iter().zip(&then.pairs);
            let pairs = pairs.map(|(now, then)| pair(cell, now, then)).collect();
            Some(Cell {
                pairs,
                ..cell.clone()
            })
        })
        .collect();
    if held.cells.is_empty() {
        return Err(AgainstError::Nothing);
    }
    Ok(held)
}

/// The toll now as the arm's value, the toll then as the reference's.
fn pair(cell: &Cell, now: &Pair, then: &Pair) -> Pair {
    let toll = |pair: &Pair| match Scale::of(cell.metric) {
        Scale::Ratio => pair.arm / pair.reference,
        Scale::Difference => pair.arm - pair.reference,
    };
    let mut pair = Pair {
        arm: toll(now),
        reference: toll(then),
        ..*now
    };
    let effect = super::effect(cell, &pair);
    pair.effect = match Scale::of(cell.metric) {
        Scale::Ratio => effect.exp(),
        Scale::Difference => effect,
    };
    pair
}
