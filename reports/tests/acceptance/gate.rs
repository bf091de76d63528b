//! S6 to S9: the two errors of the gate, and what it finds.

use tollgate_reports::gate::{Finding, LOOKS, Ruling, find, judge, looks};
use tollgate_reports::verdict::{Inference, Scale};

use crate::world::{Law, World, accept, share, teeth, tell};

const RUNS: usize = 4_000;

/// A cell: margin, and spread of a round on a typical machine.
#[derive(Clone, Copy)]
struct Cell {
    margin: f64,
    spread: f64,
}

const P50: Cell = Cell {
    margin: 0.05,
    spread: 0.03,
};
const P99: Cell = Cell {
    margin: 0.10,
    spread: 0.08,
};
const THROUGHPUT: Cell = P50;

/// Measures and judges both stages of a cell; the second only where the first did not pass.
fn gate(world: &mut World, cell: Cell, theta: f64) -> (Finding, Ruling) {
    let mut stage = |rounds: usize| {
        let effects = world.effects(rounds, theta, cell.spread);
        find(&effects, Scale::Ratio, cell.margin)
    };
    let first = stage(10);
    let second = (first != Finding::Pass).then(|| stage(20));
    (first, judge(first, second))
}

fn rate(seed: u64, cell: Cell, theta: f64, ruling: Ruling) -> f64 {
    let mut world = World::of(seed);
    let hits = (0..RUNS).filter(|_| gate(&mut world, cell, theta).1 == ruling);
    share(hits.count(), RUNS)
}

#[test]
fn s6_twelve_cells_on_a_typical_machine() {
    let cells = [[P50; 4], [P99; 4], [THROUGHPUT; 4]].concat();
    let mut world = World::of(61);
    let (mut failed, mut suspected, mut passed) = (0, 0, 0);
    for _ in 0..RUNS {
        let rulings: Vec<_> = cells
            .iter()
            .map(|&cell| gate(&mut world, cell, 1.0))
            .collect();
        failed += usize::from(rulings.iter().any(|(_, ruling)| *ruling == Ruling::Fail));
        suspected += usize::from(rulings.iter().any(|(first, _)| *first == Finding::Suspect));
        passed += usize::from(rulings.iter().all(|(_, ruling)| *ruling == Ruling::Pass));
    }
    let few = 0.0..=share(3, RUNS);
    accept(
        "S6 clean runs with a false FAIL",
        share(failed, RUNS),
        few.clone(),
    );
    teeth("S6 the same with one stage", share(suspected, RUNS), few);
    accept(
        "S6 clean runs that PASS all 12 cells",
        share(passed, RUNS),
        0.93..=1.0,
    );
    accept(
        "S6 +10 % p50 FAILs",
        rate(62, P50, 1.10, Ruling::Fail),
        0.94..=1.0,
    );
    accept(
        "S6 +20 % p99 FAILs",
        rate(63, P99, 1.20, Ruling::Fail),
        0.88..=1.0,
    );
    accept(
        "S6 exactly the margin PASSes",
        rate(64, P50, 1.05, Ruling::Pass),
        0.0..=0.062,
    );
}

#[test]
fn s6_teeth_a_gate_on_the_estimate_alone() {
    let mut world = World::of(65);
    let misled = (0..RUNS).filter(|_| {
        let effects = world.effects(3, 1.0, 0.08);
        effects.iter().sum::<f64>() / 3.0 > f64::ln_1p(0.10)
    });
    teeth(
        "S6 mean of 3 samples against 10 %",
        share(misled.count(), RUNS),
        0.0..=share(3, RUNS),
    );
}

#[test]
fn s7_a_margin_of_half_of_what_must_be_caught() {
    for (seed, spread, least) in [(71, 0.01, 0.99), (72, 0.02, 0.905), (73, 0.03, 0.80)] {
        let cell = Cell {
            margin: 0.025,
            spread,
        };
        let found = rate(seed, cell, 1.05, Ruling::Fail);
        accept(
            &format!("S7 +5 % FAILs, spread {spread}"),
            found,
            least..=1.0,
        );
        let false_alarms = rate(seed + 10, cell, 1.0, Ruling::Fail);
        accept(
            &format!("S7 clean FAILs, spread {spread}"),
            false_alarms,
            0.0..=share(3, RUNS),
        );
        let clean = rate(seed + 20, cell, 1.0, Ruling::Pass);
        if spread <= 0.02 {
            accept(
                &format!("S7 clean PASSes, spread {spread}"),
                clean,
                0.98..=1.0,
            );
        } else {
            tell(&format!("S7 clean PASSes, spread {spread}"), clean);
        }
        // A margin of what must be caught stands on the line.
        let wide = Cell {
            margin: 0.05,
            spread,
        };
        teeth(
            "S7 the same with a margin of 5 %",
            rate(seed + 30, wide, 1.05, Ruling::Fail),
            least..=1.0,
        );
    }
}

/// How often equal arms FAIL whose installs differ by 2 %; `fresh` installs in the second stage, 0 for that of the first.
fn lucky(seed: u64, fresh: usize) -> f64 {
    let mut world = World::of(seed);
    let failed = (0..RUNS).filter(|_| {
        let luck = |world: &mut World| 0.02 * (world.normal() - world.normal());
        let first_luck = luck(&mut world);
        let stage = |world: &mut World, rounds: usize, lucks: &[f64]| {
            let effects: Vec<f64> = (0..rounds)
                .map(|round| {
                    let install = lucks[round * lucks.len() / rounds];
                    install + world.effect(1.0, 0.03, Law::Contaminated)
                })
                .collect();
            find(&effects, Scale::Ratio, 0.05)
        };
        let first = stage(&mut world, 10, &[first_luck]);
        if first == Finding::Pass {
            return false;
        }
        let lucks: Vec<f64> = match fresh {
            0 => vec![first_luck],
            fresh => (0..fresh).map(|_| luck(&mut world)).collect(),
        };
        let second = stage(&mut world, 20, &lucks);
        judge(first, Some(second)) == Ruling::Fail
    });
    share(failed.count(), RUNS)
}

#[test]
fn s8_fresh_installs_take_the_luck_out() {
    accept(
        "S8 installs differ by 2 %, 4 fresh ones",
        lucky(81, 4),
        0.0..=0.002,
    );
    tell("S8 installs differ by 2 %, 1 fresh one", lucky(82, 1));
    accept("S8 teeth: the same install twice", lucky(83, 0), 0.03..=1.0);
}

#[test]
fn s9_looking_three_times_costs_no_more_than_looking_once() {
    let mut world = World::of(91);
    let (mut paid, mut naive) = (0, 0);
    for _ in 0..RUNS {
        let effects = world.effects(30, 1.0, 0.03);
        let seen = looks(&effects, Scale::Ratio, 0.05);
        assert_eq!(seen.len(), LOOKS.len());
        paid += usize::from(seen.iter().any(|look| !look.interval.contains(1.0)));
        naive += usize::from(LOOKS.iter().any(|&rounds| {
            let inference = Inference::of(&effects[..rounds], Scale::Ratio).unwrap();
            !inference.estimate().interval95.contains(1.0)
        }));
    }
    accept("S9 three looks by Pocock", share(paid, RUNS), 0.0..=0.0618);
    accept(
        "S9 teeth: retry until significant",
        share(naive, RUNS),
        0.09..=1.0,
    );
}
