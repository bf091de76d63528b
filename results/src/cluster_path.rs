//! Paths through a Kubernetes cluster: what an arm is there, and what it declares the cluster's datapath to be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Aspect, Basis, ClusterFacts, Finding};

macro_rules! paths {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $words:literal);+ $(;)?) => {
        /// A path through a cluster: between which ends, and to which address.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Path { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }

        impl Path {
            /// Every path, the usual reference first.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the path as people write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Says what it is in a few words.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$variant => $words),+ }
            }
        }
    };
}

paths! {
    /// To the pod on the other node, by its own address.
    PodIp = "pod-ip", "pod to pod on another node";
    /// The same by the name of a service that has no address of its own.
    Headless = "headless", "pod to a headless service's name, pod on another node";
    /// The same through a service's address.
    ClusterIp = "cluster-ip", "pod to ClusterIP, pod on another node";
    /// The same through a port of the client's own node.
    NodePort = "node-port", "pod to its own node's port, pod on another node";
    /// The same through a port of the pod's node.
    NodePortFar = "node-port-far", "pod to another node's port, pod there";
    /// The same through the address of a load balancer.
    LoadBalancer = "load-balancer", "pod to a load balancer's address, pod on another node";
    /// To a pod in another zone, by its own address.
    OtherZone = "other-zone", "pod to pod in another zone";
    /// To a pod on the client's node, by its own address.
    NearPodIp = "near-pod-ip", "pod to pod on the same node";
    /// The same through a service's address.
    NearClusterIp = "near-cluster-ip", "pod to ClusterIP, pod on the same node";
    /// To the client itself, through a service's address.
    Hairpin = "hairpin", "pod to ClusterIP, itself";
    /// Between the networks of the two nodes: the floor.
    Host = "host", "node to node";
    /// To a machine outside the cluster.
    External = "external", "pod to a machine outside the cluster";
}

impl Path {
    /// Returns whether its probes may be put on nodes that an arm names: they stand in pods of their own then, so that
    /// others don't share their ports.
    #[must_use]
    pub const fn takes_nodes(self) -> bool {
        matches!(
            self,
            Self::PodIp | Self::Headless | Self::ClusterIp | Self::NodePort | Self::NodePortFar
        )
    }

    /// Returns whether several pods may send at once: not a node, and not a pod to itself.
    #[must_use]
    pub const fn takes_clients(self) -> bool {
        !matches!(self, Self::Host | Self::Hairpin)
    }

    /// Returns whether somebody translates the address that the client asks for.
    #[must_use]
    pub const fn is_translated(self) -> bool {
        match self {
            Self::ClusterIp
            | Self::NodePort
            | Self::NodePortFar
            | Self::LoadBalancer
            | Self::NearClusterIp
            | Self::Hairpin => true,
            Self::PodIp
            | Self::Headless
            | Self::OtherZone
            | Self::NearPodIp
            | Self::Host
            | Self::External => false,
        }
    }
}

/// A word that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no path; there are {}", listed())]
pub struct PathError {
    input: String,
}

fn listed() -> String {
    let names: Vec<&str> = Path::ALL.iter().map(|path| path.as_str()).collect();
    names.join(", ")
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(input: &str) -> Result<Self, PathError> {
        let found = Self::ALL.iter().find(|path| path.as_str() == input);
        found.copied().ok_or_else(|| PathError {
            input: input.to_owned(),
        })
    }
}

/// What an arm is on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterPath {
    /// The path.
    pub path: Path,
    /// Context of the kubeconfig that leads to its cluster; `None` for the campaign's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Nodes of client and server, or the one of both; none where they are chosen for the whole campaign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Client pods that send at once: 1 to [`crate::together::Together::MOST`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub clients: u8,
    /// What the cluster's datapath is declared to be: where it is found to be something else, the arm is invalid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declares: BTreeMap<Aspect, String>,
}

const fn one() -> u8 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
const fn is_one(clients: &u8) -> bool {
    *clients == 1
}

impl ClusterPath {
    /// Returns a path through the campaign's cluster that declares nothing.
    #[must_use]
    pub const fn of(path: Path) -> Self {
        Self {
            path,
            context: None,
            nodes: Vec::new(),
            clients: one(),
            declares: BTreeMap::new(),
        }
    }

    /// Returns the nodes of client and server where the arm names them.
    #[must_use]
    pub fn ends(&self) -> Option<(&str, &str)> {
        match self.nodes.as_slice() {
            [] => None,
            [both] => Some((both, both)),
            [client, server, ..] => Some((client, server)),
        }
    }

