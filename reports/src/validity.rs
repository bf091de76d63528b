//! Which rounds count (statistics §2.9, DESIGN §4.8). Rules are blind to the measured latency, are the same
//! for all arms, and drop whole rounds.
//!
//! | rule | drops a round when, in any of its slices |
//! |---|---|
//! | steal | the hypervisor took more than 2 % of a CPU that carried the traffic |
//! | user CPU | user space took 30 points more of such a CPU than usual |
//! | scarce CPU | client and server together lacked the CPU that they share (`shared`), or waited for theirs (`split`, `free`), 10 points more than usual |
//! | memory pressure | some task stalled for memory for more than 10 % of the window |
//!
//! Usual is the median of the same workload on the same arm, because one arm may well wait more than another;
//! beyond the points, six deviations are asked for. What ran beside one arm all the time shows as user CPU
//! that differs from its reference's by 15 points, interval and all, and makes the campaign invalid. Under `shared` placement neither the wait of
//! one peer nor the pressure says anything: the woken peer always waits, and for how long is up to the
//! scheduler's way of waking. Nor are involuntary switches judged, for the same reason. Rules whose
//! counter cannot be read don't apply. Nor do the rules on user CPU, and under `shared` on scarce CPU, to an open loop:
//! its generator spins and idles by itself, and its lateness is a figure of its own.

mod balance;
mod cluster;
pub(crate) mod evidence;
mod noise;

use std::collections::{BTreeMap, BTreeSet};

use tollgate_results::arm::Name;
use tollgate_results::run::{Campaign, TargetKind};
use tollgate_results::slice::{Slice, SliceResult};

use crate::analysis::load;
use crate::analysis::values::{Observations, RoundKey};
use crate::model::{Conduct, Fate, RoundFate, SliceFailure, Steal};
use crate::stats::{binomial, median, real, real64};
use crate::words;

/// Above this share of dropped rounds a campaign says nothing.
const MOST_DROPPED: f64 = 0.20;

/// Which rounds count.
#[derive(Debug)]
pub(crate) struct Validity {
    pub(crate) conduct: Conduct,
    /// Rounds that count.
    pub(crate) kept: BTreeSet<RoundKey>,
    /// Rounds that would count were none dropped for noise.
    pub(crate) whole: BTreeSet<RoundKey>,
    /// A warning where the machine was busy all the time.
    pub(crate) crowded: Option<String>,
}

/// Judges every round of a campaign.
pub(crate) fn judge(campaign: &Campaign, observations: &Observations<'_>) -> Validity {
    let fates = by_design(campaign);
    let whole: BTreeSet<RoundKey> = fates
        .iter()
        .filter(|(_, (fate, _))| *fate == Fate::Kept)
        .map(|(round, _)| *round)
        .collect();
    let disturbed = noise::disturbed(campaign, observations, &whole);
    let kept: BTreeSet<RoundKey> = whole
        .iter()
        .filter(|round| !disturbed.contains_key(round))
        .copied()
        .collect();
    let rounds = fates
        .into_iter()
        .map(|(key, (fate, reason))| match disturbed.get(&key) {
            Some(disturbance) => round_fate(key, Fate::Dropped, Some(disturbance.reason.clone())),
            None => round_fate(key, fate, reason),
        })
        .collect();
    let crowded = noise::crowded(campaign, observations, &kept);
    let planned = campaign.run.plan.rounds.count;
    let count = |set: usize| u32::try_from(set).unwrap_or(u32::MAX);
    let complete = count(whole.len()) >= planned;
    let conduct = Conduct {
        planned,
        kept: count(kept.len()),
        dropped: count(disturbed.len()),
        rounds,
        complete,
        invalid: (complete && too_many(whole.len(), disturbed.len()))
            .then(|| too_many_dropped(whole.len(), disturbed.len()))
            .or_else(|| confounded(campaign, &disturbed))
            .or_else(|| noise::one_sided(campaign, observations, &whole)),
        steal: steal(campaign),
        failures: failures(&campaign.slices),
        notes: notes(campaign, count(whole.len()))
            .into_iter()
            .chain(crowded.clone())
            .collect(),
    };
    Validity {
        conduct,
        kept,
        whole,
        crowded,
    }
}

const fn round_fate(key: RoundKey, fate: Fate, reason: Option<String>) -> RoundFate {
    RoundFate {
        round: key.round,
        install: key.install,
        fate,
        reason,
    }
}

/// What becomes of each round whatever was measured in it.
fn by_design(campaign: &Campaign) -> BTreeMap<RoundKey, (Fate, Option<String>)> {
    let mut seen: BTreeMap<RoundKey, BTreeSet<(&Name, &Name)>> = BTreeMap::new();
    for slice in &campaign.slices {
        let key = &slice.record.key;
        seen.entry(RoundKey::of(slice))
            .or_default()
            .insert((&key.workload, &key.arm));
    }
    let slices = campaign.run.plan.slices_per_round();
    let first_of = |install: u32| {
        let index = usize::try_from(install).ok()?;
        Some(campaign.run.installs.get(index)?.first_round)
    };
    seen.into_iter()
        .map(|(round, found)| {
            let fate = if round.round == 0 || first_of(round.install) == Some(round.round) {
                let reason = "first round after the arms were deployed";
                (Fate::Warmup, Some(reason.to_owned()))
            } else if found.len() < slices {
                let reason = format!("cut short after {} of {slices} slices", found.len());
                (Fate::Partial, Some(reason))
            } else {
                (Fate::Kept, None)
            };
            (round, fate)
        })
        .collect()
}

