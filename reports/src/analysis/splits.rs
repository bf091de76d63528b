//! Whether a gateway splits requests as its weights say: the exact binomial intervals of [`crate::split`], and the latency
//! of each backend.

use std::collections::BTreeMap;

use tollgate_results::histogram::Histogram;
use tollgate_results::http::{Connections, HttpOutcome};
use tollgate_results::run::GatewayRun;
use tollgate_results::workload::{Traffic, Workload};

use super::context::Context;
use crate::model::{Answer, AnswerKind, BackendLatency, Splits};
use crate::split::{Group, Split, SplitVerdict, Weighted, groups, judge};
use crate::words;

/// How far a share may be off unseen: one percentage point.
const TOLERANCE: f64 = 0.01;

/// Judges the split of each HTTP workload, where the campaign has a gateway.
pub(crate) fn all(context: &Context<'_>) -> Vec<Splits> {
    let run = &context.campaign.run;
    let gateway = run
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.gateway.as_ref());
    let Some(gateway) = gateway.filter(|gateway| run.plan.arm(&gateway.arm).is_some()) else {
        return Vec::new();
    };
    let workloads = run.plan.workloads.iter();
    workloads
        .filter_map(|workload| of(context, gateway, workload))
        .collect()
}

fn of(context: &Context<'_>, gateway: &GatewayRun, workload: &Workload) -> Option<Splits> {
    let Traffic::Http(http) = &workload.traffic else {
        return None;
    };
    let independent = http.connections == Connections::New;
    let backends: Vec<Weighted> = gateway
        .weights
        .iter()
        .map(|(name, weight)| Weighted {
            name: name.to_string(),
            weight: u64::from(*weight),
        })
        .collect();
    let slices: Vec<&HttpOutcome> = context
        .kept(&workload.name, &gateway.arm)
        .filter_map(|(_, observation)| observation.measured.outcome.http.as_ref())
        .collect();
    let grouped = grouped(&backends, &slices, independent);
    let split = judge(&backends, &grouped, TOLERANCE).ok()?;
    Some(Splits {
        workload: workload.name.clone(),
        arm: gateway.arm.clone(),
        independent,
        split,
        latencies: latencies(&backends, &slices),
    })
}

/// Groups the responses of all slices. Those of a kept connection may go together; on new ones every request is by itself.
fn grouped(backends: &[Weighted], slices: &[&HttpOutcome], independent: bool) -> Vec<Group> {
    let each = slices.iter().flat_map(|http| groups(backends, http));
    let each: Vec<Group> = each.collect();
    if independent {
        vec![together(&each, backends.len())]
    } else {
        each
    }
}

fn together(groups: &[Group], backends: usize) -> Group {
    let mut sum = Group {
        hits: vec![0; backends],
        strangers: 0,
    };
    for group in groups {
        for (hits, more) in sum.hits.iter_mut().zip(&group.hits) {
            *hits += more;
        }
        sum.strangers += group.strangers;
    }
    sum
}

/// Takes percentiles last, over all slices together.
fn latencies(backends: &[Weighted], slices: &[&HttpOutcome]) -> Vec<BackendLatency> {
    let mut pooled: BTreeMap<&str, Histogram> = BTreeMap::new();
    for http in slices {
        for (name, packed) in &http.latencies {
            if let Some(more) = packed.unpacked() {
                pooled.entry(name.as_str()).or_default().merge(&more);
            }
        }
    }
    let told = backends.iter().filter_map(|backend| {
        let histogram = pooled.get(backend.name.as_str())?;
        Some(BackendLatency {
            name: backend.name.clone(),
            replies: histogram.len(),
            p50_ns: histogram.quantile_of_sent(0.5, 0)?,
            p99_ns: histogram.quantile_of_sent(0.99, 0)?,
        })
    });
    told.collect()
}

/// Says the verdicts, those on new connections first: they decide.
pub(crate) fn answers(splits: &[Splits]) -> Vec<Answer> {
    let (independent, kept): (Vec<&Splits>, Vec<&Splits>) =
        splits.iter().partition(|splits| splits.independent);
    let told = independent.into_iter().chain(kept);
    told.map(|splits| Answer {
        kind: AnswerKind::Split(splits.split.verdict),
        text: sentence(splits),
        workload: Some(splits.workload.clone()),
        metric: None,
        arm: Some(splits.arm.clone()),
    })
    .collect()
}

