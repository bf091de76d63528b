//! A gate's report as `JUnit` XML, as Jenkins and GitLab read it: each cell is a test case.

use std::fmt::Write as _;

use super::{GateRenderer, words};
use crate::gate::{Exit, GateReport, GatedCell, Ruling};
use crate::render::number;
use crate::render::words::short_metric;

/// Renders `JUnit` XML. PASS is a test case that passed and FAIL one that failed; INVALID is an error; INCONCLUSIVE is
/// skipped, or failed where the policy counts it. No times: a cell has none of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Junit;

/// What becomes of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failure,
    Error,
    Skipped,
}

impl GateRenderer for Junit {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        let count = |wanted: Outcome| {
            let cells = report.cells.iter();
            cells.filter(|cell| outcome(report, cell) == wanted).count()
        };
        let (tests, failures, errors) = (
            report.cells.len(),
            count(Outcome::Failure),
            count(Outcome::Error),
        );
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let _ = writeln!(
            text,
            "<testsuites name=\"tollgate gate\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
        );
        let scenario = escaped(report.scenario.as_str());
        let _ = write!(
            text,
            "  <testsuite name=\"tollgate gate {scenario}\" tests=\"{tests}\" failures=\"{failures}\" \
             errors=\"{errors}\" skipped=\"{}\"",
            count(Outcome::Skipped)
        );
        if let Some(stage) = report.stages.first() {
            let stamp = number::timestamp(stage.started_unix_ms);
            let _ = write!(text, " timestamp=\"{stamp}\"");
        }
        text.push_str(">\n    <properties>\n");
        for (name, value) in properties(report) {
            let value = escaped(&value);
            let _ = writeln!(text, "      <property name=\"{name}\" value=\"{value}\"/>");
        }
        text.push_str("    </properties>\n");
        for cell in &report.cells {
            case(&mut text, report, cell);
        }
        let _ = writeln!(
            text,
            "    <system-out>{}</system-out>\n  </testsuite>\n</testsuites>",
            escaped(&whole(report))
        );
        text.into_bytes()
    }
}

fn outcome(report: &GateReport, cell: &GatedCell) -> Outcome {
    match report.counts_for(cell) {
        Exit::Failed | Exit::Inconclusive => Outcome::Failure,
        Exit::Invalid | Exit::Usage => Outcome::Error,
        Exit::Done if cell.ruling == Ruling::Pass => Outcome::Passed,
        Exit::Done => Outcome::Skipped,
    }
}

fn properties(report: &GateReport) -> [(&'static str, String); 6] {
    let [alarm, miss] = words::errors(report);
    [
        ("result", report.words.clone()),
        ("false-fail", alarm),
        ("false-pass", miss),
        ("stages", words::stages(report)),
        ("noise-floor", words::calibration(report)),
        ("fingerprint", report.fingerprint.clone()),
    ]
}

fn case(text: &mut String, report: &GateReport, cell: &GatedCell) {
    let _ = write!(
        text,
        "    <testcase classname=\"{}.{}\" name=\"{} {} against {}\"",
        escaped(report.scenario.as_str()),
        escaped(cell.workload.as_str()),
        escaped(short_metric(cell.metric)),
        escaped(cell.arm.as_str()),
        escaped(cell.reference.as_str())
    );
    let words = escaped(&cell.words);
    let element = match outcome(report, cell) {
        Outcome::Passed => {
            let _ = writeln!(
                text,
                ">\n      <system-out>{words}</system-out>\n    </testcase>"
            );
            return;
        }
        Outcome::Failure => "failure",
        Outcome::Error => "error",
        Outcome::Skipped => "skipped",
    };
    // Jenkins shows the message, GitLab the text.
    let _ = writeln!(
        text,
        ">\n      <{element} type=\"{}\" message=\"{words}\">{}</{element}>\n    </testcase>",
        cell.ruling,
        escaped(&body(report, cell))
    );
}

/// The result with what a reader must know beside it.
fn whole(report: &GateReport) -> String {
    let mut lines = vec![report.words.clone()];
    lines.extend(words::remarks(report));
    lines.join("\n")
}

/// What a reader of a test that did not pass has to know.
fn body(report: &GateReport, cell: &GatedCell) -> String {
    let [alarm, miss] = words::errors(report);
    format!(
        "{}\n{}\nWorse by: {}.\nFalse FAIL: {alarm}.\nFalse PASS: {miss}.\nAgain: {}.",
        words::cell(cell),
        cell.words,
        words::EFFECTS,
        words::again(report.counts_for(cell))
    )
}

/// Escapes text for an attribute or an element; characters that XML can't hold become `?`.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\n' => safe.push('\n'),
            '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            c if c.is_control() => safe.push('?'),
            c => safe.push(c),
        }
    }
    safe
}
