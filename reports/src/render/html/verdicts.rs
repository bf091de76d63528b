//! Verdicts: for each workload a forest and the table behind it.

use maud::{Markup, html};
use tollgate_results::workload::Workload;

use super::super::legend::Legend;
use super::super::{figures, glossary, number, remarks, table, words};
use super::parts;
use crate::model::{Analysis, Cell, Metric, Unit};

/// All verdicts, workload by workload.
pub(super) fn section(analysis: &Analysis, legend: &Legend) -> Markup {
    if analysis.cells.is_empty() {
        return html! {};
    }
    html! {
        section #verdicts aria-labelledby="verdicts-title" {
            h2 #verdicts-title { "Verdicts" }
            p {
                "Each arm against its reference. A verdict is said only where it is proved, with the interval that proves it; "
                "everything else is inconclusive."
            }
            (parts::key(analysis, legend))
            @for workload in &analysis.workloads {
                (of_workload(analysis, legend, workload))
            }
            details {
                summary { "What the verdicts mean" }
                dl {
                    @for (verdict, meaning) in glossary::VERDICTS {
                        dt { (parts::verdict(verdict)) }
                        dd { (meaning) "." }
                    }
                }
            }
        }
    }
}

fn of_workload(analysis: &Analysis, legend: &Legend, workload: &Workload) -> Markup {
    let cells: Vec<&Cell> = analysis.cells_of(&workload.name).collect();
    if cells.is_empty() {
        return html! {};
    }
    let foremost = |cell: &&Cell| table::is_foremost(analysis, workload, cell.metric);
    let (shown, folded): (Vec<&Cell>, Vec<&Cell>) = cells.iter().copied().partition(foremost);
    let table =
        |cells: &[&Cell]| parts::table(&title(workload, cells), &verdict_table(legend, cells));
    let forest = figures::forest(analysis, legend, workload);
    html! {
        h3 id={ "verdicts-" (workload.name) } { (workload.name) }
        p.about { (words::workload(workload)) }
        @for line in words::beside_verdicts(analysis, &workload.name) {
            p.about { (line) }
        }
        div.forest[forest.is_some()] {
            @if let Some(figure) = &forest { (parts::figure(figure)) }
            div {
                @if !shown.is_empty() { (table(&shown)) }
                @if !folded.is_empty() {
                    details {
                        summary { "Further metrics: " (names(&folded)) }
                        (table(&folded))
                    }
                }
                (reasons(&cells))
            }
        }
    }
}

/// Names the metrics of cells.
fn names(cells: &[&Cell]) -> String {
    let names = metrics(cells).into_iter().map(words::short_metric);
    names.collect::<Vec<_>>().join(", ")
}

/// The metrics of cells, the most telling first.
fn metrics(cells: &[&Cell]) -> Vec<Metric> {
    let present = |metric: &Metric| cells.iter().any(|cell| cell.metric == *metric);
    Metric::ALL.into_iter().filter(present).collect()
}

fn verdict_table(legend: &Legend, cells: &[&Cell]) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { "Arm" }
                th scope="col" { "Verdict" }
                th.n scope="col" { "Change" }
                th.n scope="col" { "Difference" }
                th.n scope="col" { "Value" }
                th.n scope="col" { "Reference" }
            }
        }
        @for metric in metrics(cells) {
            tbody {
                tr.group {
                    th colspan="6" scope="rowgroup" {
                        (words::metric(metric)) " " small { (words::worse(metric.direction())) }
                    }
                }
                @for cell in cells.iter().filter(|cell| cell.metric == metric) {
                    (cell_row(legend, cell))
                }
            }
        }
    }
}

/// Says what a table of verdicts shows and on how many rounds it rests.
fn title(workload: &Workload, cells: &[&Cell]) -> String {
    format!(
        "{}: medians over rounds, and the change of the value itself with its exact 95 % interval, {}",
        workload.name,
        words::rounds_compared(cells.iter().copied())
    )
}

fn cell_row(legend: &Legend, cell: &Cell) -> Markup {
    // Loss has no relative change: its difference says it all.
    let relative = words::change(cell).filter(|_| cell.unit != Unit::Share);
    html! {
        tr {
            th scope="row" {
                (parts::arm(legend, &cell.arm))
            }
            td.verdict {
                (parts::verdict(cell.verdict))
                @if cell.measurable { " " small { "measurable" } }
                @if let Some(undropped) = words::undropped(cell) {
                    br; small.undropped { "no round dropped: " (words::unbroken(&undropped)) }
                }
            }
            td.n { (estimate(relative)) }
            td.n { (estimate(words::shift(cell))) }
            td.n { (words::typical(cell.unit, cell.arm_typical.as_ref())) }
            td.n {
                (words::typical(cell.unit, cell.reference_typical.as_ref()))
                br; small { (cell.reference) }
            }
        }
    }
}

/// An estimate with its interval, the estimate foremost.
fn estimate(text: Option<String>) -> Markup {
    let Some(text) = text else {
        return html! { (number::UNKNOWN) };
    };
    html! {
        @if let Some((value, interval)) = text.split_once(" [") {
            b { (value) } " " span.interval { "[" (interval) }
        } @else {
            (text)
        }
    }
}

/// Everything that a table's row has no room for: why there is no verdict, what would give one, and notes.
fn reasons(cells: &[&Cell]) -> Markup {
    let lines = remarks::gather(cells.iter().copied());
    if lines.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "Notes on these verdicts (" (lines.len()) ")" }
            ul {
                @for line in lines {
                    li { b { (line.of()) } ": " (words::unbroken(line.text)) }
                }
            }
        }
    }
}
