//! The report for GitHub and other places that render Markdown: tables, and no HTML but `<details>`.

use std::fmt::Write as _;

use super::matrix::{Entry, Matrix};
use super::{claims, glossary, layout, number, paths, remarks, table, words};
use crate::model::{Analysis, Cell, Renderer, Verdict};

/// Renders Markdown as GitHub understands it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Markdown;

impl Renderer for Markdown {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut text = String::new();
        head(&mut text, analysis);
        claims::markdown(&mut text, analysis);
        glance(&mut text, analysis);
        arms(&mut text, analysis);
        for workload in &analysis.workloads {
            verdicts(&mut text, analysis, workload);
        }
        scalings(&mut text, analysis);
        rests(&mut text, analysis);
        evidence(&mut text, analysis);
        remarks(&mut text, analysis);
        meaning(&mut text);
        text.into_bytes()
    }
}

fn head(text: &mut String, analysis: &Analysis) {
    let subject = &analysis.subject;
    let _ = writeln!(text, "# {}\n", escaped(&subject.about));
    let _ = writeln!(
        text,
        "Scenario `{}`, {}, by Tollgate {}.\n",
        subject.scenario,
        number::date(subject.started_unix_ms),
        escaped(&subject.tool_version)
    );
    for answer in &analysis.answers {
        let _ = writeln!(text, "- {}", escaped(&answer.text));
    }
    text.push('\n');
}

/// Every arm with every workload: verdict and effect.
fn glance(text: &mut String, analysis: &Analysis) {
    let matrix = Matrix::of(analysis);
    if matrix.cells().next().is_none() {
        return;
    }
    let headings = matrix.columns.iter().map(|column| {
        let direction = words::worse(column.metric.direction());
        let metric = words::short_metric(column.metric);
        format!(" {} {metric} ({direction}) |", column.workload.name)
    });
    let headings: String = headings.collect();
    let rules = "---|".repeat(matrix.columns.len());
    let _ = writeln!(text, "## At a glance\n\n| arm |{headings}\n|---|{rules}");
    for row in &matrix.rows {
        let entries = row.entries.iter().zip(&matrix.columns);
        let entries: String = entries
            .map(|(entry, column)| match entry {
                Entry::Compared(cell) => format!(" {} |", compared(analysis, cell)),
                Entry::Reference(typical) => {
                    let value = words::value(column.metric.unit(), typical.median);
                    format!(" reference: {value} |")
                }
                Entry::Absent => " not measured |".to_owned(),
            })
            .collect();
        let _ = writeln!(text, "| {} |{entries}", escaped(row.arm.as_str()));
    }
    let _ = writeln!(text, "\nIn the table, {}\n", matrix.caption(analysis));
}

fn compared(analysis: &Analysis, cell: &Cell) -> String {
    let mut text = format!("{} **{}**", words::symbol(cell.verdict), cell.verdict);
    if let Some(change) = words::change(cell).filter(|_| cell.verdict != Verdict::Invalid) {
        let _ = write!(text, " {change}");
    }
    if cell.reference != analysis.subject.reference {
        let _ = write!(text, " vs {}", cell.reference);
    }
    text
}

fn arms(text: &mut String, analysis: &Analysis) {
    text.push_str("## What was compared\n\n");
    let shared = paths::shared(analysis);
    if !shared.is_empty() {
        let _ = writeln!(text, "All arms have in common: {}.\n", shared.join("; "));
    }
    text.push_str("| arm | what carries its packets |\n|---|---|\n");
    for path in paths::paths(analysis) {
        let role = match path.series {
            Some(arms) => format!(" ({arms} arms)"),
            None if path.is_reference => " (reference)".to_owned(),
            None => String::new(),
        };
        let name = escaped(path.name.as_str());
        let _ = writeln!(text, "| {name}{role} | {} |", path.text);
    }
    for skipped in &analysis.subject.skipped {
        let _ = writeln!(
            text,
            "| {} | **skipped**: {} |",
            escaped(skipped.arm.as_str()),
            escaped(&skipped.reason)
        );
    }
    text.push('\n');
}

