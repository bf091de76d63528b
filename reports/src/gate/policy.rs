//! What a gate demands.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::units::Share;

use crate::model::Metric;
use crate::stats::rounds::FEWEST;
use crate::stats::signed_rank::MOST_ROUNDS;
use crate::words;

/// What a gate demands: as people write it in `gate.toml`. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Version of this format: 1.
    pub schema: u32,
    /// How much worse than the reference is still let through, by metric: half of what must be caught. Metrics that are
    /// not named are not gated. A share of the reference's value; for loss, of all requests.
    pub margins: BTreeMap<Metric, Share>,
    /// Cells that are gated; none named: all those whose metric has a margin.
    pub cells: Vec<CellPolicy>,
    /// The stage that every cell goes through.
    #[serde(deserialize_with = "first")]
    #[schemars(with = "WrittenStage")]
    pub first: StagePolicy,
    /// The stage that cells go through which the first did not pass.
    #[serde(deserialize_with = "second")]
    #[schemars(with = "WrittenStage")]
    pub second: StagePolicy,
    /// Whether a second install of the reference is measured beside the arms: where that differs by as much as a margin,
    /// the gate is invalid. With one arm it takes half as long again.
    #[serde(skip_serializing_if = "is_false")]
    pub control: bool,
    /// What a cell counts for of which nothing was proved.
    pub on_inconclusive: OnInconclusive,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Cells that are gated. What is left out matches everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CellPolicy {
    /// The workload.
    pub workload: Option<Name>,
    /// The metric.
    pub metric: Option<Metric>,
    /// The arm.
    pub arm: Option<Name>,
    /// A margin for these cells alone.
    pub margin: Option<Share>,
}

/// What one stage has to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StagePolicy {
    /// Valid rounds, at least: 6 to 1,000.
    pub rounds: u32,
    /// Installs over which they are spread, at least: 1 to 100.
    pub installs: u32,
}

/// What one stage has to measure, as it is written: what is left out has the stage's default.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenStage {
    /// Valid rounds, at least: 6 to 1,000.
    rounds: Option<u32>,
    /// Installs over which they are spread, at least: 1 to 100.
    installs: Option<u32>,
}

impl WrittenStage {
    fn over(self, usual: StagePolicy) -> StagePolicy {
        StagePolicy {
            rounds: self.rounds.unwrap_or(usual.rounds),
            installs: self.installs.unwrap_or(usual.installs),
        }
    }
}

fn first<'de, D: Deserializer<'de>>(written: D) -> Result<StagePolicy, D::Error> {
    Ok(WrittenStage::deserialize(written)?.over(FIRST))
}

fn second<'de, D: Deserializer<'de>>(written: D) -> Result<StagePolicy, D::Error> {
    Ok(WrittenStage::deserialize(written)?.over(SECOND))
}

/// The first stage where a policy says nothing else (statistics §2.7).
const FIRST: StagePolicy = StagePolicy {
    rounds: 10,
    installs: 1,
};

/// The second: installs that differ by 2 % fail it falsely in 0.01 % of gates (statistics §2.7).
const SECOND: StagePolicy = StagePolicy {
    rounds: 20,
    installs: 4,
};

/// What an inconclusive cell counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// Nothing: exit code 0.
    Warn,
    /// Exit code 3.
    Fail,
}

impl Default for Policy {
    /// The defaults of statistics §2.7: of 12 cells on a typical machine, none of 4,000 clean gates failed.
    fn default() -> Self {
        let margins = [
            (Metric::P50, 0.05),
            (Metric::P90, 0.07),
            (Metric::P99, 0.10),
            (Metric::PlanP50, 0.05),
            (Metric::PlanP90, 0.07),
            (Metric::PlanP99, 0.10),
            (Metric::Throughput, 0.05),
            (Metric::Loss, 0.001),
        ];
        Self {
            schema: 1,
            margins: margins.map(|(metric, share)| (metric, Share(share))).into(),
            cells: Vec::new(),
            first: FIRST,
            second: SECOND,
            control: false,
            on_inconclusive: OnInconclusive::Warn,
        }
    }
}

/// Everything that is wrong with a policy, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// What is wrong, and how to mend it.
    pub faults: Vec<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl Policy {
    /// Checks what the types don't say.
    ///
    /// # Errors
    ///
    /// Names every fault at once.
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut faults = Vec::new();
        if self.schema != 1 {
            faults.push(format!("schema: {} is not known; write 1", self.schema));
        }
        for (key, stage) in [("first", self.first), ("second", self.second)] {
            faults.extend(stage.faults().map(|fault| format!("{key}.{fault}")));
        }
        for (metric, margin) in &self.margins {
            faults.extend(fault(*metric, *margin).map(|fault| format!("margins: {fault}")));
        }
        if self.margins.is_empty() && self.cells.iter().all(|cell| cell.margin.is_none()) {
            faults.push(
                "margins: none is left, so nothing is gated; name one, for example p50 = \"5%\""
                    .to_owned(),
            );
        }
        for (index, cell) in self.cells.iter().enumerate() {
            let fault = match (cell.metric, cell.margin) {
                (Some(metric), Some(margin)) => fault(metric, margin),
                (Some(metric), None) if !self.margins.contains_key(&metric) => Some(format!(
                    "{metric} has no margin; add one here or in [margins]"
                )),
                (None, Some(_)) => {
                    Some("a margin needs a metric beside it; add metric = \"p50\"".to_owned())
                }
                _ => None,
            };
            faults.extend(fault.map(|fault| format!("cells, number {}: {fault}", index + 1)));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(PolicyError { faults })
        }
    }

    /// Returns the margin of a cell, and which entry of `cells` named it; `None` where it is not gated.
    pub(crate) fn demand(
        &self,
        workload: &Name,
        metric: Metric,
        arm: &Name,
    ) -> Option<(f64, Option<usize>)> {
        let usual = self.margins.get(&metric).map(|share| share.0);
        if self.cells.is_empty() {
            return Some((usual?, None));
        }
        let (index, cell) = self.cells.iter().enumerate().find(|(_, cell)| {
            cell.workload.as_ref().is_none_or(|named| named == workload)
                && cell.metric.is_none_or(|named| named == metric)
                && cell.arm.as_ref().is_none_or(|named| named == arm)
        })?;
        let margin = cell.margin.map(|share| share.0).or(usual)?;
        Some((margin, Some(index)))
    }
}

