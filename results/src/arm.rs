//! Arms and their dimensions: which datapath a packet takes.

mod outside;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::cluster_path::ClusterPath;
use crate::kernel::Kernel;
use crate::line::Line;
use crate::standing::Standing;

/// A name that people write: lower-case letters, digits, `-`, `.` and `@`, starting with a letter or
/// digit, at most 63 characters.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Name(String);

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name; write up to 63 lower-case letters, digits, `-`, `.` or `@`, \
     starting with a letter or digit"
)]
pub struct NameError(String);

impl Name {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(input: &str) -> Result<Self, NameError> {
        let good =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '@');
        let starts = input.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts && input.len() <= 63 && input.chars().all(good) {
            Ok(Self(input.to_owned()))
        } else {
            Err(NameError(input.to_owned()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(input: String) -> Result<Self, NameError> {
        input.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One configuration under comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Unique within the plan.
    pub name: Name,
    /// The arm that this one is compared with; `None` for an arm that is only a reference.
    pub reference: Option<Name>,
    /// What carries the packets.
    pub datapath: Datapath,
    /// Workloads that run on this arm, in the plan's order.
    pub workloads: Vec<Name>,
    /// The place of this arm in a sweep over a number (services), where it is part of one.
    pub sweep: Option<SweepPoint>,
    /// What is done to it beyond its datapath.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub change: Change,
}

impl Arm {
    /// Says what the arm is in one line: its dimensions, and what is changed beyond them.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.change.words() {
            none if none.is_empty() => self.datapath.to_string(),
            changed => format!("{}; {changed}", self.datapath),
        }
    }
}

/// One level of a sweep: arms that differ in one number only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepPoint {
    /// Name shared by all arms of the sweep.
    pub series: Name,
    /// The number that varies, here the count of services.
    pub level: u64,
}

/// The dimensions of an arm. What is not named here stands on the base node (DESIGN §4.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Datapath {
    /// How pods are attached to their node.
    pub pods: Pods,
    /// What carries packets between the nodes.
    pub wire: Wire,
    /// What translates the service's address.
    pub service: Service,
    /// How many services stand beside the one under test; `None` where `service` is `none`.
    pub services: Option<Services>,
    /// Address family of pods, services and nodes.
    pub family: Family,
    /// Segmentation and receive offloads of every device of the arm.
    pub offloads: Offloads,
    /// What stands on the nodes beside the path under test.
    #[serde(default, skip_serializing_if = "Standing::is_none")]
    pub standing: Standing,
    /// Settings of the arm's kernel beyond the base.
    #[serde(default, skip_serializing_if = "Kernel::is_base")]
    pub kernel: Kernel,
    /// A line with delay, rate and loss between the nodes; `None` for a plain pair of devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// Where client and server stand to each other.
    #[serde(default, skip_serializing_if = "Place::is_other_node")]
    pub place: Place,
    /// How a client outside the cluster reaches the service; `None` where the client is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// The path through a Kubernetes cluster; the dimensions above then say nothing but the family. `None` in a lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterPath>,
}

impl Default for Datapath {
    /// The plainest path: pods on a bridge, routed between the nodes, no service.
    fn default() -> Self {
        Self {
            pods: Pods::Bridge,
            wire: Wire::Native,
            service: Service::None,
            services: None,
            family: Family::Ipv4,
            offloads: Offloads::On,
            standing: Standing::default(),
            kernel: Kernel::default(),
            line: None,
            place: Place::OtherNode,
            outside: None,
            cluster: None,
        }
    }
}

macro_rules! dimension {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the value as people write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = DimensionError;

            fn from_str(input: &str) -> Result<Self, DimensionError> {
                let found = Self::ALL.iter().find(|value| value.as_str() == input);
                found.copied().ok_or_else(|| DimensionError {
                    input: input.to_owned(),
                    values: Self::ALL.iter().map(|value| value.as_str()).collect(),
                })
            }
        }
    };
}

/// A word that is no value of its dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not one of {}", values.join(", "))]
pub struct DimensionError {
    input: String,
    values: Vec<&'static str>,
}

dimension! {
    /// How pods are attached to their node.
    Pods {
        /// A veth pair into a Linux bridge, as flannel does.
        Bridge = "bridge",
        /// A veth pair straight into the node's routing, each pod with a route of its own, as Calico does.
        Routed = "routed",
        /// A veth pair whose packets eBPF programs carry past the node's own stack, as Cilium does with host routing.
        Ebpf = "ebpf",
        /// The same with a netkit pair instead of the veth pair, as Cilium does with `bpf.datapathMode=netkit`.
        Netkit = "netkit",
        /// No pod: client and server run in the node's own namespace. The floor.
        Host = "host",
    }
}

impl Pods {
    /// Returns whether eBPF programs carry the pods' packets past the node's own stack.
    #[must_use]
    pub const fn past_the_stack(self) -> bool {
        matches!(self, Self::Ebpf | Self::Netkit)
    }
}

