//! The report for a terminal of 80 columns: the answer, the verdicts, and what they rest on.

use super::layout::{self, Column, Side, WIDTH};
use super::{number, table, words};
use crate::model::{Analysis, Answer, AnswerKind, Renderer, ScalingVerdict, Verdict};

/// Renders plain text of at most 80 columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether verdicts are coloured by ANSI sequences.
    pub colour: bool,
}

/// Metric, arm, value, change, verdict.
const COLUMNS: [Column; 5] = [
    Column {
        width: 11,
        side: Side::Left,
    },
    Column {
        width: 16,
        side: Side::Left,
    },
    Column {
        width: 11,
        side: Side::Right,
    },
    Column {
        width: 22,
        side: Side::Left,
    },
    Column {
        width: 12,
        side: Side::Left,
    },
];

/// Width of the headings of what the answer rests on.
const HEADING: usize = 10;

impl Renderer for Terminal {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut lines = self.head(analysis);
        lines.extend(self.answers(analysis));
        for workload in &analysis.workloads {
            let rows = table::rows(analysis, workload);
            if !rows.is_empty() {
                lines.extend(self.verdicts(analysis, workload, &rows));
            }
        }
        lines.extend(self.scalings(analysis));
        lines.extend(self.skipped(analysis));
        lines.extend(self.rests(analysis));
        let mut text = lines.join("\n");
        text.push('\n');
        text.into_bytes()
    }
}

impl Terminal {
    fn head(self, analysis: &Analysis) -> Vec<String> {
        let subject = &analysis.subject;
        let mut lines: Vec<String> = layout::wrap(&subject.about, WIDTH)
            .iter()
            .map(|line| self.bold(line))
            .collect();
        let stamp = format!(
            "scenario {}, {}",
            subject.scenario,
            number::date(subject.started_unix_ms)
        );
        lines.extend(layout::wrap(&stamp, WIDTH));
        lines
    }

    fn answers(self, analysis: &Analysis) -> Vec<String> {
        let mut lines = vec![String::new()];
        for answer in &analysis.answers {
            let (symbol, colour) = symbol(answer);
            let wrapped = layout::hanging("  ", &answer.text);
            for (index, line) in wrapped.into_iter().enumerate() {
                let rest = line.strip_prefix("  ").unwrap_or(&line);
                let first = if index == 0 {
                    self.paint(symbol, colour)
                } else {
                    " ".to_owned()
                };
                lines.push(format!("{first} {rest}"));
            }
        }
        lines
    }