fn sentence(splits: &Splits) -> String {
    let Splits {
        workload,
        arm,
        split,
        ..
    } = splits;
    let shares: Vec<String> = split
        .shares
        .iter()
        .map(|share| {
            format!(
                "{} {:.1} % [{:.1}, {:.1}] of {:.1} %",
                share.name,
                share.seen * 100.0,
                share.low * 100.0,
                share.high * 100.0,
                share.declared * 100.0
            )
        })
        .collect();
    let shares = shares.join(", ");
    let verdict = match split.verdict {
        SplitVerdict::AsDeclared => "splits requests as its weights say",
        SplitVerdict::Off => "does not split requests as its weights say",
        SplitVerdict::Insufficient => "was sent too little to judge its split",
    };
    format!("On {workload} {arm} {verdict}: {shares}; {}.", worth(split))
}

/// Says how many requests there were, and what they are worth.
fn worth(split: &Split) -> String {
    let requests = words::count(split.requests);
    let needed = words::count(split.needed);
    let mut text = format!("{requests} responses of {needed} that ±1 percentage point wants");
    if let Some(clustering) = split.clustered {
        text = format!(
            "{requests} responses of {} connections, whose requests go together, are worth {:.0} of {needed} that ±1 \
             percentage point wants",
            clustering.groups, split.effective
        );
    }
    if split.strangers > 0 {
        let strangers = words::count(split.strangers);
        text = format!("{text}; {strangers} were of nobody who was declared");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(stable: u64, canary: u64, stranger: u64) -> HttpOutcome {
        let named = [("stable", stable), ("canary", canary), ("old", stranger)];
        HttpOutcome {
            backends: named
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            ..HttpOutcome::default()
        }
    }

    fn backends() -> Vec<Weighted> {
        [("canary", 10), ("stable", 90)]
            .map(|(name, weight)| Weighted {
                name: name.to_owned(),
                weight,
            })
            .to_vec()
    }

    #[test]
    fn independent_responses_are_put_together_and_strangers_counted() {
        let slices = [&http(90, 10, 3), &http(5, 0, 0)];
        let all = grouped(&backends(), &slices, true);
        let expected = Group {
            hits: vec![10, 95],
            strangers: 3,
        };
        assert_eq!(all, [expected]);
        assert_eq!(grouped(&backends(), &slices, false).len(), 2);
    }

    #[test]
    fn kept_connections_of_one_slice_are_judged_one_by_one() {
        let connection = |name: &str| [(name.to_owned(), 100)].into();
        let mut slice = http(3_600, 400, 0);
        let together = grouped(&backends(), &[&slice], false);
        let together = judge(&backends(), &together, TOLERANCE).unwrap();
        assert_eq!(together.verdict, SplitVerdict::AsDeclared);
        // 40 connections of 100 requests, each of which stays with its backend.
        slice.by_connection = vec![connection("stable"); 36];
        slice.by_connection.extend(vec![connection("canary"); 4]);
        let apart = grouped(&backends(), &[&slice], false);
        let apart = judge(&backends(), &apart, TOLERANCE).unwrap();
        assert_eq!(apart.verdict, SplitVerdict::Insufficient);
        assert_eq!(apart.clustered.unwrap().groups, 40);
    }

    #[test]
    fn sentences_say_shares_intervals_and_what_was_sent() {
        let splits = |groups: &[Group]| Splits {
            workload: "new".parse().unwrap(),
            arm: "gateway".parse().unwrap(),
            independent: true,
            split: judge(&backends(), groups, TOLERANCE).unwrap(),
            latencies: Vec::new(),
        };
        let good = sentence(&splits(&groups(&backends(), &http(3_600, 400, 0))));
        assert!(
            good.starts_with("On new gateway splits requests as its weights say: canary 10.0 % [9.1, 11.0] of 10.0 %, stable 90.0 %"),
            "{good}"
        );
        assert!(
            good.ends_with("4,000 responses of 3,786 that ±1 percentage point wants."),
            "{good}"
        );
        let off = sentence(&splits(&groups(&backends(), &http(3_400, 600, 1))));
        assert!(
            off.contains("does not split") && off.contains("1 were of nobody who was declared"),
            "{off}"
        );
        let slices: Vec<HttpOutcome> = (0..10)
            .map(|index| {
                if index == 0 {
                    http(0, 500, 0)
                } else {
                    http(500, 0, 0)
                }
            })
            .collect();
        let slices: Vec<&HttpOutcome> = slices.iter().collect();
        let pinned = grouped(&backends(), &slices, false);
        let kept = sentence(&splits(&pinned));
        assert!(
            kept.contains("too little")
                && kept.contains("of 10 connections, whose requests go together"),
            "{kept}"
        );
    }
}
