//! Joins slices and their histograms. A writer that ended at any byte leaves a gap at the end, no other.

use std::path::Path;

use tollgate_results::slice::Slice;

use crate::error::{StoreError, StoreErrorKind};
use crate::hlog::BySlice;
use crate::lines::{Placed, SliceLine, key};

/// What can be kept of a folder.
pub(crate) struct Assembled {
    pub(crate) slices: Vec<Slice>,
    /// Lines at the end that lack histograms.
    pub(crate) dropped: usize,
    /// Bytes of `slices.jsonl` that belong to what is kept.
    pub(crate) slices_end: usize,
    /// Bytes of `histograms.hlog` that belong to what is kept; 0 where no histogram is.
    pub(crate) histograms_end: usize,
}

/// Joins lines and histograms. Histograms without a slice are left out: their slice never ended.
///
/// `path` is that of the histograms.
pub(crate) fn assemble(
    path: &Path,
    lines: Vec<Placed<SliceLine>>,
    mut found: BySlice,
) -> Result<Assembled, StoreError> {
    let complete = |line: &SliceLine| {
        let found = found.get(&line.record.key);
        line.histograms
            .iter()
            .all(|timed| found.is_some_and(|found| found.contains_key(timed)))
    };
    let kept = lines.iter().take_while(|line| complete(&line.item)).count();
    let behind = lines.iter().skip(kept + 1);
    if let Some(later) = behind
        .into_iter()
        .find(|line| found.contains_key(&line.item.record.key))
    {
        let reason = format!(
            "the histograms of slice {} are gone, though those of {} are there",
            key(&lines[kept].item.record),
            key(&later.item.record)
        );
        return Err(StoreError::new(
            "read",
            path,
            StoreErrorKind::Damaged(reason),
        ));
    }
    let mut assembled = Assembled {
        slices: Vec::with_capacity(kept),
        dropped: lines.len() - kept,
        slices_end: 0,
        histograms_end: 0,
    };
    for Placed { item, end, .. } in lines.into_iter().take(kept) {
        let mut found = found.remove(&item.record.key).unwrap_or_default();
        found.retain(|timed, _| item.histograms.contains(timed));
        let last = found.values().map(|found| found.end).max();
        assembled.slices_end = end;
        assembled.histograms_end = assembled.histograms_end.max(last.unwrap_or(0));
        assembled.slices.push(Slice {
            record: item.record,
            histograms: found
                .into_iter()
                .map(|(timed, found)| (timed, found.histogram))
                .collect(),
        });
    }
    Ok(assembled)
}