fn too_many(whole: usize, dropped: usize) -> bool {
    real(dropped) > MOST_DROPPED * real(whole)
}

/// Said only of a finished campaign: rounds that are still to come may make it a small share.
fn too_many_dropped(whole: usize, dropped: usize) -> String {
    format!(
        "{} of {whole} dropped for noise, more than 20 %: measure again on a quieter machine",
        words::plural(dropped, "round")
    )
}

/// Where one arm is blamed for far more drops than its share, dropping would flatter or hurt it.
fn confounded(
    campaign: &Campaign,
    disturbed: &BTreeMap<RoundKey, noise::Disturbance>,
) -> Option<String> {
    let plan = &campaign.run.plan;
    let slices = plan.slices_per_round();
    let arms = plan.arms.len();
    if slices == 0 || arms < 2 {
        return None;
    }
    plan.arms.iter().find_map(|arm| {
        let blamed = disturbed
            .values()
            .filter(|disturbance| disturbance.arm == arm.name)
            .count();
        let share = real(arm.workloads.len()) / real(slices);
        let p = binomial::p_two_sided(blamed as u64, disturbed.len() as u64, share);
        // One of as many arms as there are may stand out by chance.
        (p * real(arms) < 0.05 && real(blamed) > share * real(disturbed.len())).then(|| {
            format!(
                "{blamed} of {} dropped rounds were disturbed while {} ran: the noise comes with the arm",
                disturbed.len(),
                arm.name
            )
        })
    })
}

fn steal(campaign: &Campaign) -> Steal {
    let largest = campaign
        .slices
        .iter()
        .filter_map(load::largest_steal)
        .fold(0.0, f64::max);
    if largest > 0.0 {
        Steal::Observed {
            largest_share: largest,
        }
    } else {
        Steal::Unobservable
    }
}

fn failures(slices: &[Slice]) -> Vec<SliceFailure> {
    slices
        .iter()
        .filter_map(|slice| {
            let SliceResult::Failed { reason } = &slice.record.result else {
                return None;
            };
            let key = slice.record.key.clone();
            Some(SliceFailure {
                round: key.round,
                workload: key.workload,
                arm: key.arm,
                reason: reason.clone(),
            })
        })
        .collect()
}

/// Says what slices took beyond their warm-up and window. In a lab that is the machine's own doing.
fn control(campaign: &Campaign) -> Option<String> {
    if campaign.run.target == TargetKind::Lab {
        return None;
    }
    let slices = campaign.slices.iter();
    let times: Vec<f64> = slices
        .filter_map(|slice| slice.record.control_ns)
        .map(|time| real64(time) / 1e6)
        .collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    Some(format!(
        "Starting, stopping and collecting took {:.0} ms of a typical slice, {longest:.0} ms at the most, beside its \
         warm-up and window",
        median(&times)?
    ))
}

fn notes(campaign: &Campaign, whole: u32) -> Vec<String> {
    let run = &campaign.run;
    let mut notes = Vec::new();
    if whole < run.plan.rounds.count {
        notes.push(format!(
            "{whole} of {} planned rounds were measured; `--resume` adds the others",
            run.plan.rounds.count
        ));
    }
    if let Some(hosts) = &run.hosts {
        let server = &hosts.server_facts;
        notes.push(format!(
            "The facts are the client's; the server has {} CPUs ({}), Linux {}, fingerprint {}",
            server.cpus,
            server.cpu_model,
            server.kernel,
            server.fingerprint()
        ));
    }
    if let Some(cluster) = &run.cluster {
        notes.extend(cluster::notes(cluster, run.plan.reconfigures()));
    }
    notes.extend(cluster::switched(run));
    notes.extend(control(campaign));
    match run.installs.len() {
        0 | 1 => notes.push(
            "All figures are for this one install of the arms: how much another install would differ \
             is not in the intervals"
                .to_owned(),
        ),
        installs @ 2..4 => notes.push(format!(
            "The arms were deployed {installs} times: too few to tell how much installs differ"
        )),
        _ => {}
    }
    if let Some(clock) = &run.facts.clocksource {
        const KNOWN: [&str; 4] = [
            "tsc",
            "kvm-clock",
            "arch_sys_counter",
            "hyperv_clocksource_tsc_page",
        ];
        if !KNOWN.contains(&clock.as_str()) {
            notes.push(format!(
                "The clock source is {clock}, which is slow to read: short latencies include it"
            ));
        }
    }
    notes
}
