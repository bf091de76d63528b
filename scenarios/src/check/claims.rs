//! Claims: what they speak of must be there to be compared.

use std::collections::BTreeSet;

use tollgate_results::arm::{Arm, Name};
use tollgate_results::claim::{Claim, ClaimedChange, ClaimedPair};
use tollgate_results::metric::{Metric, all_metrics};
use tollgate_results::units::RelativeChange;
use tollgate_results::workload::Workload;

use super::{one_line, range};
use crate::document::Document;
use crate::fault::suggestion;
use crate::file::{ChangeTable, ClaimTable, File};

/// Most claims of a scenario: more than anybody reads.
const MOST_CLAIMS: usize = 32;

/// Most pairs of a claim: with more, even a dozen rounds could prove nothing.
const MOST_PAIRS: usize = 100;

/// Longest `about` of a claim, in characters: a sentence.
const LONGEST_ABOUT: usize = 200;

/// Changes that a claim may speak of: nothing falls by all of itself.
const CHANGES: (RelativeChange, RelativeChange) = (RelativeChange(-0.99), RelativeChange(100.0));

/// Checks all claims and returns them in the file's order.
pub(super) fn check(
    document: &mut Document<'_>,
    file: &File,
    arms: &[Arm],
    workloads: &[Workload],
) -> Vec<Claim> {
    let mut tables: Vec<(&Name, &ClaimTable)> = file.claim.iter().collect();
    tables.sort_by_key(|(name, _)| document.offset(&["claim", name.as_str()]));
    if tables.len() > MOST_CLAIMS {
        let message = format!("{} claims; at most {MOST_CLAIMS} are tested", tables.len());
        document.fault(&["claim"], message);
    }
    let mut claims = Vec::new();
    for (name, table) in tables {
        let checked = Checked {
            document,
            name,
            table,
        };
        claims.extend(checked.claim(arms, workloads));
    }
    claims
}

/// One `[claim.NAME]` under check.
struct Checked<'a, 'd> {
    document: &'a mut Document<'d>,
    name: &'a Name,
    table: &'a ClaimTable,
}

impl Checked<'_, '_> {
    fn claim(mut self, arms: &[Arm], workloads: &[Workload]) -> Option<Claim> {
        let about = self.about();
        let metric = self.metric();
        let change = self.change();
        let pairs = self.pairs(arms);
        let workloads = self.workloads(arms, workloads, &pairs, metric);
        Some(Claim {
            name: self.name.clone(),
            about: about?,
            metric: metric?,
            change: change?,
            workloads,
            pairs,
        })
    }

    /// Notes a fault of a key, unless that could not be read anyway.
    fn fault(&mut self, below: &[&str], message: impl Into<String>) {
        let path = [&["claim", self.name.as_str()], below].concat();
        if !self.document.is_broken(&path) {
            self.document.fault(&path, message);
        }
    }

    fn about(&mut self) -> Option<String> {
        let Some(about) = &self.table.about else {
            self.fault(
                &["about"],
                "is missing; write what people say, for example about = \"eBPF cuts latency by 20–30 %\"",
            );
            return None;
        };
        for fault in one_line(about, LONGEST_ABOUT, "what is claimed") {
            self.fault(&["about"], fault);
        }
        Some(about.clone())
    }

    fn metric(&mut self) -> Option<Metric> {
        let Some(metric) = self.table.metric else {
            self.fault(&["metric"], "is missing; write metric = \"p50\"");
            return None;
        };
        if metric == Metric::Loss {
            let message = "loss is compared in percentage points, not by a relative change; take another metric";
            self.fault(&["metric"], message);
        }
        if metric.is_of_generator() {
            let message =
                format!("{metric} tells of the generator, not of the path; take another metric");
            self.fault(&["metric"], message);
        }
        Some(metric)
    }

    fn change(&mut self) -> Option<ClaimedChange> {
        const EXAMPLE: &str = "change = { from = \"-30%\", to = \"-20%\" }";
        let Some(ChangeTable { from, to }) = self.table.change.clone() else {
            self.fault(&["change"], format!("is missing; write {EXAMPLE}"));
            return None;
        };
        for (key, end) in [("from", from), ("to", to)] {
            if let Some(fault) = end.and_then(|end| range(end, CHANGES)) {
                self.fault(&["change", key], fault);
            }
        }
        match (from, to) {
            (None, None) => {
                let message = format!("says nothing; write `from`, `to` or both: {EXAMPLE}");
                self.fault(&["change"], message);
            }
            (Some(from), Some(to)) if from > to => {
                let message = format!(
                    "nothing lies between {from} and {to}; write the smaller one first: \
                     change = {{ from = \"{to}\", to = \"{from}\" }}"
                );
                self.fault(&["change"], message);
            }
            (Some(from), Some(to)) if from >= to => {
                let message = format!(
                    "{from} alone is a point, which nothing can prove; write an interval: {EXAMPLE}"
                );
                self.fault(&["change"], message);
            }
            _ => {}
        }
        Some(ClaimedChange { from, to })
    }

