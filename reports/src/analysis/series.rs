//! Series for plots: percentile spectra, and slices in the order measured.

use tollgate_results::arm::Name;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Outcome, Timed};
use tollgate_results::run::Campaign;
use tollgate_results::slice::{Measured, Slice, SliceResult};

use super::context::Context;
use super::load;
use super::values::{self, RoundKey};
use crate::model::{SlicePoint, Spectrum, SpectrumPoint};
use crate::parallel;
use crate::stats::{real, real64};

/// Samples that must lie beyond a point of a spectrum.
const BEYOND: f64 = 10.0;

/// Pools the histograms of each arm and workload over the rounds that count.
pub(crate) fn spectra(context: &Context<'_>) -> Vec<Spectrum> {
    let plan = &context.campaign.run.plan;
    let mut timed = Vec::new();
    for workload in &plan.workloads {
        for kind in Timed::ALL {
            timed.extend(
                plan.arms
                    .iter()
                    .map(|arm| (&workload.name, kind, &arm.name)),
            );
        }
    }
    let spectra = parallel::map(&timed, |&(workload, timed, arm)| {
        spectrum(context, workload, timed, arm)
    });
    spectra.into_iter().flatten().collect()
}

/// `None` where nothing of the kind was timed.
fn spectrum(context: &Context<'_>, workload: &Name, timed: Timed, arm: &Name) -> Option<Spectrum> {
    let mut pooled: Option<Histogram> = None;
    let (mut rounds, mut sent) = (0, 0_u64);
    for (_, observation) in context.kept(workload, arm) {
        if let Some(histogram) = observation.slice.histograms.get(&timed) {
            pooled.get_or_insert_default().merge(histogram);
            rounds += 1;
            let outcome = &observation.measured.outcome;
            sent = sent.saturating_add(asked(timed, outcome, histogram));
        }
    }
    let pooled = pooled?;
    let lost = sent.saturating_sub(pooled.len());
    Some(Spectrum {
        workload: workload.clone(),
        arm: arm.clone(),
        timed,
        rounds,
        sent,
        lost,
        points: points(&pooled, lost),
    })
}

/// Returns how many requests the percentiles of a histogram are of.
fn asked(timed: Timed, outcome: &Outcome, histogram: &Histogram) -> u64 {
    match timed {
        Timed::Latency | Timed::Connect | Timed::Tls | Timed::FirstByte | Timed::FromSend => {
            outcome.sent
        },
        Timed::FromPlan => outcome.open.map_or(outcome.sent, |open| open.planned),
        // Requests that were held back or not sent tell nothing of the generator.
        Timed::Lateness
        // Parts of a round trip are those of replies.
        | Timed::UserToDriver
        | Timed::InQueue
        | Timed::DriverToDriver
        | Timed::FarEnd
        | Timed::DriverToUser
        | Timed::LastByte
        // Delays are those of datagrams that arrived.
        | Timed::OneWayUp
        | Timed::OneWayDown
        | Timed::PdvUp
        | Timed::PdvDown
        | Timed::IpdvUp
        | Timed::IpdvDown => histogram.len(),
    }
}

fn points(pooled: &Histogram, lost: u64) -> Vec<SpectrumPoint> {
    let sent = pooled.len().saturating_add(lost);
    let told: Vec<f64> = quantiles()
        .filter(|quantile| real64(sent) * (1.0 - quantile) >= BEYOND)
        .collect();
    let values = pooled.quantiles_of_sent(&told, lost);
    told.into_iter()
        .zip(values)
        .map(|(quantile, ns)| SpectrumPoint {
            quantile,
            ns: ns.map_or(f64::INFINITY, real64),
        })
        .collect()
}

/// Quantiles from 1 % upwards: in steps of 5 % to 90 %, then ten for each further nine, to 99.9999 %.
fn quantiles() -> impl Iterator<Item = f64> {
    let low = (1..18).map(|step| f64::from(step) * 0.05);
    let nines = (10..=60).map(|tenth| match tenth {
        10 => 0.9,
        20 => 0.99,
        30 => 0.999,
        40 => 0.9999,
        tenth => 1.0 - 10_f64.powf(-f64::from(tenth) / 10.0),
    });
    std::iter::once(0.01).chain(low).chain(nines)
}

/// Returns one point for each slice, in the order measured.
pub(crate) fn timeline(context: &Context<'_>) -> Vec<SlicePoint> {
    let campaign = context.campaign;
    let start = first_stamp(campaign);
    let slices = campaign.slices.iter().enumerate();
    slices
        .map(|(index, slice)| {
            let kept = context.validity.kept.contains(&RoundKey::of(slice));
            let workload = campaign.run.plan.workload(&slice.record.key.workload);
            let stream = workload.is_some_and(|workload| workload.traffic.direction().is_some());
            SlicePoint {
                throughput: measured(slice).filter(|_| stream).and_then(throughput),
                ..point(index, slice, start, kept)
            }
        })
        .collect()
}

