//! What each slice gave, metric by metric.

use std::collections::BTreeMap;

use tollgate_results::arm::Name;
use tollgate_results::histogram::Histogram;
pub(crate) use tollgate_results::metric::{all_metrics, metrics};
use tollgate_results::outcome::{Bottleneck, Outcome, Timed};
use tollgate_results::slice::{Measured, Slice, SliceResult};

use crate::model::Metric;
use crate::parallel;
use crate::stats::real64;

/// A round on one install: what may be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoundKey {
    pub(crate) install: u32,
    pub(crate) round: u32,
}

impl RoundKey {
    pub(crate) const fn of(slice: &Slice) -> Self {
        Self {
            install: slice.record.install,
            round: slice.record.key.round,
        }
    }
}

/// One measured slice with its figures.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) slice: &'a Slice,
    pub(crate) measured: &'a Measured,
    /// A percentile among the lost is infinite. What could not be told is absent.
    pub(crate) values: BTreeMap<Metric, f64>,
    /// Why the figures of an open loop tell more of its generator than of the path.
    pub(crate) bottleneck: Option<Bottleneck>,
}

/// All measured slices of a campaign, by workload, arm and round.
#[derive(Debug)]
pub(crate) struct Observations<'a> {
    by_key: BTreeMap<&'a Name, BTreeMap<&'a Name, BTreeMap<RoundKey, Observation<'a>>>>,
}

impl<'a> Observations<'a> {
    /// Takes the figures of every measured slice.
    pub(crate) fn of(slices: &'a [Slice]) -> Self {
        let mut by_key: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = BTreeMap::new();
        for observation in parallel::map(slices, observe).into_iter().flatten() {
            let slice = observation.slice;
            let key = &slice.record.key;
            by_key
                .entry(&key.workload)
                .or_default()
                .entry(&key.arm)
                .or_default()
                .insert(RoundKey::of(slice), observation);
        }
        Self { by_key }
    }

    /// Returns the rounds of one arm and workload, in order.
    pub(crate) fn rounds(
        &self,
        workload: &Name,
        arm: &Name,
    ) -> impl Iterator<Item = (RoundKey, &Observation<'a>)> {
        self.of_arm(workload, arm)
            .into_iter()
            .flatten()
            .map(|(round, observation)| (*round, observation))
    }

    /// Returns one round of one arm and workload.
    pub(crate) fn at(
        &self,
        workload: &Name,
        arm: &Name,
        round: RoundKey,
    ) -> Option<&Observation<'a>> {
        self.of_arm(workload, arm)?.get(&round)
    }

    fn of_arm(&self, workload: &Name, arm: &Name) -> Option<&BTreeMap<RoundKey, Observation<'a>>> {
        self.by_key.get(workload)?.get(arm)
    }
}

/// Takes the figures of a slice; `None` where it was not measured.
fn observe(slice: &Slice) -> Option<Observation<'_>> {
    let SliceResult::Measured(measured) = &slice.record.result else {
        return None;
    };
    Some(Observation {
        slice,
        measured,
        bottleneck: measured.outcome.bottleneck(&slice.histograms),
        values: Metric::ALL
            .into_iter()
            .filter_map(|metric| Some((metric, value(metric, measured)?)))
            .chain(percentiles(slice, &measured.outcome))
            .collect(),
    })
}

/// Returns how many latencies a percentile rests on, the lost included.
pub(crate) fn samples(metric: Metric, observation: &Observation<'_>) -> u64 {
    let outcome = &observation.measured.outcome;
    match metric.timed() {
        Some(Timed::FromPlan) => outcome.open.map_or(outcome.sent, |open| open.planned),
        Some(Timed::PdvUp | Timed::PdvDown) => outcome.replied,
        Some(_) => outcome.sent,
        None => u64::MAX,
    }
}

/// Returns every percentile of a slice, each histogram walked once. One among the lost is infinite, one of nothing
/// unknown.
fn percentiles(slice: &Slice, outcome: &Outcome) -> Vec<(Metric, f64)> {
    let mut told = Vec::new();
    for (timed, histogram) in &slice.histograms {
        let lost = lost(*timed, outcome, histogram);
        if histogram.is_empty() && lost == 0 {
            continue;
        }
        let metrics = Metric::ALL.into_iter();
        let (metrics, quantiles): (Vec<Metric>, Vec<f64>) = metrics
            .filter(|metric| metric.timed() == Some(*timed))
            .filter_map(|metric| Some((metric, metric.quantile()?)))
            .unzip();
        let values = histogram.quantiles_of_sent(&quantiles, lost);
        let values = values
            .into_iter()
            .map(|ns| ns.map_or(f64::INFINITY, real64));
        told.extend(metrics.into_iter().zip(values));
    }
    told
}

/// Returns the value of a metric that is no percentile.
fn value(metric: Metric, measured: &Measured) -> Option<f64> {
    let outcome = &measured.outcome;
    let seconds = (outcome.window_ns > 0).then(|| real64(outcome.window_ns) / 1e9);
    match metric {
        Metric::Rate => Some(real64(outcome.replied) / seconds?),
        Metric::Throughput => Some(real64(outcome.bytes_received) * 8.0 / seconds?),
        Metric::Beside => {
            let beside = outcome.beside?;
            let seconds = real64(beside.window_ns) / 1e9;
            (seconds > 0.0).then(|| real64(beside.bytes) * 8.0 / seconds)
        }
        Metric::Loss => {
            let asked = outcome.open.map_or(outcome.sent, |open| open.planned);
            (asked > 0).then(|| real64(outcome.lost_of_planned()) / real64(asked))
        }
        Metric::CpuPerRequest => per(cpu_ns(measured)?, real64(outcome.replied)),
        Metric::CpuPerMib => per(
            cpu_ns(measured)?,
            real64(outcome.bytes_received) / 1_048_576.0,
        ),
        // Told by its histogram.
        _ => None,
    }
}

/// Returns how many infinite delays the percentiles of a histogram have.
pub(crate) fn lost(timed: Timed, outcome: &Outcome, histogram: &Histogram) -> u64 {
    match timed {
        Timed::FromPlan => outcome.lost_of_planned(),
        Timed::Latency | Timed::FromSend => outcome.lost,
        // A request that was lost after its connect has its connect time all the same.
        Timed::Connect | Timed::Tls | Timed::FirstByte => {
            outcome.sent.saturating_sub(histogram.len())
        }
        // What was held back or not sent tells nothing of the generator; what has no stamp nothing of a part.
        _ => 0,
    }
}

fn cpu_ns(measured: &Measured) -> Option<f64> {
    let client = measured.client.threads.as_ref()?;
    let server = measured.server.threads.as_ref()?;
    Some(real64(client.cpu_ns) + real64(server.cpu_ns))
}

/// CPU time that was spent for nothing has no price per piece.
fn per(total: f64, pieces: f64) -> Option<f64> {
    (pieces > 0.0 && total > 0.0).then(|| total / pieces)
}
