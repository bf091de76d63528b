//! The order of slices in a round: random, balanced, and the same for the same seed.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::slice::SliceKey;

/// Returns the slices of a round in the order in which they are measured.
///
/// Workloads come in random order, each with all its arms back to back. Rounds come in pairs: the arms' order
/// of an even round is the reverse of the odd round before it, so over two rounds each arm ran as often
/// before as after each other one (statistics §2.2: half AB, half BA).
#[must_use]
pub fn round(plan: &Plan, round: u32) -> Vec<SliceKey> {
    let pair = u64::from(round.div_ceil(2));
    let mut order = Vec::with_capacity(plan.slices_per_round());
    let mut workloads: Vec<&Name> = plan
        .workloads
        .iter()
        .map(|workload| &workload.name)
        .collect();
    workloads.shuffle(&mut random(plan.seed, Purpose::Workloads, u64::from(round)));
    for workload in workloads {
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
        order.extend(arms.into_iter().map(|arm| SliceKey {
            round,
            workload: workload.clone(),
            arm: arm.clone(),
        }));
    }
    order
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
    use std::collections::BTreeSet;

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
}
