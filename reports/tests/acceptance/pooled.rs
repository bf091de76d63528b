//! S10: how often the intervals of pooled percentiles hold the truth.

use std::array;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tollgate_reports::pooled::{Pool, Tails, ratio};
use tollgate_results::histogram::Histogram;

use crate::world::{ROUNDS, World, accept, share, tell};

#[test]
fn s10_expanded_intervals_of_pooled_percentiles() {
    const CAMPAIGNS: usize = 2_000;
    const RESAMPLES: usize = 1_000;
    let mut world = World::of(101);
    let mut rng = ChaCha8Rng::seed_from_u64(102);
    let mut rounds: [[Histogram; 2]; ROUNDS] = array::from_fn(|_| Default::default());
    let mut held = [[0_usize; 2]; 2];
    for _ in 0..CAMPAIGNS {
        world.campaign(&mut rounds);
        let [reference, arm] =
            [0, 1].map(|index| Pool::of(rounds.iter().map(|round| (&round[index], 0))));
        for (quantile, held) in [0.5, 0.99].into_iter().zip(&mut held) {
            for (tails, held) in [Tails::Expanded, Tails::Plain].into_iter().zip(held) {
                let found = ratio(&arm, &reference, quantile, tails, RESAMPLES, &mut rng).unwrap();
                *held += usize::from(found.low <= 1.0 && 1.0 <= found.high);
            }
        }
    }
    for (name, [expanded, plain]) in ["p50", "p99"].into_iter().zip(held) {
        let (expanded, plain) = (share(expanded, CAMPAIGNS), share(plain, CAMPAIGNS));
        accept(
            &format!("S10 pooled {name}, t-expanded"),
            expanded,
            0.92..=1.0,
        );
        tell(
            &format!("S10 pooled {name}, plain percentile bootstrap"),
            plain,
        );
        assert!(
            plain < expanded - 0.01,
            "the expansion does nothing: {plain} and {expanded}"
        );
    }
}
