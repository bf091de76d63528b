//! Results of other tools compared, for a terminal of 80 columns.

use super::layout::{self, Column, Side, WIDTH};
use super::words::short_metric;
use super::{number, terminal, words};
use crate::import::{self, ImportedComparison};
use crate::words::plural;

/// Widths of arm, values, effect and verdict; the metric has what is left.
const ARM: usize = 12;
const VALUE: usize = 11;
const EFFECT: usize = 22;
const VERDICT: usize = 12;

/// Renders a comparison as plain text of at most 80 columns. `colour` colours verdicts by ANSI sequences.
#[must_use]
pub fn imported(comparison: &ImportedComparison, colour: bool) -> Vec<u8> {
    let bold = |text: &str| layout::paint(colour, text, "1");
    let mut lines = vec![bold(
        "Results of other tools, compared run against run, unpaired",
    )];
    let metric = WIDTH - ARM - 2 * VALUE - EFFECT - VERDICT - 5 * 2;
    let widths = [metric, ARM, VALUE, VALUE, EFFECT, VERDICT];
    let columns = widths.map(|width| Column {
        width,
        side: Side::Left,
    });
    let mut workload = None;
    for cell in &comparison.cells {
        if workload != Some(&cell.workload) {
            workload = Some(&cell.workload);
            lines.push(String::new());
            lines.extend(
                layout::wrap(&cell.workload, WIDTH)
                    .iter()
                    .map(|line| bold(line)),
            );
            let head = [
                "metric",
                "arm",
                &comparison.reference,
                "arm's",
                "worse by",
                "verdict",
            ];
            let head = head.map(str::to_owned);
            lines.extend(layout::row(&columns, &head, |_, text| {
                layout::paint(colour, text, "2")
            }));
        }
        let effect = cell.effect.as_ref().map_or_else(
            || number::UNKNOWN.to_owned(),
            |effect| import::worse_by(cell.metric, cell.verdict, effect),
        );
        let cells = [
            short_metric(cell.metric).to_owned(),
            cell.arm.clone(),
            words::typical(cell.unit, cell.reference_typical.as_ref()),
            words::typical(cell.unit, cell.arm_typical.as_ref()),
            effect.replace(" percentage points", " pp"),
            cell.verdict.to_string(),
        ];
        lines.extend(layout::row(&columns, &cells, |place, text| match place {
            5 => layout::paint(colour, text, terminal::colour(cell.verdict)),
            _ => text.to_owned(),
        }));
        if let Some(reason) = &cell.reason {
            lines.extend(layout::hanging("  ", reason));
        }
    }
    lines.push(String::new());
    lines.push(bold("What this can't tell"));
    for cost in &comparison.costs {
        lines.extend(layout::hanging("  - ", cost));
    }
    lines.push(String::new());
    lines.extend(layout::wrap(&runs(comparison), WIDTH));
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

/// How many runs of each arm were read.
fn runs(comparison: &ImportedComparison) -> String {
    let mut arms: Vec<(&str, usize)> = Vec::new();
    for file in &comparison.files {
        match arms.iter_mut().find(|(arm, _)| *arm == file.arm) {
            Some((_, count)) => *count += 1,
            None => arms.push((&file.arm, 1)),
        }
    }
    let arms: Vec<String> = arms
        .iter()
        .map(|(arm, count)| format!("{arm}: {}", plural(*count, "file")))
        .collect();
    arms.join("; ")
}
