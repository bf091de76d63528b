//! What is made of splits that are known.

use super::*;

fn weights(weights: &[u64]) -> Vec<Weighted> {
    let named = |(index, &weight): (usize, &u64)| Weighted {
        name: format!("v{}", index + 1),
        weight,
    };
    weights.iter().enumerate().map(named).collect()
}

fn group(hits: &[u64]) -> Group {
    Group {
        hits: hits.to_vec(),
        strangers: 0,
    }
}

#[test]
fn as_many_requests_as_the_tolerance_wants_and_not_one_more() {
    let backends = weights(&[90, 10]);
    // 1.96² · 0.9 · 0.1 / 0.01² = 3,458 by the normal approximation (datapaths §7).
    let n = needed(&backends, 0.01).unwrap();
    assert!((3_780..3_800).contains(&n), "{n}");
    let hits = |n: u64| (n + 5) / 10;
    let (low, high) = binomial::bounds(hits(n), n, 0.025);
    assert!(0.1 - low < 0.0102 && high - 0.1 < 0.0102, "{low} {high}");
    assert!(precision(0.1, n - 1, 0.025) > 0.01 && precision(0.1, n, 0.025) <= 0.01);
    let finer = needed(&backends, 0.005).unwrap();
    assert!((14_200..14_700).contains(&finer), "{finer}");
    assert!(
        needed(&weights(&[1, 1]), 0.01).unwrap() > n,
        "an even split wants most"
    );
    assert!(needed(&weights(&[5, 3, 2]), 0.01).unwrap() > needed(&weights(&[5, 5]), 0.01).unwrap());
}

#[test]
fn a_split_that_is_declared_is_accepted_and_another_refused() {
    let backends = weights(&[90, 10]);
    let good = judge(&backends, &[group(&[3_600, 400])], 0.01).unwrap();
    assert_eq!(good.verdict, SplitVerdict::AsDeclared);
    assert_eq!((good.requests, good.clustered), (4_000, None));
    assert!(good.shares[0].low < 0.9 && 0.9 < good.shares[0].high);
    let bad = judge(&backends, &[group(&[3_400, 600])], 0.01).unwrap();
    assert_eq!(bad.verdict, SplitVerdict::Off);
    assert!(bad.shares.iter().all(|share| share.off));
    let few = judge(&backends, &[group(&[90, 10])], 0.01).unwrap();
    assert_eq!(few.verdict, SplitVerdict::Insufficient);
    let none = judge(&backends, &[], 0.01).unwrap();
    assert_eq!(none.verdict, SplitVerdict::Insufficient);
    // A hundred requests are enough to see that all go to the wrong one.
    let wrong = judge(&backends, &[group(&[10, 90])], 0.01).unwrap();
    assert_eq!(wrong.verdict, SplitVerdict::Off);
}

#[test]
fn a_deviation_that_is_proved_to_be_small_is_no_fault() {
    let backends = weights(&[90, 10]);
    let split = judge(&backends, &[group(&[9_020_000, 980_000])], 0.01).unwrap();
    assert!(split.shares[0].low > 0.9, "0.2 points off, and surely so");
    assert_eq!(split.verdict, SplitVerdict::AsDeclared);
}

#[test]
fn a_backend_without_weight_gets_nothing_and_strangers_are_no_backends() {
    let backends = weights(&[7, 3, 0]);
    let clean = group(&[70_000, 30_000, 0]);
    let split = judge(&backends, std::slice::from_ref(&clean), 0.01).unwrap();
    assert_eq!(split.verdict, SplitVerdict::AsDeclared);
    let one = judge(&backends, &[group(&[70_000, 30_000, 1])], 0.01).unwrap();
    assert_eq!(one.verdict, SplitVerdict::Off);
    assert!(one.shares[2].off && !one.shares[0].off);
    let stranger = Group {
        strangers: 1,
        ..clean
    };
    let split = judge(&backends, &[stranger], 0.01).unwrap();
    assert_eq!(split.verdict, SplitVerdict::Off);
}

#[test]
fn kept_connections_that_stay_with_their_backend_count_once_each() {
    let backends = weights(&[90, 10]);
    // 40 connections of 100 requests, pinned: 36 to the one, 4 to the other.
    let groups: Vec<Group> = (0..40)
        .map(|index| {
            if index % 10 == 9 {
                group(&[0, 100])
            } else {
                group(&[100, 0])
            }
        })
        .collect();
    let split = judge(&backends, &groups, 0.01).unwrap();
    let clustered = split.clustered.unwrap();
    assert_eq!(clustered.groups, 40);
    assert!(
        (clustered.design_effect - 100.0).abs() < 5.0,
        "{clustered:?}"
    );
    assert!((split.effective - 40.0).abs() < 2.0, "{}", split.effective);
    assert_eq!(split.verdict, SplitVerdict::Insufficient);
    let (low, high) = (split.shares[0].low, split.shares[0].high);
    let (alone_low, alone_high) = binomial::bounds(36, 40, 0.025);
    assert!(
        (low - alone_low).abs() < 0.01 && (high - alone_high).abs() < 0.01,
        "{low} {high}"
    );
}

#[test]
fn kept_connections_that_all_met_one_backend_prove_little() {
    let groups = vec![group(&[100, 0]); 20];
    let split = judge(&weights(&[90, 10]), &groups, 0.01).unwrap();
    assert_eq!(split.verdict, SplitVerdict::Insufficient, "0.9^20 is 12 %");
    assert!((split.effective - 20.0).abs() < 1e-9);
}

#[test]
fn connections_whose_requests_are_spread_count_in_full() {
    let backends = weights(&[90, 10]);
    let groups: Vec<Group> = (0..40)
        .map(|index| group(&[90 + index % 3 - 1, 11 - index % 3]))
        .collect();
    let split = judge(&backends, &groups, 0.01).unwrap();
    assert_eq!(split.clustered, None);
    assert_eq!(split.verdict, SplitVerdict::AsDeclared);
    // One request each: what new connections are.
    let each: Vec<Group> = (0..4_000)
        .map(|index| {
            if index % 10 == 0 {
                group(&[0, 1])
            } else {
                group(&[1, 0])
            }
        })
        .collect();
    let split = judge(&backends, &each, 0.01).unwrap();
    assert_eq!(
        (split.clustered, split.verdict),
        (None, SplitVerdict::AsDeclared)
    );
}

#[test]
fn bad_input_is_refused() {
    let good = weights(&[9, 1]);
    for (backends, tolerance) in [
        (weights(&[1]), 0.01),
        (weights(&[0, 0]), 0.01),
        (weights(&[1, LARGEST_WEIGHT + 1]), 0.01),
        (weights(&[1, u64::MAX]), 0.01),
        (weights(&vec![1; MOST_BACKENDS + 1]), 0.01),
        (good.clone(), 0.0),
        (good.clone(), -1.0),
        (good.clone(), f64::NAN),
        (good.clone(), 0.6),
        (good.clone(), 0.000_09),
    ] {
        assert!(needed(&backends, tolerance).is_err());
        assert!(judge(&backends, &[], tolerance).is_err());
    }
    assert_eq!(
        judge(&good, &[group(&[1])], 0.01),
        Err(SplitError::Counts(1))
    );
    assert!(needed(&weights(&[LARGEST_WEIGHT, 1]), 0.000_1).unwrap() < MOST_REQUESTS);
    assert!(needed(&weights(&[1, 1]), 0.000_1).unwrap() < 100_000_000);
}
