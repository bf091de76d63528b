//! What proves that the declared datapath carried the packets of a slice (DESIGN §4.7).

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::line::LineCounters;

/// Counters that the datapath keeps anyway, read outside the measured window.
///
/// The same type holds a reading and the difference of two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DatapathCounters {
    /// Devices of the arm's nodes, pods excluded, and of a client outside the cluster.
    pub devices: Vec<DeviceCounters>,
    /// Packets that met the rules of the service under test; `None` where it has no counted rules.
    pub service_rule_packets: Option<u64>,
    /// Connects and sends that the socket load balancer translated; `None` where there is none.
    pub socket_lb_translations: Option<u64>,
    /// What the load balancer that translates each packet did; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tc_lb: Option<PacketTranslations>,
    /// Generation of each node's `nf_tables` rules, which the kernel raises whenever somebody changes them; in a
    /// difference how often they were changed. Without nodes that have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_generations: Vec<RuleGeneration>,
    /// What the eBPF programs at the nodes' devices did; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramCounters>,
    /// Connection-tracking entries of each node: a level, so a difference keeps the *earlier* one
    /// (entries at the slice's start).
    pub conntrack_entries: Vec<ConntrackEntries>,
    /// What connection tracking on each node refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conntrack_refusals: Vec<ConntrackRefusals>,
    /// Packets over the line between the nodes; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineCounters>,
    /// Packets that the entry node's eBPF programs translated; `None` where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_programs: Option<EntryPackets>,
}

/// Packets that the eBPF programs of the node that traffic from outside enters by have met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EntryPackets {
    /// Sent on to the endpoint.
    pub to_endpoint: u64,
    /// Replies sent back to the client: none with direct server return.
    pub to_client: u64,
    /// Dropped, since the programs can't carry them: fragments, and datagrams that the IP option would make longer than
    /// the MTU.
    pub refused: u64,
}

impl EntryPackets {
    /// Returns what was counted since an earlier reading; `None` if a counter fell.
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            to_endpoint: self.to_endpoint.checked_sub(earlier.to_endpoint)?,
            to_client: self.to_client.checked_sub(earlier.to_client)?,
            refused: self.refused.checked_sub(earlier.refused)?,
        })
    }
}

/// Packets over one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceCounters {
    /// The node, `a` (client's, or where traffic from outside enters), `b` (server's), or `outside` (a client outside
    /// the cluster).
    pub node: String,
    /// The device's name, for example `flannel.1`.
    pub device: String,
    /// What the kernel says it is, for example `vxlan`, `veth`, `bridge`.
    pub kind: String,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped, received and sent.
    pub dropped: u64,
}

impl DeviceCounters {
    /// Adds what crossed the device of another network namespace that has the same part in the path.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets.saturating_add(more.rx_packets),
            tx_packets: self.tx_packets.saturating_add(more.tx_packets),
            dropped: self.dropped.saturating_add(more.dropped),
            ..self.clone()
        }
    }
}

/// What a load balancer did that translates each packet by itself, with a table of connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PacketTranslations {
    /// Packets of the client whose destination was rewritten to an endpoint.
    pub forward: u64,
    /// Packets of an endpoint whose source was rewritten to the service's address.
    pub back: u64,
    /// Connections for which an endpoint was drawn.
    pub connections: u64,
    /// Entries of the connection table that gave way to newer ones since it was full.
    pub displaced: u64,
    /// Packets of open TCP connections whose entry had given way: an endpoint was drawn for them anew.
    pub forgotten: u64,
}

/// Generation of the `nf_tables` rules of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleGeneration {
    /// The node, `a` or `b`.
    pub node: String,
    /// Its number.
    pub generation: u64,
    /// Length of the node's old tables of rules (`iptables-legacy`), in bytes: they have no generation, but each rule that comes
    /// or goes changes it. A difference keeps the later one; `None` where the node has no such table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_bytes: Option<u64>,
}

/// Programs that take packets out of pods past the node's stack; the second gives them a tunnel's key, too.
pub const FROM_POD: [&str; 2] = ["from_pod", "from_pod_to_tunnel"];
/// The program that hands packets into pods past the node's stack.
pub const FROM_WIRE: &str = "from_wire";
/// The program that gives a tunnel's key to packets that the node's stack routed.
pub const TO_TUNNEL: &str = "to_tunnel";

/// Packets that met one eBPF program of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramCounters {
    /// The node, `a` (client's) or `b` (server's).
    pub node: String,
    /// The program's name, as the kernel lists it, for example `from_pod`.
    pub program: String,
    /// Packets that it did its work on: redirected, or gave a tunnel's key.
    pub carried: u64,
    /// Packets that it left to the node's own stack, since its maps knew nothing of them.
    pub passed: u64,
}

/// Connection-tracking entries of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConntrackEntries {
    /// The node, `a` or `b`.
    pub node: String,
    /// How many.
    pub entries: u64,
}

/// What connection tracking on one node refused, since the node stands or between two readings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConntrackRefusals {
    /// The node, `a` or `b`.
    pub node: String,
    /// Entries that were not added: another packet of the connection had been faster.
    pub insert_failed: u64,
    /// Packets dropped since no entry could be made for them: the table was full.
    pub dropped: u64,
    /// Entries of connections without an answer that were given up to make room.
    pub early_dropped: u64,
}

