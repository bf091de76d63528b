//! The order of slices in a round: random, balanced, and the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::slice::{Slice, SliceKey, SliceRecord};

/// Returns the slices of a round in the order in which they are measured.
///
/// Workloads come in random order, each with all its arms back to back. Rounds come in pairs: the arms' order
/// of an even round is the reverse of the odd round before it, so over two rounds each arm ran as often
/// before as after each other one (statistics §2.2: half AB, half BA).
#[must_use]
pub fn round(plan: &Plan, round: u32) -> Vec<SliceKey> {
    by_workload(plan, round)
        .into_iter()
        .flat_map(|(workload, arms)| keys(round, workload, arms))
        .collect()
}

/// Returns the workloads of a round in their order, each with its arms in theirs.
fn by_workload(plan: &Plan, round: u32) -> Vec<(&Name, Vec<&Name>)> {
    let pair = u64::from(round.div_ceil(2));
    let mut workloads: Vec<&Name> = plan
        .workloads
        .iter()
        .map(|workload| &workload.name)
        .collect();
    workloads.shuffle(&mut random(plan.seed, Purpose::Workloads, u64::from(round)));
    let arms_of = |workload: &Name| {
        let mut arms: Vec<&Name> = plan
            .arms
            .iter()
            .filter(|arm| arm.workloads.contains(workload))
            .map(|arm| &arm.name)
            .collect();
        let index = plan
            .workloads
            .iter()
            .position(|known| known.name == *workload)
            .unwrap_or(0);
        arms.shuffle(&mut random(
            plan.seed,
            Purpose::Arms,
            pair << 16 | index as u64,
        ));
        if round.is_multiple_of(2) {
            arms.reverse();
        }
        arms
    };
    workloads
        .into_iter()
        .map(|workload| (workload, arms_of(workload)))
        .collect()
}

fn keys(round: u32, workload: &Name, arms: Vec<&Name>) -> impl Iterator<Item = SliceKey> {
    arms.into_iter().map(move |arm| SliceKey {
        round,
        workload: workload.clone(),
        arm: arm.clone(),
    })
}

/// Returns the slices of a round like [`round`], but so that every arm balances what it lacks: it comes before its
/// reference where it came after it more often in the rounds that count, and the other way round.
///
/// Who is compared with whom is a forest, so that all can have it at once. `slices` are those measured so far.
#[must_use]
pub fn balanced(
    plan: &Plan,
    number: u32,
    slices: &[Slice],
    counted: &BTreeSet<u32>,
) -> Vec<SliceKey> {
    let measured = orders(slices);
    let mut order = Vec::with_capacity(plan.slices_per_round());
    for (workload, mut arms) in by_workload(plan, number) {
        let lean = lean(plan, workload, &measured, counted);
        let first_and_then: Vec<(&Name, &Name)> = lean
            .into_iter()
            .map(|((arm, reference), lean)| match lean {
                ..0 => (arm, reference),
                0 if before(&arms, arm, reference) > 0 => (arm, reference),
                _ => (reference, arm),
            })
            .collect();
        let mut best = Vec::with_capacity(arms.len());
        while !arms.is_empty() {
            let may_come = |arm: &&Name| {
                let mut rules = first_and_then.iter();
                !rules.any(|(first, then)| then == arm && arms.contains(first))
            };
            let next = arms.iter().position(may_come).unwrap_or(0);
            best.push(arms.remove(next));
        }
        order.extend(keys(number, workload, best));
    }
    order
}

/// Returns whether over these rounds every arm ran before its reference as often as after it, but for one round.
#[must_use]
pub fn is_even(plan: &Plan, slices: &[Slice], rounds: &BTreeSet<u32>) -> bool {
    let measured = orders(slices);
    plan.workloads.iter().all(|workload| {
        let lean = lean(plan, &workload.name, &measured, rounds);
        lean.values().all(|lean| lean.abs() <= 1)
    })
}

/// The arms of each round and workload in the order in which they were measured.
type Orders<'a> = BTreeMap<(u32, &'a Name), Vec<&'a Name>>;

fn orders(slices: &[Slice]) -> Orders<'_> {
    let mut sorted: Vec<&SliceRecord> = slices.iter().map(|slice| &slice.record).collect();
    sorted.sort_by_key(|record| (record.key.round, record.position));
    let mut orders = Orders::new();
    for record in sorted {
        let key = (record.key.round, &record.key.workload);
        orders.entry(key).or_default().push(&record.key.arm);
    }
    orders
}

/// Returns for each arm and its reference how much oftener the arm came first.
fn lean<'a>(
    plan: &'a Plan,
    workload: &'a Name,
    measured: &Orders<'_>,
    rounds: &BTreeSet<u32>,
) -> BTreeMap<(&'a Name, &'a Name), i64> {
    let arms = plan
        .arms
        .iter()
        .filter(|arm| arm.workloads.contains(workload));
    let pairs = arms.filter_map(|arm| Some((&arm.name, arm.reference.as_ref()?)));
    pairs
        .map(|(arm, reference)| {
            let orders = rounds
                .iter()
                .filter_map(|round| measured.get(&(*round, workload)));
            let lean = orders.map(|order| before(order, arm, reference)).sum();
            ((arm, reference), lean)
        })
        .collect()
}

