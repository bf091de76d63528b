//! Cells: pairs of rounds, their inference, and what a reader has to know of them.

use tollgate_results::arm::{Arm, Name};
use tollgate_results::workload::{Cpu, Workload};

use super::context::Context;
use super::paired::{FEW_BEYOND, FEWEST_BEYOND, Paired};
use super::{generator, installs, values};
use crate::model::{Cell, Direction, Estimate, Interval, Metric, Typical, Undropped, Verdict};
use crate::parallel;
use crate::stats::rounds::FEWEST;
use crate::stats::{holm, median, order, real, real64};
use crate::verdict::{Inference, Scale};
use crate::words;

/// Equivalence margin of loss: a tenth of a percentage point.
const LOSS_MARGIN: f64 = 0.001;

/// Compares every arm with its reference on every workload and metric, in the plan's order.
pub(crate) fn compare(context: &Context<'_>) -> Vec<Cell> {
    let plan = &context.campaign.run.plan;
    let mut compared = Vec::new();
    for workload in &plan.workloads {
        for metric in values::all_metrics(workload) {
            for arm in &plan.arms {
                let Some(reference) = arm.reference.as_ref().and_then(|name| plan.arm(name)) else {
                    continue;
                };
                let runs = |arm: &Arm| arm.workloads.contains(&workload.name);
                if runs(arm) && runs(reference) {
                    compared.push((workload, metric, arm, reference));
                }
            }
        }
    }
    let mut cells = parallel::map(&compared, |&(workload, metric, arm, reference)| {
        cell(context, workload, metric, arm, reference)
    });
    adjust(&mut cells);
    cells
}

/// Returns the typical value of one metric over the rounds that count.
pub(crate) fn typical_of(
    context: &Context<'_>,
    workload: &Name,
    arm: &Name,
    metric: Metric,
) -> Option<Typical> {
    let values = context
        .kept(workload, arm)
        .filter_map(|(round, observation)| {
            let value = observation.values.get(&metric).copied()?;
            Some((round, value))
        });
    let values: Vec<f64> = if context.campaign.run.plan.reconfigures() {
        installs::of_values(metric, values)
    } else {
        values.map(|(_, value)| value).collect()
    };
    typical(&values)
}

/// Returns the median with its order-statistic interval.
pub(crate) fn typical(values: &[f64]) -> Option<Typical> {
    let sorted = crate::stats::sorted(values);
    let interval = order::ranks_of_median(values.len()).map(|ranks| Interval {
        low: sorted[ranks.low - 1],
        high: sorted[ranks.high - 1],
        confidence: ranks.confidence,
    });
    Some(Typical {
        median: crate::stats::median_of_sorted(&sorted)?,
        interval,
        rounds: u32::try_from(values.len()).unwrap_or(u32::MAX),
    })
}

/// The margin of a metric: tails get wider ones, in the proportion 5 : 7 : 10 of statistics §2.7.
pub(crate) fn margin(metric: Metric, plan: f64) -> f64 {
    match metric {
        Metric::P90 | Metric::PlanP90 => 1.4 * plan,
        Metric::P99
        | Metric::P999
        | Metric::PlanP99
        | Metric::PlanP999
        | Metric::LatenessP99
        | Metric::PdvUpP99
        | Metric::PdvDownP99 => 2.0 * plan,
        Metric::Loss => LOSS_MARGIN,
        _ => plan,
    }
}

