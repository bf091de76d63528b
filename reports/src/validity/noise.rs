//! Rounds in which something else than the arms took the machine.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_results::arm::Name;
use tollgate_results::run::Campaign;
use tollgate_results::slice::Measured;
use tollgate_results::workload::{Cpu, Workload};

use crate::analysis::load::{self, share};
use crate::analysis::values::{Observation, Observations, RoundKey};
use crate::stats::{median, real64};
use crate::verdict::{Inference, Scale};

/// Share of a used CPU that the hypervisor may take.
const STEAL: f64 = 0.02;

// A round has dozens of slices and one disturbed slice drops it whole: the limits below are set to what
// moves a median, not to what can be seen.

/// Share of one CPU by which user space may exceed what is usual.
const USER_EXCESS: f64 = 0.30;

/// Share of one CPU by which user space may differ between an arm and its reference, by the whole interval.
const ONE_SIDED: f64 = 0.15;

/// Ticks of the kernel's accounting below which a difference may be rounding.
const TICKS: u64 = 3;

/// Share of the window by which the CPU's scarcity may exceed what is usual.
const SCARCE_EXCESS: f64 = 0.10;

/// Scaled median absolute deviations by which anything may exceed what is usual.
const DEVIATIONS: f64 = 6.0;

/// Share of the window in which some task may stall for memory.
const STALL: f64 = 0.10;

/// Share of its CPU that a pair may lack in the typical slice before the reader is told.
const CROWDED: f64 = 0.10;

/// Why a round is dropped, and the arm that ran when it happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disturbance {
    pub(crate) arm: Name,
    pub(crate) reason: String,
    /// How many times the limit was exceeded: the worst slice of a round is named.
    size: f64,
}

/// How many times a limit was exceeded, and the reason in words.
type Excess = (f64, String);