/// Returns 1 where an arm comes before its reference, -1 after it, 0 where one of them is missing.
fn before(order: &[&Name], arm: &Name, reference: &Name) -> i64 {
    let place = |name: &Name| order.iter().position(|other| *other == name);
    match (place(arm), place(reference)) {
        (Some(arm), Some(reference)) if arm < reference => 1,
        (Some(_), Some(_)) => -1,
        _ => 0,
    }
}

/// Returns the arms in the random order in which an install deploys them.
#[must_use]
pub fn deployment(plan: &Plan, install: u32) -> Vec<Name> {
    let mut arms: Vec<Name> = plan.arms.iter().map(|arm| arm.name.clone()).collect();
    arms.shuffle(&mut random(
        plan.seed,
        Purpose::Deployment,
        u64::from(install),
    ));
    arms
}

/// Returns the arms in the order in which an install has them one after the other: random, and every other install the
/// reverse of the one before, so that each arm comes first as often as last.
#[must_use]
pub fn block(plan: &Plan, install: u32) -> Vec<Name> {
    let mut arms = deployment(plan, install & !1);
    if install % 2 == 1 {
        arms.reverse();
    }
    arms
}

/// What a random choice is for: each has a stream of its own.
#[derive(Clone, Copy)]
enum Purpose {
    Workloads = 1,
    Arms = 2,
    Deployment = 3,
}

fn random(seed: u64, purpose: Purpose, index: u64) -> ChaCha12Rng {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    random.set_stream((purpose as u64) << 48 | index);
    random
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_results::outcome::Histograms;
    use tollgate_results::slice::SliceResult;

    use super::*;
    use crate::campaign::tests::plan;

    #[test]
    fn every_slice_comes_once_a_round() {
        let plan = plan();
        for number in 0..20 {
            let order = round(&plan, number);
            assert_eq!(order.len(), plan.slices_per_round());
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
        }
    }

    #[test]
    fn the_arms_of_a_workload_come_back_to_back() {
        let order = round(&plan(), 3);
        let mut runs: Vec<&Name> = order.iter().map(|key| &key.workload).collect();
        runs.dedup();
        assert_eq!(runs.len(), runs.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn over_two_rounds_each_arm_is_first_as_often_as_last() {
        let plan = plan();
        let place = |number: u32, workload: &Name, arm: &str| {
            let order = round(&plan, number);
            order
                .iter()
                .filter(|key| key.workload == *workload)
                .position(|key| key.arm.as_str() == arm)
        };
        for workload in &plan.workloads {
            for odd in (1..20).step_by(2) {
                let before = |number| {
                    place(number, &workload.name, "native") < place(number, &workload.name, "vxlan")
                };
                assert_ne!(before(odd), before(odd + 1), "rounds {odd} and {}", odd + 1);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_seed_another() {
        let plan = plan();
        let other = Plan {
            seed: plan.seed + 1,
            ..plan.clone()
        };
        let orders = |plan: &Plan| {
            (0..10)
                .map(|number| round(plan, number))
                .collect::<Vec<_>>()
        };
        assert_eq!(orders(&plan), orders(&plan));
        assert_ne!(orders(&plan), orders(&other));
    }

    /// Slices of a round in an order, as a journal has them.
    fn measured(order: Vec<SliceKey>) -> impl Iterator<Item = Slice> {
        order.into_iter().zip(0..).map(|(key, position)| Slice {
            record: SliceRecord {
                key,
                install: 0,
                position,
                started_unix_ms: 0,
                control_ns: None,
                result: SliceResult::Failed {
                    reason: String::new(),
                },
            },
            histograms: Histograms::new(),
        })
    }

    proptest! {
        /// Statistics §4.3: removing rounds by validity leaves orders balanced ±1, once they are replaced.
        #[test]
        fn replaced_rounds_leave_the_order_balanced(
            seed in 0_u64..1_000_000,
            planned in 6_u32..40,
            fates in prop::collection::vec(prop::bool::weighted(0.25), 60),
        ) {
            let plan = Plan { seed, ..plan() };
            let mut slices: Vec<Slice> = Vec::new();
            let mut kept = BTreeSet::new();
            let mut number = 0;
            while kept.len() < planned as usize && number < 60 {
                number += 1;
                let order = if number <= planned {
                    round(&plan, number)
                } else {
                    balanced(&plan, number, &slices, &kept)
                };
                slices.extend(measured(order));
                if !fates[number as usize - 1] {
                    kept.insert(number);
                }
            }
            if kept.len() == planned as usize {
                prop_assert!(is_even(&plan, &slices, &kept), "{kept:?}");
            }
        }
    }
}