fn cell(
    context: &Context<'_>,
    workload: &Workload,
    metric: Metric,
    arm: &Arm,
    reference: &Arm,
) -> Cell {
    let paired = Paired::of(
        context,
        &workload.name,
        metric,
        arm,
        reference,
        &context.validity.kept,
    );
    let margin = margin(metric, context.campaign.run.plan.rounds.margin.0);
    let direction = metric.direction();
    let inference = match generator::limit(context, &workload.name, metric, [arm, reference]) {
        Some(limit) => Err(limit),
        None => paired.inference(),
    };
    let (mut verdict, mut measurable) = match &inference {
        Ok(inference) => inference.verdict(margin),
        Err(_) => (Verdict::Insufficient, false),
    };
    let mut reason = inference.as_ref().err().cloned();
    if let Some(invalid) = context.invalid(arm, reference) {
        (verdict, measurable, reason) = (Verdict::Invalid, false, Some(invalid));
    }
    let inference = inference.ok();
    let is_ratio = paired.scale == Scale::Ratio;
    let ratio = inference
        .as_ref()
        .filter(|_| is_ratio)
        .map(Inference::estimate);
    let typical = |arm: &Arm| typical_of(context, &workload.name, &arm.name, metric);
    let mut cell = Cell {
        workload: workload.name.clone(),
        metric,
        arm: arm.name.clone(),
        reference: reference.name.clone(),
        unit: metric.unit(),
        direction,
        verdict,
        measurable,
        reason,
        words: String::new(),
        change: ratio.map(|ratio| change(&ratio, direction)),
        ratio,
        shift: inference.as_ref().and_then(|_| paired.shift()),
        margin,
        arm_typical: typical(arm),
        reference_typical: typical(reference),
        rounds: u32::try_from(paired.pairs.len()).unwrap_or(u32::MAX),
        walsh_rank: inference
            .as_ref()
            .and_then(|inference| u32::try_from(inference.walsh_rank()).ok()),
        spread: inference.as_ref().and_then(Inference::spread),
        worse_in: inference.as_ref().map(Inference::worse_in),
        tests: inference.as_ref().map(|inference| inference.tests(margin)),
        undropped: undropped(context, &workload.name, metric, arm, reference, margin),
        to_resolve: inference
            .as_ref()
            .filter(|_| verdict == Verdict::Inconclusive && is_ratio)
            .map(|inference| inference.resolution(margin, context.seconds_per_round)),
        notes: notes(context, workload, &paired, arm),
        pairs: paired.pairs,
    };
    if let Some(undropped) = cell
        .undropped
        .filter(|undropped| undropped.verdict != cell.verdict && cell.verdict != Verdict::Invalid)
    {
        cell.notes.push(format!(
            "with no round dropped for noise the verdict would be {}",
            undropped.verdict
        ));
    }
    let open = !matches!(cell.verdict, Verdict::Equivalent | Verdict::Invalid);
    if open && inference.is_some_and(|inference| inference.outlier_driven()) {
        cell.notes.push(
            "outlier-driven: the paired t test and the exact interval disagree on there being a difference"
                .to_owned(),
        );
    }
    cell.words = in_words(&cell);
    cell
}

/// Turns the oriented ratio into the relative change of the value itself.
pub(crate) fn change(ratio: &Estimate, direction: Direction) -> Estimate {
    let of = |theta: f64| match direction {
        Direction::LargerIsWorse => theta - 1.0,
        Direction::SmallerIsWorse => 1.0 / theta - 1.0,
    };
    let interval = |interval: Interval| {
        let (a, b) = (of(interval.low), of(interval.high));
        Interval {
            low: a.min(b),
            high: a.max(b),
            confidence: interval.confidence,
        }
    };
    Estimate {
        value: of(ratio.value),
        interval95: interval(ratio.interval95),
        interval90: interval(ratio.interval90),
    }
}

/// The result with no round dropped for noise, where some were.
fn undropped(
    context: &Context<'_>,
    workload: &Name,
    metric: Metric,
    arm: &Arm,
    reference: &Arm,
    margin: f64,
) -> Option<Undropped> {
    let whole = &context.validity.whole;
    if whole.len() == context.validity.kept.len() {
        return None;
    }
    let paired = Paired::of(context, workload, metric, arm, reference, whole);
    let inference = paired.inference().ok();
    Some(Undropped {
        verdict: inference
            .as_ref()
            .map_or(Verdict::Insufficient, |inference| {
                inference.verdict(margin).0
            }),
        rounds: u32::try_from(paired.pairs.len()).unwrap_or(u32::MAX),
        effect: inference.as_ref().map(Inference::estimate),
    })
}

fn notes(context: &Context<'_>, workload: &Workload, paired: &Paired, arm: &Arm) -> Vec<String> {
    let mut notes = Vec::new();
    if paired.missing > 0 {
        notes.push(format!(
            "{} of one of the two arms could not be used",
            words::plural(paired.missing, "round")
        ));
    }
    let thin = |beyond: &f64| (FEWEST_BEYOND..FEW_BEYOND).contains(beyond);
    if let Some(beyond) = paired.beyond.filter(thin) {
        notes.push(format!(
            "thin: about {beyond:.0} samples of a slice lie beyond {}",
            paired.metric
        ));
    }
    if paired.metric == Metric::Throughput && workload.cpu == Cpu::Shared {
        notes.push("client and server share one CPU: this is the CPU's limit".to_owned());
    }
    notes.extend(generator::note(context, &workload.name, paired.metric, arm));
    notes.extend(growth(context, &workload.name, &arm.name));
    notes
}