    /// Returns the pairs of arms that there are, in the file's order.
    fn pairs(&mut self, arms: &[Arm]) -> Vec<ClaimedPair> {
        let mut against: Vec<(&Name, &Vec<Name>)> = self.table.against.iter().collect();
        let table = ["claim", self.name.as_str(), "against"];
        against.sort_by_key(|(arm, _)| {
            self.document
                .offset(&[&table[..], &[arm.as_str()]].concat())
        });
        if against.is_empty() {
            let message = "is missing; write against = { ARM = [\"BASELINE\"] } with the arms that are compared";
            self.fault(&["against"], message);
        }
        let mut pairs = Vec::new();
        for (arm, baselines) in against {
            let key = ["against", arm.as_str()];
            let known = self.known(&key, arms, arm);
            if baselines.is_empty() {
                self.fault(
                    &key,
                    "names no baseline; write at least one arm to compare it with",
                );
            }
            let mut seen = BTreeSet::new();
            for baseline in baselines {
                if baseline == arm {
                    let message = format!("`{baseline}` is compared with itself; name another arm");
                    self.fault(&key, message);
                } else if !seen.insert(baseline) {
                    self.fault(&key, format!("`{baseline}` is there twice"));
                } else if self.known(&key, arms, baseline) && known {
                    pairs.push(ClaimedPair {
                        arm: arm.clone(),
                        baseline: baseline.clone(),
                    });
                }
            }
        }
        if pairs.len() > MOST_PAIRS {
            let message = format!("{} pairs; at most {MOST_PAIRS} are tested", pairs.len());
            self.fault(&["against"], message);
        }
        pairs
    }

    /// Says whether there is an arm of this name, and notes where there is none.
    fn known(&mut self, key: &[&str], arms: &[Arm], name: &Name) -> bool {
        if find(arms, name).is_some() {
            return true;
        }
        let of_series = |arm: &&Arm| {
            arm.sweep
                .as_ref()
                .is_some_and(|sweep| sweep.series == *name)
        };
        let text = name.as_str();
        let table = text.split_once('@').map_or(text, |(series, _)| series);
        if let Some(level) = arms.iter().find(of_series) {
            let message = format!(
                "`{name}` is a sweep, and a claim compares single arms; name a level, for example `{}`",
                level.name
            );
            self.fault(key, message);
        } else if !self.document.has(&["arm", text]) && !self.document.is_broken(&["arm", table]) {
            let known = suggestion(text, arms.iter().map(|arm| arm.name.as_str()));
            self.fault(key, format!("no arm is named `{name}`{known}"));
        }
        false
    }

    /// Returns the workloads on which the claim is tested, in the file's order.
    fn workloads(
        &mut self,
        arms: &[Arm],
        all: &[Workload],
        pairs: &[ClaimedPair],
        metric: Option<Metric>,
    ) -> Vec<Name> {
        let measured = |workload: &Workload| {
            metric.is_none_or(|metric| all_metrics(workload).any(|known| known == metric))
        };
        let runs = |workload: &Workload| {
            pairs.iter().any(|pair| {
                [&pair.arm, &pair.baseline].into_iter().all(|name| {
                    find(arms, name).is_some_and(|arm| arm.workloads.contains(&workload.name))
                })
            })
        };
        let fitting: Vec<Name> = all
            .iter()
            .filter(|workload| measured(workload) && runs(workload))
            .map(|workload| workload.name.clone())
            .collect();
        let Some(own) = &self.table.workloads else {
            if let Some(metric) = metric.filter(|_| fitting.is_empty() && !pairs.is_empty()) {
                let message =
                    format!("no workload of these arms measures {metric}; take another metric");
                self.fault(&["metric"], message);
            }
            return fitting;
        };
        if own.is_empty() {
            let message = "names no workload; name one, or remove the key to take all";
            self.fault(&["workloads"], message);
        }
        let mut seen = BTreeSet::new();
        for name in own {
            if !seen.insert(name) {
                self.fault(&["workloads"], format!("`{name}` is there twice"));
                continue;
            }
            let Some(workload) = all.iter().find(|workload| workload.name == *name) else {
                if !self.document.has(&["workload", name.as_str()]) {
                    let known =
                        suggestion(name.as_str(), all.iter().map(|known| known.name.as_str()));
                    self.fault(
                        &["workloads"],
                        format!("no workload is named `{name}`{known}"),
                    );
                }
                continue;
            };
            if let Some(metric) = metric.filter(|_| !measured(workload)) {
                let message = format!(
                    "`{name}` doesn't measure {metric}; leave it out, or take another metric"
                );
                self.fault(&["workloads"], message);
            } else if !pairs.is_empty() && !runs(workload) {
                let message = format!("`{name}` runs on both arms of no pair; leave it out");
                self.fault(&["workloads"], message);
            }
        }
        fitting
            .into_iter()
            .filter(|name| own.contains(name))
            .collect()
    }
}

fn find<'a>(arms: &'a [Arm], name: &Name) -> Option<&'a Arm> {
    arms.iter().find(|arm| arm.name == *name)
}
