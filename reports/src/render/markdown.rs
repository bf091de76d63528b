//! The report for GitHub and other places that render Markdown: tables, and no HTML but `<details>`.

use std::fmt::Write as _;

use super::{glossary, layout, number, paths, table, words};
use crate::model::{Analysis, Renderer};

/// Renders Markdown as GitHub understands it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Markdown;

impl Renderer for Markdown {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut text = String::new();
        head(&mut text, analysis);
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
    let _ = writeln!(
        text,
        "## {}\n\n{}\n\n| metric | arm | value | {} | verdict |\n|---|---|---:|---|---|",
        workload.name,
        words::workload(workload),
        table::against(analysis, &workload.name)
    );
    for row in rows {
        let verdict = row
            .verdict
            .map_or(String::new(), |verdict| format!("**{verdict}**"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {verdict} |",
            words::short_metric(row.metric),
            escaped(row.arm.as_str()),
            row.value,
            row.change
        );
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
    facts.extend(
        analysis
            .conduct
            .notes
            .iter()
            .map(|note| ("Note", note.clone())),
    );
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
    let lines = analysis.cells.iter().flat_map(|cell| {
        let of = format!(
            "{} {} {}",
            cell.workload,
            words::short_metric(cell.metric),
            cell.arm
        );
        words::remarks(cell).map(move |line| format!("- {}: {}", escaped(&of), escaped(line)))
    });
    let lines: Vec<String> = lines.collect();
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
fn escaped(text: &str) -> String {
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
