//! Rises along sweeps, with claims (statistics §2.10).

use std::collections::BTreeSet;

use tollgate_results::arm::{Arm, Name};
use tollgate_results::workload::Workload;

use super::cells::{margin, typical_of};
use super::context::Context;
use super::values::{self, RoundKey};
use crate::model::{
    Estimate, Interval, Metric, Scaling, ScalingClaim, ScalingPoint, ScalingVerdict, Shape, Unit,
    Verdict,
};
use crate::stats::rounds::FEWEST;
use crate::stats::sweep::{LEVELS_FOR_A_RISE, LEVELS_FOR_A_SHAPE, Rise, Sweep};
use crate::verdict::{Inference, Scale};
use crate::words;

/// Metrics that are followed along a sweep.
const FOLLOWED: [Metric; 7] = [
    Metric::P50,
    Metric::P99,
    Metric::PlanP50,
    Metric::PlanP99,
    Metric::ConnectP50,
    Metric::Throughput,
    Metric::CpuPerRequest,
];

/// Follows every sweep of the plan, in its order.
pub(crate) fn follow(context: &Context<'_>) -> Vec<Scaling> {
    let plan = &context.campaign.run.plan;
    let mut scalings = Vec::new();
    for series in series(&plan.arms) {
        let mut arms: Vec<(u64, &Arm)> = plan
            .arms
            .iter()
            .filter_map(|arm| {
                let point = arm.sweep.as_ref()?;
                (point.series == *series).then_some((point.level, arm))
            })
            .collect();
        arms.sort_by_key(|(level, _)| *level);
        for workload in &plan.workloads {
            let mut running = arms.clone();
            running.retain(|(_, arm)| arm.workloads.contains(&workload.name));
            if running.len() < 2 {
                continue;
            }
            for metric in values::all_metrics(workload) {
                if FOLLOWED.contains(&metric) {
                    scalings.extend(scaling(context, series, workload, metric, &running));
                }
            }
        }
    }
    scalings
}

/// The names of all sweeps, in the order of their first arm.
fn series(arms: &[Arm]) -> Vec<&Name> {
    let mut seen = BTreeSet::new();
    arms.iter()
        .filter_map(|arm| Some(&arm.sweep.as_ref()?.series))
        .filter(|series| seen.insert(*series))
        .collect()
}

