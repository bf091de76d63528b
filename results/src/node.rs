//! What the network of a node is made of, as a look at the node shows: what no API tells.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was seen on a node, or in one network namespace.
///
/// What there are many of is counted together, so that a node with hundreds of pods stays a few lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NodeFacts {
    /// When it was looked at, by the node's own clock, in milliseconds since 1970: tells one look from the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_unix_ms: Option<u64>,
    /// Links but loopback, those that are alike together.
    pub links: Vec<Links>,
    /// The table of tracked connections; `None` where connection tracking isn't there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<ConntrackTable>,
    /// Rules that a service proxy has set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ProxyRules>,
    /// Attached eBPF programs, those that are alike together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Programs>,
    /// Settings of the kernel, as they are named with dots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// What could not be read and why, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// Links of one kind and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Links {
    /// What made them: `veth`, `vxlan`, `bridge` …; `device` for what no kind is told of, such as a network card.
    pub kind: String,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Whether they are up.
    pub up: bool,
    /// The MTU of the device that a tunnel runs over, where it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_mtu: Option<u32>,
    /// How many there are.
    pub count: u32,
    /// Names of some of them.
    pub names: Vec<String>,
}

impl Links {
    /// Most names that are kept of links, and of places of programs, that are alike.
    pub const MOST_NAMES: usize = 3;

    /// Returns whether they carry packets inside of others.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        const TUNNELS: [&str; 9] = [
            "vxlan",
            "geneve",
            "ipip",
            "sit",
            "ip6tnl",
            "gre",
            "ip6gre",
            "wireguard",
            "xfrm",
        ];
        TUNNELS.contains(&self.kind.as_str())
    }
}

/// The table of tracked connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConntrackTable {
    /// Connections in it.
    pub entries: Option<u64>,
    /// How many it takes; the next new one is dropped.
    pub most: Option<u64>,
    /// Its hash buckets.
    pub buckets: Option<u64>,
}

/// Rules of a service proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyRules {
    /// What holds them.
    pub by: RulesBy,
    /// How many chains there are; of IPVS, how many virtual services.
    pub chains: u32,
}

/// What holds the rules of a service proxy.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RulesBy {
    /// Chains of kube-proxy's iptables mode, by the older of the two iptables.
    IptablesLegacy,
    /// The same in `nf_tables`.
    IptablesNft,
    /// The table of kube-proxy's nftables mode.
    Nftables,
    /// The kernel's own balancer.
    Ipvs,
}

impl RulesBy {
    /// Returns its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IptablesLegacy => "iptables-legacy",
            Self::IptablesNft => "iptables-nft",
            Self::Nftables => "nftables",
            Self::Ipvs => "ipvs",
        }
    }
}

impl fmt::Display for RulesBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// eBPF programs of one name at one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Programs {
    /// The program's name, up to 15 bytes of it; `a program without a name` where it has none.
    pub name: String,
    /// Where it is attached.
    pub hook: Hook,
    /// In how many places.
    pub count: u32,
    /// Names of some of them: devices, or the cgroup's folder.
    pub at: Vec<String>,
}

/// Where an eBPF program is attached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// A device's driver, before the kernel has made a packet of it.
    Xdp,
    /// Traffic control as packets come in, as a filter.
    TcIngress,
    /// As they go out, as a filter.
    TcEgress,
    /// Traffic control as packets come in, as a link.
    TcxIngress,
    /// As they go out, as a link.
    TcxEgress,
    /// A netkit device, this end.
    NetkitPrimary,
    /// A netkit device, the pod's end.
    NetkitPeer,
    /// `connect` of a cgroup's programs.
    CgroupConnect,
    /// Datagrams that a cgroup's programs send.
    CgroupSendmsg,
    /// Datagrams that a cgroup's programs receive.
    CgroupRecvmsg,
}

impl Hook {
    /// Returns its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::TcIngress => "tc-ingress",
            Self::TcEgress => "tc-egress",
            Self::TcxIngress => "tcx-ingress",
            Self::TcxEgress => "tcx-egress",
            Self::NetkitPrimary => "netkit-primary",
            Self::NetkitPeer => "netkit-peer",
            Self::CgroupConnect => "cgroup-connect",
            Self::CgroupSendmsg => "cgroup-sendmsg",
            Self::CgroupRecvmsg => "cgroup-recvmsg",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_records_are_those_of_the_types() {
        for by in [
            RulesBy::IptablesLegacy,
            RulesBy::IptablesNft,
            RulesBy::Nftables,
            RulesBy::Ipvs,
        ] {
            assert_eq!(serde_json::to_value(by).unwrap(), by.as_str());
        }
        for hook in [
            Hook::Xdp,
            Hook::TcxEgress,
            Hook::NetkitPeer,
            Hook::CgroupConnect,
        ] {
            assert_eq!(serde_json::to_value(hook).unwrap(), hook.as_str());
        }
    }

    #[test]
    fn what_is_empty_is_not_written() {
        let text = serde_json::to_string(&NodeFacts::default()).unwrap();
        assert_eq!(text, r#"{"links":[]}"#);
        let back: NodeFacts = serde_json::from_str(&text).unwrap();
        assert_eq!(back, NodeFacts::default());
    }
}
