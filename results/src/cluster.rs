//! What a Kubernetes cluster's network is, as its API tells: findings, each with its evidence.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::node::NodeFacts;

/// What was found out about a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClusterFacts {
    /// One finding for every aspect that was looked at.
    pub findings: BTreeMap<Aspect, Finding>,
    /// What contradicts itself, or has no effect, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the inspector saw on each node, by the nodes' names; empty where it doesn't run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, NodeFacts>,
}

impl ClusterFacts {
    /// Returns what is known of an aspect, as people write it; `None` where it is unknown.
    #[must_use]
    pub fn value(&self, aspect: Aspect) -> Option<&str> {
        self.findings.get(&aspect)?.value.as_deref()
    }
}

/// What is known of one aspect, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it is; `None` where nothing that could be read tells.
    pub value: Option<String>,
    /// How it is known.
    pub basis: Basis,
    /// Which objects say so, or why it is unknown; one line each.
    pub evidence: Vec<String>,
}

/// How a finding is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// An object of the cluster says so.
    Stated,
    /// A look at the nodes shows it.
    Seen,
    /// It follows from a documented default, or from what else is there.
    Implied,
    /// It is not known.
    Unknown,
}

impl Finding {
    /// Something that an object says.
    #[must_use]
    pub fn stated(value: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::known(Basis::Stated, value, evidence)
    }

    /// Something that a look at the nodes shows.
    #[must_use]
    pub fn seen(value: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::known(Basis::Seen, value, evidence)
    }

    /// Something that follows from a default or from other objects.
    #[must_use]
    pub fn implied(value: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::known(Basis::Implied, value, evidence)
    }

    /// Something that can't be told, and why.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            value: None,
            basis: Basis::Unknown,
            evidence: vec![why.into()],
        }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn and(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    fn known(basis: Basis, value: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self {
            value: Some(value.into()),
            basis,
            evidence: vec![evidence.into()],
        }
    }
}

macro_rules! aspects {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $label:literal);+ $(;)?) => {
        /// An aspect of a cluster's network.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Aspect { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }

        impl Aspect {
            /// Every aspect, in the order in which people read them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns its name in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Returns its name for people.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}

aspects! {
    /// Which plugin attaches pods: `cilium`, `calico`, `flannel` …
    Cni = "cni", "CNI";
    /// The plugin's version.
    CniVersion = "cni-version", "CNI version";
    /// What carries pod packets between nodes: `native`, `vxlan`, `geneve`, `ipip`, or both where it depends on
    /// the subnet.
    Wire = "wire", "wire between nodes";
    /// How a pod's device is made: `veth` or `netkit`.
    PodDevice = "pod-device", "pod device";
    /// Whether pod packets pass the node's stack (`kernel`) or are redirected past it (`ebpf`).
    HostRouting = "host-routing", "host routing";
    /// What translates service addresses: `iptables`, `nftables`, `ipvs` or `ebpf`.
    Services = "services", "service proxy";
    /// How replies to clients outside go: `snat`, `dsr` or `hybrid`.
    Outside = "outside", "outside traffic";
    /// What encrypts pod packets between nodes: `none`, `wireguard`, `ipsec`.
    Encryption = "encryption", "encryption";
    /// MTU of pods where the configuration sets one, in bytes.
    Mtu = "mtu", "pod MTU";
    /// Address families of pods.
    Families = "families", "address families";
    /// How many nodes there are, and how many are ready.
    Nodes = "nodes", "nodes";
    /// Kernels of the nodes.
    Kernels = "kernels", "kernels";
    /// Zones of the nodes.
    Zones = "zones", "zones";
    /// How many services there are.
    ServiceCount = "service-count", "services";
    /// How many policies stand beside the traffic, of any kind.
    Policies = "policies", "policies";
    /// Gateway classes and their controllers.
    Gateways = "gateways", "gateway classes";
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
