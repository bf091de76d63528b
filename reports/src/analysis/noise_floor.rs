//! How small a difference the campaign could tell.

use super::context::Context;
use super::values;
use crate::model::{Cell, Floor, FloorBasis, NoiseFloor, Verdict, WorkloadNoise};
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
        floors: floors(context, cells),
    }
}

/// The floor of every workload and metric that is compared by ratio.
fn floors(context: &Context<'_>, cells: &[Cell]) -> Vec<Floor> {
    let mut floors: Vec<Floor> = Vec::new();
    for cell in cells {
        let known = |floor: &Floor| floor.workload == cell.workload && floor.metric == cell.metric;
        if floors.iter().any(known) {
            continue;
        }
        let compared = cells.iter().filter(|other| {
            other.workload == cell.workload
                && other.metric == cell.metric
                && other.verdict != Verdict::Invalid
        });
        let compared: Vec<&Cell> = compared.collect();
        floors.extend(by_twin(context, &compared).or_else(|| by_spread(&compared)));
    }
    floors
}

/// The widest that an interval of arms with one and the same datapath reaches.
fn by_twin(context: &Context<'_>, compared: &[&Cell]) -> Option<Floor> {
    let distances = compared.iter().filter_map(|cell| {
        let interval = cell.ratio.filter(|_| is_twin(context, cell))?.interval95;
        let distance = (interval.high - 1.0).max(1.0 - interval.low);
        distance.is_finite().then_some((distance, *cell))
    });
    let (distance, cell) = distances.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Floor {
        workload: cell.workload.clone(),
        metric: cell.metric,
        distance,
        basis: FloorBasis::Twin {
            arm: cell.arm.clone(),
        },
    })
}

fn by_spread(compared: &[&Cell]) -> Option<Floor> {
    let compared = compared.iter().filter(|cell| cell.ratio.is_some());
    let compared: Vec<&&Cell> = compared.collect();
    let spreads: Vec<f64> = compared.iter().filter_map(|cell| cell.spread).collect();
    let rounds = compared.iter().map(|cell| cell.rounds).max()?;
    let reach = rounds::resolved(median(&spreads)?, usize::try_from(rounds).ok()?);
    let first = compared.first()?;
    Some(Floor {
        workload: first.workload.clone(),
        metric: first.metric,
        distance: reach.exp_m1(),
        basis: FloorBasis::Spread { rounds },
    })
}

fn is_twin(context: &Context<'_>, cell: &Cell) -> bool {
    let plan = &context.campaign.run.plan;
    let arms = plan.arm(&cell.arm).zip(plan.arm(&cell.reference));
    arms.is_some_and(|(arm, reference)| context.are_twins(arm, reference))
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
    let twin = |cell: &&Cell| is_twin(context, cell) && workloads_main(context, cell);
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
