//! The logic of a gate: a first stage for every cell, a second on fresh installs for those that it did not pass.

use std::collections::BTreeSet;

use anyhow::ensure;
use tollgate_reports::calibration::Calibration;
use tollgate_reports::gate::{self, GateReport, Policy, Stage};
use tollgate_reports::model::Analysis;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::plan::{Plan, Rounds};

/// Where the stages of a gate are measured.
pub trait Bench {
    /// Measures what a stage (1 or 2) still lacks; `None` where it was interrupted. The plan is what a stage is begun
    /// with: one that was begun before goes on with its own.
    ///
    /// # Errors
    ///
    /// When it cannot be measured.
    fn measure(&mut self, stage: u32, plan: Plan) -> anyhow::Result<Option<Staged>>;
}

/// A stage that was measured.
#[derive(Debug)]
pub struct Staged {
    /// Its plan as it ran: without the arms that could not stand.
    pub plan: Plan,
    /// What was measured.
    pub analysis: Analysis,
}

/// Returns the plan of the first stage: the scenario's, with as much as the policy demands.
///
/// # Errors
///
/// When the policy demands a control, and an arm has its name already.
pub fn first_plan(plan: Plan, policy: &Policy) -> anyhow::Result<Plan> {
    let rounds = Rounds {
        count: policy.first.rounds,
        installs: policy.first.installs,
        ..plan.rounds
    };
    let mut plan = Plan { rounds, ..plan };
    let reference = plan.arms.iter().position(|arm| arm.name == plan.reference);
    if let Some(reference) = reference.filter(|_| policy.control) {
        let control = again(&plan.arms[reference]);
        ensure!(
            plan.arm(&control.name).is_none(),
            "`control` adds an arm `{}`, and the scenario has one of that name; rename it, or leave `control` out",
            control.name
        );
        plan.arms.insert(reference + 1, control);
    }
    Ok(plan)
}

/// Returns a second install of an arm, compared with it.
#[must_use]
pub fn again(reference: &Arm) -> Arm {
    Arm {
        name: gate::control_of(&reference.name),
        reference: Some(reference.name.clone()),
        sweep: None,
        ..reference.clone()
    }
}

/// Measures and rules; `None` where it was interrupted.
///
/// # Errors
///
/// When a stage cannot be measured, or the policy gates nothing of it.
pub fn judge(
    bench: &mut impl Bench,
    plan: Plan,
    policy: &Policy,
    calibration: Option<&Calibration>,
) -> anyhow::Result<Option<GateReport>> {
    let Some(first) = bench.measure(1, plan)? else {
        return Ok(None);
    };
    let stage = Stage::of(&[&first.analysis])?;
    let report = gate::rule(policy, calibration, &stage, None)?;
    if report.complete {
        return Ok(Some(with_notes(report, &first.plan)));
    }
    let Some(second) = bench.measure(2, second_plan(&first.plan, &report))? else {
        return Ok(None);
    };
    let again = Stage::of(&[&second.analysis])?;
    let report = gate::rule(policy, calibration, &stage, Some(&again))?;
    Ok(Some(with_notes(report, &first.plan)))
}

/// Returns the plan of the second stage: what the first left open, with what that is compared with, and another seed.
fn second_plan(plan: &Plan, report: &GateReport) -> Plan {
    let open = report.open();
    let mut wanted: Vec<(&Name, &Name)> = open.map(|cell| (&cell.arm, &cell.workload)).collect();
    let control = gate::control_of(&plan.reference);
    if report.policy.control {
        let workloads: Vec<&Name> = wanted.iter().map(|(_, workload)| *workload).collect();
        wanted.extend(workloads.into_iter().map(|workload| (&control, workload)));
    }
    let mut needed: BTreeSet<(&Name, &Name)> = BTreeSet::new();
    while let Some((arm, workload)) = wanted.pop() {
        if needed.insert((arm, workload)) {
            let reference = plan.arm(arm).and_then(|arm| arm.reference.as_ref());
            wanted.extend(reference.map(|reference| (reference, workload)));
        }
    }
    let of_arm = |arm: &Arm| -> Vec<Name> {
        let own = arm.workloads.iter();
        own.filter(|workload| needed.contains(&(&arm.name, workload)))
            .cloned()
            .collect()
    };
    let arms = plan.arms.iter().map(|arm| Arm {
        workloads: of_arm(arm),
        ..arm.clone()
    });
    let policy = report.policy.second;
    Plan {
        seed: plan.seed.wrapping_add(1),
        rounds: Rounds {
            count: policy.rounds,
            installs: policy.installs,
            ..plan.rounds
        },
        arms: arms.filter(|arm| !arm.workloads.is_empty()).collect(),
        workloads: plan
            .workloads
            .iter()
            .filter(|workload| needed.iter().any(|(_, name)| **name == workload.name))
            .cloned()
            .collect(),
        ..plan.clone()
    }
}

/// Adds what a reader must know beside the rulings.
fn with_notes(mut report: GateReport, plan: &Plan) -> GateReport {
    let skipped = plan.skipped.iter();
    report.notes.extend(skipped.map(|skipped| {
        format!(
            "{} was left out, so nothing is said of it: {}",
            skipped.arm, skipped.reason
        )
    }));
    let planted = plan.arms.iter().filter_map(|arm| {
        let toll = arm.change.planted?;
        Some(format!(
            "{} has a planted toll of {toll} before each reply: a proof, not a product",
            arm.name
        ))
    });
    report.notes.extend(planted);
    report
}

#[cfg(test)]
mod tests;
