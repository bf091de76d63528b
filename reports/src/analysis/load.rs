//! Shares of CPU time, from counters. What could not be read has no share.

use tollgate_results::counters::{Counters, CpuCounters, Pressure};
use tollgate_results::slice::{Measured, Slice, SliceResult};

use crate::stats::real64;

/// Returns the CPUs of both ends; those of a shared kernel stand at one end only.
pub(crate) fn cpus(measured: &Measured) -> impl Iterator<Item = &CpuCounters> {
    measured.client.cpus.iter().chain(&measured.server.cpus)
}

/// Returns the time that a CPU was not idle, steal excluded.
pub(crate) fn busy_ns(cpu: &CpuCounters) -> Option<u64> {
    let parts = [cpu.user_ns?, cpu.system_ns?, cpu.irq_ns?, cpu.softirq_ns?];
    Some(parts.into_iter().fold(0, u64::saturating_add))
}

/// Returns all accounted time of a CPU; steal that is not readable counts as none.
pub(crate) fn total_ns(cpu: &CpuCounters) -> Option<u64> {
    let unused = cpu.idle_ns?.saturating_add(cpu.steal_ns.unwrap_or(0));
    Some(busy_ns(cpu)?.saturating_add(unused))
}

/// Returns part / whole; `None` for an empty whole.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| real64(part) / real64(whole))
}

/// Returns the share of a CPU that the hypervisor took.
pub(crate) fn steal_share(cpu: &CpuCounters) -> Option<f64> {
    share(cpu.steal_ns?, total_ns(cpu)?)
}

/// Returns the CPUs that carried the traffic: those that the ends were pinned to and the one that the client's packets
/// came in on. Where neither end was pinned, those with at least a tenth of all NET_RX soft interrupts: then other
/// traffic on the machine counts as well.
pub(crate) fn used_cpus(measured: &Measured) -> impl Iterator<Item = &CpuCounters> {
    let received = cpus(measured).filter_map(|cpu| cpu.net_rx);
    let all = received.fold(0, u64::saturating_add);
    let pinned = measured.pinned;
    let known = pinned.client.is_some() || pinned.server.is_some();
    let incoming = measured
        .outcome
        .flow
        .as_ref()
        .and_then(|flow| flow.incoming_cpu);
    // A kernel that both ends share is kept at the client's end.
    let one_kernel = measured.server.cpus.is_empty();
    let busy = move |cpu: &CpuCounters| all > 0 && cpu.net_rx.is_some_and(|own| own >= all / 10);
    let is = move |which: Option<u32>, cpu: &CpuCounters| which == Some(cpu.cpu);
    let client = measured.client.cpus.iter().filter(move |cpu| {
        is(pinned.client, cpu)
            || is(incoming, cpu)
            || (one_kernel && is(pinned.server, cpu))
            || (!known && busy(cpu))
    });
    let server = measured
        .server
        .cpus
        .iter()
        .filter(move |cpu| is(pinned.server, cpu) || (!known && busy(cpu)));
    client.chain(server)
}

/// Returns the largest share of one CPU that the hypervisor took during a slice.
pub(crate) fn largest_steal(slice: &Slice) -> Option<f64> {
    let SliceResult::Measured(measured) = &slice.record.result else {
        return None;
    };
    cpus(measured).filter_map(steal_share).reduce(f64::max)
}

/// Returns the time that an end's threads waited for a CPU, summed, as a share of the window.
pub(crate) fn wait_share(counters: &Counters) -> Option<f64> {
    share(counters.threads.as_ref()?.run_queue_wait_ns, counters.at_ns)
}

/// Returns the larger stall of both ends as a share of the window; the kernel's figures may stand at one only.
pub(crate) fn pressure(measured: &Measured, field: fn(&Pressure) -> Option<u64>) -> Option<f64> {
    [&measured.client, &measured.server]
        .into_iter()
        .filter_map(|counters| {
            let stalled = field(counters.pressure.as_ref()?)?;
            share(stalled.saturating_mul(1_000), counters.at_ns)
        })
        .reduce(f64::max)
}

/// Returns a part of the time of all CPUs as a share of all their time.
pub(crate) fn share_of_all<'a>(
    cpus: impl Iterator<Item = &'a CpuCounters>,
    part: fn(&CpuCounters) -> Option<u64>,
) -> Option<f64> {
    let (mut parts, mut whole) = (0_u64, 0_u64);
    for cpu in cpus {
        parts = parts.saturating_add(part(cpu)?);
        whole = whole.saturating_add(total_ns(cpu)?);
    }
    share(parts, whole)
}
