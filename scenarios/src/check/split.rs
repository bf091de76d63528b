//! `[split]`: the backends behind a gateway, and their weights.

use std::collections::BTreeMap;

use tollgate_results::arm::Name;

use crate::document::Document;
use crate::file::File;

/// Fewest and most backends; latency is kept for so many.
const BACKENDS: (usize, usize) = (2, 8);

/// Largest weight, as in the Gateway API.
const HEAVIEST: i64 = 1_000_000;

/// What pods of a run are named already.
const TAKEN: [&str; 1] = ["client"];

/// Longest name of a backend: pods and services are named after it, with a prefix.
const LONGEST: usize = 40;

/// Checks the backends and returns their weights; none where the scenario splits nothing.
pub(super) fn check(document: &mut Document<'_>, file: &File) -> BTreeMap<Name, u32> {
    if file.split.is_empty() {
        return BTreeMap::new();
    }
    let (fewest, most) = BACKENDS;
    let count = file.split.len();
    if !(fewest..=most).contains(&count) {
        let message = format!(
            "{count} backends; a split has {fewest} to {most}, for example stable = 90 and canary = 10"
        );
        document.fault(&["split"], message);
    }
    for (name, &weight) in &file.split {
        let plain = name
            .as_str()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain || name.as_str().ends_with('-') || name.as_str().len() > LONGEST {
            let message = format!(
                "`{name}` names a pod: write up to {LONGEST} lower-case letters, digits and `-`, the last no `-`"
            );
            document.fault(&["split", name.as_str()], message);
        }
        if TAKEN.contains(&name.as_str()) {
            let message = format!("`{name}` is the pod that sends; choose another name");
            document.fault(&["split", name.as_str()], message);
        }
        if !(0..=HEAVIEST).contains(&weight) {
            let message = format!("is {weight}; a weight is 0 to {HEAVIEST}");
            document.fault(&["split", name.as_str()], message);
        }
    }
    if file.split.values().all(|&weight| weight == 0) {
        document.fault(
            &["split"],
            "every weight is 0, so that nobody answers; write one above it",
        );
    }
    let arms: Vec<&str> = file.arm.keys().map(Name::as_str).collect();
    if arms != ["direct", "gateway"] {
        let message = "a split has the arms [arm.direct] and [arm.gateway], and no others";
        document.fault(&["arm"], message);
    }
    let narrow = |&weight: &i64| u32::try_from(weight).unwrap_or(0);
    let weights = file.split.iter();
    weights
        .map(|(name, weight)| (name.clone(), narrow(weight)))
        .collect()
}
