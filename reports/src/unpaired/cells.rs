//! The cells that two campaigns have in common.

use std::collections::BTreeMap;

use tollgate_results::arm::Name;

use super::{ComparedCell, Method, Moved, Unpaired, words};
use crate::analysis::margin;
use crate::gate::effect;
use crate::model::{Analysis, Cell, Level, Verdict};
use crate::verdict::Scale;

/// Compares every cell that both have, in the earlier plan's order; and says what only one of them has.
pub(super) fn of(
    before: &Analysis,
    after: &Analysis,
    plan_margin: f64,
) -> (Vec<ComparedCell>, Vec<String>) {
    let mut cells = Vec::new();
    for old in &before.cells {
        if let Some(new) = after.cells.iter().find(|new| is_one(old, new))
            && one_traffic(before, after, &old.workload)
        {
            cells.push(cell(old, new, margin(old.metric, plan_margin)));
        }
    }
    let mut left_out = Vec::new();
    for (of, other, which) in [(before, after, "first"), (after, before, "second")] {
        for cell in &of.cells {
            let shared = other.cells.iter().any(|there| is_one(cell, there));
            let line = format!(
                "{} {} against {}: only the {which} campaign has it",
                cell.workload, cell.arm, cell.reference
            );
            if !shared && !left_out.contains(&line) {
                left_out.push(line);
            }
        }
    }
    for workload in &before.workloads {
        let differs = after
            .workloads
            .iter()
            .any(|other| other.name == workload.name && other != workload);
        if differs {
            left_out.push(format!(
                "{}: the campaigns mean different traffic by it",
                workload.name
            ));
        }
    }
    (cells, left_out)
}

/// Returns the levels of arms that have no reference, in both campaigns.
pub(super) fn references(before: &Analysis, after: &Analysis) -> Vec<Moved> {
    let anchored = |level: &Level| {
        let arm = before.arm(&level.arm);
        arm.is_none_or(|arm| arm.reference.is_some())
    };
    let levels = before.levels.iter().filter(|level| !anchored(level));
    levels
        .filter_map(|old| {
            let new = after.levels.iter().find(|new| {
                (&new.workload, &new.arm, new.metric) == (&old.workload, &old.arm, old.metric)
            })?;
            let alike = one_traffic(before, after, &old.workload);
            alike.then(|| Moved {
                workload: old.workload.clone(),
                metric: old.metric,
                arm: old.arm.clone(),
                unit: old.unit,
                before: old.typical,
                after: new.typical,
            })
        })
        .collect()
}

fn is_one(old: &Cell, new: &Cell) -> bool {
    (&old.workload, old.metric, &old.arm, &old.reference)
        == (&new.workload, new.metric, &new.arm, &new.reference)
}

/// Whether both campaigns mean one traffic by a name.
fn one_traffic(before: &Analysis, after: &Analysis, name: &Name) -> bool {
    let find = |of: &'_ Analysis| {
        of.workloads
            .iter()
            .position(|workload| workload.name == *name)
    };
    let (old, new) = (find(before), find(after));
    old.map(|index| &before.workloads[index]) == new.map(|index| &after.workloads[index])
}

fn cell(old: &Cell, new: &Cell, margin: f64) -> ComparedCell {
    let scale = Scale::of(old.metric);
    let (before, after) = (by_install(old), by_install(new));
    let invalid = [("first", old), ("second", new)]
        .into_iter()
        .find_map(|(which, cell)| {
            let reason = cell.reason.as_deref().unwrap_or("invalid");
            (cell.verdict == Verdict::Invalid).then(|| format!("the {which} campaign: {reason}"))
        });
    let thin = [("first", old), ("second", new)]
        .into_iter()
        .find_map(|(which, cell)| {
            let reason = cell.reason.as_deref().unwrap_or("insufficient");
            (cell.verdict == Verdict::Insufficient)
                .then(|| format!("the {which} campaign: {reason}"))
        });
    let inference = match (&invalid, &thin) {
        (Some(reason), _) | (None, Some(reason)) => Err(reason.clone()),
        (None, None) => {
            Unpaired::of(&before, &after, scale).map_err(|lacking| lacking.words("round"))
        }
    };
    let (verdict, measurable) = match &inference {
        Ok(inference) => inference.verdict(margin),
        Err(_) if invalid.is_some() => (Verdict::Invalid, false),
        Err(_) => (Verdict::Insufficient, false),
    };
    let toll = |cell: &Cell| match scale {
        Scale::Ratio => cell.ratio,
        Scale::Difference => cell.shift,
    };
    let valid = |cell: &Cell| toll(cell).filter(|_| cell.verdict != Verdict::Invalid);
    let mut cell = ComparedCell {
        workload: old.workload.clone(),
        metric: old.metric,
        arm: old.arm.clone(),
        reference: old.reference.clone(),
        unit: old.unit,
        direction: old.direction,
        verdict,
        measurable,
        words: String::new(),
        before: valid(old),
        after: valid(new),
        effect: inference.as_ref().ok().map(Unpaired::estimate),
        method: inference
            .as_ref()
            .map_or(Method::RankSum, |inference| inference.method),
        reason: inference.err(),
        margin,
        rounds: [old.rounds, new.rounds],
        installs: [&before, &after].map(|side| u32::try_from(side.len()).unwrap_or(u32::MAX)),
    };
    cell.words = words::cell(&cell);
    cell
}

/// The tolls of a cell's rounds, by install.
fn by_install(cell: &Cell) -> Vec<Vec<f64>> {
    let mut installs: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for pair in &cell.pairs {
        let effects = installs.entry(pair.install).or_default();
        effects.push(effect(cell, pair));
    }
    installs.into_values().collect()
}
