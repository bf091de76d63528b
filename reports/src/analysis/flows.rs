//! Whether 5-tuples differ: the sweeps of all slices of an arm, taken together.

use tollgate_results::sweep::FlowSweep;

use super::context::Context;
use crate::model::Flows;

/// Compares the source ports of each arm and workload that sweeps over them.
pub(crate) fn compare(context: &Context<'_>) -> Vec<Flows> {
    let plan = &context.campaign.run.plan;
    let sweeping = plan
        .workloads
        .iter()
        .filter_map(|workload| Some((workload, workload.ports?)));
    let mut all = Vec::new();
    for (workload, ports) in sweeping {
        for arm in &plan.arms {
            let kept = context.kept(&workload.name, &arm.name);
            let sweeps: Vec<&FlowSweep> = kept
                .filter_map(|(_, observation)| observation.measured.outcome.sweep.as_ref())
                .collect();
            if sweeps.is_empty() {
                continue;
            }
            let pooled = FlowSweep::pooled(sweeps, plan.seed);
            all.push(Flows {
                workload: workload.name.clone(),
                arm: arm.name.clone(),
                ports,
                rounds: pooled.map_or(0, |(_, rounds)| rounds),
                difference: pooled.map(|(difference, _)| difference),
            });
        }
    }
    all
}
