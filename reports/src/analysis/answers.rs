//! The answer in sentences, the most important first.

use super::context::Context;
use super::scaling::less_one;
use super::{splits, values};
use crate::model::{
    Answer, AnswerKind, Cell, ClaimVerdict, Estimate, Metric, Scaling, ScalingVerdict, Splits,
    TestedClaim, Unit, Verdict,
};
use crate::words;

/// Writes the answer: what is invalid, then what became of claims and splits, then verdicts on the main metric of each workload
/// and on rises, then tails and losses that say something else, then what is missing.
pub(crate) fn write(
    context: &Context<'_>,
    cells: &[Cell],
    (scalings, claims, splits): (&[Scaling], &[TestedClaim], &[Splits]),
) -> Vec<Answer> {
    let mut answers = invalid(context);
    answers.extend(claims.iter().map(claim));
    answers.extend(splits::answers(splits));
    answers.extend(rises(context, scalings));
    let mut main: Vec<&Cell> = cells
        .iter()
        .filter(|cell| is_main(context, cell) && !is_told_by_a_rise(context, cell, scalings))
        .collect();
    // A stable sort: cells of equal weight stay in the plan's order.
    main.sort_by(|a, b| weight(a).total_cmp(&weight(b)));
    answers.extend(main.iter().filter_map(|cell| verdict(cell)));
    answers.extend(
        cells
            .iter()
            .filter(|cell| !is_told_by_a_rise(context, cell, scalings))
            .filter(|cell| is_news(context, cell, cells))
            .filter_map(verdict),
    );
    if context.validity.conduct.invalid.is_some() {
        answers.extend(main.iter().filter_map(|cell| undropped(cell)));
    }
    answers.extend(missing(context));
    answers
}

/// What an invalid campaign would have said: told, but never as a verdict.
fn undropped(cell: &Cell) -> Option<Answer> {
    let undropped = cell.undropped?;
    let change = super::cells::change(undropped.effect.as_ref()?, cell.direction);
    let would = match undropped.verdict {
        Verdict::Slower | Verdict::Faster => format!("{} than", undropped.verdict),
        Verdict::Equivalent => "equivalent to".to_owned(),
        _ => return None,
    };
    Some(Answer {
        kind: AnswerKind::Verdict(Verdict::Invalid),
        text: format!(
            "With no round dropped {} would be {would} {} on {} {}: {} (a hint, not a verdict).",
            cell.arm,
            cell.reference,
            cell.workload,
            cell.metric,
            words::change(&change)
        ),
        workload: Some(cell.workload.clone()),
        metric: Some(cell.metric),
        arm: Some(cell.arm.clone()),
    })
}

fn invalid(context: &Context<'_>) -> Vec<Answer> {
    let mut answers = Vec::new();
    if let Some(reason) = &context.validity.conduct.invalid {
        answers.push(warning(format!("This campaign is invalid: {reason}.")));
    }
    for arm in &context.campaign.run.plan.arms {
        if let Some(contradiction) = context.contradiction(&arm.name) {
            answers.push(Answer {
                kind: AnswerKind::Verdict(Verdict::Invalid),
                text: format!(
                    "All comparisons with {} are invalid: {contradiction}.",
                    arm.name
                ),
                workload: None,
                metric: None,
                arm: Some(arm.name.clone()),
            });
        }
    }
    answers
}

fn missing(context: &Context<'_>) -> Vec<Answer> {
    let skipped = &context.campaign.run.plan.skipped;
    let mut answers: Vec<Answer> = skipped
        .iter()
        .map(|skipped| {
            let end = if skipped.reason.ends_with(['.', '?']) {
                ""
            } else {
                "."
            };
            Answer {
                arm: Some(skipped.arm.clone()),
                ..warning(format!(
                    "{} was left out: {}{end}",
                    skipped.arm, skipped.reason
                ))
            }
        })
        .collect();
    let mut arms = context.campaign.run.plan.arms.iter();
    if arms.all(|arm| arm.reference.is_none()) {
        answers.push(warning(
            "No arm has a reference, so nothing is compared.".to_owned(),
        ));
    }
    let crowded = context.validity.crowded.as_ref();
    answers.extend(crowded.map(|crowded| warning(format!("{crowded}."))));
    let conduct = &context.validity.conduct;
    if !conduct.complete {
        answers.push(warning(format!(
            "The campaign is incomplete: {} of {} planned rounds count.",
            conduct.kept, conduct.planned
        )));
    }
    let failed = conduct.failures.len();
    if failed > 0 {
        answers.push(warning(format!(
            "{} could not be measured.",
            words::plural(failed, "slice")
        )));
    }
    answers
}