impl ConntrackRefusals {
    /// Returns what was refused since an earlier reading of the same node.
    fn since(&self, earlier: &[Self]) -> Option<Self> {
        let before = earlier.iter().find(|before| before.node == self.node)?;
        Some(Self {
            node: self.node.clone(),
            insert_failed: self.insert_failed.checked_sub(before.insert_failed)?,
            dropped: self.dropped.checked_sub(before.dropped)?,
            early_dropped: self.early_dropped.checked_sub(before.early_dropped)?,
        })
    }
}

impl DatapathCounters {
    /// Returns what was counted between an earlier reading and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let devices = self.devices.iter().filter_map(|device| {
            let before = earlier
                .devices
                .iter()
                .find(|before| before.node == device.node && before.device == device.device)?;
            Some(DeviceCounters {
                rx_packets: device.rx_packets.checked_sub(before.rx_packets)?,
                tx_packets: device.tx_packets.checked_sub(before.tx_packets)?,
                dropped: device.dropped.checked_sub(before.dropped)?,
                ..device.clone()
            })
        });
        let generations = self.rule_generations.iter().filter_map(|rules| {
            let before = earlier
                .rule_generations
                .iter()
                .find(|before| before.node == rules.node)?;
            Some(RuleGeneration {
                generation: rules.generation.checked_sub(before.generation)?,
                ..rules.clone()
            })
        });
        let programs = self.programs.iter().filter_map(|program| {
            let before = earlier
                .programs
                .iter()
                .find(|before| before.node == program.node && before.program == program.program)?;
            Some(ProgramCounters {
                carried: program.carried.checked_sub(before.carried)?,
                passed: program.passed.checked_sub(before.passed)?,
                ..program.clone()
            })
        });
        let diff = |later: Option<u64>, earlier: Option<u64>| later?.checked_sub(earlier?);
        Self {
            devices: devices.collect(),
            service_rule_packets: diff(self.service_rule_packets, earlier.service_rule_packets),
            socket_lb_translations: diff(
                self.socket_lb_translations,
                earlier.socket_lb_translations,
            ),
            tc_lb: self
                .tc_lb
                .zip(earlier.tc_lb)
                .and_then(|(later, earlier)| later.since(earlier)),
            rule_generations: generations.collect(),
            programs: programs.collect(),
            conntrack_entries: earlier.conntrack_entries.clone(),
            conntrack_refusals: self
                .conntrack_refusals
                .iter()
                .filter_map(|node| node.since(&earlier.conntrack_refusals))
                .collect(),
            line: self
                .line
                .zip(earlier.line)
                .and_then(|(later, earlier)| later.since(&earlier)),
            entry_programs: self
                .entry_programs
                .zip(earlier.entry_programs)
                .and_then(|(later, earlier)| later.since(earlier)),
        }
    }
}

impl PacketTranslations {
    /// Unknown where a count fell: then the programs were loaded anew.
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            forward: self.forward.checked_sub(earlier.forward)?,
            back: self.back.checked_sub(earlier.back)?,
            connections: self.connections.checked_sub(earlier.connections)?,
            displaced: self.displaced.checked_sub(earlier.displaced)?,
            forgotten: self.forgotten.checked_sub(earlier.forgotten)?,
        })
    }
}

impl DatapathCounters {
    /// Returns the packets that programs of these names carried on a node, `a` or `b`.
    #[must_use]
    pub fn carried(&self, node: &str, programs: &[&str]) -> u64 {
        let named = self
            .programs
            .iter()
            .filter(|program| program.node == node && programs.contains(&program.program.as_str()));
        named
            .map(|program| program.carried)
            .fold(0, u64::saturating_add)
    }
}

/// The evidence of one slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What the datapath counted from before the slice's warm-up to after its window.
    pub counters: DatapathCounters,
    /// What connection tracking on the client's node says of the slice's connection.
    pub translation: Translation,
}

/// Who remembers how a connection is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tracker {
    /// The kernel's connection tracking.
    Conntrack,
    /// The connection table of the lab's eBPF programs; the kernel never saw the connection.
    Programs,
}

/// What connection tracking on the client's node says of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Translation {
    /// The node knows the connection by the address that the client asked for, and rewrites it to
    /// this endpoint.
    Rewritten {
        /// The endpoint that answers.
        endpoint: SocketAddr,
    },
    /// The node knows the connection by the address that the client asked for and rewrites nothing.
    Untouched,
    /// The node never saw the address that the client asked for: the socket was already connected to this
    /// endpoint.
    AtTheSocket {
        /// The endpoint that answers.
        endpoint: SocketAddr,
    },
    /// A program at the client's device had rewritten the destination to this endpoint before the node saw the
    /// packet.
    BeforeTheNode {
        /// The endpoint that answers.
        endpoint: SocketAddr,
    },
    /// The node that traffic from outside enters by rewrites it to an endpoint on another node.
    AtTheEntry {
        /// The endpoint that answers.
        endpoint: SocketAddr,
        /// Who at the entry node remembers the connection.
        by: Tracker,
        /// The client as the endpoint's node tracks it; `None` where it tracks neither the client's own address
        /// nor the one that the entry node put in its place.
        client_as: Option<SocketAddr>,
    },
    /// The node tracks no such connection.
    Untracked,
    /// Could not be looked up, with the reason.
    Unknown {
        /// One line.
        reason: String,
    },
}
