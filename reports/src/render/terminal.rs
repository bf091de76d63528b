//! The report for a terminal of 80 columns: the answer, the verdicts, and what they rest on.

use super::layout::{self, Column, Side, WIDTH};
use super::{claims, glossary, number, table, words};
use crate::model::{Analysis, Answer, AnswerKind, ClaimVerdict, Renderer, ScalingVerdict, Verdict};
use crate::split::SplitVerdict;

/// Renders plain text of at most 80 columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether verdicts are coloured by ANSI sequences.
    pub colour: bool,
}

/// Widths of value, change and verdict; metric and arm share what is left.
const VALUE: usize = 11;
const CHANGE: usize = 22;
const VERDICT: usize = 12;

/// Width of the headings of what the answer rests on.
const HEADING: usize = 10;

impl Renderer for Terminal {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut lines = self.head(analysis);
        lines.extend(self.answers(analysis));
        lines.extend(self.claims(analysis));
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

    fn claims(self, analysis: &Analysis) -> Vec<String> {
        let mut lines = Vec::new();
        for claim in &analysis.claims {
            let heading = format!("Claim “{}”: {}", claim.about, claim.verdict);
            lines.push(String::new());
            lines.extend(
                layout::wrap(&heading, WIDTH)
                    .iter()
                    .map(|line| self.bold(line)),
            );
            lines.extend(claims::rows(claim, |verdict, text| {
                self.paint(text, claim_colour(verdict))
            }));
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
            "{}; {}{}",
            words::sends(workload),
            words::placement(workload.cpu),
            words::stamped(workload)
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
        let columns = columns(rows);
        let head = ["metric", "arm", "value", &against, "verdict"].map(str::to_owned);
        lines.extend(layout::row(&columns, &head, |_, text| {
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
            lines.extend(layout::row(&columns, &cells, |place, text| {
                match (place, row.verdict) {
                    (4, Some(verdict)) => self.paint(text, colour(verdict)),
                    _ => text.to_owned(),
                }
            }));
        }
        for line in words::beside_verdicts(analysis, &workload.name) {
            lines.extend(layout::wrap(&layout::harmless(&line), WIDTH));
        }
        lines
    }

    fn scalings(self, analysis: &Analysis) -> Vec<String> {
        if analysis.scalings.is_empty() {
            return Vec::new();
        }
        let title = self.bold("From the fewest services to the most");
        let mut lines = vec![String::new(), title];
        let columns = [14, 11, 17, 12, 18].map(left);
        let head = ["workload", "metric", "series", "verdict", "rise [95 %]"].map(str::to_owned);
        lines.extend(layout::row(&columns, &head, |_, text| {
            self.paint(text, "2")
        }));
        for scaling in &analysis.scalings {
            let rise = words::rise(scaling);
            let cells = [
                scaling.workload.as_str(),
                words::short_metric(scaling.metric),
                scaling.series.as_str(),
                scaling.claim.verdict.as_str(),
                &rise,
            ];
            let cells = cells.map(str::to_owned);
            lines.extend(layout::row(&columns, &cells, |_, text| text.to_owned()));
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
        if !analysis.claims.is_empty() {
            facts.push(("Claims", glossary::CLAIM_RULE.to_owned()));
        }
        facts.extend(words::notes(analysis).map(|note| ("Note", note.to_owned())));
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
        layout::paint(self.colour, text, style)
    }
}

/// The columns of a verdict table: metric, arm, value, change, verdict.
fn columns(rows: &[table::Row<'_>]) -> [Column; 5] {
    let metrics = rows.iter().map(|row| words::short_metric(row.metric).len());
    let metric = metrics.max().unwrap_or(0).max("metric".len());
    let gaps = 4 * 2;
    let arm = WIDTH - metric - VALUE - CHANGE - VERDICT - gaps;
    let value = Column {
        width: VALUE,
        side: Side::Right,
    };
    [left(metric), left(arm), value, left(CHANGE), left(VERDICT)]
}

/// A column whose text stands on the left.
const fn left(width: usize) -> Column {
    Column {
        width,
        side: Side::Left,
    }
}

/// The symbol before a sentence of the answer, and its ANSI style.
fn symbol(answer: &Answer) -> (&'static str, &'static str) {
    match answer.kind {
        AnswerKind::Verdict(verdict) => (words::symbol(verdict), colour(verdict)),
        AnswerKind::Scaling(ScalingVerdict::Grows) => ("↗", "33"),
        AnswerKind::Scaling(ScalingVerdict::Falls) => ("↘", "36"),
        AnswerKind::Scaling(ScalingVerdict::Flat) => ("→", "32"),
        AnswerKind::Scaling(_) | AnswerKind::Split(SplitVerdict::Insufficient) => ("?", ""),
        AnswerKind::Claim(verdict) => (words::claim_symbol(verdict), claim_colour(verdict)),
        AnswerKind::Split(SplitVerdict::AsDeclared) => ("✓", "32"),
        AnswerKind::Split(SplitVerdict::Off) => ("✕", "33"),
        AnswerKind::Warning => ("!", "1;31"),
    }
}

/// The ANSI style of a verdict on a claim.
const fn claim_colour(verdict: ClaimVerdict) -> &'static str {
    match verdict {
        ClaimVerdict::Holds => "32",
        ClaimVerdict::HoldsInPart => "36",
        ClaimVerdict::DoesNotHold => "33",
        ClaimVerdict::Undecided | ClaimVerdict::Untested => "",
        ClaimVerdict::Invalid => "1;31",
    }
}

/// The ANSI style of a verdict. Blue and yellow are told apart by most who don't see red and green apart.
pub(super) const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "33",
        Verdict::Faster => "36",
        Verdict::Equivalent => "32",
        Verdict::Inconclusive | Verdict::Insufficient => "",
        Verdict::Invalid => "1;31",
    }
}
