//! Counters of a node, a network namespace and the probe's own threads.
//!
//! The same type holds a reading and the difference of two. A counter that could not be read is
//! `None` (or absent from its map), never 0.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One reading, or with [`Counters::since`] the difference of two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Monotonic clock at the reading; in a difference the time between the readings.
    pub at_ns: u64,
    /// Per CPU of the kernel that the probe runs on. One kernel is counted once: the runner keeps it for
    /// one of two agents that share a kernel.
    pub cpus: Vec<CpuCounters>,
    /// Context switches of the whole kernel.
    pub context_switches: Option<u64>,
    /// Total stall times of the whole kernel.
    pub pressure: Option<Pressure>,
    /// TCP, UDP and IP counters of the probe's network namespace, named as the kernel names them
    /// (`Tcp.RetransSegs`, `TcpExt.ListenDrops`, `Udp.RcvbufErrors`).
    pub protocols: BTreeMap<String, u64>,
    /// Sockets in TIME_WAIT in the probe's namespace: a level, so a difference keeps the later one.
    pub time_wait: Option<u64>,
    /// The probe's own sending or responding threads, summed.
    pub threads: Option<ThreadCounters>,
    /// What came to each of the addresses that the responder answers at. Empty where it is bound to one: then there is
    /// nothing to tell apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<Answered>,
}

/// What came to one of the addresses that a responder answers at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// The address.
    pub address: IpAddr,
    /// TCP connections that were accepted.
    pub connections: u64,
    /// Datagrams that were received.
    pub datagrams: u64,
}

/// Counters of one CPU. Times are in the kernel's accounting resolution ([`crate::facts::Facts`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CpuCounters {
    /// Number of the CPU.
    pub cpu: u32,
    /// Time in user space, nice included.
    pub user_ns: Option<u64>,
    /// Time in the kernel on behalf of tasks.
    pub system_ns: Option<u64>,
    /// Time in hard interrupts.
    pub irq_ns: Option<u64>,
    /// Time in soft interrupts.
    pub softirq_ns: Option<u64>,
    /// Time that the hypervisor gave to others.
    pub steal_ns: Option<u64>,
    /// Idle time, waiting for I/O included.
    pub idle_ns: Option<u64>,
    /// NET_RX soft interrupts.
    pub net_rx: Option<u64>,
    /// NET_TX soft interrupts.
    pub net_tx: Option<u64>,
    /// Packets that the backlog processed.
    pub softnet_processed: Option<u64>,
    /// Packets that the backlog dropped.
    pub softnet_dropped: Option<u64>,
    /// Times that soft interrupt processing ended with work left.
    pub softnet_squeezed: Option<u64>,
}

/// Pressure stall totals: time in which some task waited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Pressure {
    /// For a CPU.
    pub cpu_some_us: Option<u64>,
    /// For memory.
    pub memory_some_us: Option<u64>,
    /// For I/O.
    pub io_some_us: Option<u64>,
}

/// Scheduler statistics of threads, from `/proc/thread-self/schedstat` and `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ThreadCounters {
    /// How many threads are summed.
    pub threads: u32,
    /// Time on a CPU, exact to the nanosecond.
    pub cpu_ns: u64,
    /// Time runnable but waiting for a CPU.
    pub run_queue_wait_ns: u64,
    /// Switches because the thread waited.
    pub voluntary_switches: Option<u64>,
    /// Switches because another thread took the CPU.
    pub involuntary_switches: Option<u64>,
}

/// `later - earlier`; a counter that went backwards (reset, thread gone) is unknown.
fn diff(later: Option<u64>, earlier: Option<u64>) -> Option<u64> {
    later?.checked_sub(earlier?)
}

/// Both together; unknown where one is.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}

impl Counters {
    /// Returns what was counted between an earlier reading and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let cpus = self.cpus.iter().filter_map(|cpu| {
            let before = earlier.cpus.iter().find(|before| before.cpu == cpu.cpu)?;
            Some(cpu.since(before))
        });
        let protocols = self.protocols.iter().filter_map(|(name, &value)| {
            let before = *earlier.protocols.get(name)?;
            Some((name.clone(), value.checked_sub(before)?))
        });
        Self {
            at_ns: self.at_ns.saturating_sub(earlier.at_ns),
            cpus: cpus.collect(),
            context_switches: diff(self.context_switches, earlier.context_switches),
            pressure: self
                .pressure
                .as_ref()
                .zip(earlier.pressure.as_ref())
                .map(|(a, b)| a.since(b)),
            protocols: protocols.collect(),
            time_wait: self.time_wait,
            threads: self
                .threads
                .as_ref()
                .zip(earlier.threads.as_ref())
                .and_then(|(later, earlier)| later.since(earlier)),
            answered: self
                .answered
                .iter()
                .filter_map(|answered| answered.since(&earlier.answered))
                .collect(),
        }
    }
}

