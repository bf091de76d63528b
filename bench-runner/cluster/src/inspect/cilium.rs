//! Cilium, by its daemon set and the config map that its chart writes.
//!
//! Keys as in the chart's `cilium-configmap.yaml` (1.14 to 1.20); what is not set follows the agent's default.

use k8s_openapi::api::core::v1::Node;
use tollgate_results::cluster::{Aspect, Finding};

use super::{Facts, Settings, daemon_set, version};
use crate::snapshot::Snapshot;

/// Since this kernel packets can be redirected into a pod's namespace (`bpf_redirect_peer`).
const REDIRECTS_SINCE: (u32, u32) = (5, 10);

pub(super) fn find(snapshot: &Snapshot) -> Option<Facts> {
    let set = snapshot.daemon_set(&["cilium"])?;
    let settings = Settings::of(snapshot, "cilium-config");
    let mut facts = Facts::default();
    facts.set(Aspect::Cni, Finding::stated("cilium", daemon_set(set)));
    facts.set(Aspect::CniVersion, version(set, "cilium-agent"));
    let known = |read: fn(&Settings<'_>) -> Finding| {
        let missing = settings.missing();
        missing.unwrap_or_else(|| read(&settings))
    };
    facts.set(Aspect::Wire, known(wire));
    facts.set(Aspect::PodDevice, known(pod_device));
    facts.set(Aspect::Outside, known(outside));
    facts.set(Aspect::Encryption, known(encryption));
    facts.set(Aspect::Mtu, known(mtu));
    facts.set(Aspect::Families, known(families));
    if let Some(finding) = services(&settings) {
        facts.set(Aspect::Services, finding);
    }
    let routing = host_routing(&settings, &snapshot.nodes);
    facts.set(Aspect::HostRouting, settings.missing().unwrap_or(routing));
    remarks(&settings, &mut facts);
    Some(facts)
}

fn wire(settings: &Settings<'_>) -> Finding {
    if let Some(mode) = chained(settings) {
        return Finding::unknown(mode);
    }
    let protocol = || match settings.get("tunnel-protocol") {
        Some(protocol) => Finding::stated(protocol, settings.says("tunnel-protocol")),
        None => Finding::implied("vxlan", settings.lacks("tunnel-protocol")).and("the default"),
    };
    match (settings.get("routing-mode"), settings.get("tunnel")) {
        (Some("native"), _) => Finding::stated("native", settings.says("routing-mode")),
        (Some("tunnel"), _) => protocol().and(settings.says("routing-mode")),
        // Until 1.14 one key said both.
        (None, Some("disabled")) => Finding::stated("native", settings.says("tunnel")),
        (None, Some(tunnel)) => Finding::stated(tunnel, settings.says("tunnel")),
        (None, None) => protocol().and(settings.lacks("routing-mode")),
        (Some(_), _) => Finding::unknown(settings.says("routing-mode")),
    }
}

/// Says that another plugin makes the connections, where it does.
fn chained(settings: &Settings<'_>) -> Option<String> {
    let mode = settings.get("cni-chaining-mode")?;
    let says = settings.says("cni-chaining-mode");
    (!matches!(mode, "none" | "portmap"))
        .then(|| format!("{says}: another plugin connects the pods, Cilium is chained to it"))
}

fn pod_device(settings: &Settings<'_>) -> Finding {
    match settings.get("datapath-mode") {
        Some(mode @ ("veth" | "netkit" | "netkit-l2")) => {
            Finding::stated(mode, settings.says("datapath-mode"))
        }
        Some("auto") => Finding::unknown(format!(
            "{}: the agent chooses at its start",
            settings.says("datapath-mode")
        )),
        Some(_) => Finding::unknown(settings.says("datapath-mode")),
        None => Finding::implied("veth", settings.lacks("datapath-mode")).and("the default"),
    }
}

/// Returns `None` where kube-proxy does it.
fn services(settings: &Settings<'_>) -> Option<Finding> {
    let key = "kube-proxy-replacement";
    match settings.get(key)? {
        "true" | "strict" => Some(Finding::stated("ebpf", settings.says(key))),
        "partial" | "probe" => Some(Finding::unknown(format!(
            "{}: in part eBPF, in part kube-proxy",
            settings.says(key)
        ))),
        _ => None,
    }
}

fn replaces(settings: &Settings<'_>) -> bool {
    services(settings).is_some_and(|finding| finding.value.is_some())
}

fn outside(settings: &Settings<'_>) -> Finding {
    if !replaces(settings) {
        let why = "kube-proxy masquerades what a node forwards to another one's pod (externalTrafficPolicy Cluster)";
        return Finding::implied("snat", settings.says("kube-proxy-replacement")).and(why);
    }
    match settings.get("bpf-lb-mode") {
        Some(mode @ ("snat" | "dsr" | "hybrid")) => {
            let finding = Finding::stated(mode, settings.says("bpf-lb-mode"));
            match (mode, settings.get("bpf-lb-dsr-dispatch")) {
                ("snat", _) => finding,
                (_, Some(_)) => finding.and(settings.says("bpf-lb-dsr-dispatch")),
                (_, None) => finding.and(format!(
                    "{}: opt, the default",
                    settings.lacks("bpf-lb-dsr-dispatch")
                )),
            }
        }
        Some(_) => Finding::unknown(settings.says("bpf-lb-mode")),
        None => Finding::implied("snat", settings.lacks("bpf-lb-mode")).and("the default"),
    }
}

