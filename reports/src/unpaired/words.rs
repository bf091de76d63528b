//! Unpaired comparisons in words.

use super::{ComparedCell, Difference, Method};
use crate::analysis::less_one;
use crate::model::{Analysis, Estimate, Verdict};
use crate::render::date;
use crate::verdict::Scale;
use crate::words;

/// Writes an effect with one of its intervals; more is worse.
pub(crate) fn worse_by(cell: &ComparedCell, effect: &Estimate) -> String {
    let equivalent = cell.verdict == Verdict::Equivalent;
    match Scale::of(cell.metric) {
        Scale::Ratio if equivalent => words::change90(&less_one(effect)),
        Scale::Ratio => words::change(&less_one(effect)),
        Scale::Difference if equivalent => words::shift90(cell.unit, effect),
        Scale::Difference => words::shift_with_interval(cell.unit, effect),
    }
}

/// Writes a toll without interval: `+24.8 %`.
pub(crate) fn toll(cell: &ComparedCell, toll: Option<&Estimate>) -> String {
    let written = toll.map(|toll| match Scale::of(cell.metric) {
        Scale::Ratio => words::percent(toll.value - 1.0),
        Scale::Difference => words::shift(cell.unit, toll.value),
    });
    written.unwrap_or_else(|| "–".to_owned())
}

/// Writes what may be said of a cell.
pub(super) fn cell(cell: &ComparedCell) -> String {
    let Some(effect) = &cell.effect else {
        let reason = cell.reason.as_deref().unwrap_or("no interval");
        return format!("{}: {reason}", cell.verdict);
    };
    let level = match cell.verdict {
        Verdict::Equivalent => "90 %",
        _ => "95 %",
    };
    format!(
        "{}: the toll of {} over {} went from {} to {}, {} worse ({level})",
        cell.verdict,
        cell.arm,
        cell.reference,
        toll(cell, cell.before.as_ref()),
        toll(cell, cell.after.as_ref()),
        worse_by(cell, effect)
    )
}

/// What this comparison can't tell, the most important first.
pub(super) fn costs(
    before: &Analysis,
    after: &Analysis,
    differences: &[Difference],
    cells: &[ComparedCell],
) -> Vec<String> {
    let mut costs: Vec<String> = differences
        .iter()
        .map(|difference| {
            format!(
                "{} ({}): {}",
                difference.about, difference.text, difference.cost
            )
        })
        .collect();
    costs.push(format!(
        "Unpaired: measured {} and {}. Arms are compared through the reference of their own campaign; \
         what happened to one of the two between the campaigns is not told from the change. `tollgate gate` measures \
         both now",
        date(before.subject.started_unix_ms),
        date(after.subject.started_unix_ms)
    ));
    costs.push(if cells.iter().any(|cell| cell.method == Method::RankSum) {
        "For these installs only: how much the arms differ each time they are set up is in no interval over rounds; \
         with at least 4 installs on both sides it is"
            .to_owned()
    } else {
        "Intervals are over the means of installs (Welch's t)".to_owned()
    });
    if cells.len() > 1 {
        costs.push(format!(
            "Each of the {} verdicts stands for itself: of equal arms, one in twenty is called slower or faster",
            cells.len()
        ));
    }
    let versions = [before, after].map(|analysis| &analysis.subject.tool_version);
    if versions[0] != versions[1] {
        costs.push(format!(
            "Measured by Tollgate {} and {}: what the tool itself costs may differ",
            versions[0], versions[1]
        ));
    }
    costs
}
