//! A gate's report as GitHub's workflow commands: lines on standard output that a job turns into annotations.

use super::{GateRenderer, words};
use crate::gate::{Exit, GateReport, GatedCell, Ruling};
use crate::render::words::short_metric;

/// Renders one annotation for each cell that does not pass, the gravest first, and one for the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The file at which they stand, relative to the repository: the policy or the scenario. Without one they
    /// stand at the job.
    pub file: Option<String>,
}

/// Annotations of one kind that GitHub shows of a step; it drops further ones silently.
const MOST: usize = 10;

/// Kinds of annotation, the gravest first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Warning,
    Notice,
}

impl GateRenderer for Annotations {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        let mut text = String::new();
        let open = |cell: &&GatedCell| cell.ruling != Ruling::Pass;
        let cells: Vec<&GatedCell> = words::by_gravity(report).into_iter().filter(open).collect();
        for wanted in [Kind::Error, Kind::Warning, Kind::Notice] {
            // One place of each kind is kept for what stands for the whole.
            let of_kind = cells.iter().filter(|cell| kind(report, cell) == wanted);
            let (shown, more) = (of_kind.clone().take(MOST - 2), of_kind.clone().count());
            for cell in shown {
                let title = format!(
                    "Tollgate {}: {} {} {}",
                    cell.ruling,
                    cell.workload,
                    short_metric(cell.metric),
                    cell.arm
                );
                let message = format!("{}: {}", words::cell(cell), words::why(cell));
                text.push_str(&self.line(wanted, &title, &message));
            }
            if more > MOST - 2 {
                let message = format!("{} more cells: see the summary", more - (MOST - 2));
                text.push_str(&self.line(wanted, "Tollgate", &message));
            }
        }
        let whole = match report.exit {
            Exit::Done => Kind::Notice,
            _ => Kind::Error,
        };
        let title = format!(
            "Tollgate gate {}: {}",
            report.scenario,
            words::result(report)
        );
        let [alarm, miss] = words::errors(report);
        let mut lines = vec![report.words.clone()];
        lines.extend(words::remarks(report));
        lines.push(format!("How often this errs: {alarm}; {miss}."));
        let message = lines.join("\n");
        text.push_str(&self.line(whole, &title, &message));
        text.into_bytes()
    }
}

fn kind(report: &GateReport, cell: &GatedCell) -> Kind {
    match report.counts_for(cell) {
        Exit::Done if cell.ruling == Ruling::NotGateable => Kind::Notice,
        Exit::Done => Kind::Warning,
        _ => Kind::Error,
    }
}

impl Annotations {
    fn line(&self, kind: Kind, title: &str, message: &str) -> String {
        let kind = match kind {
            Kind::Error => "error",
            Kind::Warning => "warning",
            Kind::Notice => "notice",
        };
        let file = self
            .file
            .as_ref()
            .map_or_else(String::new, |file| format!("file={},", property(file)));
        format!(
            "::{kind} {file}title={}::{}\n",
            property(title),
            data(message)
        )
    }
}

/// Escapes a message as GitHub's runner undoes it (`escapeData` of its toolkit).
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property, in which `:` and `,` have a meaning too (`escapeProperty`).
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
