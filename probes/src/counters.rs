//! Reads the counters of the node, of the probe's network namespace and of the probe's threads.
//!
//! The parsers are Tollgate's own: text in, values out. The `procfs` crate has neither `softnet_stat` nor
//! `netstat` nor `sockstat`, reads `/proc/net` (the namespace of the process's first thread, not of the
//! caller), and refuses a whole file for one field that it doesn't expect, where a reading at a slice's
//! edge has to go on with that one counter unknown.
//!
//! - `cpu`: `/proc/stat`, `/proc/softirqs`, `/proc/net/softnet_stat`
//! - `protocols`: `snmp`, `netstat`, `snmp6` and `sockstat` of `/proc/net`
//! - `sched`: `/proc/pressure`, and `schedstat` and `status` of `/proc/self/task/TID`
//! - `files`: the one place that opens files

mod cpu;
mod files;
mod protocols;
mod sched;

use tollgate_results::counters::Counters;

use crate::clock::{Clock as _, Monotonic};

/// Reads every counter once; takes some hundred microseconds, so call it outside measured windows.
///
/// `threads` are the OS ids of threads of this process whose scheduler statistics are summed. What this
/// kernel doesn't show, or shows only in part, stays `None` or absent. What a responder answered is its own to add.
#[must_use]
pub fn read(threads: &[i32]) -> Counters {
    assemble(
        Monotonic.now().ns(),
        files::ticks_per_second(),
        threads,
        &files::text,
    )
}

/// Makes a reading out of the texts that `file` has; pure if `file` is.
fn assemble(
    at_ns: u64,
    ticks_per_second: Option<u64>,
    threads: &[i32],
    file: &dyn Fn(&str) -> Option<String>,
) -> Counters {
    let stat = file("/proc/stat");
    let stat = stat.as_deref();
    let net = |name: &str| file(&format!("/proc/thread-self/net/{name}"));
    let cpus = cpu::Cpus::new(stat, ticks_per_second)
        .with_softnet(net("softnet_stat").as_deref())
        .with_softirqs(file("/proc/softirqs").as_deref());
    let pressure = |name: &str| sched::some_total(&file(&format!("/proc/pressure/{name}"))?);
    let mut values = protocols::paired_lines(&net("snmp").unwrap_or_default());
    values.append(&mut protocols::paired_lines(
        &net("netstat").unwrap_or_default(),
    ));
    values.append(&mut protocols::flat_lines(
        &net("snmp6").unwrap_or_default(),
    ));
    Counters {
        at_ns,
        cpus: cpus.into_vec(),
        context_switches: stat.and_then(cpu::context_switches),
        pressure: sched::pressure(pressure("cpu"), pressure("memory"), pressure("io")),
        protocols: values,
        time_wait: net("sockstat").and_then(|text| protocols::time_wait(&text)),
        threads: sched::sum(threads.iter().map(|thread| {
            let file = |name: &str| file(&format!("/proc/self/task/{thread}/{name}"));
            sched::thread(&file("schedstat")?, file("status").as_deref())
        })),
        answered: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
