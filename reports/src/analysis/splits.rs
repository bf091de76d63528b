//! Whether a gateway splits requests as its weights say: the exact binomial intervals of [`crate::split`], and the latency
//! of each backend.

use std::collections::BTreeMap;

use tollgate_results::histogram::Histogram;
use tollgate_results::http::{Connections, HttpOutcome};
use tollgate_results::run::GatewayRun;
use tollgate_results::workload::{Traffic, Workload};

use super::context::Context;
use crate::model::{Answer, AnswerKind, BackendLatency, Splits};
use crate::split::{Group, Split, SplitVerdict, Weighted, judge};
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
    // A slice has one kept connection, whose requests may go together; on new ones every request is by itself.
    let mut groups: Vec<Group> = slices.iter().map(|http| group(&backends, http)).collect();
    if independent {
        groups = vec![together(&groups, backends.len())];
    }
    let split = judge(&backends, &groups, TOLERANCE).ok()?;
    Some(Splits {
        workload: workload.name.clone(),
        arm: gateway.arm.clone(),
        independent,
        split,
        latencies: latencies(&backends, &slices),
    })
}

/// Sorts a slice's responses by the backends that were declared.
fn group(backends: &[Weighted], http: &HttpOutcome) -> Group {
    let hits = backends
        .iter()
        .map(|backend| http.backends.get(&backend.name).copied().unwrap_or(0));
    let hits: Vec<u64> = hits.collect();
    let all = http.backends.values().sum::<u64>() + http.other_backends;
    Group {
        strangers: all.saturating_sub(hits.iter().sum()),
        hits,
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
    fn responses_are_sorted_by_backend_and_strangers_counted() {
        let one = group(&backends(), &http(90, 10, 3));
        assert_eq!((one.hits.clone(), one.strangers), (vec![10, 90], 3));
        let two = together(&[one, group(&backends(), &http(5, 0, 0))], 2);
        assert_eq!((two.hits, two.strangers), (vec![10, 95], 3));
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
        let good = sentence(&splits(&[group(&backends(), &http(3_600, 400, 0))]));
        assert!(
            good.starts_with("On new gateway splits requests as its weights say: canary 10.0 % [9.1, 11.0] of 10.0 %, stable 90.0 %"),
            "{good}"
        );
        assert!(
            good.ends_with("4,000 responses of 3,786 that ±1 percentage point wants."),
            "{good}"
        );
        let off = sentence(&splits(&[group(&backends(), &http(3_400, 600, 1))]));
        assert!(
            off.contains("does not split") && off.contains("1 were of nobody who was declared"),
            "{off}"
        );
        let pinned: Vec<Group> = (0..10)
            .map(|index| {
                group(
                    &backends(),
                    &if index == 0 {
                        http(0, 500, 0)
                    } else {
                        http(500, 0, 0)
                    },
                )
            })
            .collect();
        let kept = sentence(&splits(&pinned));
        assert!(
            kept.contains("too little")
                && kept.contains("of 10 connections, whose requests go together"),
            "{kept}"
        );
    }
}
