//! All slices of a record: waterfalls, the clock's effect, and whether the sums agree.

use tollgate_results::anatomy::{
    AnatomyRecord, Clocked, ClockedWay, Followed, Hop, HopKind, SliceOutcome, Way,
};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::histogram::Histogram;

use super::TOLERANCE;
use super::difference::difference;
use super::model::{Anatomy, ArmAnatomy, HopAnatomy, Judged, Subject, WayAnatomy};
use super::programs::{self, CountedSlice};
use crate::stats::real64;
use crate::verdict::{Inference, Scale};
use crate::words;

/// Least share of packets on the most frequent path: below it, that path's hops don't tell the whole.
const LEAST_ALIKE: f64 = 0.95;

/// Least share of exchanges whose packets were found.
const LEAST_JOINED: f64 = 0.99;

/// What the clock costs, as it is stated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) event_ns: f64,
    pub(super) packet_ns: f64,
}

/// The slices of one arm with one kind of traffic, those of round 0 left out.
pub(super) struct Slices<'a> {
    /// Round and round trips of slices without the clock.
    pub(super) plain: Vec<(u32, &'a Histogram)>,
    /// Round and what was seen of slices with it.
    pub(super) clocked: Vec<(u32, &'a Clocked)>,
    /// Slices in which runs of eBPF programs were counted.
    pub(super) counted: Vec<CountedSlice<'a>>,
    /// Runs that were counted in the others: none, if they were left in peace.
    counted_elsewhere: u64,
    failed: Vec<&'a str>,
}

/// Takes a record apart. Equal records give equal analyses.
#[must_use]
pub fn analyse(record: &AnatomyRecord) -> Anatomy {
    let cost = Cost {
        event_ns: real64(record.event_cost.0),
        packet_ns: real64(record.packet_cost.0),
    };
    let mut arms = Vec::new();
    let mut differences = Vec::new();
    for &followed in &record.followed {
        for arm in &record.arms {
            let slices = Slices::of(record, &arm.name, followed);
            arms.push(anatomy(arm, followed, &slices, cost));
            let reference = arm.reference.as_ref();
            let compared =
                reference.filter(|name| record.arms.iter().any(|arm| arm.name == **name));
            if let Some(reference) = compared {
                let others = Slices::of(record, reference, followed);
                let pair = (&arm.name, reference);
                differences.extend(difference(pair, followed, (&slices, &others), cost));
            }
        }
    }
    Anatomy {
        subject: subject(record),
        arms,
        differences,
    }
}

fn subject(record: &AnatomyRecord) -> Subject {
    Subject {
        scenario: record.scenario.clone(),
        about: record.about.clone(),
        tool_version: record.version.clone(),
        started_unix_ms: record.started_unix_ms,
        machine: format!("Linux {}, {}", record.facts.kernel, record.facts.cpu_model),
        cpu: record.cpu,
        rounds: record.rounds,
        slice_ns: record.slice.0,
        seed: record.seed,
        netfilter: record.netfilter.clone(),
        event_cost_ns: record.event_cost.0,
        packet_cost_ns: record.packet_cost.0,
        skipped: record.skipped.clone(),
    }
}

impl<'a> Slices<'a> {
    fn of(record: &'a AnatomyRecord, arm: &Name, followed: Followed) -> Self {
        let mut slices = Self {
            plain: Vec::new(),
            clocked: Vec::new(),
            counted: Vec::new(),
            counted_elsewhere: 0,
            failed: Vec::new(),
        };
        let own = record
            .slices
            .iter()
            .filter(|slice| slice.round > 0 && slice.arm == *arm && slice.followed == followed);
        for slice in own {
            match &slice.outcome {
                SliceOutcome::Plain { latency } => slices.plain.push((slice.round, latency)),
                SliceOutcome::Clocked(clocked) => slices.clocked.push((slice.round, clocked)),
                SliceOutcome::Counted { latency, programs } => {
                    slices
                        .counted
                        .push((slice.round, latency, programs.as_slice()));
                    continue;
                }
                SliceOutcome::Failed { reason } => slices.failed.push(reason),
            }
            let counted = slice.counted_runs.unwrap_or(0);
            slices.counted_elsewhere = slices.counted_elsewhere.saturating_add(counted);
        }
        slices
    }

    /// Returns the rounds that have both.
    pub(super) fn rounds(&self) -> Vec<(u32, &'a Histogram, &'a Clocked)> {
        let clocked = self.clocked.iter();
        let both = clocked.filter_map(|(round, clocked)| {
            let plain = self.plain.iter().find(|(other, _)| other == round)?;
            Some((*round, plain.1, *clocked))
        });
        both.collect()
    }
}

/// Returns the packet of a way.
pub(super) const fn of_way(clocked: &Clocked, way: Way) -> &ClockedWay {
    match way {
        Way::Request => &clocked.request,
        Way::Reply => &clocked.reply,
    }
}

/// Returns the median in nanoseconds.
pub(super) fn median(times: &Histogram) -> Option<f64> {
    quantile(times, 0.5)
}

fn quantile(times: &Histogram, quantile: f64) -> Option<f64> {
    times.quantile_of_sent(quantile, 0).map(real64)
}

impl Cost {
    /// Returns the clock's cost in a hop: of its events, of recognising the packet (behind the first event), of
    /// handing its record over (behind the last one).
    pub(super) fn of(self, way: &ClockedWay, index: usize) -> f64 {
        let Some(hop) = way.hops.get(index) else {
            return 0.0;
        };
        let sends = |hop: &Hop| hop.key.kind == HopKind::Send;
        let recognised = usize::from(way.hops.first().is_some_and(sends));
        let shares = u32::from(index == recognised) + u32::from(index + 1 == way.hops.len());
        f64::from(hop.events) * self.event_ns + f64::from(shares) * self.packet_ns / 2.0
    }

    /// Returns the clock's cost in a whole way.
    pub(super) fn of_whole(self, way: &ClockedWay) -> f64 {
        (0..way.hops.len()).map(|index| self.of(way, index)).sum()
    }
}

fn anatomy(arm: &Arm, followed: Followed, slices: &Slices<'_>, cost: Cost) -> ArmAnatomy {
    let rounds = slices.rounds();
    let merged = |histograms: &mut dyn Iterator<Item = &Histogram>| {
        let mut all = Histogram::new();
        histograms.for_each(|histogram| all.merge(histogram));
        median(&all)
    };
    let plain_ns = merged(&mut slices.plain.iter().map(|(_, latency)| *latency));
    let clocked_ns = merged(&mut slices.clocked.iter().map(|(_, clocked)| &clocked.latency));
    let effects: Vec<f64> = rounds
        .iter()
        .filter_map(|(_, plain, clocked)| Some((median(&clocked.latency)? / median(plain)?).ln()))
        .collect();
    let ways: Vec<(ClockedWay, bool)> = Way::BOTH
        .into_iter()
        .map(|way| pooled(&slices.clocked, way))
        .collect();
    let cost_ns = ways.iter().map(|(way, _)| cost.of_whole(way)).sum();
    let medians = ways.iter().flat_map(|(way, _)| &way.hops);
    let sum: Option<f64> = medians.map(|hop| median(&hop.times)).sum();
    let sum_ns = sum.filter(|sum| *sum > 0.0);
    let off = sum_ns
        .zip(plain_ns)
        .map(|(sum, plain)| (sum - cost_ns) / plain - 1.0);
    let sum_of =
        |of: fn(&Clocked) -> u64| slices.clocked.iter().map(|(_, clocked)| of(clocked)).sum();
    let mut anatomy = ArmAnatomy {
        arm: arm.name.clone(),
        description: arm.describe(),
        followed,
        rounds: u32::try_from(rounds.len()).unwrap_or(u32::MAX),
        plain_ns,
        clocked_ns,
        effect: Inference::of(&effects, Scale::Ratio).map(|effect| effect.estimate()),
        sum_ns,
        cost_ns,
        off,
        judged: Judged::Agrees,
        exchanges: sum_of(|clocked| clocked.exchanges),
        joined: sum_of(|clocked| clocked.joined),
        lost: sum_of(|clocked| clocked.lost),
        given_up: sum_of(|clocked| clocked.given_up),
        failed: u64::try_from(slices.failed.len()).unwrap_or(u64::MAX),
        ways: Way::BOTH
            .into_iter()
            .zip(&ways)
            .map(|(way, (pooled, _))| waterfall(way, pooled, cost))
            .collect(),
        programs: programs::counted(slices),
    };
    let one_path = ways.iter().all(|(_, one_path)| *one_path);
    let mut faults = faults(&anatomy, one_path, &slices.failed);
    faults.extend(disturbed(slices));
    if !faults.is_empty() {
        anatomy.judged = Judged::Invalid(faults);
    }
    anatomy
}

/// Merges the slices of a way, and says whether all had the same hops; slices with others than the first's are left
/// out.
fn pooled(clocked: &[(u32, &Clocked)], way: Way) -> (ClockedWay, bool) {
    let mut all = ClockedWay::default();
    let mut one_path = true;
    for (_, clocked) in clocked {
        let own = of_way(clocked, way);
        all.trips += own.trips;
        all.shapes = all.shapes.max(own.shapes);
        if own.hops.is_empty() {
            continue;
        }
        if all.hops.is_empty() {
            all.hops.clone_from(&own.hops);
            all.whole = own.whole.clone();
            all.events = own.events;
            all.places.clone_from(&own.places);
            all.common = own.common;
            continue;
        }
        let keys =
            |way: &ClockedWay| -> Vec<_> { way.hops.iter().map(|hop| hop.key.clone()).collect() };
        if keys(own) != keys(&all) {
            one_path = false;
            continue;
        }
        all.common += own.common;
        all.whole.merge(&own.whole);
        for (hop, more) in all.hops.iter_mut().zip(&own.hops) {
            hop.times.merge(&more.times);
        }
    }
    (all, one_path)
}

fn waterfall(way: Way, pooled: &ClockedWay, cost: Cost) -> WayAnatomy {
    let seen_ns = median(&pooled.whole).unwrap_or(0.0);
    let hops = pooled.hops.iter().enumerate().map(|(index, hop)| {
        let at = |share| quantile(&hop.times, share).unwrap_or(0.0);
        HopAnatomy {
            key: hop.key.clone(),
            words: hop.words.clone(),
            seen_ns: at(0.5),
            ns: (at(0.5) - cost.of(pooled, index)).max(0.0),
            p10_ns: at(0.1),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
        }
    });
    WayAnatomy {
        way,
        trips: pooled.trips,
        alike: share(pooled.common, pooled.trips),
        events: pooled.events,
        places: pooled.places.clone(),
        seen_ns,
        ns: (seen_ns - cost.of_whole(pooled)).max(0.0),
        hops: hops.collect(),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        real64(part) / real64(whole)
    }
}

fn faults(anatomy: &ArmAnatomy, one_path: bool, failed: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(reason) = failed.first() {
        let slices = words::plural(failed.len(), "slice");
        faults.push(format!("{slices} failed: {reason}"));
    }
    if anatomy.joined == 0 {
        faults.push("no packet was followed from end to end".to_owned());
        return faults;
    }
    let joined = share(anatomy.joined, anatomy.exchanges);
    if joined < LEAST_JOINED {
        faults.push(format!(
            "only {:.1} % of the exchanges were found among the packets (at least 99 %)",
            100.0 * joined
        ));
    }
    let followed = 2 * anatomy.joined + anatomy.lost;
    if share(anatomy.lost, followed) > 1.0 - LEAST_JOINED {
        faults.push(format!(
            "{} packets were lost in the ring: choose shorter slices",
            anatomy.lost
        ));
    }
    for way in &anatomy.ways {
        if way.alike < LEAST_ALIKE {
            faults.push(format!(
                "only {:.1} % of the packets of the {} took the most frequent path (at least 95 %)",
                100.0 * way.alike,
                way.way.as_str()
            ));
        }
    }
    if !one_path {
        faults.push("the path was not the same in every round".to_owned());
    }
    match anatomy.off {
        None => faults.push("no round trip was measured without the clock".to_owned()),
        Some(off) if off.abs() > TOLERANCE => faults.push(disagreement(anatomy, off)),
        Some(_) => {}
    }
    faults
}

/// Says that programs were timed in slices that were to be without: that slows them down.
fn disturbed(slices: &Slices<'_>) -> Option<String> {
    (slices.counted_elsewhere > 0).then(|| {
        format!(
            "the kernel timed {} runs of its eBPF programs in slices that were to be free of that: something else on this \
             machine has run statistics on (kernel.bpf_stats_enabled)",
            words::count(slices.counted_elsewhere)
        )
    })
}

/// Says that the sums don't agree, and which cost would make them.
fn disagreement(anatomy: &ArmAnatomy, off: f64) -> String {
    let events: u32 = anatomy.ways.iter().map(|way| way.events).sum();
    let extra = anatomy.clocked_ns.zip(anatomy.plain_ns);
    let hint = extra.map_or_else(String::new, |(clocked, plain)| {
        format!(
            "; the clock added {:.0} ns here over {events} events, {:.0} ns were stated (--event-cost)",
            clocked - plain,
            anatomy.cost_ns
        )
    });
    format!(
        "the sum of the hops less the stated cost is {:+.1} % off the round trips without the clock (at most 5 %){hint}",
        100.0 * off
    )
}