fn verdicts(
    text: &mut String,
    analysis: &Analysis,
    workload: &tollgate_results::workload::Workload,
) {
    let rows = table::rows(analysis, workload);
    if rows.is_empty() {
        return;
    }
    let dropped = rows.iter().any(|row| row.undropped.is_some());
    let (head, rule) = if dropped {
        (" with no round dropped |", "---|")
    } else {
        ("", "")
    };
    let _ = writeln!(
        text,
        "## {}\n\n{}\n\n| metric | arm | value | {} | verdict |{head}\n|---|---|---:|---|---|{rule}",
        workload.name,
        words::workload(workload),
        table::against(analysis, &workload.name)
    );
    for row in rows {
        let verdict = row
            .verdict
            .map_or(String::new(), |verdict| format!("**{verdict}**"));
        let undropped = match row.undropped {
            Some(undropped) => format!(" {undropped} |"),
            None if dropped => " |".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {verdict} |{undropped}",
            words::short_metric(row.metric),
            escaped(row.arm.as_str()),
            row.value,
            row.change
        );
    }
    for line in words::beside_verdicts(analysis, &workload.name) {
        let _ = write!(text, "\n{}\n", escaped(&line));
    }
    text.push('\n');
}

fn scalings(text: &mut String, analysis: &Analysis) {
    if analysis.scalings.is_empty() {
        return;
    }
    text.push_str("## With the number of services\n\n| workload | metric | series | claim |\n|---|---|---|---|\n");
    for scaling in &analysis.scalings {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            escaped(scaling.workload.as_str()),
            words::short_metric(scaling.metric),
            escaped(scaling.series.as_str()),
            escaped(&scaling.claim.words)
        );
    }
    text.push('\n');
}

fn rests(text: &mut String, analysis: &Analysis) {
    let subject = &analysis.subject;
    text.push_str("## What this rests on\n\n");
    let mut facts = vec![
        ("Rounds", words::rounds(analysis)),
        (
            "Intervals",
            "95 %, exact signed-rank; estimates by Hodges-Lehmann".to_owned(),
        ),
        ("Noise", analysis.noise_floor.statement.clone()),
        ("Steal", words::steal(analysis.conduct.steal)),
        ("Evidence", words::evidence(analysis)),
        ("Margin", number::share(subject.rounds.margin.0)),
        (
            "Machine",
            format!(
                "{} (fingerprint {})",
                words::machine(&subject.facts),
                subject.fingerprint
            ),
        ),
        ("Seed", subject.seed.to_string()),
    ];
    facts.extend(words::notes(analysis).map(|note| ("Note", note.to_owned())));
    facts.extend(analysis.conduct.failures.iter().map(|failure| {
        let which = format!(
            "{} {} in round {}",
            failure.workload, failure.arm, failure.round
        );
        ("Failed slice", format!("{which}: {}", failure.reason))
    }));
    for (heading, fact) in facts {
        let _ = writeln!(text, "- {heading}: {}", escaped(&fact));
    }
    text.push('\n');
}

fn evidence(text: &mut String, analysis: &Analysis) {
    text.push_str("<details>\n<summary>Evidence, arm by arm</summary>\n\n| arm | evidence | what was seen |\n|---|---|---|\n");
    for arm in &analysis.arms {
        let seen: Vec<String> = arm
            .evidence
            .checks
            .iter()
            .map(|check| format!("{}: {}", escaped(&check.about), escaped(&check.text)))
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            escaped(arm.name.as_str()),
            words::judgement(arm.evidence.judgement),
            seen.join("; ")
        );
    }
    text.push_str("\n</details>\n\n");
}

fn remarks(text: &mut String, analysis: &Analysis) {
    let lines: Vec<String> = remarks::gather(&analysis.cells)
        .iter()
        .map(|remark| {
            let of = format!("{} {}", remark.workload, remark.of());
            format!("- {}: {}", escaped(&of), escaped(remark.text))
        })
        .collect();
    if !lines.is_empty() {
        text.push_str("<details>\n<summary>Notes on the verdicts</summary>\n\n");
        let _ = writeln!(text, "{}\n\n</details>\n", lines.join("\n"));
    }
}

fn meaning(text: &mut String) {
    text.push_str("<details>\n<summary>What the verdicts mean</summary>\n\n");
    for (verdict, meaning) in glossary::VERDICTS {
        let _ = writeln!(text, "- **{verdict}**: {meaning}.");
    }
    text.push_str("\n</details>\n");
}

/// Makes text that people wrote harmless: no HTML, no link, no emphasis, no table cell of its own.
/// An interval in brackets stays as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let text = layout::harmless(text);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let link = c == ']' && matches!(rest.peek(), Some('(' | '[' | ':'));
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '|' | '#' | '~' | '@' => safe.extend(['\\', c]),
            _ if link => safe.extend(['\\', c]),
            _ => safe.push(c),
        }
    }
    safe
}
