//! A sweep over source ports: what each 5-tuple gave, and whether they differ (receive queues, equal-cost routes,
//! a tunnel's hash, buckets of connection tracking).
//!
//! Time drifts, so tuples are visited in blocks, every tuple once in each, in random order; a visit gives the median of
//! its round trips. What is compared are logarithms of these medians, less their block's mean. If tuples are all the
//! same, each order of a block's values is as likely as any other: so the test that they differ permutes within blocks
//! (exact whatever the distribution), and how far they differ is the component of variance between tuples of a two-way
//! layout without repetition.

use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a sweep gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FlowSweep {
    /// The tuples, in the order in which they were opened.
    pub tuples: Vec<SweptTuple>,
}

/// One 5-tuple of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweptTuple {
    /// The client's address; `None` where it never stood.
    pub local: Option<SocketAddr>,
    /// Median of each visit, block by block, in nanoseconds, a lost reply an infinite delay; `None` where it is
    /// infinite, nothing was sent, or another connection took this one's place.
    pub medians_ns: Vec<Option<u64>>,
}

impl FlowSweep {
    /// Range of the number of tuples.
    pub const PORTS: (u32, u32) = (2, 256);
    /// Range of the number of blocks: the median of 6 values is the first that has a 95 % interval; 32 bound the work.
    pub const BLOCKS: (u32, u32) = (6, 32);
    /// Shortest visit, in nanoseconds: several round trips of a fast path.
    pub const VISIT_NS: u64 = 100_000;
    /// Length of a visit for which there are fewer blocks rather than shorter visits, in nanoseconds.
    const LONG_VISIT_NS: u64 = 2_000_000;

    /// Returns how many blocks of so many tuples a window is divided into.
    #[must_use]
    pub fn blocks(window_ns: u64, ports: u32) -> u32 {
        let (least, most) = Self::BLOCKS;
        let block = u64::from(ports.max(1)) * Self::LONG_VISIT_NS;
        u32::try_from(window_ns / block)
            .unwrap_or(most)
            .clamp(least, most)
    }

    /// Returns the shortest window for so many tuples, in nanoseconds.
    #[must_use]
    pub const fn shortest_ns(ports: u32) -> u64 {
        ports as u64 * Self::BLOCKS.0 as u64 * Self::VISIT_NS
    }

    /// Says how far the tuples differ; the same `seed` gives the same answer.
    #[must_use]
    pub fn spread(&self, seed: u64) -> FlowSpread {
        let blocks = self.centred();
        let enough = self.is_enough(&blocks);
        FlowSpread {
            blocks: u32::try_from(blocks.len()).unwrap_or(u32::MAX),
            difference: enough.then(|| difference(&[blocks], PERMUTATIONS, seed)),
            levels: self.tuples.iter().map(SweptTuple::level).collect(),
        }
    }

    /// Says how far tuples differ over several sweeps, each with tuples of its own, and how many of the sweeps have
    /// blocks enough to say it; `None` where none has. The same `seed` gives the same answer.
    #[must_use]
    pub fn pooled<'a>(
        sweeps: impl IntoIterator<Item = &'a Self>,
        seed: u64,
    ) -> Option<(FlowDifference, u32)> {
        let centred = sweeps.into_iter().map(|sweep| (sweep, sweep.centred()));
        let groups: Vec<Vec<Vec<f64>>> = centred
            .filter_map(|(sweep, blocks)| sweep.is_enough(&blocks).then_some(blocks))
            .collect();
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| (difference(&groups, POOLED_PERMUTATIONS, seed), count))
    }

    /// Returns whether there are tuples and whole blocks enough to say how far tuples differ.
    fn is_enough(&self, whole: &[Vec<f64>]) -> bool {
        whole.len() >= Self::BLOCKS.0 as usize && self.tuples.len() >= 2
    }

    /// Returns the logarithms of each whole block, less their mean. A block that lacks a tuple is left out.
    fn centred(&self) -> Vec<Vec<f64>> {
        let blocks = self.tuples.iter().map(|tuple| tuple.medians_ns.len());
        let whole = (0..blocks.min().unwrap_or(0)).filter_map(|block| {
            let values = self.tuples.iter().map(|tuple| tuple.medians_ns[block]);
            let logs: Vec<f64> = values
                .map(|ns| Some(real(ns?.max(1)).ln()))
                .collect::<Option<_>>()?;
            let mean = logs.iter().sum::<f64>() / real(logs.len() as u64);
            Some(logs.iter().map(|log| log - mean).collect())
        });
        whole.collect()
    }
}

/// How far the tuples of a sweep differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowSpread {
    /// Blocks in which every tuple has a median.
    pub blocks: u32,
    /// How far they differ; `None` with fewer than 6 such blocks.
    pub difference: Option<FlowDifference>,
    /// Each tuple by itself, in the sweep's order.
    pub levels: Vec<FlowLevel>,
}