fn scaling(
    context: &Context<'_>,
    series: &Name,
    workload: &Workload,
    metric: Metric,
    arms: &[(u64, &Arm)],
) -> Option<Scaling> {
    let followed = Followed::of(context, workload, metric, arms);
    let rise = Sweep::new(&followed.levels, &followed.rounds).and_then(|sweep| sweep.rise());
    let points: Vec<ScalingPoint> = arms
        .iter()
        .enumerate()
        .filter_map(|(index, (level, arm))| {
            Some(ScalingPoint {
                level: *level,
                arm: arm.name.clone(),
                typical: typical_of(context, &workload.name, &arm.name, metric)?,
                fitted: rise
                    .as_ref()
                    .and_then(|rise| rise.curve.get(index).copied()),
            })
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    Some(Scaling {
        series: series.clone(),
        workload: workload.name.clone(),
        metric,
        unit: metric.unit(),
        points,
        claim: followed.claim(context, arms, rise.as_ref()),
    })
}

/// One metric along one sweep, in the rounds that have every level.
struct Followed {
    levels: Vec<f64>,
    rounds: Vec<Vec<f64>>,
    metric: Metric,
    margin: f64,
}

impl Followed {
    fn of(
        context: &Context<'_>,
        workload: &Workload,
        metric: Metric,
        arms: &[(u64, &Arm)],
    ) -> Self {
        let value = |arm: &Arm, round: &RoundKey| {
            let observation = context.observations.at(&workload.name, &arm.name, *round)?;
            observation.values.get(&metric).copied()
        };
        let rounds = context.validity.kept.iter().filter_map(|round| {
            arms.iter()
                .map(|(_, arm)| value(arm, round))
                .collect::<Option<Vec<f64>>>()
        });
        Self {
            levels: arms
                .iter()
                .map(|(level, _)| crate::stats::real64(*level))
                .collect(),
            rounds: rounds.collect(),
            metric,
            margin: margin(metric, context.campaign.run.plan.rounds.margin.0),
        }
    }

    fn claim(
        &self,
        context: &Context<'_>,
        arms: &[(u64, &Arm)],
        rise: Option<&Rise>,
    ) -> ScalingClaim {
        let invalid = arms
            .iter()
            .find_map(|(_, arm)| context.contradiction(&arm.name))
            .or_else(|| context.validity.conduct.invalid.clone());
        if let Some(reason) = invalid {
            return self.no_claim(ScalingVerdict::Invalid, reason);
        }
        if let Some(reason) = self.too_little() {
            return self.no_claim(ScalingVerdict::Insufficient, reason);
        }
        let found = rise.and_then(|rise| {
            let log_rise = Inference::of(&rise.log_ratio, Scale::Ratio)?;
            let slope = Inference::of(&rise.per_thousand, Scale::Difference)?;
            Some((rise, log_rise, slope))
        });
        let Some((rise, log_rise, slope)) = found else {
            let reason = "in some round a level has no finite value".to_owned();
            return self.no_claim(ScalingVerdict::Insufficient, reason);
        };
        let estimate = log_rise.estimate();
        let verdict = claim(&log_rise, self.margin);
        let shape = (self.levels.len() >= LEVELS_FOR_A_SHAPE).then_some(rise.shape);
        let slope = slope.estimate();
        ScalingClaim {
            verdict,
            reason: None,
            words: self.in_words(verdict, &estimate, &slope, shape, arms),
            rise: Some(estimate),
            per_thousand: Some(slope),
            shape,
            margin: self.margin,
            rounds: u32::try_from(self.rounds.len()).unwrap_or(u32::MAX),
        }
    }

    fn too_little(&self) -> Option<String> {
        if self.levels.len() < LEVELS_FOR_A_RISE {
            return Some(format!(
                "{}: a rise needs at least {LEVELS_FOR_A_RISE}",
                words::plural(self.levels.len(), "level")
            ));
        }
        (self.rounds.len() < FEWEST).then(|| {
            format!(
                "{} with every level: an interval needs at least {FEWEST}",
                words::plural(self.rounds.len(), "valid round")
            )
        })
    }

    fn no_claim(&self, verdict: ScalingVerdict, reason: String) -> ScalingClaim {
        ScalingClaim {
            verdict,
            words: format!("{}: {reason}", verdict.as_str()),
            reason: Some(reason),
            rise: None,
            per_thousand: None,
            shape: None,
            margin: self.margin,
            rounds: u32::try_from(self.rounds.len()).unwrap_or(u32::MAX),
        }
    }

    fn in_words(
        &self,
        verdict: ScalingVerdict,
        rise: &Estimate,
        slope: &Estimate,
        shape: Option<Shape>,
        arms: &[(u64, &Arm)],
    ) -> String {
        let unit: Unit = self.metric.unit();
        let end = |arm: Option<&(u64, &Arm)>| words::count(arm.map_or(0, |(level, _)| *level));
        let span = format!(
            "from {} to {} services",
            end(arms.first()),
            end(arms.last())
        );
        let rise = less_one(rise);
        match verdict {
            ScalingVerdict::Grows | ScalingVerdict::Falls => {
                let shape = shape.map_or_else(String::new, |shape| format!(", {}", shape.as_str()));
                format!(
                    "{}: {} per 1,000 services, {} {span}{shape}",
                    verdict.as_str(),
                    words::shift_with_interval(unit, slope),
                    words::change(&rise)
                )
            }
            ScalingVerdict::Flat => format!(
                "flat: {} at 90 % {span}, within {}",
                words::change90(&rise),
                words::margin(self.margin)
            ),
            _ => format!(
                "{}: {} {span}, margin {}",
                verdict.as_str(),
                words::change(&rise),
                words::margin(self.margin)
            ),
        }
    }
}

/// Flat where the 90 % interval lies within the margin; grows where the 95 % interval excludes none and the estimate
/// reaches the margin.
pub(crate) fn claim(log_rise: &Inference, margin: f64) -> ScalingVerdict {
    let rise = log_rise.estimate();
    match log_rise.verdict(margin).0 {
        Verdict::Equivalent => ScalingVerdict::Flat,
        Verdict::Slower if rise.value >= 1.0 + margin => ScalingVerdict::Grows,
        Verdict::Faster if rise.value <= 1.0 / (1.0 + margin) => ScalingVerdict::Falls,
        _ => ScalingVerdict::Inconclusive,
    }
}

/// A ratio as a relative change.
pub(crate) fn less_one(ratio: &Estimate) -> Estimate {
    let interval = |interval: Interval| Interval {
        low: interval.low - 1.0,
        high: interval.high - 1.0,
        confidence: interval.confidence,
    };
    Estimate {
        value: ratio.value - 1.0,
        interval95: interval(ratio.interval95),
        interval90: interval(ratio.interval90),
    }
}

#[cfg(test)]
mod tests;