/// Returns the rounds to drop among those that are whole.
pub(crate) fn disturbed(
    campaign: &Campaign,
    observations: &Observations<'_>,
    whole: &BTreeSet<RoundKey>,
) -> BTreeMap<RoundKey, Disturbance> {
    let plan = &campaign.run.plan;
    let resolution_ns = campaign.run.facts.cpu_time_resolution_ns;
    let mut found = BTreeMap::new();
    for workload in &plan.workloads {
        for arm in &plan.arms {
            let rounds: Vec<(RoundKey, &Observation<'_>)> = observations
                .rounds(&workload.name, &arm.name)
                .filter(|(round, _)| whole.contains(round))
                .collect();
            let load = Load::of(workload, &rounds, resolution_ns);
            for (round, slice) in &rounds {
                let excesses = [
                    load.excess(slice.measured),
                    steal(slice.measured, resolution_ns),
                    stall(slice.measured),
                ];
                for (size, reason) in excesses.into_iter().flatten() {
                    let disturbance = Disturbance {
                        arm: arm.name.clone(),
                        reason: format!("{reason} ({} on {})", workload.name, arm.name),
                        size,
                    };
                    keep_worst(&mut found, *round, disturbance);
                }
            }
        }
    }
    found
}

/// Returns why the whole campaign says nothing where something loaded the CPU beside an arm and not beside its
/// reference, or the other way round: no round stands out then.
pub(crate) fn one_sided(
    campaign: &Campaign,
    observations: &Observations<'_>,
    whole: &BTreeSet<RoundKey>,
) -> Option<String> {
    let plan = &campaign.run.plan;
    let resolution_ns = campaign.run.facts.cpu_time_resolution_ns;
    // A toll that was planted spins in user space: it is known, and no disturbance.
    let planted = |arm: &Name, measured: &Measured| {
        let toll = plan.arm(arm).and_then(|arm| arm.change.planted)?;
        let spun = toll.0.saturating_mul(measured.outcome.replied);
        share(spun, measured.outcome.window_ns)
    };
    let user = |workload: &Workload, arm: &Name, round: &RoundKey| {
        let measured = observations.at(&workload.name, arm, *round)?.measured;
        let known = planted(arm, measured).unwrap_or(0.0);
        Some((user_share(measured, resolution_ns)? - known).max(0.0))
    };
    // The generator of an open loop takes user space as long as it spins, which differs by arm.
    let mut closed = plan.workloads.iter().filter(|w| w.load.open().is_none());
    closed.find_map(|workload| {
        plan.arms.iter().find_map(|arm| {
            let reference = arm.reference.as_ref()?;
            let differences: Vec<f64> = whole
                .iter()
                .filter_map(|round| {
                    Some(user(workload, &arm.name, round)? - user(workload, reference, round)?)
                })
                .collect();
            let found = Inference::of(&differences, Scale::Difference)?.estimate();
            let bounds = found.interval95;
            let (loaded, other) = match bounds {
                bounds if bounds.low > ONE_SIDED => (&arm.name, reference),
                bounds if bounds.high < -ONE_SIDED => (reference, &arm.name),
                _ => return None,
            };
            Some(format!(
                "user space took {} more of the CPU that carried {} on {loaded} than on {other}: something \
                 ran beside {loaded} only",
                percent(found.value.abs()),
                workload.name
            ))
        })
    })
}

/// Returns a warning where client and server lacked a good part of the CPU that they were pinned to, all the
/// time: no round stands out then, but all are slower and wider than they had to be.
pub(crate) fn crowded(
    campaign: &Campaign,
    observations: &Observations<'_>,
    kept: &BTreeSet<RoundKey>,
) -> Option<String> {
    let plan = &campaign.run.plan;
    let busy = |w: &&Workload| w.cpu == Cpu::Shared && w.load.open().is_none();
    let shared = plan.workloads.iter().filter(busy);
    let lacks: Vec<f64> = shared
        .flat_map(|workload| plan.arms.iter().map(move |arm| (workload, arm)))
        .flat_map(|(workload, arm)| observations.rounds(&workload.name, &arm.name))
        .filter(|(round, _)| kept.contains(round))
        .filter_map(|(_, slice)| lacking(slice.measured))
        .collect();
    let lack = median(&lacks).filter(|lack| *lack > CROWDED)?;
    Some(format!(
        "The machine was busy with something else: client and server got only {} of the CPU that they \
         share in the typical slice",
        percent(1.0 - lack)
    ))
}

fn keep_worst(
    found: &mut BTreeMap<RoundKey, Disturbance>,
    round: RoundKey,
    disturbance: Disturbance,
) {
    let worse = found
        .get(&round)
        .is_none_or(|known| disturbance.size > known.size);
    if worse {
        found.insert(round, disturbance);
    }
}

/// What is usual of a share: its median and its scaled median absolute deviation.
#[derive(Debug, Clone, Copy)]
struct Usual {
    median: f64,
    deviation: f64,
}

impl Usual {
    fn of(shares: impl Iterator<Item = f64>) -> Option<Self> {
        let shares: Vec<f64> = shares.collect();
        let middle = median(&shares)?;
        let distances: Vec<f64> = shares.iter().map(|share| (share - middle).abs()).collect();
        Some(Self {
            median: middle,
            // 1.4826 makes it the standard deviation of normal noise.
            deviation: 1.4826 * median(&distances)?,
        })
    }
}

/// One way to see that something else used a CPU.
struct Signal {
    /// The share, given the resolution of CPU times in nanoseconds.
    share: fn(&Measured, u64) -> Option<f64>,
    /// By how much it may exceed its median at least.
    excess: f64,
    words: &'static str,
}

/// A program on the CPU that carries the traffic.
const USER: Signal = Signal {
    share: user_share,
    excess: USER_EXCESS,
    words: "user space took the CPU that carried the traffic",
};

/// Client and server on one CPU: always one of them runs, so what both lack went to others. How long each waits
/// for the other depends on the scheduler's way of waking, which may change from slice to slice.
const SHARED: &[Signal] = &[
    USER,
    Signal {
        share: |measured, _| lacking(measured),
        excess: SCARCE_EXCESS,
        words: "client and server lacked their CPU",
    },
];

/// Client and server on a CPU each: nobody has to wait.
const APART: &[Signal] = &[USER, CLIENT_WAITS, SERVER_WAITS, TASKS_WAIT];

/// The same without what a generator does by itself.
const WAITING: &[Signal] = &[CLIENT_WAITS, SERVER_WAITS, TASKS_WAIT];

const CLIENT_WAITS: Signal = Signal {
    share: |measured, _| load::wait_share(&measured.client),
    excess: SCARCE_EXCESS,
    words: "the client waited for a CPU",
};

const SERVER_WAITS: Signal = Signal {
    share: |measured, _| load::wait_share(&measured.server),
    excess: SCARCE_EXCESS,
    words: "the server waited for a CPU",
};

const TASKS_WAIT: Signal = Signal {
    share: |measured, _| load::pressure(measured, |pressure| pressure.cpu_some_us),
    excess: SCARCE_EXCESS,
    words: "tasks waited for a CPU",
};

/// What is usual of each signal for one workload on one arm.
struct Load {
    resolution_ns: u64,
    signals: Vec<(&'static Signal, Usual)>,
}

impl Load {
    fn of(
        workload: &Workload,
        rounds: &[(RoundKey, &Observation<'_>)],
        resolution_ns: u64,
    ) -> Self {
        let signals = match (workload.cpu, workload.load.open().is_some()) {
            (Cpu::Shared, false) => SHARED,
            (Cpu::Split | Cpu::Free, false) => APART,
            // The generator spins in user space, the less the longer it has replies to look for, and leaves its CPU
            // idle for the rest: neither says that anything else ran. Its lateness does.
            (Cpu::Shared, true) => &[],
            (Cpu::Split | Cpu::Free, true) => WAITING,
        };
        let usual = |signal: &'static Signal| {
            let shares = rounds
                .iter()
                .filter_map(|(_, slice)| (signal.share)(slice.measured, resolution_ns));
            Some((signal, Usual::of(shares)?))
        };
        Self {
            resolution_ns,
            signals: signals.iter().filter_map(usual).collect(),
        }
    }

    fn excess(&self, measured: &Measured) -> Option<Excess> {
        self.signals
            .iter()
            .filter_map(|(signal, usual)| {
                let share = (signal.share)(measured, self.resolution_ns)?;
                let limit = signal.excess.max(DEVIATIONS * usual.deviation);
                let size = (share - usual.median) / limit;
                let reason = format!(
                    "{} {} of the time, usually {}",
                    signal.words,
                    percent(share),
                    percent(usual.median)
                );
                (size > 1.0).then_some((size, reason))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Share of the window in which neither the client's nor the server's threads ran.
fn lacking(measured: &Measured) -> Option<f64> {
    let client = measured.client.threads.as_ref()?;
    let server = measured.server.threads.as_ref()?;
    let ran = client.cpu_ns.saturating_add(server.cpu_ns);
    // The threads run a little before and after the window too.
    Some((1.0 - share(ran, measured.outcome.window_ns)?).max(0.0))
}

fn stall(measured: &Measured) -> Option<Excess> {
    let share = load::pressure(measured, |pressure| pressure.memory_some_us)?;
    (share > STALL).then(|| {
        let reason = format!("tasks stalled for memory {} of the time", percent(share));
        (share / STALL, reason)
    })
}

/// User time of the CPUs that carried the traffic, in CPUs; `None` where a slice is too short for the kernel's
/// accounting.
fn user_share(measured: &Measured, resolution_ns: u64) -> Option<f64> {
    if real64(measured.client.at_ns) * USER_EXCESS < ticks(resolution_ns) {
        return None;
    }
    let shares: Vec<f64> = load::used_cpus(measured)
        .map(|cpu| share(cpu.user_ns?, load::total_ns(cpu)?))
        .collect::<Option<_>>()?;
    (!shares.is_empty()).then(|| shares.iter().sum())
}

fn steal(measured: &Measured, resolution_ns: u64) -> Option<Excess> {
    load::used_cpus(measured)
        .filter(|cpu| real64(cpu.steal_ns.unwrap_or(0)) >= ticks(resolution_ns))
        .filter_map(|cpu| Some((load::steal_share(cpu)?, cpu.cpu)))
        .filter(|(share, _)| *share > STEAL)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(share, cpu)| {
            let reason = format!("the hypervisor took {} of CPU {cpu}", percent(share));
            (share / STEAL, reason)
        })
}

/// Time that may be rounding, in nanoseconds.
fn ticks(resolution_ns: u64) -> f64 {
    real64(TICKS.saturating_mul(resolution_ns))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