dimension! {
    /// What carries packets between the nodes.
    Wire {
        /// A route to the other node's pods: no encapsulation.
        Native = "native",
        /// VXLAN with static forwarding entries, as flannel sets it up.
        Vxlan = "vxlan",
        /// VXLAN whose far end an eBPF program chooses for each packet, as Cilium sets it up.
        VxlanEbpf = "vxlan-ebpf",
        /// Geneve from node to node.
        Geneve = "geneve",
        /// IP in IP, as Calico does; with IPv6, IPv6 in IPv6.
        Ipip = "ipip",
        /// An encrypted tunnel from node to node.
        Wireguard = "wireguard",
    }
}

impl Wire {
    /// Returns what the kernel calls the devices that wrap the packets, one name for each address family; none for a
    /// wire that wraps nothing.
    #[must_use]
    pub const fn tunnels(self) -> &'static [&'static str] {
        match self {
            Self::Native => &[],
            Self::Vxlan | Self::VxlanEbpf => &["vxlan"],
            Self::Geneve => &["geneve"],
            Self::Ipip => &["ipip", "ip6tnl"],
            Self::Wireguard => &["wireguard"],
        }
    }
}

dimension! {
    /// What translates the service's address to an endpoint.
    Service {
        /// Nothing: the client talks to the pod's address.
        None = "none",
        /// kube-proxy's iptables mode through the legacy binary.
        IptablesLegacy = "iptables-legacy",
        /// kube-proxy's iptables mode through the nft-compat binary.
        IptablesNft = "iptables-nft",
        /// kube-proxy's nftables mode.
        Nftables = "nftables",
        /// eBPF at the socket's connect, as Cilium does for east-west traffic.
        SocketLb = "socket-lb",
        /// eBPF on each packet at the host's end of the client's veth pair, as Cilium does where sockets are not
        /// translated.
        TcLb = "tc-lb",
        /// kube-proxy's IPVS mode.
        Ipvs = "ipvs",
    }
}

impl Service {
    /// Returns whether rules of a node's own tables translate, which somebody can flush.
    #[must_use]
    pub const fn is_rules(self) -> bool {
        matches!(
            self,
            Self::IptablesLegacy | Self::IptablesNft | Self::Nftables
        )
    }
}

dimension! {
    /// The address by which the client asks for the service under test.
    Access {
        /// The service's own address.
        ClusterIp = "cluster-ip",
        /// The client's node, on a port that every node keeps for the service.
        NodePort = "node-port",
    }
}

dimension! {
    /// Where client and server stand to each other.
    #[derive(Default)]
    Place {
        /// On two nodes, with the wire between them.
        #[default]
        OtherNode = "other-node",
        /// On one node: packets never cross the wire.
        SameNode = "same-node",
        /// In one pod, which reaches itself through its own service.
        Hairpin = "hairpin",
    }
}

impl Place {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands fields over by reference"
    )]
    fn is_other_node(&self) -> bool {
        *self == Self::OtherNode
    }
}

dimension! {
    /// Address family.
    Family {
        /// IPv4.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

dimension! {
    /// Segmentation and receive offloads (GSO, TSO, GRO) of an arm's devices.
    Offloads {
        /// As the kernel creates the devices: large buffers cross a veth pair unsegmented.
        On = "on",
        /// All off: every packet is at most one MTU, so the MTU's price shows.
        Off = "off",
    }
}

dimension! {
    /// How traffic from outside the cluster gets from the node that owns the service's address to the node with its
    /// endpoint, and back.
    Outside {
        /// The entry node's iptables translate both addresses, as kube-proxy does with `externalTrafficPolicy:
        /// Cluster`: replies go back through it.
        Snat = "snat",
        /// The same by eBPF programs at the entry node's device, with a connection table of their own.
        SnatEbpf = "snat-ebpf",
        /// Direct server return: the endpoint's node answers the client straight, with the service's address, which an
        /// IP option told it.
        Dsr = "dsr",
    }
}

dimension! {
    /// Where the service under test stands among the others.
    Position {
        /// First in the rule chain.
        First = "first",
        /// In the middle of the rule chain.
        Median = "median",
        /// Last in the rule chain: the worst case of a linear scan.
        Last = "last",
        /// Drawn from the campaign's seed, as kube-proxy's order is drawn at every sync.
        Random = "random",
    }
}

/// How many services stand beside the one under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// All services, the one under test included: 1 to 50,000.
    pub count: u32,
    /// Endpoints of each service: 1 to 100.
    pub endpoints: u32,
    /// Where the service under test stands.
    pub position: Position,
    /// Whether a client stays with the endpoint that it met first (`sessionAffinity: ClientIP`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub affinity: bool,
    /// By which address the client asks.
    #[serde(default, skip_serializing_if = "Access::is_cluster_ip")]
    pub access: Access,
}

impl Services {
    /// Seconds for which a client stays with its endpoint: Kubernetes' default.
    pub const AFFINITY_SECONDS: u32 = 10_800;
    /// Most services with a port of the nodes each: Kubernetes keeps 30000 to 32767 for them.
    pub const MOST_NODE_PORTS: u32 = 2_768;
}

impl Default for Services {
    /// One service of one endpoint.
    fn default() -> Self {
        Self {
            count: 1,
            endpoints: 1,
            position: Position::Last,
            affinity: false,
            access: Access::ClusterIp,
        }
    }
}

impl Access {
    /// Returns whether this is the default.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    const fn is_cluster_ip(&self) -> bool {
        matches!(self, Self::ClusterIp)
    }
}

