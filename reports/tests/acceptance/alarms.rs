//! S4 and S5: how often equal arms are told apart, and unequal ones called equivalent.

use tollgate_reports::model::Verdict;
use tollgate_reports::verdict::{Inference, Scale};

use crate::world::{Law, ROUNDS, World, accept, share, teeth};

/// Upward drift of the environment from slice to slice.
const DRIFT: f64 = 0.01;

#[derive(Clone, Copy)]
enum Order {
    /// Rounds in pairs of opposite random order, as a campaign measures them.
    Interleaved,
    /// All of one arm, then all of the other.
    OneAfterTheOther,
}

/// How often equal arms are told apart in a drifting environment with memory.
fn told_apart(seed: u64, memory: f64, order: Order) -> f64 {
    const CAMPAIGNS: usize = 2_000;
    let mut world = World::of(seed);
    let mut alarms = 0;
    for _ in 0..CAMPAIGNS {
        let mut environment = world.environment(memory, 0.08);
        let mut drift = 0.0;
        let slots: Vec<f64> = (0..2 * ROUNDS)
            .map(|_| {
                drift += DRIFT;
                drift + world.step(&mut environment) + 0.03 * world.noise(Law::Contaminated)
            })
            .collect();
        let mut reversed = false;
        let effects: Vec<f64> = (0..ROUNDS)
            .map(|round| match order {
                Order::OneAfterTheOther => slots[ROUNDS + round] - slots[round],
                Order::Interleaved => {
                    reversed = if round % 2 == 0 {
                        world.uniform() < 0.5
                    } else {
                        !reversed
                    };
                    let later = slots[2 * round + 1] - slots[2 * round];
                    if reversed { -later } else { later }
                }
            })
            .collect();
        let inference = Inference::of(&effects, Scale::Ratio).unwrap();
        // With a margin of next to nothing no equivalence hides an alarm.
        let verdict = inference.verdict(1e-9).0;
        alarms += usize::from(matches!(verdict, Verdict::Slower | Verdict::Faster));
    }
    share(alarms, CAMPAIGNS)
}

#[test]
fn s4_equal_arms_are_told_apart_as_often_as_promised() {
    for (seed, memory) in [(41, 0.0), (42, 0.5), (43, 0.9)] {
        let found = told_apart(seed, memory, Order::Interleaved);
        accept(&format!("S4 memory {memory}"), found, 0.0..=0.0665);
        let broken = told_apart(seed, memory, Order::OneAfterTheOther);
        teeth(
            &format!("S4 memory {memory}, AAAA BBBB"),
            broken,
            0.0..=0.20,
        );
    }
}

#[test]
fn s5_arms_that_differ_by_the_margin_are_rarely_called_equivalent() {
    const CAMPAIGNS: usize = 4_000;
    const MARGIN: f64 = 0.05;
    for (seed, spread) in [(51, 0.01), (52, 0.03)] {
        let mut world = World::of(seed);
        let (mut equivalent, mut not_told_apart) = (0, 0);
        for _ in 0..CAMPAIGNS {
            let effects = world.effects(10, 1.0 + MARGIN, spread);
            let inference = Inference::of(&effects, Scale::Ratio).unwrap();
            let verdict = inference.verdict(MARGIN).0;
            equivalent += usize::from(verdict == Verdict::Equivalent);
            not_told_apart += usize::from(inference.estimate().interval95.contains(1.0));
        }
        let found = share(equivalent, CAMPAIGNS);
        accept(
            &format!("S5 called equivalent at the margin, {spread}"),
            found,
            0.0..=0.062,
        );
        if spread > 0.02 {
            let broken = share(not_told_apart, CAMPAIGNS);
            teeth("S5 \"p > 0.05, so the same\"", broken, 0.0..=0.062);
        }
    }
}
