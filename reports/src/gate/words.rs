//! Rulings in words.

use super::report::{Exit, GatedCell, Judged};
use super::rules::{Finding, Ruling};
use crate::analysis::less_one;
use crate::model::{Estimate, Metric, Unit};
use crate::verdict::Scale;
use crate::words;

/// Writes what the gate says of a cell.
pub(super) fn cell(cell: &GatedCell, why_not: Option<&str>) -> String {
    let margin = margin(cell);
    let said = |judged: &Judged| effect(cell, judged.effect.as_ref());
    let latest = cell.second.as_ref().unwrap_or(&cell.first);
    let text = match cell.ruling {
        Ruling::Pass => {
            let passed = [cell.second.as_ref(), Some(&cell.first)];
            let passed = passed.into_iter().flatten();
            let judged = passed
                .into_iter()
                .find(|judged| judged.finding == Finding::Pass);
            format!(
                "{}, below the margin of {margin}",
                said(judged.unwrap_or(latest))
            )
        }
        Ruling::Fail => format!(
            "{}, beyond the margin of {margin}, seen twice on fresh installs",
            said(latest)
        ),
        Ruling::Suspect => format!(
            "{}, beyond the margin of {margin}; a second stage on fresh installs decides",
            said(latest)
        ),
        Ruling::Invalid | Ruling::NotGateable => why_not
            .or(reason(cell))
            .unwrap_or("nothing was measured")
            .to_owned(),
        Ruling::Inconclusive => inconclusive(cell, &said(latest), latest),
    };
    format!("{}: {text}", cell.ruling)
}

fn reason(cell: &GatedCell) -> Option<&str> {
    let stages = [cell.second.as_ref(), Some(&cell.first)];
    stages
        .into_iter()
        .flatten()
        .find_map(|judged| judged.reason.as_deref())
}

fn inconclusive(cell: &GatedCell, said: &str, latest: &Judged) -> String {
    if let Some(reason) = &latest.reason {
        return reason.clone();
    }
    let seen =
        |judged: Option<&Judged>| judged.is_some_and(|judged| judged.finding == Finding::Suspect);
    let once = if cell.second.is_some() && seen(Some(&cell.first)) {
        "; seen once, not reproduced"
    } else if seen(cell.second.as_ref()) {
        "; seen in the second stage only"
    } else {
        ""
    };
    let resolve = latest
        .to_resolve
        .as_ref()
        .map_or_else(String::new, |words| format!("; {words}"));
    format!("{said}{once}{resolve}")
}

fn effect(cell: &GatedCell, effect: Option<&Estimate>) -> String {
    effect.map_or_else(
        || "no interval".to_owned(),
        |effect| format!("{} worse", worse_by(cell, effect)),
    )
}

/// Writes an effect with its 95 % interval; more is worse: `+12.1 % [11.0, 13.2]`.
pub(crate) fn worse_by(cell: &GatedCell, effect: &Estimate) -> String {
    worse(cell.metric, cell.unit, effect)
}

pub(super) fn worse(metric: Metric, unit: Unit, effect: &Estimate) -> String {
    match Scale::of(metric) {
        Scale::Ratio => words::change(&less_one(effect)),
        Scale::Difference => words::shift_with_interval(unit, effect),
    }
}

/// Writes a margin without its sign: `5 %`, `0.1 percentage points`.
pub(crate) fn margin(cell: &GatedCell) -> String {
    margin_of(cell.metric, cell.unit, cell.margin)
}

pub(super) fn margin_of(metric: Metric, unit: Unit, margin: f64) -> String {
    let text = words::margin(margin);
    let text = text.trim_start_matches('±');
    match (Scale::of(metric), unit) {
        (Scale::Difference, Unit::Share) => text.replace('%', "percentage points"),
        _ => text.to_owned(),
    }
}

/// Writes the whole result.
pub(super) fn whole(cells: &[GatedCell], exit: Exit, complete: bool) -> String {
    let count = |ruling: Ruling| cells.iter().filter(|cell| cell.ruling == ruling).count();
    let parts: Vec<String> = [
        Ruling::Fail,
        Ruling::Invalid,
        Ruling::Suspect,
        Ruling::Inconclusive,
        Ruling::NotGateable,
        Ruling::Pass,
    ]
    .into_iter()
    .filter(|ruling| count(*ruling) > 0)
    .map(|ruling| format!("{} {ruling}", count(ruling)))
    .collect();
    let next = if complete {
        ""
    } else {
        "; a second stage on fresh installs is needed"
    };
    let all = words::plural(cells.len(), "cell");
    let head = match exit {
        Exit::Failed => "The gate FAILs",
        Exit::Invalid => "The environment is INVALID",
        Exit::Inconclusive => "The gate is INCONCLUSIVE",
        _ => "Nothing FAILs",
    };
    format!("{head}: {} of {all}{next}.", parts.join(", "))
}