impl StagePolicy {
    fn faults(self) -> impl Iterator<Item = String> {
        let rounds = usize::try_from(self.rounds).unwrap_or(usize::MAX);
        let few = (!(FEWEST..=MOST_ROUNDS).contains(&rounds)).then(|| {
            format!(
                "rounds: {} is not in {FEWEST} to {}: fewer have no interval",
                self.rounds,
                words::count(MOST_ROUNDS as u64)
            )
        });
        let installs =
            (!(1..=100).contains(&self.installs) || self.installs > self.rounds).then(|| {
                format!(
                    "installs: {} is not in 1 to 100, at most one a round",
                    self.installs
                )
            });
        few.into_iter().chain(installs)
    }
}

fn fault(metric: Metric, margin: Share) -> Option<String> {
    if metric.is_far_tail() {
        return Some(
            "p99.9 is reported, not gated: a slice has too few samples beyond it; gate p99"
                .to_owned(),
        );
    }
    if metric.is_of_generator() {
        return Some(format!(
            "{metric} tells of the probe, not of the path: it is reported, not gated"
        ));
    }
    let allowed = match metric {
        Metric::Loss => 0.000_01..=0.5,
        _ => 0.001..=0.5,
    };
    (!allowed.contains(&margin.0)).then(|| {
        let (low, high) = (Share(*allowed.start()), Share(*allowed.end()));
        format!("{metric} = {margin} is not in {low} to {high}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn an_empty_file_is_the_default_and_the_default_is_sound() {
        let read: Policy = serde_json::from_str("{}").unwrap();
        assert_eq!(read, Policy::default());
        assert_eq!(read.check(), Ok(()));
        let text = serde_json::to_string(&read).unwrap();
        assert!(
            text.contains("\"p50\":\"5%\"") && text.contains("\"loss\":\"0.1%\""),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), read);
    }

    #[test]
    fn a_stage_that_says_one_thing_has_the_default_of_the_other() {
        let read: Policy =
            serde_json::from_str(r#"{"first": {"rounds": 12}, "second": {"installs": 6}}"#)
                .unwrap();
        assert_eq!((read.first.rounds, read.first.installs), (12, 1));
        assert_eq!((read.second.rounds, read.second.installs), (20, 6));
        let unknown = serde_json::from_str::<Policy>(r#"{"first": {"round": 12}}"#);
        assert!(
            unknown
                .unwrap_err()
                .to_string()
                .contains("unknown field `round`")
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = r#"{"schema": 2, "first": {"rounds": 5, "installs": 1}, "second": {"rounds": 20, "installs": 0},
            "margins": {"p99.9": "10%", "p50": "80%"}, "cells": [{"metric": "rate"}, {"margin": "3%"}]}"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        let faults = policy.check().unwrap_err().faults;
        let starts = [
            "schema: 2",
            "first.rounds: 5",
            "second.installs: 0",
            "margins: p50 = 80% is not in 0.1% to 50%",
            "margins: p99.9",
            "cells, number 1: rate has no margin",
            "cells, number 2: a margin needs",
        ];
        assert_eq!(faults.len(), starts.len(), "{faults:#?}");
        for (fault, start) in faults.iter().zip(starts) {
            assert!(fault.starts_with(start), "{fault}");
        }
        assert!(serde_json::from_str::<Policy>(r#"{"margin": {}}"#).is_err());
    }

    #[test]
    fn the_first_cell_that_matches_has_the_margin() {
        let cells = vec![
            CellPolicy {
                workload: Some(name("rr")),
                metric: Some(Metric::P50),
                margin: Some(Share(0.02)),
                ..CellPolicy::default()
            },
            CellPolicy {
                arm: Some(name("new")),
                ..CellPolicy::default()
            },
        ];
        let policy = Policy {
            cells,
            ..Policy::default()
        };
        let demand = |workload, metric, arm| policy.demand(&name(workload), metric, &name(arm));
        assert_eq!(demand("rr", Metric::P50, "new"), Some((0.02, Some(0))));
        assert_eq!(demand("crr", Metric::P50, "new"), Some((0.05, Some(1))));
        assert_eq!(demand("crr", Metric::Rate, "new"), None);
        assert_eq!(demand("crr", Metric::P50, "old"), None);
        let all = Policy::default();
        assert_eq!(
            all.demand(&name("rr"), Metric::P99, &name("x")),
            Some((0.1, None))
        );
    }
}
