//! What a look at the nodes adds to what the API tells: agreement, what no object says, and what contradicts itself.
//!
//! A link or a rule that is there need not be in use, so that what the API states is never overruled: the two are told
//! beside each other.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_results::cluster::{Aspect, Basis, ClusterFacts, Finding};
use tollgate_results::node::{Hook, Links, NodeFacts, RulesBy};

/// Most nodes that are named as evidence of one finding.
const MOST_NAMED: usize = 3;

/// Share of the table of tracked connections from which on it is told, in percent: the next burst fills it.
const NEARLY_FULL: u64 = 80;

/// What one node shows of an aspect: the value, and the thing that shows it.
type Shown = (String, String);

/// Looks for an aspect on one node.
type Look = fn(&NodeFacts) -> Option<Shown>;

/// Adds what was seen on the nodes.
#[must_use]
pub fn with_nodes(mut facts: ClusterFacts, nodes: BTreeMap<String, NodeFacts>) -> ClusterFacts {
    const ASPECTS: [(Aspect, Look); 5] = [
        (Aspect::Wire, wire),
        (Aspect::PodDevice, pod_device),
        (Aspect::Services, services),
        (Aspect::Encryption, encryption),
        (Aspect::Mtu, pod_mtu),
    ];
    for (aspect, look) in ASPECTS {
        let shown: Vec<(&str, Shown)> = nodes
            .iter()
            .filter_map(|(node, facts)| Some((node.as_str(), look(facts)?)))
            .collect();
        if !shown.is_empty() {
            merge(&mut facts, aspect, &shown);
        }
    }
    for (node, seen) in &nodes {
        let remarks = remarks(seen).into_iter();
        facts
            .remarks
            .extend(remarks.map(|remark| format!("{node}: {remark}")));
    }
    facts.nodes = nodes;
    facts
}

/// Lays what the nodes show beside what the API tells.
fn merge(facts: &mut ClusterFacts, aspect: Aspect, shown: &[(&str, Shown)]) {
    let values: BTreeSet<&str> = shown.iter().map(|(_, (value, _))| value.as_str()).collect();
    let value = values.iter().copied().collect::<Vec<_>>().join(", ");
    let mut evidence: Vec<String> = shown
        .iter()
        .take(MOST_NAMED)
        .map(|(node, (_, thing))| format!("seen on {node}: {thing}"))
        .collect();
    if shown.len() > MOST_NAMED {
        evidence.push(format!("and on {} more nodes", shown.len() - MOST_NAMED));
    }
    let first = evidence.first().cloned().unwrap_or_default();
    let told = facts
        .findings
        .get(&aspect)
        .and_then(|finding| finding.value.clone());
    match told {
        None => {
            let mut lines = evidence.into_iter();
            let finding = Finding::seen(value, lines.next().unwrap_or_default());
            facts.findings.insert(aspect, lines.fold(finding, Finding::and));
        }
        Some(told) if agrees(&told, &value) => {
            if let Some(finding) = facts.findings.get_mut(&aspect) {
                finding.evidence.extend(evidence);
                if finding.basis == Basis::Implied {
                    finding.basis = Basis::Seen;
                }
            }
        }
        Some(told) => facts.remarks.push(format!(
            "{}: the API tells {told}, the nodes show {value} ({first}); is one of the two left over from before?",
            aspect.label()
        )),
    }
}

/// Returns whether what is seen is a form of what is told: `vxlan` of `vxlan-cross-subnet`.
fn agrees(told: &str, seen: &str) -> bool {
    told == seen
        || told
            .strip_prefix(seen)
            .is_some_and(|more| more.starts_with('-'))
}

/// Returns the links that are up.
fn up(facts: &NodeFacts) -> impl Iterator<Item = &Links> {
    facts.links.iter().filter(|links| links.up)
}

fn named(links: &Links) -> String {
    let names = links.names.join(", ");
    let more = usize::try_from(links.count).is_ok_and(|count| count > links.names.len());
    let more = if more {
        format!(" … ({})", links.count)
    } else {
        String::new()
    };
    format!("{} link {names}{more}, MTU {}", links.kind, links.mtu)
}