/// Whether tuples differ, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowDifference {
    /// How often equal tuples would look as different as this, or more: 0.0001 to 1.
    pub p: f64,
    /// Standard deviation between tuples, as a share of their level; 0 where it drowns in the visits' own.
    pub between: f64,
    /// Standard deviation between visits of one tuple in excess of their blocks' ups and downs, as a share.
    pub within: f64,
}

/// The level of one tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowLevel {
    /// The client's address.
    pub local: Option<SocketAddr>,
    /// Median of its visits' medians in nanoseconds; `None` where it is infinite.
    pub median_ns: Option<u64>,
    /// Lower end of its 95 % interval by order statistics; `None` with fewer than 6 visits, or where infinite.
    pub low_ns: Option<u64>,
    /// Upper end.
    pub high_ns: Option<u64>,
}

impl SweptTuple {
    fn level(&self) -> FlowLevel {
        let mut sorted = self.medians_ns.clone();
        // What is infinite comes last.
        sorted.sort_unstable_by_key(|ns| ns.unwrap_or(u64::MAX));
        let n = sorted.len();
        let at = |rank: usize| sorted.get(rank).copied().flatten();
        let rank = rank_of_interval(n);
        FlowLevel {
            local: self.local,
            median_ns: at(n.saturating_sub(1) / 2),
            low_ns: rank.and_then(|rank| at(rank - 1)),
            high_ns: rank.and_then(|rank| at(n - rank)),
        }
    }
}

/// Returns the rank, from 1, of the lower end of a median's 95 % interval among n values: each side errs with 2.5 % at
/// most, by the binomial distribution.
fn rank_of_interval(n: usize) -> Option<usize> {
    let n = u64::try_from(n).ok().filter(|n| *n <= 1_000)?;
    // Chance of `below` values, and of as many or fewer, below the median.
    let mut chance = 0.5_f64.powf(real(n));
    let (mut tail, mut below) = (chance, 0_u64);
    while tail <= 0.025 {
        chance *= real(n - below) / real(below + 1);
        below += 1;
        tail += chance;
    }
    usize::try_from(below).ok().filter(|rank| *rank > 0)
}

/// Permutations of the test of one sweep: its smallest p is one in ten thousand.
const PERMUTATIONS: u32 = 9_999;

/// Permutations of the test of several: its smallest p is one in a thousand, and a report waits for it.
const POOLED_PERMUTATIONS: u32 = 999;

/// Compares tuples within each group of blocks, at least one group; every group has tuples of its own.
fn difference(groups: &[Vec<Vec<f64>>], permutations: u32, seed: u64) -> FlowDifference {
    let mut sums = Vec::new();
    let mut shuffled = groups.to_vec();
    let observed = sum_of_squares(&shuffled, &mut sums);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut as_far = 0_u32;
    for _ in 0..permutations {
        for block in shuffled.iter_mut().flatten() {
            shuffle(block, &mut random);
        }
        let permuted = sum_of_squares(&shuffled, &mut sums);
        // The order of addition makes no permutation farther than itself.
        as_far += u32::from(permuted >= observed * (1.0 - 1e-9));
    }
    // Mean squares of a two-way layout: centred blocks have no sum of their own.
    let all: f64 = groups
        .iter()
        .flatten()
        .flatten()
        .map(|value| value * value)
        .sum();
    let (mut of_tuples, mut of_rest, mut blocks) = (0.0, 0.0, 0.0);
    for group in groups {
        let (tuples, count) = (real(group[0].len() as u64), real(group.len() as u64));
        of_tuples += tuples - 1.0;
        of_rest += (tuples - 1.0) * (count - 1.0);
        blocks += count / real(groups.len() as u64);
    }
    let within = ((all - observed) / of_rest).max(0.0);
    let between = ((observed / of_tuples - within) / blocks).max(0.0);
    FlowDifference {
        p: f64::from(1 + as_far) / f64::from(1 + permutations),
        between: between.sqrt(),
        within: within.sqrt(),
    }
}

/// Returns the sum of squares between tuples: over all groups, that of each tuple's sum over its blocks, by their number.
fn sum_of_squares(groups: &[Vec<Vec<f64>>], sums: &mut Vec<f64>) -> f64 {
    let of_group = |group: &Vec<Vec<f64>>| {
        sums.clear();
        sums.resize(group[0].len(), 0.0);
        for block in group {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += value;
            }
        }
        sums.iter().map(|sum| sum * sum).sum::<f64>() / real(group.len() as u64)
    };
    groups.iter().map(of_group).sum()
}

