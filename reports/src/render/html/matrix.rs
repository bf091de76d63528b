//! The first picture: every arm with every workload, verdict and effect in each cell.

use maud::{Markup, html};

use super::super::legend::Legend;
use super::super::matrix::{Column, Entry, Matrix, Row};
use super::super::words;
use super::parts;
use crate::model::{Analysis, Cell, Verdict};

/// Arms shown at once; the rest unfolds.
const ARMS: usize = 12;

/// The matrix as a table.
pub(super) fn section(analysis: &Analysis, legend: &Legend) -> Markup {
    let matrix = Matrix::of(analysis);
    if matrix.cells().next().is_none() {
        return html! {};
    }
    let caption = matrix.caption(analysis);
    let (shown, folded) = matrix.rows.split_at(matrix.rows.len().min(ARMS));
    let table = |rows: &[Row<'_>]| {
        html! {
            thead {
                tr {
                    th scope="col" { "Arm" }
                    @for column in &matrix.columns {
                        th scope="col" {
                            a href={ "#verdicts-" (column.workload.name) } { (column.workload.name) }
                            br; small { (words::short_metric(column.metric)) ", " (words::worse(column.metric.direction())) }
                        }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (parts::arm(legend, row.arm)) }
                        @for (entry, column) in row.entries.iter().zip(&matrix.columns) {
                            @match entry {
                                Entry::Compared(cell) => (compared(analysis, cell, &of(column))),
                                Entry::Reference(typical) => td data-of=(of(column)) {
                                    span.role { "reference" } br;
                                    (words::value(column.metric.unit(), typical.median))
                                },
                                Entry::Absent => td data-of=(of(column)) { small { "not measured" } },
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        section.matrix #matrix aria-labelledby="matrix-title" {
            h2 #matrix-title { "At a glance" }
            (parts::table("Every arm with every workload", &table(shown)))
            @if !folded.is_empty() {
                details {
                    summary { (folded.len()) " more arms" }
                    (parts::table("Further arms with every workload", &table(folded)))
                }
            }
            p.about { "In the table, " (caption) }
        }
    }
}

/// What a column shows: a phone has it in each cell.
fn of(column: &Column<'_>) -> String {
    let metric = words::short_metric(column.metric);
    format!("{} {metric}", column.workload.name)
}

fn compared(analysis: &Analysis, cell: &Cell, of: &str) -> Markup {
    let change = words::change(cell).filter(|_| cell.verdict != Verdict::Invalid);
    html! {
        td class=(parts::class(cell.verdict)) data-of=(of) {
            span.said { span aria-hidden="true" { (words::symbol(cell.verdict)) } " " (cell.verdict) }
            @if let Some(change) = change {
                @let (value, interval) = change.split_once(" [").unwrap_or((&change, ""));
                br; b { (words::unbroken(value)) }
                @if !interval.is_empty() { " " span.range { "[" (interval) } }
            }
            @if cell.reference != analysis.subject.reference {
                br; span.range { "vs " (cell.reference) }
            }
        }
    }
}
