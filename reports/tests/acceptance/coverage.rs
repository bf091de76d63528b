//! S1, S2 and S3: how often intervals hold the truth.

use std::array;

use tollgate_reports::verdict::{Inference, Scale};
use tollgate_results::histogram::Histogram;

use crate::world::{Law, ROUNDS, World, accept, share, teeth};

const CAMPAIGNS: usize = 2_000;

/// How often the intervals of one percentile held the truth.
#[derive(Default, Clone, Copy)]
struct Held {
    walsh: usize,
    t: usize,
    pooled: usize,
}

#[test]
fn s1_and_s2_intervals_hold_the_truth_where_pooled_latencies_do_not() {
    let mut world = World::of(1);
    let mut rounds: [[Histogram; 2]; ROUNDS] = array::from_fn(|_| Default::default());
    let mut held = [Held::default(); 2];
    for _ in 0..CAMPAIGNS {
        world.campaign(&mut rounds);
        for (quantile, held) in [0.5, 0.99].into_iter().zip(&mut held) {
            let ln = |slice: &Histogram| ns(slice, quantile).ln();
            let effects: Vec<f64> = rounds.iter().map(|[a, b]| ln(b) - ln(a)).collect();
            let inference = Inference::of(&effects, Scale::Ratio).unwrap();
            held.walsh += usize::from(inference.estimate().interval95.contains(1.0));
            let t = inference.tests(0.05).t_interval.unwrap();
            held.t += usize::from(t.contains(1.0));
            held.pooled += usize::from(pooled_holds(&rounds, quantile));
        }
    }
    for (name, held) in ["p50", "p99"].into_iter().zip(held) {
        let rate = |hits| share(hits, CAMPAIGNS);
        accept(
            &format!("S1 {name} signed-rank interval"),
            rate(held.walsh),
            0.934..=0.985,
        );
        accept(&format!("S1 {name} paired t"), rate(held.t), 0.930..=0.970);
        teeth(
            &format!("S1 {name} pooled latencies"),
            rate(held.pooled),
            0.934..=0.985,
        );
        if name == "p50" {
            accept("S2 p50 pooled latencies", rate(held.pooled), 0.0..=0.60);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "latencies are far below 2^53 ns"
)]
fn ns(histogram: &Histogram, quantile: f64) -> f64 {
    histogram.quantile_of_sent(quantile, 0).unwrap() as f64
}

/// The broken variant: all latencies of an arm in one heap, as if they were independent.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn pooled_holds(rounds: &[[Histogram; 2]], quantile: f64) -> bool {
    let [reference, arm] = [0, 1].map(|index| {
        let mut all = Histogram::new();
        for round in rounds {
            all.merge(&round[index]);
        }
        let reach = 1.96 * (quantile * (1.0 - quantile) / all.len() as f64).sqrt();
        let at = |quantile: f64| ns(&all, quantile).ln();
        (
            at(quantile),
            (at(quantile + reach) - at(quantile - reach)) / 2.0,
        )
    });
    (arm.0 - reference.0).abs() <= reference.1.hypot(arm.1)
}

#[test]
fn s3_intervals_of_rounds_hold_the_truth_for_every_law() {
    const ROUNDS: usize = 20_000;
    let mut world = World::of(3);
    let mut least = f64::INFINITY;
    for law in [Law::Gaussian, Law::Contaminated, Law::Heavy] {
        for count in [6, 8, 10, 12, 15, 20, 30] {
            let (mut held, mut confidence) = (0, 0.0);
            for _ in 0..ROUNDS {
                let effects: Vec<f64> = (0..count).map(|_| world.effect(1.0, 0.03, law)).collect();
                let inference = Inference::of(&effects, Scale::Ratio).unwrap();
                let interval = inference.interval(0.05).unwrap();
                held += usize::from(interval.contains(1.0));
                confidence = interval.confidence;
            }
            let found = share(held, ROUNDS);
            least = least.min(found);
            assert!(found >= 0.945, "{law:?} R={count}: {found}");
            if law == Law::Gaussian {
                assert!(
                    (found - confidence).abs() <= 0.005,
                    "R={count}: {found}, not {confidence}"
                );
            }
        }
    }
    accept(
        "S3 least coverage of 3 laws x 7 numbers of rounds",
        least,
        0.945..=1.0,
    );
}

#[test]
fn s3_teeth_a_percentile_bootstrap_over_rounds_falls_short() {
    const CAMPAIGNS: usize = 2_000;
    let mut world = World::of(33);
    let mut held = 0;
    for _ in 0..CAMPAIGNS {
        let effects: Vec<f64> = (0..6)
            .map(|_| world.effect(1.0, 0.03, Law::Gaussian))
            .collect();
        let mut means: Vec<f64> = (0..1_000)
            .map(|_| {
                let drawn = (0..6).map(|_| effects[pick(world.uniform(), 6)]);
                drawn.sum::<f64>() / 6.0
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        held += usize::from(means[24] <= 0.0 && 0.0 <= means[974]);
    }
    teeth(
        "S3 percentile bootstrap, 6 rounds",
        share(held, CAMPAIGNS),
        0.945..=1.0,
    );
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a uniform variate times a small number"
)]
fn pick(uniform: f64, below: u32) -> usize {
    (uniform * f64::from(below)) as usize
}
