//! What every cluster has: nodes, services, policies, gateways.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use tollgate_results::cluster::{Aspect, Finding};

use super::Facts;
use crate::snapshot::{Snapshot, ZONE, name_of, text_at, zone_of};

pub(super) fn find(snapshot: &Snapshot, facts: &mut Facts) {
    let nodes = &snapshot.nodes;
    if nodes.is_empty() {
        for aspect in [
            Aspect::Nodes,
            Aspect::Kernels,
            Aspect::Zones,
            Aspect::Families,
        ] {
            facts.set(aspect, Finding::unknown("no node was read"));
        }
    } else {
        of_nodes(nodes, facts);
    }
    let services = snapshot.services.as_ref().map(Vec::len);
    facts.set(
        Aspect::ServiceCount,
        services.map_or_else(
            || Finding::unknown("services were not asked for"),
            |count| {
                Finding::stated(
                    count.to_string(),
                    "services of all namespaces that may be read",
                )
            },
        ),
    );
    let policies = snapshot.policies.as_ref();
    facts.set(
        Aspect::Policies,
        policies.map_or_else(
            || Finding::unknown("policies were not asked for, or there is none"),
            |policies| {
                let kinds = counted(policies.iter().map(|policy| policy.kind.clone()));
                Finding::stated(policies.len().to_string(), said(&kinds, "no policy"))
            },
        ),
    );
    facts.set(Aspect::Gateways, gateways(snapshot));
}

fn of_nodes(nodes: &[Node], facts: &mut Facts) {
    let ready = nodes.iter().filter(|node| is_ready(node)).count();
    let value = format!("{} ({ready} ready)", nodes.len());
    facts.set(Aspect::Nodes, Finding::stated(value, "nodes of the API"));
    let kernels = counted(nodes.iter().map(|node| {
        let info = node
            .status
            .as_ref()
            .and_then(|status| status.node_info.as_ref());
        info.map_or_else(|| "unknown".to_owned(), |info| info.kernel_version.clone())
    }));
    facts.set(
        Aspect::Kernels,
        Finding::stated(said(&kernels, ""), "nodeInfo of the nodes"),
    );
    let zones = counted(nodes.iter().filter_map(zone_of).cloned());
    let finding = if zones.is_empty() {
        Finding::unknown(format!("no node has the label {ZONE}"))
    } else {
        Finding::stated(said(&zones, ""), format!("label {ZONE}"))
    };
    facts.set(Aspect::Zones, finding);
    let ranges = nodes
        .iter()
        .filter_map(|node| node.spec.as_ref()?.pod_cidrs.as_ref());
    let mut families: Vec<_> = ranges
        .flatten()
        .map(|range| if range.contains(':') { "ipv6" } else { "ipv4" })
        .collect();
    families.sort_unstable();
    families.dedup();
    let finding = if families.is_empty() {
        Finding::unknown("no node has a range of pod addresses (podCIDRs)")
    } else {
        Finding::stated(families.join(", "), "podCIDRs of the nodes")
    };
    facts.set(Aspect::Families, finding);
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn gateways(snapshot: &Snapshot) -> Finding {
    let mut classes = Vec::new();
    let mut evidence = Vec::new();
    for class in snapshot.custom("GatewayClass") {
        let controller = text_at(class, "/spec/controllerName").unwrap_or("no controller");
        classes.push(name_of(class));
        evidence.push(format!("GatewayClass {}: {controller}", name_of(class)));
    }
    if evidence.is_empty() {
        return Finding::unknown("no GatewayClass was read: the Gateway API may not be installed");
    }
    let first = evidence.remove(0);
    let finding = Finding::stated(classes.join(", "), first);
    evidence.into_iter().fold(finding, Finding::and)
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for name in names {
        *counted.entry(name).or_default() += 1;
    }
    counted
}

/// Says each name with its count where they differ.
fn said(counted: &BTreeMap<String, usize>, none: &str) -> String {
    let parts: Vec<_> = counted
        .iter()
        .map(|(name, count)| match counted.len() {
            1 => name.clone(),
            _ => format!("{name} ({count})"),
        })
        .collect();
    if parts.is_empty() {
        none.to_owned()
    } else {
        parts.join(", ")
    }
}