#[expect(
    clippy::derivable_impls,
    reason = "the macro writes the derives of every dimension"
)]
impl Default for Access {
    fn default() -> Self {
        Self::ClusterIp
    }
}

impl Datapath {
    /// Says whether eBPF programs of its own are part of it: at devices of the nodes and pods, or at the client's socket.
    #[must_use]
    pub const fn has_programs(&self) -> bool {
        self.pods.past_the_stack()
            || matches!(self.wire, Wire::VxlanEbpf)
            || matches!(self.service, Service::SocketLb | Service::TcLb)
            || matches!(self.outside, Some(Outside::SnatEbpf | Outside::Dsr))
    }
}

impl fmt::Display for Datapath {
    /// Says the dimensions in one line: `bridge, vxlan, iptables-legacy × 1000 (last)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.cluster {
            write!(f, "{path}")?;
            return match self.family {
                Family::Ipv4 => Ok(()),
                Family::Ipv6 => f.write_str(", ipv6"),
            };
        }
        write!(f, "{}, {}", self.pods, self.wire)?;
        if self.service != Service::None {
            write!(f, ", {}", self.service)?;
        }
        if let Some(services) = self.services {
            write!(f, " × {}", services.count)?;
            if services.endpoints > 1 {
                write!(f, " × {} endpoints", services.endpoints)?;
            }
            write!(f, " ({})", services.position)?;
            if services.affinity {
                f.write_str(" with affinity")?;
            }
            if services.access == Access::NodePort {
                f.write_str(" by node port")?;
            }
        }
        if self.family == Family::Ipv6 {
            f.write_str(", ipv6")?;
        }
        if self.offloads == Offloads::Off {
            f.write_str(", offloads off")?;
        }
        if !self.standing.is_none() {
            write!(f, ", {}", self.standing)?;
        }
        if let Some(line) = &self.line {
            write!(f, ", {line}")?;
        }
        if !self.kernel.is_base() {
            write!(f, ", {}", self.kernel)?;
        }
        if self.place != Place::OtherNode {
            write!(f, ", {}", self.place)?;
        }
        if let Some(outside) = self.outside {
            write!(f, ", from outside by {outside}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_wherever_they_may_stand() {
        let base = Datapath::default();
        assert!(!base.has_programs());
        let with = |change: fn(&mut Datapath)| {
            let mut datapath = Datapath::default();
            change(&mut datapath);
            datapath.has_programs()
        };
        assert!(with(|datapath| datapath.pods = Pods::Ebpf));
        assert!(with(|datapath| datapath.pods = Pods::Netkit));
        assert!(with(|datapath| datapath.wire = Wire::VxlanEbpf));
        assert!(with(|datapath| datapath.service = Service::SocketLb));
        assert!(with(|datapath| datapath.outside = Some(Outside::Dsr)));
        assert!(!with(|datapath| datapath.outside = Some(Outside::Snat)));
        assert!(!with(|datapath| datapath.service = Service::IptablesNft));
    }

    #[test]
    fn names_are_checked() {
        assert!("iptables-legacy@1000".parse::<Name>().is_ok());
        for bad in ["", "-x", "Überlast", "a/b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_datapath_says_what_it_is() {
        let datapath = Datapath {
            wire: Wire::Vxlan,
            service: Service::IptablesLegacy,
            services: Some(Services {
                count: 1000,
                ..Services::default()
            }),
            ..Datapath::default()
        };
        assert_eq!(
            datapath.to_string(),
            "bridge, vxlan, iptables-legacy × 1000 (last)"
        );
        let datapath = Datapath {
            services: Some(Services {
                endpoints: 3,
                affinity: true,
                access: Access::NodePort,
                ..Services::default()
            }),
            standing: Standing {
                policies: 500,
                connections: 1,
            },
            ..datapath
        };
        assert_eq!(
            datapath.to_string(),
            "bridge, vxlan, iptables-legacy × 1 × 3 endpoints (last) with affinity by node port, \
             500 policies, 1 connection standing"
        );
        let near = Datapath {
            place: Place::SameNode,
            ..Datapath::default()
        };
        assert_eq!(near.to_string(), "bridge, native, same-node");
    }
}
