//! What a reader should know of cells, each line once with all the arms that it is true of.

use tollgate_results::arm::Name;

use super::words;
use crate::model::{Cell, Metric};

/// One line on some cells of a workload and metric.
pub(super) struct Remark<'a> {
    pub workload: &'a Name,
    pub metric: Metric,
    pub arms: Vec<&'a Name>,
    pub text: &'a str,
}

impl Remark<'_> {
    /// Names metric and arms: `p99.9 of vxlan and socket-lb`.
    pub(super) fn of(&self) -> String {
        let arms = words::list(self.arms.iter().copied());
        format!("{} of {arms}", words::short_metric(self.metric))
    }
}

/// Gathers reasons, resolutions and notes; equal lines on one workload and metric become one.
pub(super) fn gather<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Vec<Remark<'a>> {
    let mut remarks: Vec<Remark<'a>> = Vec::new();
    for cell in cells {
        for text in words::remarks(cell) {
            let alike = |remark: &&mut Remark<'_>| {
                *remark.workload == cell.workload
                    && remark.metric == cell.metric
                    && remark.text == text
            };
            match remarks.iter_mut().find(alike) {
                Some(remark) if remark.arms.contains(&&cell.arm) => {}
                Some(remark) => remark.arms.push(&cell.arm),
                None => remarks.push(Remark {
                    workload: &cell.workload,
                    metric: cell.metric,
                    arms: vec![&cell.arm],
                    text,
                }),
            }
        }
    }
    remarks
}
