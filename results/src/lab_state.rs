//! A lab as it stands: what the kernel shows of each arm's namespaces at one moment.
//!
//! All of it is read back, nothing remembered: a device that somebody has deleted is not there, and is named as missing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::arm::{Datapath, Name};

/// A lab at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    /// Its name.
    pub name: Name,
    /// Its arms, by name.
    pub arms: Vec<ArmState>,
    /// eBPF programs at netfilter's hooks, of the whole machine: the kernel does not say in which namespace one is.
    pub netfilter: Vec<ProgramState>,
}

/// An arm at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmState {
    /// Its name.
    pub name: Name,
    /// What it was deployed as.
    pub datapath: Datapath,
    /// The client's address.
    pub client: IpAddr,
    /// Where the server listens.
    pub server: SocketAddr,
    /// What the client asks: the service, or the server where there is none.
    pub target: SocketAddr,
    /// Its namespaces.
    pub places: Vec<PlaceState>,
    /// eBPF programs at the client's sockets, which its control group holds.
    pub sockets: Vec<ProgramState>,
    /// Programs that the lab loaded and that are attached nowhere now.
    pub detached: Vec<String>,
    /// What could not be read, one line each.
    pub notes: Vec<String>,
}

/// What a namespace stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceKind {
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// A machine outside the cluster.
    Outside,
    /// What joins more than two machines.
    Switch,
}

/// A namespace at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceState {
    /// What people call it, for example `node A`: unique within the arm.
    pub place: String,
    /// What it stands for.
    pub kind: PlaceKind,
    /// The node that a pod stands on, by its [`Self::place`].
    pub home: Option<String>,
    /// Its devices, by index, the loopback device excluded.
    pub devices: Vec<DeviceState>,
    /// Devices that the lab made and that are not there now, by name.
    pub missing: Vec<String>,
    /// The routes of its main table.
    pub routes: Vec<RouteState>,
    /// Its tables of rules.
    pub tables: Vec<RuleTable>,
    /// Its connection tracking; `None` where it matters nothing (pods) or could not be read.
    pub conntrack: Option<ConntrackState>,
    /// Sysctls that the datapath depends on, by their names with dots.
    pub sysctls: BTreeMap<String, String>,
    /// What could not be read, one line each.
    pub faults: Vec<String>,
}

/// A device at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What the kernel says it is, for example `veth`; empty where it says nothing.
    pub kind: String,
    /// Whether the lab made it.
    pub own: bool,
    /// Whether it can carry packets.
    pub up: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its hardware address; `None` where it has none.
    pub mac: Option<String>,
    /// Its addresses, each with the length of its subnet, those left out that the kernel gives by itself.
    pub addresses: Vec<String>,
    /// The device that its packets come out of; `None` where there is none, or none within the arm.
    pub peer: Option<Peer>,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
    /// The device that carries its packets, for a tunnel.
    pub over: Option<String>,
    /// Particulars of a tunnel, for example `id 1`.
    pub tunnel: Vec<String>,
    /// The queueing discipline at its root; `None` where it has none.
    pub qdisc: Option<String>,
    /// Segmentation and receive offloads that are on, by the kernel's names; `None` where they could not be read.
    pub offloads: Option<Vec<String>>,
    /// eBPF programs attached to it, in the order in which they run.
    pub programs: Vec<ProgramState>,
}

/// The other end of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The namespace, by its [`PlaceState::place`].
    pub place: String,
    /// The device's name.
    pub device: String,
    /// Whether a line with delay, rate and loss lies between, instead of nothing.
    pub by_line: bool,
}

/// An attached eBPF program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramState {
    /// The kernel's number for it (`bpftool prog show id N`).
    pub id: u32,
    /// Its name: in full where the lab loaded it, otherwise the 15 letters that the kernel keeps.
    pub name: String,
    /// Where it is attached, for example `tcx/ingress`.
    pub hook: String,
    /// Whether the lab loaded it.
    pub own: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteState {
    /// The destination with the length of its subnet, or `default`.
    pub to: String,
    /// What it does other than lead on: `blackhole`, `unreachable` …; `None` for a plain route.
    pub kind: Option<String>,
    /// The gateway.
    pub via: Option<IpAddr>,
    /// The device that it leads to, by name.
    pub device: Option<String>,
    /// The congestion control of connections that take it, where it chooses one.
    pub congestion: Option<String>,
}

/// Which part of the kernel keeps a table of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKeeper {
    /// `nf_tables`: rules of `nft`, and of `iptables` on current nodes.
    Nftables,
    /// The old tables of `iptables-legacy`.
    Legacy,
}

impl RuleKeeper {
    /// Returns the name that people know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nf_tables",
            Self::Legacy => "legacy",
        }
    }
}

/// A table of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTable {
    /// What keeps it.
    pub keeper: RuleKeeper,
    /// What packets it is for: `ip`, `ip6`, `inet`, `bridge` …
    pub family: String,
    /// Its name.
    pub table: String,
    /// Rules in all its chains.
    pub rules: u64,
    /// Its chains that have rules, by name; more than a few of one kind are told as one.
    pub chains: Vec<ChainState>,
}

/// A chain of rules, or several of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainState {
    /// Its name; with a `*` at its end what the names of several begin with.
    pub name: String,
    /// How many chains: 1 unless several are told as one.
    pub chains: u64,
    /// Rules in them.
    pub rules: u64,
}

/// A table of tracked connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackState {
    /// Entries.
    pub entries: u64,
    /// Most entries; `None` where that could not be read.
    pub limit: Option<u64>,
}

impl LabState {
    /// Returns how many devices that the lab made are not there now.
    #[must_use]
    pub fn missing(&self) -> usize {
        let places = self.arms.iter().flat_map(|arm| &arm.places);
        places.map(|place| place.missing.len()).sum()
    }
}
