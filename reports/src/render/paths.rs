//! What carries each arm's packets, as somebody says it who has never seen Tollgate.

use tollgate_results::arm::{
    Access, Datapath, Family, Name, Offloads, Outside, Place, Pods, Position, Service, SweepPoint,
    Wire,
};
use tollgate_results::cluster_path::ClusterPath;
use tollgate_results::standing::Standing;

use super::number;
use crate::model::{Analysis, ArmSummary};

/// An arm, or all arms of a sweep's series, with what carries its packets.
pub(super) struct Path<'a> {
    /// The arm's name, or the series'.
    pub name: &'a Name,
    /// How many arms it stands for, where it is a series.
    pub series: Option<usize>,
    /// Whether the others are compared with it.
    pub is_reference: bool,
    /// What carries its packets, without what all arms share.
    pub text: String,
}

/// Says what carries the packets of every arm, in the plan's order; a series once.
pub(super) fn paths(analysis: &Analysis) -> Vec<Path<'_>> {
    let mut paths: Vec<Path<'_>> = Vec::new();
    for arm in &analysis.arms {
        let is_reference = arm.name == analysis.subject.reference;
        match &arm.sweep {
            Some(sweep) if !is_reference => {
                if !paths
                    .iter()
                    .any(|path| path.series.is_some() && *path.name == sweep.series)
                {
                    paths.push(series(analysis, sweep));
                }
            }
            _ => paths.push(Path {
                name: &arm.name,
                series: None,
                is_reference,
                text: own(analysis, &arm.dimensions),
            }),
        }
    }
    paths
}

/// Says what the arms of a series share, and their levels.
fn series<'a>(analysis: &'a Analysis, sweep: &'a SweepPoint) -> Path<'a> {
    let level = |arm: &'a ArmSummary| {
        let point = arm
            .sweep
            .as_ref()
            .filter(|point| point.series == sweep.series)?;
        (arm.name != analysis.subject.reference).then_some((point.level, arm))
    };
    let mut arms: Vec<(u64, &ArmSummary)> = analysis.arms.iter().filter_map(level).collect();
    arms.sort_by_key(|(level, _)| *level);
    let levels: Vec<String> = arms
        .iter()
        .map(|(level, _)| number::count(*level))
        .collect();
    let largest = arms.last().map(|(_, arm)| own(analysis, &arm.dimensions));
    Path {
        name: &sweep.series,
        series: Some(arms.len()),
        is_reference: false,
        text: format!(
            "with {} services; at the most, {}",
            levels.join(", "),
            largest.unwrap_or_default()
        ),
    }
}

/// Says what carries an arm's packets; what all arms share is left out.
fn own(analysis: &Analysis, path: &Datapath) -> String {
    let shared = shared(analysis);
    let own = facets(path)
        .into_iter()
        .filter(|facet| !shared.contains(facet));
    let text = own.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        facets(path).join("; ")
    } else {
        text
    }
}

/// Says what the paths of all arms have in common; nothing where there is one arm only.
pub(super) fn shared(analysis: &Analysis) -> Vec<String> {
    let Some((first, rest)) = analysis.arms.split_first() else {
        return Vec::new();
    };
    let in_all = |facet: &String| {
        rest.iter()
            .all(|arm| facets(&arm.dimensions).contains(facet))
    };
    let facets = facets(&first.dimensions).into_iter();
    facets
        .filter(|facet| !rest.is_empty() && in_all(facet))
        .collect()
}

/// What is known of a path through a cluster: nothing of it was built.
fn on_cluster(path: &ClusterPath, family: Family) -> Vec<String> {
    let mut facets = vec![path.words().into_owned(), self::family(family).to_owned()];
    facets.extend(path.ends().map(|(client, server)| {
        if client == server {
            format!("client and server on node {client}")
        } else {
            format!("client on node {client}, server on node {server}")
        }
    }));
    if path.clients > 1 {
        facets.push(format!("{} clients at once", path.clients));
    }
    let context = path.context.as_ref();
    facets.extend(context.map(|context| format!("in the cluster of context {context}")));
    let declares = path.declares.iter();
    facets.extend(declares.map(|(aspect, value)| format!("declared {}: {value}", aspect.label())));
    facets
}

const fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Each dimension of a path in words.
fn facets(path: &Datapath) -> Vec<String> {
    if let Some(cluster) = &path.cluster {
        return on_cluster(cluster, path.family);
    }
    let pods = match path.pods {
        Pods::Bridge => "pods on a Linux bridge",
        Pods::Routed => "pods with a route each, no bridge",
        Pods::Ebpf => "pods' packets carried by eBPF past the node's own stack",
        Pods::Netkit => {
            "pods' packets carried by eBPF from netkit devices past the node's own stack"
        }
        Pods::Host => "no pods, straight from node to node",
    };
    let wire = match (path.place, path.wire) {
        (Place::SameNode, _) => "client and server on one node, nothing crosses the wire",
        (Place::Hairpin, _) => "a pod that reaches itself through its own service",
        (Place::OtherNode, Wire::Native) => "packets routed between the nodes as they are",
        (Place::OtherNode, Wire::Vxlan) => "packets wrapped in VXLAN between the nodes",
        (Place::OtherNode, Wire::VxlanEbpf) => "packets wrapped in VXLAN as eBPF tells for each",
        (Place::OtherNode, Wire::Geneve) => "packets wrapped in Geneve between the nodes",
        (Place::OtherNode, Wire::Ipip) => "packets wrapped in IP between the nodes",
        (Place::OtherNode, Wire::Wireguard) => "packets encrypted by WireGuard between the nodes",
    };
    let service = match path.service {
        Service::None => "the client uses the server's own address".to_owned(),
        Service::IptablesLegacy => translated(path, "kube-proxy's iptables rules (legacy binary)"),
        Service::IptablesNft => translated(path, "kube-proxy's iptables rules (nft binary)"),
        Service::Nftables => translated(path, "kube-proxy's nftables rules"),
        Service::SocketLb => translated(path, "eBPF at the client's socket"),
        Service::TcLb => translated(path, "eBPF on each packet of the client"),
        Service::Ipvs => translated(path, "kube-proxy's IPVS mode"),
    };
    let service = path.outside.map_or(service, from_outside);
    let family = family(path.family);
    let offloads = match path.offloads {
        Offloads::On => "segmentation offloads on",
        Offloads::Off => "segmentation offloads off",
    };
    let mut facets = vec![
        pods.to_owned(),
        wire.to_owned(),
        service,
        family.to_owned(),
        offloads.to_owned(),
    ];
    facets.extend(standing(path.standing));
    facets.extend(path.line.map(|line| format!("between the nodes a {line}")));
    facets.extend((!path.kernel.is_base()).then(|| format!("the kernel set to {}", path.kernel)));
    facets
}

/// Says what stands on the nodes beside the path.
fn standing(standing: Standing) -> Option<String> {
    let count = |count: u32| number::count(u64::from(count));
    match (standing.policies, standing.connections) {
        (0, 0) => None,
        (policies, 0) => Some(format!("{} policy rules on each node", count(policies))),
        (0, connections) => Some(format!(
            "{} other connections tracked on each node",
            count(connections)
        )),
        (policies, connections) => Some(format!(
            "{} policy rules and {} other tracked connections on each node",
            count(policies),
            count(connections)
        )),
    }
}

/// Says how a client outside the cluster reaches the service.
fn from_outside(outside: Outside) -> String {
    let how = match outside {
        Outside::Snat => {
            "iptables at the entry node translate both addresses, and replies come back through it"
        }
        Outside::SnatEbpf => {
            "eBPF at the entry node translates both addresses, and replies come back through it"
        }
        Outside::Dsr => {
            "eBPF at the entry node passes requests on, and the server's node answers straight"
        }
    };
    format!("a client outside the cluster: {how}")
}

/// Says what translates the service's address, among how many.
fn translated(path: &Datapath, by: &str) -> String {
    let Some(services) = path.services else {
        return format!("the service's address translated by {by}");
    };
    let asked = match (services.access, services.affinity) {
        (Access::ClusterIp, false) => "",
        (Access::ClusterIp, true) => ", each client kept at one endpoint",
        (Access::NodePort, false) => ", asked for by a port of the client's node",
        (Access::NodePort, true) => {
            ", asked for by a port of the client's node, each client kept at one endpoint"
        }
    };
    let place = match services.position {
        _ if services.count == 1 => return format!("one service, translated by {by}{asked}"),
        Position::First => "the first of",
        Position::Median => "the middle one of",
        Position::Last => "the last of",
        Position::Random => "one, drawn at random, of",
    };
    let count = number::count(u64::from(services.count));
    let endpoints = match services.endpoints {
        1 => String::new(),
        endpoints => format!(" with {endpoints} endpoints each"),
    };
    format!("{place} {count} services{endpoints}, translated by {by}{asked}")
}
