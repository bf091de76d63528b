//! Which mark each arm of an analysis has.

use std::collections::BTreeMap;

use tollgate_results::arm::Name;

use super::palette::Mark;
use crate::model::Analysis;

/// The marks of all arms and of all sweeps' series. An arm keeps its mark throughout a report; the arms of one
/// series share theirs.
pub(super) struct Legend {
    arms: BTreeMap<Name, Mark>,
    series: BTreeMap<Name, Mark>,
}

impl Legend {
    /// Gives every arm its mark, in the plan's order.
    pub(super) fn of(analysis: &Analysis) -> Self {
        let mut legend = Self {
            arms: BTreeMap::new(),
            series: BTreeMap::new(),
        };
        let mut next = 0;
        let mut fresh = || {
            next += 1;
            Mark::nth(next - 1)
        };
        for arm in &analysis.arms {
            let series = arm.sweep.as_ref().map(|sweep| &sweep.series);
            let shared = series.map(|series| {
                *legend
                    .series
                    .entry(series.clone())
                    .or_insert_with(&mut fresh)
            });
            let mark = if arm.name == analysis.subject.reference {
                Mark::REFERENCE
            } else {
                shared.unwrap_or_else(&mut fresh)
            };
            legend.arms.insert(arm.name.clone(), mark);
        }
        legend
    }

    /// Returns the mark of an arm.
    pub(super) fn arm(&self, name: &Name) -> Mark {
        self.arms.get(name).copied().unwrap_or(Mark::REFERENCE)
    }

    /// Returns the mark of a sweep's series.
    pub(super) fn series(&self, name: &Name) -> Mark {
        self.series.get(name).copied().unwrap_or(Mark::REFERENCE)
    }
}
