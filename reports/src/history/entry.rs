//! What a history keeps of an analysis.

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tollgate_results::arm::Datapath;
use tollgate_results::facts::Facts;
use tollgate_results::history::{CampaignEntry, CellEntry, RatioEntry, setup_of};

use crate::model::{Analysis, Cell, Metric};

/// Returns what a history keeps of an analysis: of every cell its ratio and its typical values. `record_schema` is that of
/// the campaign; label, release and folder are left open.
#[must_use]
pub fn entry_of(analysis: &Analysis, record_schema: u32) -> CampaignEntry {
    let subject = &analysis.subject;
    CampaignEntry {
        scenario: subject.scenario.clone(),
        scenario_hash: subject.scenario_hash.clone(),
        seed: subject.seed,
        started_unix_ms: subject.started_unix_ms,
        label: None,
        release: None,
        fingerprint: subject.fingerprint.clone(),
        machine: machine(&subject.facts),
        schema: record_schema,
        version: subject.tool_version.clone(),
        target: subject.target,
        rounds: analysis.conduct.kept,
        invalid: analysis.conduct.invalid.clone(),
        folder: None,
        cells: analysis
            .cells
            .iter()
            .filter_map(|cell| cell_entry(analysis, cell))
            .collect(),
    }
}

/// `None` where the analysis lacks what the cell compares, which only an edited one does.
fn cell_entry(analysis: &Analysis, cell: &Cell) -> Option<CellEntry> {
    let datapath = |name| -> Option<&Datapath> { Some(&analysis.arm(name)?.dimensions) };
    let mut workloads = analysis.workloads.iter();
    let workload = workloads.find(|workload| workload.name == cell.workload)?;
    let (arm, reference) = datapath(&cell.arm).zip(datapath(&cell.reference))?;
    Some(CellEntry {
        workload: cell.workload.clone(),
        metric: key(cell.metric),
        arm: cell.arm.clone(),
        reference: cell.reference.clone(),
        setup: setup_of(workload, arm, reference, &analysis.subject.rounds),
        verdict: cell.verdict.as_str().to_owned(),
        ratio: cell.ratio.map(|ratio| RatioEntry {
            value: ratio.value,
            low: ratio.interval95.low,
            high: ratio.interval95.high,
            confidence: ratio.interval95.confidence,
        }),
        spread: cell.spread,
        rounds: cell.rounds,
        arm_value: cell.arm_typical.map(|typical| typical.median),
        reference_value: cell.reference_typical.map(|typical| typical.median),
    })
}

/// The machine in one line, as people tell machines apart.
fn machine(facts: &Facts) -> String {
    let hypervisor = facts
        .hypervisor
        .as_ref()
        .map_or_else(String::new, |name| format!(", {name}"));
    let cpus = if facts.cpus == 1 { "CPU" } else { "CPUs" };
    format!(
        "{}, {} {cpus}, kernel {}{hypervisor}",
        facts.cpu_model, facts.cpus, facts.kernel
    )
}

/// Returns a metric's name as it stands in JSON.
pub(super) fn key(metric: Metric) -> String {
    let value = serde_json::to_value(metric).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the metric of a name that [`key`] gave.
pub(super) fn metric(key: &str) -> Option<Metric> {
    let key: StrDeserializer<'_, ValueError> = key.into_deserializer();
    Metric::deserialize(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_by_its_key() {
        for known in Metric::ALL {
            assert_eq!(metric(&key(known)), Some(known));
        }
        assert_eq!(key(Metric::P999), "p99.9");
        assert_eq!(metric("p42"), None);
    }
}
