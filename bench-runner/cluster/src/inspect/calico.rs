//! Calico, by its daemon set, address pools, Felix' configuration and the operator's installation.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::Value;
use tollgate_results::cluster::{Aspect, Finding};

use super::{Facts, Settings, daemon_set, flannel, variable, version};
use crate::snapshot::{Snapshot, name_of, text_at};

pub(super) fn find(snapshot: &Snapshot) -> Option<Facts> {
    let set = snapshot.daemon_set(&["calico-node", "canal"])?;
    let canal = set.metadata.name.as_deref() == Some("canal");
    let felix = snapshot
        .custom("FelixConfiguration")
        .find(|felix| text_at(felix, "/metadata/name") == Some("default"));
    let installation = snapshot.custom("Installation").find(|found| {
        text_at(found, "/apiVersion").is_some_and(|version| version.contains("tigera.io"))
    });
    let mut facts = Facts::default();
    let name = if canal { "canal" } else { "calico" };
    facts.set(Aspect::Cni, Finding::stated(name, daemon_set(set)));
    facts.set(Aspect::CniVersion, version(set, "calico-node"));
    if canal {
        let settings = Settings::of(snapshot, "canal-config");
        flannel::of_configuration(&settings, &BTreeSet::new(), &mut facts);
    } else {
        facts.set(Aspect::Wire, wire(snapshot, set, installation));
    }
    facts.set(
        Aspect::PodDevice,
        Finding::implied("veth", "Calico's pods are routed veth pairs"),
    );
    let dataplane = Dataplane {
        set,
        felix,
        installation,
    };
    dataplane.find(&mut facts);
    facts.set(Aspect::Mtu, mtu(snapshot, installation));
    Some(facts)
}

/// Pools rule; the daemon set's variables only made the first one.
fn wire(snapshot: &Snapshot, set: &DaemonSet, installation: Option<&Value>) -> Finding {
    let pools: Vec<&Value> = snapshot
        .custom("IPPool")
        .filter(|pool| pool.pointer("/spec/disabled") != Some(&Value::Bool(true)))
        .collect();
    if !pools.is_empty() {
        return of_pools(&pools);
    }
    let encapsulations = installation
        .and_then(|found| found.pointer("/spec/calicoNetwork/ipPools")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|pool| text_at(pool, "/encapsulation"));
    let words: BTreeSet<_> = encapsulations.collect();
    if let (Some(first), 1) = (words.first(), words.len()) {
        let evidence = format!("installation: encapsulation = {first}");
        return encapsulation(first).map_or_else(
            || Finding::unknown(&evidence),
            |wire| Finding::stated(wire, &evidence),
        );
    }
    let ipip = variable(set, "CALICO_IPV4POOL_IPIP");
    let vxlan = variable(set, "CALICO_IPV4POOL_VXLAN");
    if ipip.is_none() && vxlan.is_none() {
        return Finding::unknown("no IPPool was read");
    }
    let evidence = format!(
        "{}: CALICO_IPV4POOL_IPIP = {}, CALICO_IPV4POOL_VXLAN = {}",
        daemon_set(set),
        ipip.unwrap_or("Never"),
        vxlan.unwrap_or("Never")
    );
    let finding = match modes(ipip, vxlan) {
        Some(wire) => Finding::implied(wire, evidence),
        None => Finding::unknown(evidence),
    };
    finding.and("what the first pool was made with; no IPPool was read")
}

fn of_pools(pools: &[&Value]) -> Finding {
    let mut wires = BTreeSet::new();
    let mut evidence = Vec::new();
    for pool in pools {
        let (ipip, vxlan) = (
            text_at(pool, "/spec/ipipMode"),
            text_at(pool, "/spec/vxlanMode"),
        );
        wires.insert(modes(ipip, vxlan));
        evidence.push(format!(
            "IPPool {} ({}): ipipMode = {}, vxlanMode = {}",
            name_of(pool),
            text_at(pool, "/spec/cidr").unwrap_or("no CIDR"),
            ipip.unwrap_or("Never"),
            vxlan.unwrap_or("Never"),
        ));
    }
    let finding = match wires.pop_first() {
        Some(Some(wire)) if wires.is_empty() => Finding::stated(wire, evidence.remove(0)),
        _ => Finding::unknown("pools of different wires: it depends on the pod's address"),
    };
    evidence.into_iter().fold(finding, Finding::and)
}

/// Returns the wire of a pool's two modes.
fn modes(ipip: Option<&str>, vxlan: Option<&str>) -> Option<&'static str> {
    match (ipip.unwrap_or("Never"), vxlan.unwrap_or("Never")) {
        ("Never" | "", "Never" | "") => Some("native"),
        ("Always", "Never" | "") => Some("ipip"),
        ("CrossSubnet", "Never" | "") => Some("ipip-cross-subnet"),
        ("Never" | "", "Always") => Some("vxlan"),
        ("Never" | "", "CrossSubnet") => Some("vxlan-cross-subnet"),
        _ => None,
    }
}