fn first_stamp(campaign: &Campaign) -> u64 {
    let stamps = campaign
        .slices
        .iter()
        .map(|slice| slice.record.started_unix_ms);
    stamps.min().unwrap_or(0)
}

fn point(index: usize, slice: &Slice, start: u64, kept: bool) -> SlicePoint {
    let record = &slice.record;
    let measured = measured(slice);
    let all = |part: fn(&_) -> Option<u64>| {
        let cpus = load::cpus(measured?);
        load::share_of_all(cpus, part)
    };
    SlicePoint {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        at_ms: record.started_unix_ms.saturating_sub(start),
        round: record.key.round,
        install: record.install,
        workload: record.key.workload.clone(),
        arm: record.key.arm.clone(),
        kept,
        failed: measured.is_none(),
        p50_ns: measured.and_then(|measured| p50(slice, measured)),
        lateness_p99_ns: lateness(slice),
        throughput: None,
        softirq_share: all(|cpu| cpu.softirq_ns),
        busy_share: all(load::busy_ns),
        steal_share: load::largest_steal(slice),
        client_wait_share: measured.and_then(|measured| load::wait_share(&measured.client)),
        server_wait_share: measured.and_then(|measured| load::wait_share(&measured.server)),
        conntrack_entries: measured.and_then(conntrack),
        time_wait: measured.and_then(|measured| measured.client.time_wait),
        softnet_dropped: measured.and_then(|measured| {
            let dropped = load::cpus(measured).map(|cpu| cpu.softnet_dropped);
            dropped.reduce(|a, b| Some(a?.saturating_add(b?))).flatten()
        }),
    }
}

fn measured(slice: &Slice) -> Option<&Measured> {
    match &slice.record.result {
        SliceResult::Measured(measured) => Some(measured),
        SliceResult::Failed { .. } => None,
    }
}

fn p50(slice: &Slice, measured: &Measured) -> Option<f64> {
    let mut both = [Timed::Latency, Timed::FromPlan].into_iter();
    let (timed, histogram) = both.find_map(|timed| Some((timed, slice.histograms.get(&timed)?)))?;
    let lost = values::lost(timed, &measured.outcome, histogram);
    Some(real64(histogram.quantile_of_sent(0.5, lost)?))
}

/// The generator's lateness of an open loop.
fn lateness(slice: &Slice) -> Option<f64> {
    let histogram = slice.histograms.get(&Timed::Lateness)?;
    histogram.quantile_of_sent(0.99, 0).map(real64)
}

fn throughput(measured: &Measured) -> Option<f64> {
    let outcome = &measured.outcome;
    (outcome.window_ns > 0)
        .then(|| real64(outcome.bytes_received) * 8e9 / real64(outcome.window_ns))
}

fn conntrack(measured: &Measured) -> Option<u64> {
    let nodes = &measured.evidence.counters.conntrack_entries;
    let entries = nodes.iter().map(|node| node.entries);
    entries.reduce(u64::saturating_add)
}

/// Returns the time from the first slice to the end of the last, in seconds.
pub(crate) fn elapsed_seconds(campaign: &Campaign) -> f64 {
    let stamps = campaign
        .slices
        .iter()
        .map(|slice| slice.record.started_unix_ms);
    let Some(last) = stamps.max() else {
        return 0.0;
    };
    let rounds = &campaign.run.plan.rounds;
    let one = rounds.slice.seconds() + rounds.warmup.seconds();
    real64(last - first_stamp(campaign)) / 1e3 + one
}

/// Returns the time that one round takes, in seconds: from the typical distance of slices within an install,
/// or from the plan where the records tell none.
pub(crate) fn seconds_per_round(campaign: &Campaign) -> Option<f64> {
    let plan = &campaign.run.plan;
    let distances: Vec<f64> = campaign
        .slices
        .windows(2)
        .filter(|pair| pair[0].record.install == pair[1].record.install)
        .filter_map(|pair| {
            let (earlier, later) = (&pair[0].record, &pair[1].record);
            let distance = later.started_unix_ms.checked_sub(earlier.started_unix_ms)?;
            Some(real64(distance) / 1e3)
        })
        .collect();
    let planned = plan.rounds.slice.seconds() + plan.rounds.warmup.seconds();
    let slice = crate::stats::median(&distances)
        .filter(|seconds| *seconds > 0.0)
        .unwrap_or(planned);
    let slices = plan.slices_per_round();
    (slices > 0).then(|| slice * real(slices))
}