    fn verdicts(
        self,
        analysis: &Analysis,
        workload: &tollgate_results::workload::Workload,
        rows: &[table::Row<'_>],
    ) -> Vec<String> {
        let mut lines = vec![String::new()];
        let about = format!(
            "{}; {}",
            words::traffic(&workload.traffic),
            words::placement(workload.cpu)
        );
        let name = format!("{}: ", workload.name);
        for (index, line) in layout::wrap(&format!("{name}{about}"), WIDTH)
            .iter()
            .enumerate()
        {
            let bold = line.strip_prefix(name.as_str()).filter(|_| index == 0);
            lines.push(bold.map_or_else(
                || line.clone(),
                |rest| format!("{}{rest}", self.bold(&name)),
            ));
        }
        let against = table::against(analysis, &workload.name);
        let head = ["metric", "arm", "value", &against, "verdict"].map(str::to_owned);
        lines.extend(layout::row(&COLUMNS, &head, |_, text| {
            self.paint(text, "2")
        }));
        let mut last = None;
        for row in rows {
            let metric = if last == Some(row.metric) {
                ""
            } else {
                words::short_metric(row.metric)
            };
            last = Some(row.metric);
            let verdict = row.verdict.map_or("", Verdict::as_str);
            let cells =
                [metric, row.arm.as_str(), &row.value, &row.change, verdict].map(str::to_owned);
            lines.extend(layout::row(&COLUMNS, &cells, |place, text| {
                match (place, row.verdict) {
                    (4, Some(verdict)) => self.paint(text, colour(verdict)),
                    _ => text.to_owned(),
                }
            }));
        }
        lines
    }

    fn scalings(self, analysis: &Analysis) -> Vec<String> {
        let mut lines = Vec::new();
        for scaling in &analysis.scalings {
            if lines.is_empty() {
                lines.extend([String::new(), self.bold("With the number of services")]);
            }
            let first = format!(
                "  {} {} {}: ",
                scaling.workload,
                words::short_metric(scaling.metric),
                scaling.series
            );
            lines.extend(
                layout::wrap(&format!("{first}{}", scaling.claim.words), WIDTH - 4)
                    .iter()
                    .enumerate()
                    .map(|(index, line)| {
                        format!("{}{line}", if index == 0 { "  " } else { "    " })
                    }),
            );
        }
        lines
    }

    fn skipped(self, analysis: &Analysis) -> Vec<String> {
        let mut lines = Vec::new();
        for skipped in &analysis.subject.skipped {
            if lines.is_empty() {
                lines.extend([
                    String::new(),
                    self.bold("Skipped: these arms can't run here"),
                ]);
            }
            lines.extend(layout::hanging(
                "  ",
                &format!("{}: {}", skipped.arm, skipped.reason),
            ));
        }
        lines
    }

    fn rests(self, analysis: &Analysis) -> Vec<String> {
        let subject = &analysis.subject;
        let margin = format!(
            "{}: differences below it count as equivalent where that is proved",
            number::share(subject.rounds.margin.0)
        );
        let mut facts = vec![
            ("Rounds", words::rounds(analysis)),
            (
                "Intervals",
                "95 %, exact signed-rank; estimates by Hodges-Lehmann".to_owned(),
            ),
            ("Noise", analysis.noise_floor.statement.clone()),
            ("Steal", words::steal(analysis.conduct.steal)),
            ("Evidence", words::evidence(analysis)),
            ("Margin", margin),
            ("Machine", words::machine(&subject.facts)),
        ];
        facts.extend(
            analysis
                .conduct
                .notes
                .iter()
                .map(|note| ("Note", note.clone())),
        );
        let failures = analysis.conduct.failures.len();
        if let Some(first) = analysis.conduct.failures.first() {
            let text = format!(
                "{failures} failed; first {} {} in round {}: {}",
                first.workload, first.arm, first.round, first.reason
            );
            facts.push(("Slices", text));
        }
        if table::is_brief(analysis) {
            facts.push((
                "More",
                "further metrics stand in the report files".to_owned(),
            ));
        }
        let mut lines = vec![String::new(), self.bold("What this rests on")];
        for (heading, text) in facts {
            lines.extend(layout::hanging(&format!("  {heading:<HEADING$}"), &text));
        }
        lines
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    /// Puts an ANSI style around text, where colours are wanted.
    fn paint(self, text: &str, style: &str) -> String {
        if self.colour && !style.is_empty() {
            format!("\u{1b}[{style}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The symbol before a sentence of the answer, and its ANSI style.
fn symbol(answer: &Answer) -> (&'static str, &'static str) {
    match answer.kind {
        AnswerKind::Verdict(verdict) => (verdict_symbol(verdict), colour(verdict)),
        AnswerKind::Scaling(ScalingVerdict::Grows) => ("↗", "33"),
        AnswerKind::Scaling(ScalingVerdict::Falls) => ("↘", "36"),
        AnswerKind::Scaling(ScalingVerdict::Flat) => ("→", "32"),
        AnswerKind::Scaling(_) => ("?", ""),
        AnswerKind::Warning => ("!", "1;31"),
    }
}

/// The symbol of a verdict.
const fn verdict_symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "▲",
        Verdict::Faster => "▼",
        Verdict::Equivalent => "≈",
        Verdict::Inconclusive | Verdict::Insufficient => "?",
        Verdict::Invalid => "✗",
    }
}

/// The ANSI style of a verdict. Blue and yellow are told apart by most who don't see red and green apart.
const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "33",
        Verdict::Faster => "36",
        Verdict::Equivalent => "32",
        Verdict::Inconclusive | Verdict::Insufficient => "",
        Verdict::Invalid => "1;31",
    }
}
