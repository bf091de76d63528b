//! A gate's report for a terminal of 80 columns.

use super::{GateRenderer, words};
use crate::gate::{Exit, GateReport, GatedCell, Ruling};
use crate::render::layout::{self, Column, Side, WIDTH};
use crate::render::words::short_metric;

/// Renders plain text of at most 80 columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether rulings are coloured by ANSI sequences.
    pub colour: bool,
}

/// Widths of ruling, effect and margin; workload, metric and arm share what is left.
const RULING: usize = 14;
const EFFECT: usize = 22;
const MARGIN: usize = 6;

/// Width of the headings of what the result rests on.
const HEADING: usize = 13;

impl GateRenderer for Terminal {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        let style = match report.exit {
            Exit::Done => "1",
            Exit::Inconclusive => "1;33",
            Exit::Failed | Exit::Invalid | Exit::Usage => "1;31",
        };
        let mut lines: Vec<String> = layout::wrap(&report.words, WIDTH)
            .iter()
            .map(|line| self.paint(line, style))
            .collect();
        lines.push(format!("scenario {}", report.scenario));
        lines.extend(self.table(report));
        lines.extend(self.reasons(report));
        for remark in words::remarks(report) {
            lines.push(String::new());
            lines.extend(layout::hanging("! ", &remark));
        }
        lines.extend(self.rests(report));
        let mut text = lines.join("\n");
        text.push('\n');
        text.into_bytes()
    }
}

impl Terminal {
    fn table(self, report: &GateReport) -> Vec<String> {
        let columns = columns(report);
        let head = ["ruling", "workload", "metric", "arm", "worse by", "margin"].map(str::to_owned);
        let mut lines = vec![String::new()];
        lines.extend(layout::row(&columns, &head, |_, text| {
            self.paint(text, "2")
        }));
        for cell in &report.cells {
            let ruling = format!("{} {}", words::symbol(cell.ruling), cell.ruling);
            let cells = [
                ruling,
                cell.workload.to_string(),
                short_metric(cell.metric).to_owned(),
                cell.arm.to_string(),
                short_unit(&words::effect(cell)),
                words::short_margin(cell),
            ];
            lines.extend(layout::row(&columns, &cells, |place, text| match place {
                0 => self.paint(text, colour(cell.ruling)),
                _ => text.to_owned(),
            }));
        }
        lines
    }

    /// Why each cell that neither passes nor fails is what it is.
    fn reasons(self, report: &GateReport) -> Vec<String> {
        let open = |cell: &&GatedCell| !matches!(cell.ruling, Ruling::Pass | Ruling::Fail);
        let mut lines = Vec::new();
        if report.cells.iter().any(|cell| cell.ruling == Ruling::Fail) {
            lines.push(String::new());
            lines.extend(layout::hanging("FAIL: ", words::FAILED));
        }
        for cell in words::by_gravity(report).into_iter().filter(open) {
            lines.push(String::new());
            let heading = format!("{}: {}", words::cell(cell), cell.ruling);
            let wrapped = layout::wrap(&heading, WIDTH);
            lines.extend(wrapped.iter().map(|line| self.paint(line, "1")));
            lines.extend(layout::hanging("  ", words::why(cell)));
        }
        lines
    }

    fn rests(self, report: &GateReport) -> Vec<String> {
        let [alarm, miss] = words::errors(report);
        let mut facts = vec![
            ("False FAIL", alarm),
            ("False PASS", miss),
            ("Worse by", words::EFFECTS.to_owned()),
            ("Stages", words::stages(report)),
            ("Noise floor", words::calibration(report)),
            ("Machine", format!("fingerprint {}", report.fingerprint)),
        ];
        let has = |ruling| report.cells.iter().any(|cell| cell.ruling == ruling);
        if has(Ruling::Inconclusive) || has(Ruling::Suspect) {
            let counts = words::inconclusive(report.policy.on_inconclusive);
            facts.push(("Inconclusive", counts.to_owned()));
        }
        if report.exit != Exit::Done {
            facts.push(("Again", words::again(report.exit).to_owned()));
        }
        let mut lines = vec![String::new(), self.paint("What this rests on", "1")];
        for (heading, text) in facts {
            lines.extend(layout::hanging(&format!("  {heading:<HEADING$}"), &text));
        }
        lines
    }

    fn paint(self, text: &str, style: &str) -> String {
        layout::paint(self.colour, text, style)
    }
}

/// The columns of the table; long names take more lines.
fn columns(report: &GateReport) -> [Column; 6] {
    let widest = |of: &dyn Fn(&GatedCell) -> usize, least: usize, most: usize| {
        let widths = report.cells.iter().map(of);
        widths.max().unwrap_or(0).clamp(least, most)
    };
    let metric = widest(&|cell| short_metric(cell.metric).len(), 6, 11);
    let left = WIDTH - RULING - EFFECT - MARGIN - metric - 5 * 2;
    let workload = widest(&|cell| cell.workload.as_str().len(), 8, left / 2);
    [RULING, workload, metric, left - workload, EFFECT, MARGIN].map(|width| Column {
        width,
        side: Side::Left,
    })
}

/// Percentage points in two letters, so that an interval stays on one line.
fn short_unit(effect: &str) -> String {
    effect.replace("percentage points", "pp")
}

/// The ANSI style of a ruling.
const fn colour(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Pass => "32",
        Ruling::Fail | Ruling::Invalid => "1;31",
        Ruling::Suspect | Ruling::Inconclusive => "33",
        Ruling::NotGateable => "",
    }
}
