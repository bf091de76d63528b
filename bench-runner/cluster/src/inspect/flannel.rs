//! flannel, by its daemon set and net-conf.json, or by what it notes on nodes (k3s runs it inside its agent).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use serde::Deserialize;
use tollgate_results::cluster::{Aspect, Finding};

use super::{Facts, Settings, daemon_set, version};
use crate::snapshot::Snapshot;

/// What flannel notes on each node of the wire that it made.
const BACKEND: &str = "flannel.alpha.coreos.com/backend-type";

/// What is read of net-conf.json.
#[derive(Debug, Default, Deserialize)]
struct NetConf {
    #[serde(default, rename = "EnableIPv4")]
    ipv4: Option<bool>,
    #[serde(default, rename = "EnableIPv6")]
    ipv6: bool,
    #[serde(default, rename = "Backend")]
    backend: Backend,
}

#[derive(Debug, Default, Deserialize)]
struct Backend {
    #[serde(default, rename = "Type")]
    kind: String,
    #[serde(default, rename = "DirectRouting")]
    direct: bool,
    #[serde(default, rename = "MTU")]
    mtu: Option<u32>,
}

pub(super) fn find(snapshot: &Snapshot) -> Option<Facts> {
    let set = snapshot.daemon_set(&["kube-flannel-ds", "kube-flannel", "kube-flannel-ds-amd64"]);
    let noted: BTreeSet<&str> = snapshot.nodes.iter().filter_map(backend).collect();
    let mut facts = Facts::default();
    match set {
        Some(set) => {
            facts.set(Aspect::Cni, Finding::stated("flannel", daemon_set(set)));
            facts.set(Aspect::CniVersion, version(set, "kube-flannel"));
        }
        None if noted.is_empty() => return None,
        None => {
            let evidence = format!("nodes carry the annotation {BACKEND}");
            facts.set(Aspect::Cni, Finding::stated("flannel", evidence));
            let why = "flannel runs in no daemon set, but inside another program (as in k3s)";
            facts.set(Aspect::CniVersion, Finding::unknown(why));
        }
    }
    of_configuration(
        &Settings::of(snapshot, "kube-flannel-cfg"),
        &noted,
        &mut facts,
    );
    facts.set(
        Aspect::PodDevice,
        Finding::implied("veth", "flannel's pods are veth pairs into a bridge"),
    );
    facts.set(
        Aspect::HostRouting,
        Finding::implied("kernel", "flannel has no datapath of its own"),
    );
    Some(facts)
}

/// Reads wire, encryption, MTU and families of the configuration; of the nodes' notes where there is none.
pub(super) fn of_configuration(settings: &Settings<'_>, noted: &BTreeSet<&str>, facts: &mut Facts) {
    let made_with = noted.iter().copied().collect::<Vec<_>>().join(", ");
    let Some(text) = settings.get("net-conf.json") else {
        let Some(first) = noted.first() else {
            let why = format!("the config map {} was not read", settings.name);
            facts.set(Aspect::Wire, Finding::unknown(why));
            return;
        };
        let evidence = format!("annotation {BACKEND} of the nodes: {made_with}");
        let finding = match wire(first, false) {
            Some(wire) if noted.len() == 1 => Finding::stated(wire, evidence),
            _ => Finding::unknown(evidence),
        };
        encryption(first, facts);
        facts.set(Aspect::Wire, finding);
        return;
    };
    let conf: NetConf = match serde_json::from_str(text) {
        Ok(conf) => conf,
        Err(error) => {
            let why = format!("config map {}: net-conf.json: {error}", settings.name);
            facts.set(Aspect::Wire, Finding::unknown(why));
            return;
        }
    };
    let Backend { kind, direct, mtu } = conf.backend;
    let evidence = format!(
        "config map {}: net-conf.json: Backend.Type = {kind}{}",
        settings.name,
        if direct { ", DirectRouting = true" } else { "" }
    );
    let finding = wire(&kind, direct).map_or_else(
        || Finding::unknown(&evidence),
        |wire| Finding::stated(wire, &evidence),
    );
    facts.set(Aspect::Wire, finding);
    if noted.iter().any(|noted| !noted.eq_ignore_ascii_case(&kind)) {
        facts.remarks.push(format!(
            "flannel's configuration says {kind}, the nodes were set up with {made_with}: restart its pods on them"
        ));
    }
    encryption(&kind, facts);
    let mtu = match mtu.filter(|&mtu| mtu > 0) {
        Some(mtu) => Finding::stated(
            mtu.to_string(),
            format!(
                "config map {}: net-conf.json: Backend.MTU = {mtu}",
                settings.name
            ),
        ),
        None => {
            Finding::unknown("flannel takes it from the node's device, less the header of its wire")
        }
    };
    facts.set(Aspect::Mtu, mtu);
    let families = match (conf.ipv4.unwrap_or(true), conf.ipv6) {
        (true, true) => "ipv4, ipv6",
        (true, false) => "ipv4",
        (false, _) => "ipv6",
    };
    let evidence = format!(
        "config map {}: net-conf.json: EnableIPv4, EnableIPv6",
        settings.name
    );
    facts.set(Aspect::Families, Finding::stated(families, evidence));
}

fn encryption(kind: &str, facts: &mut Facts) {
    let finding = if kind.eq_ignore_ascii_case("wireguard") {
        Finding::stated("wireguard", "flannel's backend is WireGuard")
    } else {
        Finding::implied("none", format!("flannel's backend {kind} encrypts nothing"))
    };
    facts.set(Aspect::Encryption, finding);
}

/// Returns the wire of a backend; flannel itself doesn't mind the case.
fn wire(kind: &str, direct: bool) -> Option<&'static str> {
    match (kind.to_ascii_lowercase().as_str(), direct) {
        ("vxlan", false) => Some("vxlan"),
        ("vxlan", true) => Some("vxlan-cross-subnet"),
        ("ipip", false) => Some("ipip"),
        ("ipip", true) => Some("ipip-cross-subnet"),
        ("host-gw", _) => Some("native"),
        ("wireguard", _) => Some("wireguard"),
        ("udp", _) => Some("udp"),
        _ => None,
    }
}

fn backend(node: &Node) -> Option<&str> {
    node.metadata
        .annotations
        .as_ref()?
        .get(BACKEND)
        .map(String::as_str)
}