/// Puts values into random order, every order as likely as any other.
pub fn shuffle<T>(values: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..values.len()).rev() {
        // A share of 32 random bits: off by less than one in ten million for 256 values.
        let share = (u64::from(random.next_u32()) * (last as u64 + 1)) >> 32;
        values.swap(last, usize::try_from(share).unwrap_or(last));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "delays and counts stay far below 2^53"
)]
const fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Visits around 20 µs: noise of some 5 % and blocks that drift by up to half, the first tuple slower by a share.
    fn swept(tuples: usize, blocks: usize, slower: f64, seed: u64) -> FlowSweep {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut unit = || f64::from(random.next_u32()) / f64::from(u32::MAX);
        let drift: Vec<f64> = (0..blocks).map(|_| 1.0 + unit() / 2.0).collect();
        let tuples = (0..tuples).map(|tuple| {
            let own = if tuple == 0 { 1.0 + slower } else { 1.0 };
            let visit = |drift: &f64| {
                let noise = (unit() + unit() + unit() - 1.5) * 0.1;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "near 20,000"
                )]
                let ns = (20_000.0 * own * drift * noise.exp()) as u64;
                Some(ns)
            };
            SweptTuple {
                local: None,
                medians_ns: drift.iter().map(visit).collect(),
            }
        });
        FlowSweep {
            tuples: tuples.collect(),
        }
    }

    #[test]
    fn equal_tuples_look_different_as_often_as_promised() {
        let found = |level: f64| {
            let p = |seed| swept(8, 8, 0.0, seed).spread(seed).difference.unwrap().p;
            (0..200).filter(|&seed| p(seed) <= level).count()
        };
        // The 99.9 % bands of the binomial distribution of 200 draws.
        let (few, half) = (found(0.05), found(0.5));
        assert!((2..=22).contains(&few), "{few} of 200 at 5 %");
        assert!((76..=124).contains(&half), "{half} of 200 at 50 %");
    }

    #[test]
    fn a_tuple_slower_by_a_tenth_is_found() {
        for seed in 0..20 {
            let spread = swept(16, 16, 0.1, seed).spread(seed);
            let found = spread.difference.unwrap();
            assert!(found.p <= 0.01, "{found:?}");
            // One of 16 off by ln 1.1 has a standard deviation of ln 1.1 / 4.
            assert!((0.012..0.036).contains(&found.between), "{found:?}");
            assert!((0.03..0.07).contains(&found.within), "{found:?}");
            // Levels keep the drift of the blocks, which no test is made of.
            let planted = spread.levels[0].median_ns;
            let slower = spread
                .levels
                .iter()
                .filter(|level| level.median_ns > planted);
            assert!(slower.count() < 4, "{:?}", spread.levels);
        }
    }

    #[test]
    fn sweeps_with_tuples_of_their_own_add_up() {
        let sweeps = |slower: f64| -> Vec<FlowSweep> {
            (0..10).map(|seed| swept(8, 8, slower, seed)).collect()
        };
        let slow = sweeps(0.05);
        let (found, count) = FlowSweep::pooled(&slow, 1).unwrap();
        assert_eq!(count, 10);
        assert!(found.p <= 0.01, "{found:?}");
        // One of 8 off by ln 1.05 has a standard deviation of ln 1.05 / sqrt 8.
        assert!((0.009..0.027).contains(&found.between), "{found:?}");
        let equal = (0..100).filter(|&seed| {
            let sweeps: Vec<FlowSweep> = (0..3).map(|k| swept(4, 6, 0.0, 3 * seed + k)).collect();
            FlowSweep::pooled(&sweeps, seed).unwrap().0.p <= 0.05
        });
        // The 99.9 % band of the binomial distribution of 100 draws.
        assert!(equal.count() <= 13);
        assert_eq!(FlowSweep::pooled(&[swept(8, 5, 0.0, 1)], 1), None);
    }

    #[test]
    fn what_lacks_replies_is_left_out_and_said() {
        let mut sweep = swept(4, 8, 0.0, 1);
        sweep.tuples[2].medians_ns[5] = None;
        let spread = sweep.spread(1);
        assert_eq!(spread.blocks, 7);
        assert!(spread.difference.is_some());
        sweep.tuples[3].medians_ns = vec![None; 8];
        let spread = sweep.spread(1);
        assert_eq!((spread.blocks, spread.difference), (0, None));
        assert_eq!(spread.levels[3].median_ns, None);
        assert!(spread.levels[0].low_ns <= spread.levels[0].median_ns);
    }

    #[test]
    fn intervals_have_the_ranks_of_tables() {
        for (n, rank) in [
            (5, None),
            (6, Some(1)),
            (9, Some(2)),
            (10, Some(2)),
            (32, Some(10)),
        ] {
            assert_eq!(rank_of_interval(n), rank, "{n}");
        }
    }

    #[test]
    fn windows_are_divided_within_bounds() {
        assert_eq!(FlowSweep::blocks(5_000_000_000, 16), 32);
        assert_eq!(FlowSweep::blocks(1_000_000_000, 256), 6);
        assert_eq!(FlowSweep::blocks(0, 0), 6);
        assert_eq!(FlowSweep::shortest_ns(256), 153_600_000);
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(medians in prop::collection::vec(prop::collection::vec(any::<Option<u64>>(), 0..9), 0..4)) {
            let tuples = medians.into_iter().map(|medians_ns| SweptTuple { local: None, medians_ns });
            let spread = FlowSweep { tuples: tuples.collect() }.spread(1);
            if let Some(found) = spread.difference {
                prop_assert!(found.p > 0.0 && found.p <= 1.0);
                prop_assert!(found.between >= 0.0 && found.within >= 0.0);
            }
        }
    }
}
