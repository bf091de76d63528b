//! Two campaigns compared, for a terminal of 80 columns.

use super::layout::{self, Column, Side, WIDTH};
use super::words::short_metric;
use super::{number, terminal, words};
use crate::model::{Metric, Verdict};
use crate::unpaired::{self, ComparedCell, Comparison};
use crate::words::plural;

/// Widths of the two tolls, of how much worse the later is, and of the verdict; metric and arm share what is left.
const TOLL: usize = 9;
const EFFECT: usize = 22;
const VERDICT: usize = 12;

/// Width of the headings of what the comparison rests on.
const HEADING: usize = 9;

/// Renders a comparison as plain text of at most 80 columns. `colour` colours verdicts by ANSI sequences.
#[must_use]
pub fn comparison(comparison: &Comparison, colour: bool) -> Vec<u8> {
    let bold = |text: &str| layout::paint(colour, text, "1");
    let title = "Two campaigns, compared unpaired: the weaker kind";
    let mut lines = vec![bold(title)];
    for (which, side) in [("first", &comparison.before), ("second", &comparison.after)] {
        let text = format!(
            "{}, {}, {} on {}, machine {}{}",
            side.scenario,
            number::date(side.started_unix_ms),
            plural(side.rounds as usize, "round"),
            plural(side.installs as usize, "install"),
            side.fingerprint,
            side.invalid
                .as_ref()
                .map_or_else(String::new, |reason| format!("; INVALID: {reason}"))
        );
        lines.extend(layout::hanging(&format!("  {which:<HEADING$}"), &text));
    }
    lines.extend(table(comparison, colour));
    lines.extend(reasons(comparison));
    lines.extend(references(comparison, &bold));
    lines.push(String::new());
    lines.push(bold("What this can't tell"));
    for cost in &comparison.costs {
        lines.extend(layout::hanging("  - ", cost));
    }
    if !comparison.left_out.is_empty() {
        lines.push(String::new());
        lines.push(bold("Left out"));
        for line in &comparison.left_out {
            lines.extend(layout::hanging("  - ", line));
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

/// Returns whether most readers want a cell; the JSON has all.
fn is_foremost(cell: &ComparedCell) -> bool {
    match cell.metric {
        Metric::P50
        | Metric::P99
        | Metric::PlanP50
        | Metric::PlanP99
        | Metric::Throughput
        | Metric::CpuPerRequest
        | Metric::CpuPerMib
        | Metric::Beside => true,
        Metric::Loss => cell.verdict != Verdict::Equivalent,
        _ => false,
    }
}

fn table(comparison: &Comparison, colour: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut workload = None;
    let columns = columns(comparison);
    for cell in comparison.cells.iter().filter(|cell| is_foremost(cell)) {
        if workload != Some(&cell.workload) {
            workload = Some(&cell.workload);
            lines.push(String::new());
            lines.push(layout::paint(colour, cell.workload.as_str(), "1"));
            let head =
                ["metric", "arm", "toll, 1st", "2nd", "worse by", "verdict"].map(str::to_owned);
            lines.extend(layout::row(&columns, &head, |_, text| {
                layout::paint(colour, text, "2")
            }));
        }
        let effect = cell.effect.as_ref();
        let cells = [
            short_metric(cell.metric).to_owned(),
            cell.arm.to_string(),
            unpaired::toll(cell, cell.before.as_ref()),
            unpaired::toll(cell, cell.after.as_ref()),
            effect.map_or_else(
                || number::UNKNOWN.to_owned(),
                |effect| unpaired::worse_by(cell, effect),
            ),
            cell.verdict.to_string(),
        ]
        .map(|text| text.replace(" percentage points", " pp"));
        lines.extend(layout::row(&columns, &cells, |place, text| match place {
            5 => layout::paint(colour, text, terminal::colour(cell.verdict)),
            _ => text.to_owned(),
        }));
    }
    if comparison.cells.iter().any(|cell| !is_foremost(cell)) {
        lines.push(String::new());
        lines.push("Further metrics: --json".to_owned());
    }
    lines
}

fn columns(comparison: &Comparison) -> [Column; 6] {
    let shown = comparison.cells.iter().filter(|cell| is_foremost(cell));
    let metric = shown.map(|cell| short_metric(cell.metric).len()).max();
    let metric = metric.unwrap_or(0).max("metric".len());
    let arm = WIDTH - metric - 2 * TOLL - EFFECT - VERDICT - 5 * 2;
    [metric, arm, TOLL, TOLL, EFFECT, VERDICT].map(|width| Column {
        width,
        side: Side::Left,
    })
}

fn reasons(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for cell in comparison.cells.iter().filter(|cell| is_foremost(cell)) {
        if let Some(reason) = &cell.reason {
            let head = format!(
                "{} {} {}: ",
                cell.workload,
                short_metric(cell.metric),
                cell.arm
            );
            lines.extend(layout::wrap(&format!("{head}{reason}"), WIDTH));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn references(comparison: &Comparison, bold: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    for moved in &comparison.references {
        if !matches!(
            moved.metric,
            Metric::P50 | Metric::PlanP50 | Metric::Throughput
        ) {
            continue;
        }
        if lines.is_empty() {
            lines.push(String::new());
            lines.push(bold(
                "References: nothing anchors them, so they are not judged",
            ));
        }
        let text = format!(
            "{} {} {}: {}, then {}",
            moved.workload,
            short_metric(moved.metric),
            moved.arm,
            words::value(moved.unit, moved.before.median),
            words::value(moved.unit, moved.after.median)
        );
        lines.extend(layout::hanging("  ", &text));
    }
    lines
}