const fn warning(text: String) -> Answer {
    Answer {
        kind: AnswerKind::Warning,
        text,
        workload: None,
        metric: None,
        arm: None,
    }
}

fn main_metric(context: &Context<'_>, cell: &Cell) -> Option<Metric> {
    let workload = context.campaign.run.plan.workload(&cell.workload)?;
    values::metrics(workload).first().copied()
}

fn is_main(context: &Context<'_>, cell: &Cell) -> bool {
    main_metric(context, cell) == Some(cell.metric)
}

/// A loss that was proved to differ, or a tail where the main metric says otherwise.
fn is_news(context: &Context<'_>, cell: &Cell, cells: &[Cell]) -> bool {
    let decided = matches!(cell.verdict, Verdict::Slower | Verdict::Faster);
    if !decided || !matches!(cell.metric, Metric::P99 | Metric::PlanP99) {
        return decided && cell.metric == Metric::Loss;
    }
    let main = main_metric(context, cell);
    cells
        .iter()
        .find(|other| {
            Some(other.metric) == main && other.workload == cell.workload && other.arm == cell.arm
        })
        .is_none_or(|other| other.verdict != cell.verdict)
}

/// Arms of a sweep are told by its rise, not one by one.
fn is_told_by_a_rise(context: &Context<'_>, cell: &Cell, scalings: &[Scaling]) -> bool {
    let arm = context.campaign.run.plan.arm(&cell.arm);
    let Some(point) = arm.and_then(|arm| arm.sweep.as_ref()) else {
        return false;
    };
    scalings
        .iter()
        .any(|scaling| scaling.series == point.series && scaling.workload == cell.workload)
}

/// Proved differences first, the largest first; then equivalence; then what is open.
fn weight(cell: &Cell) -> f64 {
    let class = match cell.verdict {
        Verdict::Slower | Verdict::Faster => 0.0,
        Verdict::Equivalent => 1.0,
        Verdict::Inconclusive => 2.0,
        Verdict::Insufficient | Verdict::Invalid => 3.0,
    };
    let size = cell.ratio.map_or(0.0, |ratio| ratio.value.ln().abs());
    // Within its class by size, which arctan brings below one whatever it is.
    class - size.atan() / std::f64::consts::PI
}

fn rises(context: &Context<'_>, scalings: &[Scaling]) -> Vec<Answer> {
    let mut told: Vec<&Scaling> = scalings
        .iter()
        .filter(|scaling| {
            let workload = context.campaign.run.plan.workload(&scaling.workload);
            let main = workload.and_then(|workload| values::metrics(workload).first());
            main == Some(&scaling.metric) && scaling.claim.verdict != ScalingVerdict::Invalid
        })
        .collect();
    told.sort_by_key(|scaling| match scaling.claim.verdict {
        ScalingVerdict::Grows => 0,
        ScalingVerdict::Falls => 1,
        ScalingVerdict::Flat => 2,
        ScalingVerdict::Inconclusive => 3,
        ScalingVerdict::Insufficient | ScalingVerdict::Invalid => 4,
    });
    told.into_iter().map(rise).collect()
}

fn claim(claim: &TestedClaim) -> Answer {
    let said = match claim.verdict {
        ClaimVerdict::Undecided => "is undecided",
        ClaimVerdict::Untested => "is not tested",
        ClaimVerdict::Invalid => "is invalid",
        told => told.as_str(),
    };
    Answer {
        kind: AnswerKind::Claim(claim.verdict),
        text: format!(
            "The claim “{}” {said} here: {} (claimed of {}: {}).",
            claim.about.trim_end_matches('.'),
            claim.words,
            claim.metric,
            claim.claimed
        ),
        workload: None,
        metric: Some(claim.metric),
        arm: None,
    }
}

