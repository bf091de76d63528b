//! The matrix of arms and workloads as a drawing, for files; the page has it as a table.

use maud::html;

use super::super::matrix::{Entry, Matrix};
use super::super::svg::{self, Anchor, Canvas, Ink};
use super::super::{legend::Legend, words};
use super::{Figure, shortened};
use crate::model::{Analysis, Cell, Verdict};

/// Sizes in pixels: the column of names, one column, the headings, one row.
const NAMES: u32 = 150;
const COLUMN: u32 = 150;
const HEADINGS: u32 = 44;
const ROW: u32 = 58;

/// More arms than this don't fit a picture: the rest stays in the table.
const MOST_ROWS: usize = 60;

/// Draws verdict and change of every arm with every workload; `None` where nothing was compared.
pub(in crate::render) fn grid(analysis: &Analysis, legend: &Legend) -> Option<Figure> {
    let matrix = Matrix::of(analysis);
    matrix.cells().next()?;
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    let rows = matrix.rows.len().min(MOST_ROWS);
    let width = NAMES + COLUMN * count(matrix.columns.len());
    let height = HEADINGS + ROW * count(rows) + 4;
    let label = "verdict and change of every arm with every workload";
    let svg = svg::draw(width, height, label, |canvas| {
        for (place, column) in (0_u32..).zip(&matrix.columns) {
            let x = f64::from(NAMES + COLUMN * place) + 8.0;
            let name = shortened(&column.workload.name, 20);
            canvas.text((x, 14.0), &name, Anchor::Left, Ink::Text);
            let metric = words::short_metric(column.metric);
            canvas.text((x, 31.0), metric, Anchor::Left, Ink::Muted);
        }
        for (place, row) in (0_u32..).zip(matrix.rows.iter().take(rows)) {
            let top = f64::from(HEADINGS + ROW * place);
            let middle = top + f64::from(ROW) / 2.0;
            canvas.marker((8.0, middle), legend.arm(row.arm));
            let name = shortened(row.arm, 18);
            canvas.text((18.0, middle), &name, Anchor::Left, Ink::Text);
            for (place, (entry, column)) in (0_u32..).zip(row.entries.iter().zip(&matrix.columns)) {
                let left = f64::from(NAMES + COLUMN * place);
                match entry {
                    Entry::Compared(cell) => compared(canvas, analysis, cell, (left, top)),
                    Entry::Reference(typical) => {
                        let value = words::value(column.metric.unit(), typical.median);
                        let at = |y: f64| (left + 8.0, top + y);
                        canvas.text(at(20.0), "reference", Anchor::Left, Ink::Muted);
                        canvas.text(at(39.0), &value, Anchor::Left, Ink::Text);
                    }
                    Entry::Absent => {}
                }
            }
        }
    });
    Some(Figure {
        name: "at-a-glance".to_owned(),
        svg,
        caption: html! { b { "At a glance" } ": " (matrix.caption(analysis)) },
        key: Vec::new(),
    })
}

fn compared(canvas: &Canvas<'_>, analysis: &Analysis, cell: &Cell, (left, top): (f64, f64)) {
    let ink = Ink::Verdict(cell.verdict);
    let (right, bottom) = (left + f64::from(COLUMN) - 4.0, top + f64::from(ROW) - 4.0);
    canvas.fill((left, top), (right, bottom), Ink::Wash(cell.verdict));
    let symbol = words::symbol(cell.verdict);
    let mut lines = vec![if cell.reference == analysis.subject.reference {
        format!("{symbol} {}", cell.verdict)
    } else {
        format!("{symbol} vs {}", shortened(&cell.reference, 17))
    }];
    if let Some(change) = words::change(cell).filter(|_| cell.verdict != Verdict::Invalid) {
        let (value, interval) = change.split_once(" [").unwrap_or((&change, ""));
        lines.push(value.to_owned());
        if !interval.is_empty() {
            lines.push(format!("[{interval}"));
        }
    }
    for (index, line) in (0_u32..).zip(&lines) {
        let at = (left + 8.0, top + 11.0 + 16.0 * f64::from(index));
        canvas.text(at, line, Anchor::Left, ink);
    }
}
