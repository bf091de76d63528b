//! Descriptions: pooled percentiles, curves of quantile ratios, ratios over installs (statistics §2.4, §2.5, §2.8).

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::Timed;
use tollgate_results::run::Campaign;
use tollgate_results::workload::{Load, Workload};

use super::context::Context;
use super::values::{self, Observation, Observations};
use crate::gate::effect;
use crate::model::{
    Cell, Description, Estimate, InstallRatio, Interval, Metric, PooledRatio, RatioCurve,
    RatioPoint,
};
use crate::pooled::{self, Pool, Tails};
use crate::stats::{components, real, real64};
use crate::verdict::{Inference, Scale};

/// Percentiles that are pooled, of closed and of open loops.
const POOLED: [Metric; 8] = [
    Metric::P50,
    Metric::P90,
    Metric::P99,
    Metric::P999,
    Metric::PlanP50,
    Metric::PlanP90,
    Metric::PlanP99,
    Metric::PlanP999,
];

/// The quantiles of a curve: seven, each at 1 - 0.05/7 (statistics §2.4).
const CURVE: [f64; 7] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999];

/// Samples that must lie beyond a quantile, in all rounds for a pooled one, in each slice for a curve's.
const BEYOND: f64 = 10.0;

/// Describes a campaign beyond its verdicts: pure, and the same for the same seed. 10,000 resamples are usual.
#[must_use]
pub fn describe(campaign: &Campaign, seed: u64, resamples: u32) -> Description {
    let observations = Observations::of(&campaign.slices);
    let context = Context::of(campaign, &observations, None);
    let cells = super::cells::compare(&context);
    of(&context, &cells, seed, resamples)
}

/// Describes what is analysed already.
pub(super) fn of(context: &Context<'_>, cells: &[Cell], seed: u64, resamples: u32) -> Description {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut description = Description {
        seed,
        resamples,
        pooled: Vec::new(),
        curves: Vec::new(),
        installs: cells.iter().filter_map(over_installs).collect(),
    };
    let plan = &context.campaign.run.plan;
    if plan.reconfigures() {
        // Rounds of one install go together: resampled one by one they would promise too much.
        return description;
    }
    for workload in &plan.workloads {
        for arm in &plan.arms {
            let Some(reference) = arm.reference.as_ref().and_then(|name| plan.arm(name)) else {
                continue;
            };
            let both = Both::of(context, workload, arm, reference);
            description.curves.extend(both.curve());
            description.pooled.extend(both.pooled(resamples, &mut rng));
        }
    }
    description
}

/// The rounds in which two arms were timed.
struct Both<'a> {
    workload: &'a Name,
    timed: Timed,
    arm: &'a Name,
    reference: &'a Name,
    rounds: Vec<[Slice<'a>; 2]>,
}

/// The latencies of a slice: histogram, and replies lost.
#[derive(Clone, Copy)]
struct Slice<'a> {
    histogram: &'a Histogram,
    lost: u64,
}

impl<'a> Slice<'a> {
    fn of(observation: &Observation<'a>, timed: Timed) -> Option<Self> {
        let histogram = observation.slice.histograms.get(&timed)?;
        let slice = Self {
            histogram,
            lost: values::lost(timed, &observation.measured.outcome, histogram),
        };
        (slice.sent() > 0).then_some(slice)
    }

    fn sent(self) -> u64 {
        self.histogram.len().saturating_add(self.lost)
    }
}

impl<'a> Both<'a> {
    fn of(context: &Context<'a>, workload: &'a Workload, arm: &'a Arm, reference: &'a Arm) -> Self {
        let timed = match workload.load {
            Load::Closed => Timed::Latency,
            Load::Open(_) => Timed::FromPlan,
        };
        let workload = &workload.name;
        let rounds = context
            .kept(workload, &arm.name)
            .filter_map(|(round, own)| {
                let other = context.observations.at(workload, &reference.name, round)?;
                Some([Slice::of(own, timed)?, Slice::of(other, timed)?])
            });
        Self {
            workload,
            timed,
            arm: &arm.name,
            reference: &reference.name,
            rounds: rounds.collect(),
        }
    }