fn rise(scaling: &Scaling) -> Answer {
    let place = format!("{} {}", scaling.workload, scaling.metric);
    let ends = scaling.points.first().zip(scaling.points.last());
    let span = ends.map_or_else(String::new, |(first, last)| {
        let (first, last) = (words::count(first.level), words::count(last.level));
        format!(" from {first} to {last} services")
    });
    let claim = &scaling.claim;
    let found = claim.rise.as_ref().map(less_one).zip(claim.per_thousand);
    let series = &scaling.series;
    let text = match (claim.verdict, found) {
        (ScalingVerdict::Grows, Some((rise, slope))) => {
            sloped(scaling, "grows", &place, &rise, &slope, &span)
        }
        (ScalingVerdict::Falls, Some((rise, slope))) => {
            sloped(scaling, "falls", &place, &rise, &slope, &span)
        }
        (ScalingVerdict::Flat, Some((rise, _))) => format!(
            "{place} over {series} is flat{span}: {} at 90 %, within {}.",
            words::change90(&rise),
            words::margin(claim.margin)
        ),
        (_, Some((rise, _))) => format!(
            "Whether {place} over {series} grows{span} is undecided: {}, margin {}.",
            words::change(&rise),
            words::margin(claim.margin)
        ),
        (_, None) => format!("{place} over {series}{span}: {}.", claim.words),
    };
    Answer {
        kind: AnswerKind::Scaling(claim.verdict),
        text,
        workload: Some(scaling.workload.clone()),
        metric: Some(scaling.metric),
        arm: Some(series.clone()),
    }
}

fn sloped(
    scaling: &Scaling,
    verb: &str,
    place: &str,
    rise: &Estimate,
    slope: &Estimate,
    span: &str,
) -> String {
    format!(
        "{place} over {} {verb} with the number of services: {} per 1,000 services, {}{span}.",
        scaling.series,
        words::shift_with_interval(scaling.unit, slope),
        words::change(rise),
    )
}

fn verdict(cell: &Cell) -> Option<Answer> {
    if cell.verdict == Verdict::Invalid {
        return None;
    }
    Some(Answer {
        kind: AnswerKind::Verdict(cell.verdict),
        text: sentence(cell),
        workload: Some(cell.workload.clone()),
        metric: Some(cell.metric),
        arm: Some(cell.arm.clone()),
    })
}

fn sentence(cell: &Cell) -> String {
    let Cell {
        arm,
        reference,
        workload,
        metric,
        ..
    } = cell;
    let shift = cell.shift.filter(|shift| shift.value.is_finite());
    let shift = shift.map_or_else(String::new, |shift| {
        let each = match cell.unit {
            Unit::Nanoseconds => " per request",
            _ => "",
        };
        format!(", {}{each}", words::shift(cell.unit, shift.value))
    });
    match (cell.verdict, &cell.change) {
        (Verdict::Slower | Verdict::Faster, Some(change)) => {
            let alone = cell
                .tests
                .filter(|tests| tests.holm_attainable && !tests.holds_family_wise)
                .map_or("", |_| " (taken by itself, not among all comparisons)");
            format!(
                "{arm} is {} than {reference} on {workload} {metric}: {}{shift}{alone}.",
                cell.verdict,
                words::change(change)
            )
        }
        (Verdict::Equivalent, Some(change)) => {
            let small = if cell.measurable {
                ": small, but measurable"
            } else {
                ""
            };
            format!(
                "{arm} and {reference} are equivalent within {} on {workload} {metric}: {} at 90 %{small}.",
                words::margin(cell.margin),
                words::change90(change),
            )
        }
        (Verdict::Inconclusive, Some(change)) => {
            let open = cell.to_resolve.as_ref().map_or("", |open| &open.words);
            format!(
                "{arm} against {reference} on {workload} {metric} is undecided: {}; {open}.",
                words::change(change)
            )
        }
        (verdict, None) if cell.metric == Metric::Loss => {
            let more = match verdict {
                Verdict::Faster => "fewer",
                _ => "more",
            };
            let size = cell
                .shift
                .as_ref()
                .map(|shift| words::shift_with_interval(cell.unit, shift));
            let size = size.unwrap_or_default();
            format!("{arm} loses {more} requests than {reference} on {workload}: {size}.")
        }
        _ => {
            let reason = cell.reason.as_deref().unwrap_or("no interval");
            format!("{arm} against {reference} on {workload} {metric} is insufficient: {reason}.")
        }
    }
}
