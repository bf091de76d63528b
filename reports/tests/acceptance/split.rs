//! S13: how often a weighted split is accepted that is declared, and one that isn't.

use tollgate_reports::split::{Group, Split, SplitVerdict, Weighted, judge, needed};

use crate::world::{World, accept, share, teeth, tell};

const TOLERANCE: f64 = 0.01;

fn declared() -> [Weighted; 2] {
    [("stable", 90), ("canary", 10)].map(|(name, weight)| Weighted {
        name: name.to_owned(),
        weight,
    })
}

/// Requests of which each goes to the first backend with probability `first`, over connections of `each` that
/// stay with their backend.
fn sent(world: &mut World, first: f64, connections: u64, each: u64) -> Split {
    let groups: Vec<Group> = (0..connections)
        .map(|_| {
            let hits = if world.uniform() < first {
                [each, 0]
            } else {
                [0, each]
            };
            Group {
                hits: hits.to_vec(),
                strangers: 0,
            }
        })
        .collect();
    judge(&declared(), &groups, TOLERANCE).unwrap()
}

/// How often a true split gets a verdict.
fn told(seed: u64, first: f64, connections: u64, each: u64, verdict: SplitVerdict) -> f64 {
    const CAMPAIGNS: usize = 2_000;
    let mut world = World::of(seed);
    let told =
        (0..CAMPAIGNS).filter(|_| sent(&mut world, first, connections, each).verdict == verdict);
    share(told.count(), CAMPAIGNS)
}

/// The rule of the Gateway API's conformance test: 500 requests, ±5 points, up to ten tries.
fn conforms(world: &mut World, first: f64) -> bool {
    (0..10).any(|_| {
        let hits = (0..500).filter(|_| world.uniform() < first).count();
        (share(hits, 500) - 0.9).abs() <= 0.05
    })
}

#[test]
fn s13_a_weighted_split_is_told_from_another() {
    let requests = needed(&declared(), TOLERANCE).unwrap();
    let good = told(131, 0.90, requests, 1, SplitVerdict::AsDeclared);
    accept("S13 true 90/10 accepted", good, 0.93..=1.0);
    let bad = told(132, 0.85, requests, 1, SplitVerdict::Off);
    accept("S13 true 85/15 refused", bad, 0.99..=1.0);
    tell(
        "S13 true 88/12 refused",
        told(133, 0.88, requests, 1, SplitVerdict::Off),
    );
    let mut world = World::of(134);
    let refused = (0..2_000).filter(|_| !conforms(&mut world, 0.85)).count();
    teeth(
        "S13 85/15 refused by ten tries within 5 points",
        share(refused, 2_000),
        0.99..=1.0,
    );
}

/// Kept connections: as many requests, over 40 connections that stay with their backend.
#[test]
fn s13_kept_connections_are_clustered_and_refuse_no_true_split() {
    let requests = needed(&declared(), TOLERANCE).unwrap();
    let (connections, each) = (40, requests.div_ceil(40));
    let false_off = told(135, 0.90, connections, each, SplitVerdict::Off);
    accept(
        "S13 true 90/10 over kept connections refused",
        false_off,
        0.0..=0.05,
    );
    let accepted = told(136, 0.90, connections, each, SplitVerdict::AsDeclared);
    accept(
        "S13 40 kept connections taken for enough",
        accepted,
        0.0..=0.0,
    );
    let mut world = World::of(137);
    let naive = (0..2_000)
        .filter(|_| {
            let split = sent(&mut world, 0.90, connections, each);
            let hits = split.shares.iter().map(|share| share.hits).collect();
            let all = [Group { hits, strangers: 0 }];
            judge(&declared(), &all, TOLERANCE).unwrap().verdict == SplitVerdict::Off
        })
        .count();
    teeth(
        "S13 the same, every request for itself",
        share(naive, 2_000),
        0.0..=0.05,
    );
}