    fn curve(&self) -> Option<RatioCurve> {
        let points: Vec<RatioPoint> = CURVE.iter().filter_map(|&q| self.point(q)).collect();
        (!points.is_empty()).then(|| RatioCurve {
            workload: self.workload.clone(),
            arm: self.arm.clone(),
            reference: self.reference.clone(),
            rounds: count(self.rounds.len()),
            points,
        })
    }

    fn point(&self, quantile: f64) -> Option<RatioPoint> {
        let slices = self.rounds.iter().flatten();
        let fewest = slices.map(|slice| slice.sent()).min()?;
        if real64(fewest) * (1.0 - quantile) < BEYOND {
            return None;
        }
        let ln = |slice: &Slice<'_>| {
            let ns = slice.histogram.quantile_of_sent(quantile, slice.lost);
            ns.map_or(f64::INFINITY, |ns| real64(ns).ln())
        };
        let rounds = self.rounds.iter();
        let effects: Vec<f64> = rounds
            .map(|[arm, reference]| ln(arm) - ln(reference))
            .collect();
        let inference = Inference::of(&effects, Scale::Ratio)?;
        Some(RatioPoint {
            quantile,
            ratio: inference.estimate().value,
            interval: inference.interval(0.05 / real(CURVE.len())),
        })
    }

    fn pooled(&self, resamples: u32, rng: &mut ChaCha8Rng) -> Vec<PooledRatio> {
        let pool = |index: usize| {
            let slices = self.rounds.iter().map(|round| &round[index]);
            Pool::of(slices.map(|slice| (slice.histogram, slice.lost)))
        };
        let (arm, reference) = (pool(0), pool(1));
        let fewest = real64(arm.sent().min(reference.sent()));
        let once = vec![1; self.rounds.len()];
        let resamples = usize::try_from(resamples).unwrap_or(usize::MAX);
        POOLED
            .into_iter()
            .filter(|metric| metric.timed() == Some(self.timed))
            .filter_map(|metric| {
                let quantile = metric.quantile()?;
                if fewest * (1.0 - quantile) < BEYOND {
                    return None;
                }
                let ratio =
                    pooled::ratio(&arm, &reference, quantile, Tails::Expanded, resamples, rng)?;
                Some(PooledRatio {
                    workload: self.workload.clone(),
                    metric,
                    arm: self.arm.clone(),
                    reference: self.reference.clone(),
                    rounds: count(self.rounds.len()),
                    arm_ns: arm.quantile(&once, quantile),
                    reference_ns: reference.quantile(&once, quantile),
                    ratio: ratio.value,
                    interval: Interval {
                        low: ratio.low,
                        high: ratio.high,
                        confidence: 0.95,
                    },
                })
            })
            .collect()
    }
}

/// θ of a cell with installs as replicates; `None` for fewer than 4, or where they don't differ.
fn over_installs(cell: &Cell) -> Option<InstallRatio> {
    if Scale::of(cell.metric) != Scale::Ratio {
        return None;
    }
    let mut installs: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for pair in &cell.pairs {
        let effects = installs.entry(pair.install).or_default();
        effects.push(effect(cell, pair));
    }
    let installs: Vec<Vec<f64>> = installs.into_values().collect();
    let spreads = components::of(&installs)?;
    let install_spread = spreads.install.filter(|spread| *spread > 0.0)?;
    let interval = |alpha: f64| {
        let (_, low, high) = components::over_installs(&installs, alpha)?;
        Some(Interval {
            low: low.exp(),
            high: high.exp(),
            confidence: 1.0 - alpha,
        })
    };
    Some(InstallRatio {
        workload: cell.workload.clone(),
        metric: cell.metric,
        arm: cell.arm.clone(),
        reference: cell.reference.clone(),
        installs: count(installs.len()),
        round_spread: spreads.round,
        install_spread,
        ratio: Estimate {
            value: components::over_installs(&installs, 0.05)?.0.exp(),
            interval95: interval(0.05)?,
            interval90: interval(0.10)?,
        },
    })
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