    /// Says what the path is in a few words, between the nodes that the arm names.
    #[must_use]
    pub fn words(&self) -> Cow<'static, str> {
        let words = self.path.words();
        match self.ends() {
            Some((client, server)) if client == server => {
                Cow::Owned(words.replace("another node", "the same node"))
            }
            _ => Cow::Borrowed(words),
        }
    }
}

/// Whether a cluster is what was declared of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is.
    Yes,
    /// It is something else.
    No,
    /// It isn't known.
    Unknown,
}

/// A declaration, and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared<'a> {
    /// Of what.
    pub aspect: Aspect,
    /// What was declared.
    pub value: &'a str,
    /// What was found; `None` where nobody looked.
    pub finding: Option<&'a Finding>,
}

impl ClusterPath {
    /// Returns what was declared, each with what was found.
    pub fn declared<'a>(
        &'a self,
        found: Option<&'a ClusterFacts>,
    ) -> impl Iterator<Item = Declared<'a>> {
        self.declares.iter().map(move |(&aspect, value)| Declared {
            aspect,
            value,
            finding: found.and_then(|found| found.findings.get(&aspect)),
        })
    }
}

impl Declared<'_> {
    /// Says whether it holds. What depends on the nodes' subnets, or on the kind of traffic, isn't known.
    #[must_use]
    pub fn held(&self) -> Held {
        let Some(found) = self.finding.and_then(|finding| finding.value.as_deref()) else {
            return Held::Unknown;
        };
        // `vxlan-cross-subnet` is one wire within a subnet, and another one across.
        let depends = match (self.aspect, found.strip_suffix("-cross-subnet")) {
            (Aspect::Wire, Some(across)) => self.value == across || self.value == "native",
            (Aspect::Outside, _) => found == "hybrid" && matches!(self.value, "snat" | "dsr"),
            _ => false,
        };
        if found.eq_ignore_ascii_case(self.value) {
            Held::Yes
        } else if depends {
            Held::Unknown
        } else {
            Held::No
        }
    }
}

impl fmt::Display for Declared<'_> {
    /// Says what was declared and what was found, and by what, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.aspect.label();
        let Some(finding) = self.finding else {
            return write!(f, "{label} {}: nobody looked", self.value);
        };
        let told = finding
            .evidence
            .first()
            .map_or("no evidence", String::as_str);
        let Some(found) = &finding.value else {
            return write!(f, "{label} {}: not known ({told})", self.value);
        };
        let how = if finding.basis == Basis::Implied {
            ", which follows from a default"
        } else {
            ""
        };
        match self.held() {
            Held::Yes => write!(f, "{label} {} as declared ({told}{how})", self.value),
            Held::No => write!(
                f,
                "declared {label} {}, but the cluster's is {found} ({told}{how})",
                self.value
            ),
            Held::Unknown => write!(
                f,
                "declared {label} {}, which with {found} depends on the path ({told}{how})",
                self.value
            ),
        }
    }
}

impl fmt::Display for ClusterPath {
    /// Says it in one line: `pod to pod on another node, context a, declares wire vxlan`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())?;
        match self.nodes.as_slice() {
            [] => {}
            [both] => write!(f, ", on {both}")?,
            [client, server, ..] => write!(f, ", from {client} to {server}")?,
        }
        if self.clients > 1 {
            write!(f, ", {} clients at once", self.clients)?;
        }
        if let Some(context) = &self.context {
            write!(f, ", context {context}")?;
        }
        for (number, (aspect, value)) in self.declares.iter().enumerate() {
            f.write_str(if number == 0 { ", declares " } else { ", " })?;
            write!(f, "{aspect} {value}")?;
        }
        Ok(())
    }
}

