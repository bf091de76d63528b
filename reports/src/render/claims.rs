//! Claims in plain text: Markdown, and rows for a terminal.

use std::fmt::Write as _;

use tollgate_results::arm::Name;

use super::layout::{self, Column, Side, WIDTH};
use super::markdown::escaped;
use super::{glossary, words};
use crate::model::{Analysis, ClaimVerdict, TestedClaim, TestedComparison};

/// Widths of verdict and change on a terminal; workload and remark share what is left.
const VERDICT: usize = 13;
const CHANGE: usize = 22;

/// Indent of a pair's comparisons.
const INDENT: &str = "  ";

/// Writes the claims as Markdown.
pub(super) fn markdown(text: &mut String, analysis: &Analysis) {
    if analysis.claims.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Claims\n\n{}.\n", glossary::CLAIM_RULE);
    for claim in &analysis.claims {
        let workloads = claim.workloads(analysis.workloads.iter().map(|workload| &workload.name));
        let headings = workloads.iter().map(|name| format!(" {name} |"));
        let headings: String = headings.collect();
        let _ = writeln!(
            text,
            "### “{}”: {}\n\n{}\n\n| arm | baseline | claim |{headings}\n|---|---|---|{}",
            escaped(&claim.about),
            claim.verdict,
            words::claimed(claim),
            "---|".repeat(workloads.len())
        );
        for pair in &claim.pairs {
            let reason = pair.reason.as_ref().map(|reason| format!(": {reason}"));
            let cells = workloads
                .iter()
                .map(|name| format!(" {} |", escaped(&cell(&pair.comparisons, name))));
            let cells: String = cells.collect();
            let _ = writeln!(
                text,
                "| {} | {} | **{}**{} |{cells}",
                escaped(pair.arm.as_str()),
                escaped(pair.baseline.as_str()),
                pair.verdict,
                escaped(&reason.unwrap_or_default())
            );
        }
        text.push('\n');
    }
    text.push_str("<details>\n<summary>What the verdicts on claims mean</summary>\n\n");
    for (verdict, meaning) in glossary::CLAIMS {
        let _ = writeln!(text, "- **{verdict}**: {meaning}.");
    }
    text.push_str("\n</details>\n\n");
}

/// What was found on one workload: `holds in part -12.1 % [-13.0, -11.0]: a smaller fall than claimed`.
fn cell(comparisons: &[TestedComparison], workload: &Name) -> String {
    let Some(one) = comparisons.iter().find(|one| one.workload == *workload) else {
        return "not measured".to_owned();
    };
    let mut text = one.verdict.to_string();
    if let Some(change) = &one.change {
        let _ = write!(text, " {}", crate::words::change(change));
    }
    if let Some(reason) = &one.reason {
        let _ = write!(text, ": {reason}");
    }
    text
}

/// Lays a claim out for a terminal, below its heading.
pub(super) fn rows(
    claim: &TestedClaim,
    paint: impl Fn(ClaimVerdict, &str) -> String,
) -> Vec<String> {
    let mut lines = layout::wrap(&words::claimed(claim), WIDTH);
    let comparisons = claim.pairs.iter().flat_map(|pair| &pair.comparisons);
    let names = comparisons.map(|one| one.workload.as_str().len());
    let workload = names.max().unwrap_or(0).min(12);
    let remark = WIDTH - INDENT.len() - workload - VERDICT - CHANGE - 3 * 2;
    let columns = [workload, VERDICT, CHANGE, remark].map(|width| Column {
        width,
        side: Side::Left,
    });
    for pair in &claim.pairs {
        let reason = pair.reason.as_ref().map(|reason| format!(": {reason}"));
        let heading = format!(
            "{} against {}: {}{}",
            pair.arm,
            pair.baseline,
            pair.verdict,
            reason.unwrap_or_default()
        );
        lines.extend(layout::wrap(&heading, WIDTH));
        for one in &pair.comparisons {
            let change = one.change.as_ref().map(crate::words::change);
            let cells = [
                one.workload.to_string(),
                one.verdict.to_string(),
                change.unwrap_or_default(),
                one.reason.clone().unwrap_or_default(),
            ];
            let row = layout::row(&columns, &cells, |place, text| match place {
                1 => paint(one.verdict, text),
                _ => text.to_owned(),
            });
            lines.extend(row.into_iter().map(|line| format!("{INDENT}{line}")));
        }
    }
    lines
}