/// Tables that fill up during a campaign slow later rounds down: of any arm, since one kernel has one table.
fn growth(context: &Context<'_>, workload: &Name, arm: &Name) -> Option<String> {
    let entries: Vec<f64> = context
        .kept(workload, arm)
        .map(|(_, slice)| {
            let nodes = &slice.measured.evidence.counters.conntrack_entries;
            let tracked = nodes.iter().map(|node| node.entries);
            let waiting = slice.measured.client.time_wait.unwrap_or(0);
            real64(tracked.fold(waiting, u64::saturating_add))
        })
        .collect();
    if entries.len() < FEWEST {
        return None;
    }
    let (early, late) = entries.split_at(entries.len() / 2);
    let (early, late) = (median(early)?, median(late)?);
    (late > 1.5 * early + 1_000.0).then(|| {
        format!(
            "connection-tracking and TIME_WAIT entries grew from {early:.0} to {late:.0} over the campaign"
        )
    })
}

/// Adjusts the p-values of each metric by Holm over all its valid cells.
///
/// The family is one metric: percentiles, rate and CPU of the same slices are one observation told in several ways,
/// and counting each would put 5 % out of reach.
fn adjust(cells: &mut [Cell]) {
    for metric in Metric::ALL {
        let family: Vec<usize> = (0..cells.len())
            .filter(|&index| {
                let cell = &cells[index];
                cell.metric == metric && cell.tests.is_some() && cell.verdict != Verdict::Invalid
            })
            .collect();
        let p_values: Vec<f64> = family
            .iter()
            .filter_map(|&index| cells[index].tests.map(|tests| tests.p_equality))
            .collect();
        for (&index, p_holm) in family.iter().zip(holm::adjust(&p_values)) {
            let cell = &mut cells[index];
            let Some(tests) = &mut cell.tests else {
                continue;
            };
            let smallest = 2.0 * 0.5_f64.powf(f64::from(cell.rounds));
            tests.p_holm = p_holm;
            tests.holds_family_wise = p_holm <= 0.05;
            tests.holm_attainable = smallest * real(family.len()) <= 0.05;
            let decided = matches!(cell.verdict, Verdict::Slower | Verdict::Faster);
            if decided && tests.holm_attainable && !tests.holds_family_wise {
                cell.notes.push(format!(
                    "holds for this cell alone: among all {} cells of {metric} chance is not excluded \
                     (Holm p = {p_holm:.3})",
                    family.len()
                ));
            }
        }
    }
}

/// Says once where a campaign has too few rounds for any difference, however large, to hold among all comparisons
/// of a metric.
pub(crate) fn unattainable(cells: &[Cell]) -> Option<String> {
    let beyond = |cell: &&Cell| {
        let decided = matches!(cell.verdict, Verdict::Slower | Verdict::Faster);
        decided && cell.tests.is_some_and(|tests| !tests.holm_attainable)
    };
    let rounds = cells.iter().filter(beyond).map(|cell| cell.rounds).max()?;
    Some(format!(
        "Each verdict stands for its own comparison: with {} no difference, however large, could hold for all \
         comparisons of a metric together (Holm)",
        words::plural(usize::try_from(rounds).unwrap_or(0), "valid round")
    ))
}

/// Says which arm's percentile is infinite, where the verdict on one rests on that: no figure tells by how much.
fn among_the_lost(cell: &Cell) -> Option<String> {
    let decided = matches!(cell.verdict, Verdict::Slower | Verdict::Faster);
    if !decided || cell.metric.quantile().is_none() {
        return None;
    }
    let infinite = |typical: Option<Typical>| typical.is_some_and(|it| it.median.is_infinite());
    let name = match (infinite(cell.arm_typical), infinite(cell.reference_typical)) {
        (true, false) => &cell.arm,
        (false, true) => &cell.reference,
        _ => return None,
    };
    Some(format!(
        "the {} of {name} is among its lost replies",
        cell.metric
    ))
}

fn in_words(cell: &Cell) -> String {
    if let Some(lost) = among_the_lost(cell) {
        return format!("{}: {lost}", cell.verdict);
    }
    let effect = match (&cell.change, &cell.shift) {
        _ if cell.verdict == Verdict::Invalid => None,
        (Some(change), _) if cell.verdict == Verdict::Equivalent => Some(words::change90(change)),
        (Some(change), _) => Some(words::change(change)),
        (None, Some(shift)) if cell.verdict == Verdict::Equivalent => {
            Some(words::shift90(cell.unit, shift))
        }
        (None, Some(shift)) => Some(words::shift_with_interval(cell.unit, shift)),
        (None, None) => None,
    };
    match (effect, &cell.reason) {
        (Some(effect), _) if cell.verdict == Verdict::Equivalent => {
            format!("equivalent {effect} at 90 %")
        }
        (Some(effect), _) => format!("{} {effect}", cell.verdict),
        (None, Some(reason)) => format!("{}: {reason}", cell.verdict),
        (None, None) => cell.verdict.to_string(),
    }
}