/// Returns the values that may be declared of an aspect: an empty list where any text may be, `None` where the aspect
/// is no matter of the datapath.
#[must_use]
pub const fn declarable(aspect: Aspect) -> Option<&'static [&'static str]> {
    match aspect {
        Aspect::Cni | Aspect::CniVersion | Aspect::Mtu => Some(&[]),
        Aspect::Wire => Some(&[
            "native",
            "vxlan",
            "vxlan-cross-subnet",
            "geneve",
            "ipip",
            "ipip-cross-subnet",
            "wireguard",
            "udp",
        ]),
        Aspect::PodDevice => Some(&["veth", "netkit", "netkit-l2"]),
        Aspect::HostRouting => Some(&["kernel", "ebpf"]),
        Aspect::Services => Some(&["iptables", "nftables", "ipvs", "ebpf"]),
        Aspect::Outside => Some(&["snat", "dsr", "hybrid", "tunnel"]),
        Aspect::Encryption => Some(&["none", "wireguard", "ipsec", "ztunnel"]),
        Aspect::Families
        | Aspect::Nodes
        | Aspect::Kernels
        | Aspect::Zones
        | Aspect::ServiceCount
        | Aspect::Policies
        | Aspect::Gateways => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_name_and_a_word_that_is_none_is_told_so() {
        for &path in Path::ALL {
            assert_eq!(path.as_str().parse(), Ok(path));
        }
        let told = "pod".parse::<Path>().unwrap_err().to_string();
        assert!(
            told.contains("`pod` is no path; there are pod-ip, headless, cluster-ip"),
            "{told}"
        );
    }

    #[test]
    fn a_path_says_what_it_is_and_what_it_declares() {
        let mut path = ClusterPath::of(Path::PodIp);
        assert_eq!(path.to_string(), "pod to pod on another node");
        path.nodes = vec!["w1".to_owned(), "w2".to_owned()];
        assert_eq!(
            path.to_string(),
            "pod to pod on another node, from w1 to w2"
        );
        assert_eq!(path.ends(), Some(("w1", "w2")));
        path.nodes.truncate(1);
        assert_eq!(path.to_string(), "pod to pod on the same node, on w1");
        assert_eq!(path.ends(), Some(("w1", "w1")));
        path.nodes.clear();
        path.clients = 4;
        assert_eq!(
            path.to_string(),
            "pod to pod on another node, 4 clients at once"
        );
        path.clients = 1;
        path.context = Some("a".to_owned());
        path.declares.insert(Aspect::Wire, "vxlan".to_owned());
        path.declares.insert(Aspect::Services, "ebpf".to_owned());
        assert_eq!(
            path.to_string(),
            "pod to pod on another node, context a, declares wire vxlan, services ebpf"
        );
    }

    #[test]
    fn a_declaration_holds_or_doesn_t_or_isn_t_known() {
        let held = |aspect: Aspect, value: &str, finding: Option<Finding>| {
            let path = ClusterPath {
                declares: [(aspect, value.to_owned())].into(),
                ..ClusterPath::of(Path::PodIp)
            };
            let found = finding.map(|finding| ClusterFacts {
                findings: [(aspect, finding)].into(),
                ..ClusterFacts::default()
            });
            let declared: Vec<_> = path.declared(found.as_ref()).collect();
            assert_eq!(declared.len(), 1);
            (declared[0].held(), declared[0].to_string())
        };
        let stated = |value: &str| Some(Finding::stated(value, "config map x"));
        let wire = |value: &str, finding| held(Aspect::Wire, value, finding);
        let (is, told) = wire("vxlan", stated("vxlan"));
        assert_eq!(is, Held::Yes);
        assert_eq!(told, "wire between nodes vxlan as declared (config map x)");
        let (is, told) = wire("vxlan", Some(Finding::implied("native", "config map x")));
        assert_eq!(is, Held::No);
        assert_eq!(
            told,
            "declared wire between nodes vxlan, but the cluster's is native (config map x, which follows from a default)"
        );
        let (is, told) = wire(
            "vxlan",
            Some(Finding::unknown("the config map was not read")),
        );
        assert_eq!(is, Held::Unknown);
        assert!(
            told.contains("not known (the config map was not read)"),
            "{told}"
        );
        assert_eq!(wire("vxlan", None).0, Held::Unknown);
        for (value, found, expected) in [
            ("vxlan", "vxlan-cross-subnet", Held::Unknown),
            ("native", "vxlan-cross-subnet", Held::Unknown),
            ("vxlan-cross-subnet", "vxlan-cross-subnet", Held::Yes),
            ("ipip", "vxlan-cross-subnet", Held::No),
        ] {
            assert_eq!(wire(value, stated(found)).0, expected, "{value} {found}");
        }
        assert_eq!(
            held(Aspect::Outside, "dsr", stated("hybrid")).0,
            Held::Unknown
        );
        assert_eq!(
            held(Aspect::Outside, "tunnel", stated("hybrid")).0,
            Held::No
        );
    }
}