/// A node without a tunnel routes; one with several kinds names them.
fn wire(facts: &NodeFacts) -> Option<Shown> {
    if facts.links.is_empty() {
        return None;
    }
    let tunnels: Vec<&Links> = up(facts).filter(|links| links.is_tunnel()).collect();
    // Encryption beside an overlay is no wire of its own.
    let carriers: Vec<&Links> = tunnels
        .iter()
        .copied()
        .filter(|links| links.kind != "wireguard")
        .collect();
    let carriers = if carriers.is_empty() {
        tunnels
    } else {
        carriers
    };
    if carriers.is_empty() {
        return Some(("native".to_owned(), "no link of a tunnel is up".to_owned()));
    }
    let kinds: BTreeSet<&str> = carriers.iter().map(|links| links.kind.as_str()).collect();
    let things: Vec<String> = carriers.iter().map(|links| named(links)).collect();
    Some((
        kinds.into_iter().collect::<Vec<_>>().join("+"),
        things.join("; "),
    ))
}

fn encryption(facts: &NodeFacts) -> Option<Shown> {
    let link = up(facts).find(|links| links.kind == "wireguard")?;
    Some(("wireguard".to_owned(), named(link)))
}

fn pod_device(facts: &NodeFacts) -> Option<Shown> {
    let links = pods(facts)?;
    Some((links.kind.clone(), named(links)))
}

fn pod_mtu(facts: &NodeFacts) -> Option<Shown> {
    let links = pods(facts)?;
    Some((links.mtu.to_string(), named(links)))
}

/// Returns the links of most pods.
fn pods(facts: &NodeFacts) -> Option<&Links> {
    let pods = |kind: &'static str| up(facts).filter(move |links| links.kind == kind);
    pods("netkit")
        .chain(pods("veth"))
        .max_by_key(|links| (links.kind == "netkit", links.count))
}

/// Programs at `connect` come first: what they translate never meets a rule.
fn services(facts: &NodeFacts) -> Option<Shown> {
    let connect = facts
        .programs
        .iter()
        .find(|program| program.hook == Hook::CgroupConnect && is_balancer(&program.name));
    if let Some(program) = connect {
        let thing = format!("eBPF program {} at {}", program.name, program.hook);
        return Some(("ebpf".to_owned(), thing));
    }
    let mode = |by| match by {
        RulesBy::IptablesLegacy | RulesBy::IptablesNft => "iptables",
        RulesBy::Nftables => "nftables",
        RulesBy::Ipvs => "ipvs",
    };
    // kube-proxy in IPVS mode has chains in iptables too.
    let ipvs = facts.rules.iter().find(|rules| rules.by == RulesBy::Ipvs);
    let rules = ipvs.or_else(|| facts.rules.first())?;
    let things: Vec<String> = facts
        .rules
        .iter()
        .map(|rules| format!("{} ({})", rules.by, rules.chains))
        .collect();
    Some((
        mode(rules.by).to_owned(),
        format!("rules in {}", things.join(", ")),
    ))
}

/// Returns whether a program is one of those that translate addresses of services at the socket: Cilium's, Calico's.
fn is_balancer(name: &str) -> bool {
    [
        "cil_sock",
        "sock4_connect",
        "sock6_connect",
        "cali_ctlb",
        "calico_connect",
    ]
    .iter()
    .any(|known| name.starts_with(known))
}

/// Says what is wrong on a node by itself.
fn remarks(facts: &NodeFacts) -> Vec<String> {
    let mut remarks = Vec::new();
    for links in up(facts) {
        let Some((over, header)) = links.over_mtu.zip(header(&links.kind)) else {
            continue;
        };
        if links.mtu > over.saturating_sub(header) {
            remarks.push(format!(
                "{} over a device of {over}: with its headers of {header} bytes the largest packets don't fit",
                named(links)
            ));
        }
    }
    let has = |by| facts.rules.iter().any(|rules| rules.by == by);
    if has(RulesBy::IptablesLegacy) && has(RulesBy::IptablesNft) {
        let both =
            "rules of kube-proxy stand in iptables-legacy and in iptables-nft: packets meet both";
        remarks.push(both.to_owned());
    }
    if let Some(table) = facts.conntrack
        && let (Some(entries), Some(most)) = (table.entries, table.most)
        && entries.saturating_mul(100) >= most.saturating_mul(NEARLY_FULL)
        && most > 0
    {
        remarks.push(format!(
            "{entries} of {most} connections are tracked: beyond that new ones are dropped; raise nf_conntrack_max"
        ));
    }
    remarks
}

/// Returns what a tunnel adds to a packet over IPv4, in bytes.
fn header(kind: &str) -> Option<u32> {
    match kind {
        "vxlan" | "geneve" => Some(50),
        "ipip" | "sit" => Some(20),
        "gre" => Some(24),
        "wireguard" => Some(60),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