impl Counters {
    /// Adds what was counted in another network namespace of the same kernel: its protocols and its threads. The
    /// kernel's own counters are there already.
    pub fn join(&mut self, other: &Self) {
        self.protocols.retain(|name, sum| {
            let more = other.protocols.get(name);
            *sum = sum.saturating_add(more.copied().unwrap_or(0));
            // What one of them doesn't know isn't known of both.
            more.is_some()
        });
        self.time_wait = sum(self.time_wait, other.time_wait);
        let threads = self.threads.take().zip(other.threads.as_ref());
        self.threads = threads.map(|(a, b)| a.plus(b));
        self.answered.extend(other.answered.iter().cloned());
    }
}

impl Answered {
    /// An address that nothing had come to before counts from 0.
    fn since(&self, earlier: &[Self]) -> Option<Self> {
        let before = earlier.iter().find(|before| before.address == self.address);
        let (connections, datagrams) =
            before.map_or((0, 0), |before| (before.connections, before.datagrams));
        Some(Self {
            address: self.address,
            connections: self.connections.checked_sub(connections)?,
            datagrams: self.datagrams.checked_sub(datagrams)?,
        })
    }
}

impl CpuCounters {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu,
            user_ns: diff(self.user_ns, earlier.user_ns),
            system_ns: diff(self.system_ns, earlier.system_ns),
            irq_ns: diff(self.irq_ns, earlier.irq_ns),
            softirq_ns: diff(self.softirq_ns, earlier.softirq_ns),
            steal_ns: diff(self.steal_ns, earlier.steal_ns),
            idle_ns: diff(self.idle_ns, earlier.idle_ns),
            net_rx: diff(self.net_rx, earlier.net_rx),
            net_tx: diff(self.net_tx, earlier.net_tx),
            softnet_processed: diff(self.softnet_processed, earlier.softnet_processed),
            softnet_dropped: diff(self.softnet_dropped, earlier.softnet_dropped),
            softnet_squeezed: diff(self.softnet_squeezed, earlier.softnet_squeezed),
        }
    }
}

impl Pressure {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_some_us: diff(self.cpu_some_us, earlier.cpu_some_us),
            memory_some_us: diff(self.memory_some_us, earlier.memory_some_us),
            io_some_us: diff(self.io_some_us, earlier.io_some_us),
        }
    }
}

impl ThreadCounters {
    /// Adds up.
    fn plus(self, other: &Self) -> Self {
        Self {
            threads: self.threads.saturating_add(other.threads),
            cpu_ns: self.cpu_ns.saturating_add(other.cpu_ns),
            run_queue_wait_ns: self
                .run_queue_wait_ns
                .saturating_add(other.run_queue_wait_ns),
            voluntary_switches: sum(self.voluntary_switches, other.voluntary_switches),
            involuntary_switches: sum(self.involuntary_switches, other.involuntary_switches),
        }
    }

    /// Unknown where a sum fell: then a thread has gone in between.
    fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            threads: self.threads,
            cpu_ns: self.cpu_ns.checked_sub(earlier.cpu_ns)?,
            run_queue_wait_ns: self
                .run_queue_wait_ns
                .checked_sub(earlier.run_queue_wait_ns)?,
            voluntary_switches: diff(self.voluntary_switches, earlier.voluntary_switches),
            involuntary_switches: diff(self.involuntary_switches, earlier.involuntary_switches),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_never_zero() {
        let later = Counters {
            at_ns: 10,
            cpus: vec![CpuCounters {
                cpu: 0,
                steal_ns: None,
                net_rx: Some(7),
                ..CpuCounters::default()
            }],
            ..Counters::default()
        };
        let earlier = Counters {
            at_ns: 4,
            cpus: vec![CpuCounters {
                cpu: 0,
                net_rx: Some(2),
                ..CpuCounters::default()
            }],
            ..Counters::default()
        };
        let difference = later.since(&earlier);
        assert_eq!(difference.at_ns, 6);
        assert_eq!(difference.cpus[0].net_rx, Some(5));
        assert_eq!(difference.cpus[0].steal_ns, None);
        assert_eq!(difference.context_switches, None);
    }

    #[test]
    fn an_address_counts_from_when_it_was_first_asked() {
        let of = |answered: &[(&str, u64)]| Counters {
            answered: answered
                .iter()
                .map(|(address, connections)| Answered {
                    address: address.parse().unwrap(),
                    connections: *connections,
                    datagrams: 0,
                })
                .collect(),
            ..Counters::default()
        };
        let difference = of(&[("10.0.0.1", 7), ("10.0.0.2", 5)]).since(&of(&[("10.0.0.1", 4)]));
        assert_eq!(difference, of(&[("10.0.0.1", 3), ("10.0.0.2", 5)]));
        let anew = of(&[("10.0.0.1", 1)]).since(&of(&[("10.0.0.1", 4)]));
        assert!(anew.answered.is_empty(), "another responder counts");
    }

    #[test]
    fn a_counter_that_fell_is_unknown() {
        let of = |value| Counters {
            protocols: BTreeMap::from([("Tcp.RetransSegs".to_owned(), value)]),
            ..Counters::default()
        };
        assert!(of(1).since(&of(2)).protocols.is_empty());
    }
}
