//! `slices.jsonl`: one slice a line.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::outcome::Timed;
use tollgate_results::run::RunRecord;
use tollgate_results::slice::SliceRecord;

use crate::error::{StoreError, StoreErrorKind};

/// One line of `slices.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliceLine {
    /// [`tollgate_results::RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// The slice.
    #[serde(flatten)]
    pub record: SliceRecord,
    /// Its histograms in `histograms.hlog`: without all of them the slice is not complete.
    pub histograms: Vec<Timed>,
}

/// A line and the place in the file where it ends.
pub(crate) struct Placed<T> {
    pub(crate) item: T,
    pub(crate) number: usize,
    pub(crate) end: usize,
}

/// Splits a file into its complete lines. What follows the last line break was never finished.
pub(crate) fn complete(bytes: &[u8]) -> impl Iterator<Item = Placed<&[u8]>> {
    let mut end = 0;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').zip(1..);
    lines.filter_map(move |(item, number)| {
        end += item.len();
        item.ends_with(b"\n")
            .then_some(Placed { item, number, end })
    })
}

/// Reads all complete lines of `slices.jsonl`.
pub(crate) fn read(
    path: &Path,
    bytes: &[u8],
    run: &RunRecord,
) -> Result<Vec<Placed<SliceLine>>, StoreError> {
    let mut lines: Vec<Placed<SliceLine>> = Vec::new();
    let mut keys = std::collections::BTreeSet::new();
    for Placed { item, number, end } in complete(bytes) {
        let damaged = |reason| {
            StoreError::new(
                "read",
                path,
                StoreErrorKind::DamagedLine {
                    line: number,
                    reason,
                },
            )
        };
        if let Some(found) = schema(item).filter(|found| *found != run.schema) {
            let expected = run.schema;
            let reason = format!("record format {found} in a campaign of format {expected}");
            return Err(damaged(reason));
        }
        let line: SliceLine = serde_json::from_slice(item)
            .map_err(|cause| damaged(format!("not a slice ({cause})")))?;
        if let Some(reason) = foreign(&line, run) {
            return Err(damaged(reason));
        }
        if !keys.insert(line.record.key.clone()) {
            return Err(damaged(format!(
                "slice {} is there twice",
                key(&line.record)
            )));
        }
        lines.push(Placed {
            item: line,
            number,
            end,
        });
    }
    Ok(lines)
}

/// Returns the record format of a line or file, before anything else of it is looked at.
pub(crate) fn schema(json: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }

    let found: Result<Schema, _> = serde_json::from_slice(json);
    found.ok().map(|found| found.schema)
}

/// Says what in a line does not belong to this run.
fn foreign(line: &SliceLine, run: &RunRecord) -> Option<String> {
    let key = &line.record.key;
    let Some(arm) = run.plan.arm(&key.arm) else {
        return Some(format!("the plan has no arm `{}`", key.arm));
    };
    if run.plan.workload(&key.workload).is_none() || !arm.workloads.contains(&key.workload) {
        return Some(format!(
            "the plan has no workload `{}` on `{}`",
            key.workload, key.arm
        ));
    }
    let installs = run.installs.len();
    usize::try_from(line.record.install)
        .map_or(true, |install| install >= installs)
        .then(|| format!("install {} of {installs}", line.record.install))
}

/// Returns a slice's key in one word, as it stands in tags.
pub(crate) fn key(record: &SliceRecord) -> String {
    let key = &record.key;
    format!("{}/{}/{}", key.round, key.workload, key.arm)
}
