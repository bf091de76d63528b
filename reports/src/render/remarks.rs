//! What a reader should know of cells, each line once with all the metrics and arms that it is true of.

use tollgate_results::arm::Name;

use super::words;
use crate::model::{Cell, Metric};

/// One line on some cells of a workload: all of these metrics, of all of these arms.
pub(super) struct Remark<'a> {
    pub workload: &'a Name,
    pub metrics: Vec<Metric>,
    pub arms: Vec<&'a Name>,
    pub text: &'a str,
}

impl Remark<'_> {
    /// Names metrics and arms: `p99 and p99.9 of vxlan and socket-lb`.
    pub(super) fn of(&self) -> String {
        let metrics = self
            .metrics
            .iter()
            .map(|&metric| words::short_metric(metric));
        let arms = words::list(self.arms.iter().copied());
        format!("{} of {arms}", words::series(metrics))
    }
}

/// Gathers reasons, resolutions and notes; equal lines on the cells of one workload become one.
pub(super) fn gather<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Vec<Remark<'a>> {
    let mut remarks: Vec<Remark<'a>> = Vec::new();
    for cell in cells {
        for text in words::remarks(cell) {
            let alike = |remark: &&mut Remark<'_>| {
                *remark.workload == cell.workload
                    && remark.metrics == [cell.metric]
                    && remark.text == text
            };
            match remarks.iter_mut().find(alike) {
                Some(remark) if remark.arms.contains(&&cell.arm) => {}
                Some(remark) => remark.arms.push(&cell.arm),
                None => remarks.push(Remark {
                    workload: &cell.workload,
                    metrics: vec![cell.metric],
                    arms: vec![&cell.arm],
                    text,
                }),
            }
        }
    }
    let mut merged: Vec<Remark<'a>> = Vec::new();
    for remark in remarks {
        let alike = |other: &&mut Remark<'_>| {
            other.workload == remark.workload
                && other.text == remark.text
                && other.arms == remark.arms
        };
        match merged.iter_mut().find(alike) {
            Some(same) => same.metrics.extend(remark.metrics),
            None => merged.push(remark),
        }
    }
    merged
}