/// Returns the wire of the operator's word for it.
fn encapsulation(word: &str) -> Option<&'static str> {
    match word {
        "None" => Some("native"),
        "IPIP" => Some("ipip"),
        "IPIPCrossSubnet" => Some("ipip-cross-subnet"),
        "VXLAN" => Some("vxlan"),
        "VXLANCrossSubnet" => Some("vxlan-cross-subnet"),
        _ => None,
    }
}

/// What says which dataplane runs.
struct Dataplane<'a> {
    set: &'a DaemonSet,
    felix: Option<&'a Value>,
    installation: Option<&'a Value>,
}

impl Dataplane<'_> {
    fn find(&self, facts: &mut Facts) {
        match self.ebpf() {
            Some((true, evidence)) => {
                facts.set(Aspect::Services, Finding::stated("ebpf", &evidence));
                let why = "programs on the pods' devices forward what they know";
                facts.set(
                    Aspect::HostRouting,
                    Finding::implied("ebpf", &evidence).and(why),
                );
                facts.set(Aspect::Outside, self.outside());
            }
            Some((false, evidence)) => {
                facts.set(Aspect::HostRouting, Finding::implied("kernel", evidence));
            }
            None => {
                let why = "neither the FelixConfiguration `default` nor the operator's Installation was read";
                facts.set(Aspect::HostRouting, Finding::unknown(why));
            }
        }
        facts.set(Aspect::Encryption, self.encryption());
    }

    /// Returns whether the eBPF dataplane is on, and what says so. A variable of the daemon set goes before
    /// Felix' resource.
    fn ebpf(&self) -> Option<(bool, String)> {
        if let Some(on) = variable(self.set, "FELIX_BPFENABLED") {
            let evidence = format!("{}: FELIX_BPFENABLED = {on}", daemon_set(self.set));
            return Some((on.eq_ignore_ascii_case("true"), evidence));
        }
        if let Some(plane) = self
            .installation
            .and_then(|found| text_at(found, "/spec/calicoNetwork/linuxDataplane"))
        {
            return Some((
                plane == "BPF",
                format!("installation: linuxDataplane = {plane}"),
            ));
        }
        let felix = self.felix?;
        let on = felix.pointer("/spec/bpfEnabled").and_then(Value::as_bool);
        let said = on.map_or("not set".to_owned(), |on| on.to_string());
        Some((
            on == Some(true),
            format!("FelixConfiguration default: bpfEnabled is {said}"),
        ))
    }

    fn outside(&self) -> Finding {
        let Some(felix) = self.felix else {
            return Finding::unknown("the FelixConfiguration `default` was not read");
        };
        let key = "FelixConfiguration default: bpfExternalServiceMode";
        match text_at(felix, "/spec/bpfExternalServiceMode") {
            Some("DSR") => Finding::stated("dsr", format!("{key} = DSR")),
            Some("Tunnel") => Finding::stated("tunnel", format!("{key} = Tunnel")),
            Some(other) => Finding::unknown(format!("{key} = {other}")),
            None => Finding::implied("tunnel", format!("{key} is not set")).and("the default"),
        }
    }

    fn encryption(&self) -> Finding {
        let Some(felix) = self.felix else {
            return Finding::unknown("the FelixConfiguration `default` was not read");
        };
        let on = |key: &str| felix.pointer(key) == Some(&Value::Bool(true));
        if on("/spec/wireguardEnabled") || on("/spec/wireguardEnabledV6") {
            let evidence = "FelixConfiguration default: wireguardEnabled = true";
            return Finding::stated("wireguard", evidence);
        }
        let evidence = "FelixConfiguration default: wireguardEnabled is not set";
        Finding::implied("none", evidence).and("the default")
    }
}

fn mtu(snapshot: &Snapshot, installation: Option<&Value>) -> Finding {
    let operator =
        installation.and_then(|found| found.pointer("/spec/calicoNetwork/mtu")?.as_u64());
    if let Some(mtu) = operator.filter(|&mtu| mtu > 0) {
        return Finding::stated(mtu.to_string(), format!("installation: mtu = {mtu}"));
    }
    let settings = Settings::of(snapshot, "calico-config");
    match settings.get("veth_mtu") {
        Some(mtu) if mtu != "0" => Finding::stated(mtu, settings.says("veth_mtu")),
        Some(_) => Finding::unknown(format!(
            "{}: Calico takes it from the node's device, less the header of its wire",
            settings.says("veth_mtu")
        )),
        None => {
            Finding::unknown("Calico takes it from the node's device, less the header of its wire")
        }
    }
}
