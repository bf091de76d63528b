//! How small a difference the campaign could tell.

use super::context::Context;
use super::values;
use crate::model::{Cell, NoiseFloor, Verdict, WorkloadNoise};
use crate::stats::{median, rounds};
use crate::words;

/// States the noise floor from the spread of rounds, and from arms that were deployed twice.
pub(crate) fn state(context: &Context<'_>, cells: &[Cell]) -> NoiseFloor {
    let plan = &context.campaign.run.plan;
    let workloads: Vec<WorkloadNoise> = plan
        .workloads
        .iter()
        .filter_map(|workload| {
            let metric = *values::metrics(workload).first()?;
            let compared: Vec<&Cell> = cells
                .iter()
                .filter(|cell| {
                    cell.workload == workload.name
                        && cell.metric == metric
                        && cell.verdict != Verdict::Invalid
                })
                .collect();
            let spreads: Vec<f64> = compared.iter().filter_map(|cell| cell.spread).collect();
            let rounds = compared.iter().map(|cell| cell.rounds).max()?;
            let spread = median(&spreads)?;
            let reach = rounds::resolved(spread, usize::try_from(rounds).ok()?);
            Some(WorkloadNoise {
                workload: workload.name.clone(),
                metric,
                spread,
                rounds,
                detectable: reach.exp_m1(),
            })
        })
        .collect();
    NoiseFloor {
        statement: statement(context, cells, &workloads),
        workloads,
    }
}

fn statement(context: &Context<'_>, cells: &[Cell], workloads: &[WorkloadNoise]) -> String {
    let Some(rounds) = workloads.iter().map(|noise| noise.rounds).max() else {
        return "No comparison has enough valid rounds for a noise floor.".to_owned();
    };
    let figures: Vec<String> = workloads
        .iter()
        .map(|noise| {
            let detectable = words::percent(noise.detectable);
            let detectable = detectable.trim_start_matches('+');
            format!("{detectable} on {} {}", noise.workload, noise.metric)
        })
        .collect();
    format!(
        "With {} and the noise seen, nine of ten campaigns like this find a difference of {}. {}",
        words::plural(usize::try_from(rounds).unwrap_or(0), "round"),
        figures.join(", "),
        twins(context, cells)
    )
}

/// Arms with one and the same datapath measure what installs alone differ by.
fn twins(context: &Context<'_>, cells: &[Cell]) -> String {
    let plan = &context.campaign.run.plan;
    let twin = |cell: &&Cell| {
        let arms = plan.arm(&cell.arm).zip(plan.arm(&cell.reference));
        arms.is_some_and(|(arm, reference)| {
            (&arm.datapath, &arm.change) == (&reference.datapath, &reference.change)
        }) && workloads_main(context, cell)
    };
    let found: Vec<String> = cells
        .iter()
        .filter(twin)
        .filter_map(|cell| {
            let change = words::change(cell.change.as_ref()?);
            Some(format!(
                "{} is {} deployed a second time and differs by {change} on {} {}.",
                cell.arm, cell.reference, cell.workload, cell.metric
            ))
        })
        .collect();
    if found.is_empty() {
        "The plan has no arm twice, so what installs differ by is not in it.".to_owned()
    } else {
        found.join(" ")
    }
}

fn workloads_main(context: &Context<'_>, cell: &Cell) -> bool {
    let workload = context.campaign.run.plan.workload(&cell.workload);
    workload.and_then(|workload| values::metrics(workload).first()) == Some(&cell.metric)
}
