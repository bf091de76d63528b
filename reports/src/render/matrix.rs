//! The matrix of arms and workloads: the first picture of a report.

use tollgate_results::arm::Name;
use tollgate_results::workload::Workload;

use super::words;
use crate::model::{Analysis, Cell, Metric, Typical};

/// Every arm with every workload, by each workload's main metric.
pub(super) struct Matrix<'a> {
    pub columns: Vec<Column<'a>>,
    pub rows: Vec<Row<'a>>,
}

/// One workload, with the metric that speaks first for it.
pub(super) struct Column<'a> {
    pub workload: &'a Workload,
    pub metric: Metric,
}

/// One arm.
pub(super) struct Row<'a> {
    pub arm: &'a Name,
    /// One entry for each column.
    pub entries: Vec<Entry<'a>>,
}

/// An arm with a workload.
pub(super) enum Entry<'a> {
    /// Compared with its reference.
    Compared(&'a Cell),
    /// Only compared with: its typical value.
    Reference(&'a Typical),
    /// Not measured.
    Absent,
}

impl<'a> Matrix<'a> {
    /// Lays an analysis out; arms that were measured with nothing are left out.
    pub(super) fn of(analysis: &'a Analysis) -> Self {
        let columns: Vec<Column<'a>> = analysis
            .workloads
            .iter()
            .map(|workload| Column {
                workload,
                metric: words::main_metric(analysis, workload),
            })
            .collect();
        let rows = analysis.arms.iter().map(|arm| Row {
            arm: &arm.name,
            entries: columns
                .iter()
                .map(|column| entry(analysis, &arm.name, column))
                .collect(),
        });
        let measured = |row: &Row<'_>| {
            let present = |entry: &Entry<'_>| !matches!(entry, Entry::Absent);
            row.entries.iter().any(present)
        };
        Self {
            rows: rows.filter(measured).collect(),
            columns,
        }
    }

    /// Returns the compared cells.
    pub(super) fn cells(&self) -> impl Iterator<Item = &'a Cell> {
        let entries = self.rows.iter().flat_map(|row| &row.entries);
        entries.filter_map(|entry| match entry {
            Entry::Compared(cell) => Some(*cell),
            Entry::Reference(_) | Entry::Absent => None,
        })
    }

    /// Says in one sentence what the matrix shows and how sure it is.
    pub(super) fn caption(&self, analysis: &Analysis) -> String {
        let rounds = words::rounds_compared(self.cells());
        let reference = &analysis.subject.reference;
        let own = self.cells().any(|cell| cell.reference != *reference);
        let against = if own {
            format!("{reference}, or with the arm that the cell names")
        } else {
            reference.to_string()
        };
        format!(
            "each arm compared with {against}: verdict, and change of the value itself (Hodges-Lehmann estimate) with \
             its exact 95 % signed-rank interval, {rounds}. ▲ worse, ▼ better, ≈ equivalent, ? not decided, \
             ✕ invalid."
        )
    }
}

fn entry<'a>(analysis: &'a Analysis, arm: &Name, column: &Column<'a>) -> Entry<'a> {
    let workload = &column.workload.name;
    let cell = analysis
        .cells_of(workload)
        .find(|cell| cell.metric == column.metric && cell.arm == *arm);
    if let Some(cell) = cell {
        return Entry::Compared(cell);
    }
    let level = analysis.levels.iter().find(|level| {
        level.workload == *workload && level.metric == column.metric && level.arm == *arm
    });
    level.map_or(Entry::Absent, |level| Entry::Reference(&level.typical))
}