fn encryption(settings: &Settings<'_>) -> Finding {
    for (key, kind) in [
        ("enable-wireguard", "wireguard"),
        ("enable-ipsec", "ipsec"),
        ("enable-ztunnel", "ztunnel"),
    ] {
        if settings.is(key, "true") {
            return Finding::stated(kind, settings.says(key));
        }
    }
    let lacks = settings.lacks("enable-wireguard, enable-ipsec or enable-ztunnel");
    Finding::implied("none", lacks).and("the default")
}

fn mtu(settings: &Settings<'_>) -> Finding {
    match settings.get("mtu") {
        Some(mtu) if mtu != "0" => Finding::stated(mtu, settings.says("mtu")),
        _ => Finding::unknown(format!(
            "{}: the agent takes it from the node's devices",
            settings.lacks("mtu")
        )),
    }
}

fn families(settings: &Settings<'_>) -> Finding {
    let on: Vec<_> = ["ipv4", "ipv6"]
        .into_iter()
        .filter(|family| settings.is(&format!("enable-{family}"), "true"))
        .collect();
    if on.is_empty() {
        return Finding::unknown(settings.lacks("enable-ipv4 or enable-ipv6"));
    }
    let says = settings.says("enable-ipv4");
    Finding::stated(on.join(", "), says).and(settings.says("enable-ipv6"))
}

/// Host routing by eBPF needs the replacement of kube-proxy, masquerading by eBPF and a kernel; else the agent
/// falls back, and only says so in its log.
fn host_routing(settings: &Settings<'_>, nodes: &[Node]) -> Finding {
    let key = "enable-host-legacy-routing";
    if settings.is(key, "true") {
        return Finding::stated("kernel", settings.says(key));
    }
    let masquerades = !settings.is("enable-ipv4-masquerade", "false");
    let mut lacks = Vec::new();
    if !replaces(settings) {
        lacks.push(settings.says("kube-proxy-replacement"));
    }
    if masquerades && !settings.is("enable-bpf-masquerade", "true") {
        lacks.push(settings.says("enable-bpf-masquerade"));
    }
    if !lacks.is_empty() {
        let finding = Finding::implied("kernel", "the agent falls back to the node's stack");
        return lacks.into_iter().fold(finding, Finding::and);
    }
    let kernels: Option<Vec<_>> = nodes.iter().map(kernel).collect();
    match kernels.as_deref().and_then(|kernels| kernels.iter().min()) {
        None => Finding::unknown("the kernels of the nodes were not read"),
        Some(&(major, minor)) if (major, minor) < REDIRECTS_SINCE => Finding::implied(
            "kernel",
            format!(
                "a node has kernel {major}.{minor}: the agent falls back to the node's stack below 5.10"
            ),
        ),
        Some(_) => Finding::implied("ebpf", settings.says("kube-proxy-replacement"))
            .and(settings.says("enable-bpf-masquerade"))
            .and("the agent's own word: cilium-dbg status, line `Host Routing`"),
    }
}

/// Returns the first two numbers of a node's kernel.
fn kernel(node: &Node) -> Option<(u32, u32)> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    let mut numbers = info.kernel_version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Says what contradicts itself.
fn remarks(settings: &Settings<'_>, facts: &mut Facts) {
    let wire = facts.value(Aspect::Wire).unwrap_or_default().to_owned();
    let direct = matches!(facts.value(Aspect::Outside), Some("dsr" | "hybrid"));
    let dispatch = settings.get("bpf-lb-dsr-dispatch").unwrap_or("opt");
    if direct && wire == "vxlan" {
        facts.remarks.push(
            "DSR has no way through a VXLAN tunnel: use routing-mode = native, or a Geneve tunnel with \
             bpf-lb-dsr-dispatch = geneve"
                .to_owned(),
        );
    } else if direct && wire == "geneve" && dispatch != "geneve" {
        facts.remarks.push(format!(
            "DSR by {dispatch} needs native routing; through a Geneve tunnel set bpf-lb-dsr-dispatch = geneve"
        ));
    }
    if settings.is("enable-gateway-api", "true") && settings.is("enable-l7-proxy", "false") {
        facts.remarks.push(
            "enable-gateway-api needs enable-l7-proxy, which is false: no Gateway of this cluster will be served"
                .to_owned(),
        );
    }
    if settings.is("enable-bpf-tproxy", "true") && settings.is("enable-l7-proxy", "false") {
        facts
            .remarks
            .push("enable-bpf-tproxy has no effect while enable-l7-proxy is false".to_owned());
    }
    if settings.is("routing-mode", "native")
        && settings.get("ipv4-native-routing-cidr").is_none()
        && !settings.is("enable-ipv4-masquerade", "false")
        && !settings.is("enable-ip-masq-agent", "true")
    {
        facts.remarks.push(
            "routing-mode = native without ipv4-native-routing-cidr: what goes to other nodes' pods may be masqueraded"
                .to_owned(),
        );
    }
}
