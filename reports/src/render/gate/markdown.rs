//! A gate's report for a pull request: the summary of a job, or a comment.

use std::fmt::Write as _;

use super::{GateRenderer, words};
use crate::gate::{Exit, GateReport, GatedCell, Judged, Ruling};
use crate::render::markdown::escaped;
use crate::render::number;
use crate::render::words::short_metric;
use crate::words::percent;

/// Renders Markdown as GitHub and GitLab understand it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Markdown;

/// Most bytes of all rows together. A comment on GitHub has at most 65,536 characters; the rest takes less than the
/// difference.
const MOST: usize = 48_000;

impl GateRenderer for Markdown {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "## {} Tollgate gate `{}`: {}\n\n**{}**\n",
            emblem(report),
            report.scenario,
            words::result(report),
            escaped(&report.words)
        );
        let mut left = MOST;
        let cells = words::by_gravity(report);
        let (passed, open): (Vec<_>, Vec<_>) = cells
            .into_iter()
            .partition(|cell| cell.ruling == Ruling::Pass);
        table(&mut text, &mut left, &open);
        reasons(&mut text, &mut left, &open);
        for remark in words::remarks(report) {
            let _ = writeln!(text, "> {}\n", escaped(&remark));
        }
        errors(&mut text, report);
        if !passed.is_empty() {
            details(&mut text, &format!("PASS: {}", passed.len()), |text| {
                table(text, &mut left, &passed);
            });
        }
        if !open.is_empty() {
            details(&mut text, "What each stage found", |text| {
                found(text, &mut left, &open);
            });
        }
        details(&mut text, "What this rests on", |text| rests(text, report));
        text.into_bytes()
    }
}

const fn emblem(report: &GateReport) -> &'static str {
    match report.exit {
        Exit::Done => "✅",
        Exit::Failed => "❌",
        Exit::Inconclusive => "❔",
        Exit::Invalid | Exit::Usage => "⚠️",
    }
}

/// Appends rows while there is room; the last line says how many are left out.
fn rows<'a>(
    text: &mut String,
    left: &mut usize,
    cells: &[&'a GatedCell],
    row: impl Fn(&'a GatedCell) -> String,
) {
    for (index, cell) in cells.iter().enumerate() {
        let row = row(cell);
        let Some(rest) = left.checked_sub(row.len()) else {
            let more = cells.len() - index;
            let _ = writeln!(text, "\n… and {more} more: the JSON report has all.");
            break;
        };
        *left = rest;
        text.push_str(&row);
    }
    if !cells.is_empty() {
        text.push('\n');
    }
}

fn table(text: &mut String, left: &mut usize, cells: &[&GatedCell]) {
    if cells.is_empty() {
        return;
    }
    text.push_str("| ruling | workload | metric | arm | worse by (95 %) | margin |\n|---|---|---|---|---|---:|\n");
    rows(text, left, cells, |cell| {
        format!(
            "| **{}** | {} | {} | {} against {} | {} | {} |\n",
            cell.ruling,
            escaped(cell.workload.as_str()),
            short_metric(cell.metric),
            escaped(cell.arm.as_str()),
            escaped(cell.reference.as_str()),
            words::effect(cell),
            words::short_margin(cell)
        )
    });
}

/// Why each cell that neither passes nor fails is what it is.
fn reasons(text: &mut String, left: &mut usize, cells: &[&GatedCell]) {
    let (failed, others): (Vec<_>, Vec<_>) = cells
        .iter()
        .copied()
        .partition(|cell| cell.ruling == Ruling::Fail);
    if !failed.is_empty() {
        let _ = writeln!(text, "**FAIL**: {}.\n", words::FAILED);
    }
    rows(text, left, &others, |cell| {
        format!(
            "- **{}** {}: {}\n",
            cell.ruling,
            escaped(&words::cell(cell)),
            escaped(words::why(cell))
        )
    });
}

fn errors(text: &mut String, report: &GateReport) {
    let [alarm, miss] = words::errors(report);
    let _ = writeln!(text, "**How often this errs**: {alarm}; {miss}.\n");
    if report.exit != Exit::Done {
        let _ = writeln!(text, "**Re-running**: {}.\n", words::again(report.exit));
    }
}

fn found(text: &mut String, left: &mut usize, cells: &[&GatedCell]) {
    text.push_str("| cell | stage | finding | rounds | installs | spread per round |\n|---|---|---|---:|---:|---:|\n");
    rows(text, left, cells, |cell| {
        let stages = [
            ("first", Some(&cell.first)),
            ("second", cell.second.as_ref()),
        ];
        let lines = stages.into_iter().filter_map(|(stage, judged)| {
            let judged = judged?;
            Some(format!(
                "| {} | {stage} | {} | {} | {} | {} |\n",
                escaped(&words::cell(cell)),
                finding(judged),
                judged.rounds,
                judged.installs,
                judged
                    .spread
                    .map_or_else(|| number::UNKNOWN.to_owned(), spread)
            ))
        });
        lines.collect()
    });
}

fn finding(judged: &Judged) -> String {
    let word = format!("{:?}", judged.finding).to_lowercase();
    match &judged.reason {
        Some(reason) => format!("{word}: {}", escaped(reason)),
        None => word,
    }
}

fn spread(spread: f64) -> String {
    percent(spread).trim_start_matches('+').to_owned()
}

fn rests(text: &mut String, report: &GateReport) {
    let policy = &report.policy;
    let facts = [
        ("Worse by", words::EFFECTS.to_owned()),
        ("Stages", words::stages(report)),
        ("Noise floor", words::calibration(report)),
        (
            "Inconclusive",
            words::inconclusive(policy.on_inconclusive).to_owned(),
        ),
        ("Machine", format!("fingerprint {}", report.fingerprint)),
    ];
    for (heading, fact) in facts {
        let _ = writeln!(text, "- {heading}: {}", escaped(&fact));
    }
    text.push('\n');
}

fn details(text: &mut String, summary: &str, write: impl FnOnce(&mut String)) {
    let _ = writeln!(text, "<details>\n<summary>{summary}</summary>\n");
    write(text);
    text.push_str("</details>\n\n");
}
