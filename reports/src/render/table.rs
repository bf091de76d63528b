//! Rows of the verdict table, for renderers of plain text.

use tollgate_results::arm::Name;
use tollgate_results::workload::Workload;

use super::{number, words};
use crate::model::{Analysis, Cell, Metric, Verdict};

/// With more arms than this, only each workload's main metric is shown at once.
const MANY_ARMS: usize = 10;

/// One row: an arm's value of one metric and, unless it is the reference, its verdict.
pub(super) struct Row<'a> {
    pub metric: Metric,
    pub arm: &'a Name,
    pub value: String,
    pub change: String,
    pub verdict: Option<Verdict>,
    /// The result with no round dropped, where rounds were.
    pub undropped: Option<String>,
}

/// Returns the rows of one workload, by metric; the reference's value stands before those compared with it.
/// In brief: what [`is_foremost`].
pub(super) fn rows<'a>(analysis: &'a Analysis, workload: &'a Workload) -> Vec<Row<'a>> {
    let metrics = Metric::ALL.into_iter();
    metrics
        .filter(|metric| is_foremost(analysis, workload, *metric))
        .flat_map(|metric| rows_of(analysis, workload, metric))
        .collect()
}

/// Returns whether most readers want this metric of a workload: with many arms the main one only. Loss is
/// wanted where there is any.
pub(super) fn is_foremost(analysis: &Analysis, workload: &Workload, metric: Metric) -> bool {
    let wanted = match metric {
        Metric::P50
        | Metric::PlanP50
        | Metric::PlanP99
        | Metric::Throughput
        | Metric::P99
        | Metric::CpuPerRequest
        | Metric::CpuPerMib
        | Metric::Beside => true,
        Metric::Loss => analysis.cells_of(&workload.name).any(|cell| {
            let lossy = cell.arm_typical.is_some_and(|typical| typical.median > 0.0);
            let moved = matches!(
                cell.verdict,
                Verdict::Slower | Verdict::Faster | Verdict::Inconclusive
            );
            cell.metric == metric && (lossy || moved)
        }),
        _ => false,
    };
    metric == words::main_metric(analysis, workload) || (wanted && analysis.arms.len() <= MANY_ARMS)
}

fn rows_of<'a>(analysis: &'a Analysis, workload: &'a Workload, metric: Metric) -> Vec<Row<'a>> {
    let cells: Vec<&Cell> = analysis
        .cells_of(&workload.name)
        .filter(|cell| cell.metric == metric)
        .collect();
    let usual = usual(analysis, &workload.name);
    let mut rows = Vec::new();
    let mut references: Vec<&Name> = Vec::new();
    for cell in cells {
        let itself_compared = |name: &Name| {
            analysis
                .cells_of(&workload.name)
                .any(|cell| cell.metric == metric && cell.arm == *name)
        };
        if !references.contains(&&cell.reference) && !itself_compared(&cell.reference) {
            references.push(&cell.reference);
            rows.push(Row {
                metric,
                arm: &cell.reference,
                value: words::typical(cell.unit, cell.reference_typical.as_ref()),
                change: "reference".to_owned(),
                verdict: None,
                undropped: None,
            });
        }
        rows.push(Row {
            metric,
            arm: &cell.arm,
            value: words::typical(cell.unit, cell.arm_typical.as_ref()),
            change: if Some(&cell.reference) == usual {
                change(cell)
            } else {
                format!("{} vs {}", change(cell), cell.reference)
            },
            verdict: Some(cell.verdict),
            undropped: words::undropped(cell),
        });
    }
    rows
}

/// Writes a cell's change with its interval, or that there is none.
pub(super) fn change(cell: &Cell) -> String {
    words::change(cell).unwrap_or_else(|| number::UNKNOWN.to_owned())
}

/// Says what most arms of a table are compared with. Those with another reference say so themselves.
pub(super) fn against(analysis: &Analysis, workload: &Name) -> String {
    usual(analysis, workload).map_or_else(
        || "against its reference".to_owned(),
        |name| format!("against {name}"),
    )
}

/// As [`against`], with the exceptions: `against native (socket-lb against iptables-legacy)`.
pub(super) fn against_in_full(analysis: &Analysis, workload: &Name) -> String {
    let mut others: Vec<String> = Vec::new();
    for cell in analysis.cells_of(workload) {
        let text = format!("{} against {}", cell.arm, cell.reference);
        if Some(&cell.reference) != usual(analysis, workload) && !others.contains(&text) {
            others.push(text);
        }
    }
    let usual = against(analysis, workload);
    if others.is_empty() || others.len() > 4 {
        usual
    } else {
        format!("{usual} ({})", others.join(", "))
    }
}

/// The reference of a table's arms: the plan's, where any of them has it.
pub(super) fn usual<'a>(analysis: &'a Analysis, workload: &'a Name) -> Option<&'a Name> {
    let references = || analysis.cells_of(workload).map(|cell| &cell.reference);
    let plan = &analysis.subject.reference;
    let first = references().next()?;
    let planned = references().any(|reference| reference == plan);
    let usual = if planned { plan } else { first };
    (planned || references().all(|reference| reference == first)).then_some(usual)
}

/// Returns whether rows leave out metrics that the analysis has.
pub(super) fn is_brief(analysis: &Analysis) -> bool {
    analysis.workloads.iter().any(|workload| {
        let rows = rows(analysis, workload);
        analysis
            .cells_of(&workload.name)
            .any(|cell| rows.iter().all(|row| row.metric != cell.metric))
    })
}
