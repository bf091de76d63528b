//! Rounds in which something else than the arms took the machine.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_results::arm::Name;
use tollgate_results::counters::Pressure;
use tollgate_results::run::Campaign;
use tollgate_results::slice::Measured;

use crate::analysis::load::{busy_share, cpus, share, steal_share, total_ns, wait_share};
use crate::analysis::values::{Observation, Observations, RoundKey};
use crate::stats::median;

/// Share of a used CPU that the hypervisor may take.
const STEAL: f64 = 0.02;

/// A CPU is used by a slice when it was busy for more than this share.
const USED: f64 = 0.05;

/// Ticks of steal below which a short slice is not judged: one tick may be rounding.
const STEAL_TICKS: u64 = 3;

/// Share of one CPU by which user space may exceed the workload's median.
const USER_EXCESS: f64 = 0.20;

/// Share of the window by which waiting may exceed its median.
const WAIT_EXCESS: f64 = 0.05;

/// Scaled median absolute deviations by which waiting may exceed its median.
const WAIT_DEVIATIONS: f64 = 6.0;

/// Share of the window in which some task may stall for memory or I/O.
const STALL: f64 = 0.10;

/// Why a round is dropped, and the arm that ran when it happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disturbance {
    pub(crate) arm: Name,
    pub(crate) reason: String,
    /// How many times the limit was exceeded: the worst slice of a round is named.
    size: f64,
}

/// Returns the rounds to drop among those that are whole.
pub(crate) fn disturbed(
    campaign: &Campaign,
    observations: &Observations<'_>,
    whole: &BTreeSet<RoundKey>,
) -> BTreeMap<RoundKey, Disturbance> {
    let resolution = campaign.run.facts.cpu_time_resolution_ns;
    let mut found = BTreeMap::new();
    for workload in &campaign.run.plan.workloads {
        let arms: Vec<(&Name, Vec<(RoundKey, &Observation<'_>)>)> = campaign
            .run
            .plan
            .arms
            .iter()
            .map(|arm| {
                let rounds = observations.rounds(&workload.name, &arm.name);
                let judged = rounds.filter(|(round, _)| whole.contains(round)).collect();
                (&arm.name, judged)
            })
            .collect();
        let all = arms.iter().flat_map(|(_, rounds)| rounds);
        let user = Usual::of(all.filter_map(|(_, slice)| user_share(slice.measured)));
        for (arm, rounds) in &arms {
            let waits = Waits::of(rounds);
            for (round, slice) in rounds {
                let excesses = [
                    steal(slice.measured, resolution),
                    user.and_then(|usual| user_excess(slice.measured, usual)),
                    waits.excess(slice.measured),
                    stall(slice.measured),
                ];
                for (size, reason) in excesses.into_iter().flatten() {
                    let disturbance = Disturbance {
                        arm: (*arm).clone(),
                        reason: format!("{reason} ({} on {arm})", workload.name),
                        size,
                    };
                    keep_worst(&mut found, *round, disturbance);
                }
            }
        }
    }
    found
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

    /// Returns how many times the limit on waiting is exceeded, where it is.
    fn wait_excess(self, share: f64) -> Option<f64> {
        let limit = WAIT_EXCESS.max(WAIT_DEVIATIONS * self.deviation);
        let size = (share - self.median) / limit;
        (size > 1.0).then_some(size)
    }
}

/// What is usual of the waits of one workload on one arm.
struct Waits {
    client: Option<Usual>,
    server: Option<Usual>,
    pressure: Option<Usual>,
}

impl Waits {
    fn of(rounds: &[(RoundKey, &Observation<'_>)]) -> Self {
        let usual = |share: fn(&Measured) -> Option<f64>| {
            Usual::of(rounds.iter().filter_map(|(_, slice)| share(slice.measured)))
        };
        Self {
            client: usual(client_wait),
            server: usual(server_wait),
            pressure: usual(cpu_pressure),
        }
    }

    fn excess(&self, measured: &Measured) -> Option<(f64, String)> {
        [
            (self.client, client_wait(measured), "client threads waited"),
            (self.server, server_wait(measured), "server threads waited"),
            (self.pressure, cpu_pressure(measured), "tasks waited"),
        ]
        .into_iter()
        .filter_map(|(usual, share, who)| {
            let (usual, share) = (usual?, share?);
            let reason = format!(
                "{who} for a CPU {} of the time, usually {}",
                percent(share),
                percent(usual.median)
            );
            Some((usual.wait_excess(share)?, reason))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

fn client_wait(measured: &Measured) -> Option<f64> {
    wait_share(&measured.client)
}

fn server_wait(measured: &Measured) -> Option<f64> {
    wait_share(&measured.server)
}

fn cpu_pressure(measured: &Measured) -> Option<f64> {
    pressure(measured, |pressure| pressure.cpu_some_us)
}

fn stall(measured: &Measured) -> Option<(f64, String)> {
    let memory = pressure(measured, |pressure| pressure.memory_some_us);
    let io = pressure(measured, |pressure| pressure.io_some_us);
    [(memory, "memory"), (io, "I/O")]
        .into_iter()
        .find_map(|(share, what)| {
            let share = share.filter(|share| *share > STALL)?;
            let reason = format!("tasks stalled for {what} {} of the time", percent(share));
            Some((share / STALL, reason))
        })
}

/// The largest stall of both ends; the kernel's figures may stand at one of them only.
fn pressure(measured: &Measured, field: fn(&Pressure) -> Option<u64>) -> Option<f64> {
    [&measured.client, &measured.server]
        .into_iter()
        .filter_map(|counters| {
            let stalled = field(counters.pressure.as_ref()?)?;
            share(stalled.saturating_mul(1_000), counters.at_ns)
        })
        .reduce(f64::max)
}

/// User time of all CPUs, in CPUs.
fn user_share(measured: &Measured) -> Option<f64> {
    let shares: Vec<f64> = cpus(measured)
        .map(|cpu| share(cpu.user_ns?, total_ns(cpu)?))
        .collect::<Option<_>>()?;
    (!shares.is_empty()).then(|| shares.iter().sum())
}

fn user_excess(measured: &Measured, usual: Usual) -> Option<(f64, String)> {
    let share = user_share(measured)?;
    let size = (share - usual.median) / USER_EXCESS;
    (size > 1.0).then(|| {
        let reason = format!(
            "user space took {} of one CPU, usually {}",
            percent(share),
            percent(usual.median)
        );
        (size, reason)
    })
}

fn steal(measured: &Measured, resolution_ns: u64) -> Option<(f64, String)> {
    cpus(measured)
        .filter(|cpu| busy_share(cpu).is_some_and(|busy| busy > USED))
        .filter(|cpu| cpu.steal_ns.unwrap_or(0) >= STEAL_TICKS.saturating_mul(resolution_ns))
        .filter_map(|cpu| Some((steal_share(cpu)?, cpu.cpu)))
        .filter(|(share, _)| *share > STEAL)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(share, cpu)| {
            let reason = format!("the hypervisor took {} of CPU {cpu}", percent(share));
            (share / STEAL, reason)
        })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
