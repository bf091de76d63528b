//! What is found out about clusters whose set-up is known: the fixtures are what their APIs say.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use tollgate_cluster::inspect;
use tollgate_cluster::snapshot::Snapshot;
use tollgate_results::cluster::{Aspect, Basis, ClusterFacts};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn facts(files: &[&str]) -> ClusterFacts {
    let texts = files.iter().map(|file| {
        let path = fixtures().join(format!("{file}.yaml"));
        fs::read_to_string(path).unwrap()
    });
    let text = texts.collect::<Vec<_>>().join("---\n");
    inspect(&Snapshot::read(&text).unwrap())
}

/// Asserts what was found, `?` for unknown; and that everything has its evidence.
fn assert_found(facts: &ClusterFacts, expected: &[(Aspect, &str)]) {
    for (aspect, value) in expected {
        let found = facts.value(*aspect).unwrap_or("?");
        assert_eq!(found, *value, "{aspect}: {:?}", facts.findings[aspect]);
    }
    assert_eq!(facts.findings.len(), Aspect::ALL.len());
    for (aspect, finding) in &facts.findings {
        assert_eq!(
            finding.value.is_none(),
            finding.basis == Basis::Unknown,
            "{aspect}"
        );
        assert!(!finding.evidence.is_empty(), "{aspect}");
        for line in &finding.evidence {
            assert!(!line.is_empty() && !line.contains('\n'), "{aspect}: {line}");
        }
    }
}

#[test]
fn cilium_with_its_overlay_beside_kube_proxy() {
    let facts = facts(&["nodes", "services", "cilium-vxlan", "kube-proxy-default"]);
    assert_found(
        &facts,
        &[
            (Aspect::Cni, "cilium"),
            (Aspect::CniVersion, "v1.20.5"),
            (Aspect::Wire, "vxlan"),
            (Aspect::PodDevice, "veth"),
            (Aspect::HostRouting, "kernel"),
            (Aspect::Services, "iptables"),
            (Aspect::Outside, "snat"),
            (Aspect::Encryption, "none"),
            (Aspect::Mtu, "?"),
            (Aspect::Families, "ipv4"),
            (Aspect::Nodes, "3 (2 ready)"),
            (Aspect::Kernels, "6.12.0"),
            (Aspect::Zones, "a (2), b (1)"),
            (Aspect::ServiceCount, "2"),
            (Aspect::Policies, "1"),
            (Aspect::Gateways, "?"),
        ],
    );
    assert_eq!(facts.remarks, Vec::<String>::new());
    assert_eq!(facts.findings[&Aspect::Services].basis, Basis::Implied);
}

#[test]
fn cilium_native_with_dsr_and_without_kube_proxy() {
    let facts = facts(&["nodes", "services", "cilium-native-dsr"]);
    assert_found(
        &facts,
        &[
            (Aspect::Wire, "native"),
            (Aspect::HostRouting, "ebpf"),
            (Aspect::Services, "ebpf"),
            (Aspect::Outside, "dsr"),
            (Aspect::Policies, "2"),
            (Aspect::Gateways, "cilium"),
        ],
    );
    assert_eq!(facts.remarks, Vec::<String>::new());
    let evidence = facts.findings[&Aspect::Outside].evidence.join("\n");
    assert!(evidence.contains("bpf-lb-dsr-dispatch = opt"), "{evidence}");
    let evidence = facts.findings[&Aspect::Policies].evidence.join("\n");
    assert_eq!(evidence, "CiliumNetworkPolicy (1), NetworkPolicy (1)");
}

#[test]
fn kube_proxy_that_was_left_beside_its_replacement_is_told() {
    let facts = facts(&["nodes", "cilium-native-dsr", "kube-proxy-ipvs"]);
    assert_found(&facts, &[(Aspect::Services, "ebpf")]);
    assert_eq!(facts.remarks.len(), 1);
    assert!(
        facts.remarks[0].contains("kube-proxy still runs"),
        "{:?}",
        facts.remarks
    );
}

#[test]
fn cilium_with_netkit_and_encryption() {
    let facts = facts(&["nodes", "cilium-netkit"]);
    assert_found(
        &facts,
        &[
            (Aspect::PodDevice, "netkit"),
            (Aspect::Encryption, "wireguard"),
            (Aspect::Mtu, "1420"),
            (Aspect::Outside, "snat"),
            (Aspect::ServiceCount, "?"),
        ],
    );
}

#[test]
fn what_contradicts_itself_in_cilium_is_told() {
    let text = fs::read_to_string(fixtures().join("cilium-native-dsr.yaml")).unwrap();
    for (from, to, part) in [
        (
            "routing-mode: native",
            "routing-mode: tunnel",
            "no way through a VXLAN tunnel",
        ),
        (
            "enable-l7-proxy: \"true\"",
            "enable-l7-proxy: \"false\"",
            "enable-gateway-api needs",
        ),
        (
            "ipv4-native-routing-cidr: 10.244.0.0/16",
            "debug: \"true\"",
            "may be masqueraded",
        ),
    ] {
        let facts = inspect(&Snapshot::read(&text.replace(from, to)).unwrap());
        assert!(
            facts.remarks.join("\n").contains(part),
            "{to}: {:?}",
            facts.remarks
        );
    }
    let old = text.replace("routing-mode: native", "tunnel: disabled");
    let facts = inspect(&Snapshot::read(&old).unwrap());
    assert_eq!(
        facts.value(Aspect::Wire),
        Some("native"),
        "the key until 1.14"
    );
    let chained = text.replace("routing-mode: native", "cni-chaining-mode: aws-cni");
    let facts = inspect(&Snapshot::read(&chained).unwrap());
    assert_eq!(facts.value(Aspect::Wire), None);
}

#[test]
fn cilium_whose_configuration_may_not_be_read() {
    let text = fs::read_to_string(fixtures().join("cilium-vxlan.yaml")).unwrap();
    let (daemon_set, _) = text.split_once("---").unwrap();
    let facts = inspect(&Snapshot::read(daemon_set).unwrap());
    assert_found(
        &facts,
        &[
            (Aspect::Cni, "cilium"),
            (Aspect::Wire, "?"),
            (Aspect::HostRouting, "?"),
            (Aspect::Encryption, "?"),
            (Aspect::Services, "?"),
        ],
    );
}

#[test]
fn calico_by_bgp() {
    let facts = facts(&["nodes", "calico-bgp", "kube-proxy-iptables"]);
    assert_found(
        &facts,
        &[
            (Aspect::Cni, "calico"),
            (Aspect::CniVersion, "v3.32.0"),
            (Aspect::Wire, "native"),
            (Aspect::HostRouting, "kernel"),
            (Aspect::Services, "iptables"),
            (Aspect::Outside, "snat"),
            (Aspect::Encryption, "none"),
            (Aspect::Mtu, "1500"),
        ],
    );
    assert_eq!(facts.findings[&Aspect::Services].basis, Basis::Stated);
}

#[test]
fn calico_over_vxlan_with_encryption() {
    let facts = facts(&["nodes", "calico-vxlan", "kube-proxy-nftables"]);
    assert_found(
        &facts,
        &[
            (Aspect::Wire, "vxlan"),
            (Aspect::HostRouting, "kernel"),
            (Aspect::Services, "nftables"),
            (Aspect::Encryption, "wireguard"),
            (Aspect::Mtu, "1450"),
        ],
    );
}

#[test]
fn calico_with_ebpf() {
    let facts = facts(&["nodes", "calico-ebpf"]);
    assert_found(
        &facts,
        &[
            (Aspect::Wire, "vxlan-cross-subnet"),
            (Aspect::HostRouting, "ebpf"),
            (Aspect::Services, "ebpf"),
            (Aspect::Outside, "dsr"),
            (Aspect::Mtu, "?"),
        ],
    );
}

#[test]
fn flannel_by_vxlan_and_by_routes() {
    for (file, wire) in [("flannel-vxlan", "vxlan"), ("flannel-host-gw", "native")] {
        let facts = facts(&["nodes", file, "kube-proxy-ipvs"]);
        assert_found(
            &facts,
            &[
                (Aspect::Cni, "flannel"),
                (Aspect::CniVersion, "v0.28.9"),
                (Aspect::Wire, wire),
                (Aspect::PodDevice, "veth"),
                (Aspect::HostRouting, "kernel"),
                (Aspect::Services, "ipvs"),
                (Aspect::Encryption, "none"),
            ],
        );
    }
}

#[test]
fn flannel_inside_k3s_and_a_proxy_that_hides() {
    let facts = facts(&["k3s"]);
    assert_found(
        &facts,
        &[
            (Aspect::Cni, "flannel"),
            (Aspect::CniVersion, "?"),
            (Aspect::Wire, "vxlan"),
            (Aspect::Services, "?"),
            (Aspect::Families, "ipv4, ipv6"),
        ],
    );
}

#[test]
fn flannel_that_was_reconfigured_without_a_restart_is_told() {
    let facts = facts(&["k3s", "flannel-host-gw"]);
    assert_found(&facts, &[(Aspect::Wire, "native")]);
    assert!(
        facts.remarks[0].contains("restart its pods"),
        "{:?}",
        facts.remarks
    );
}

#[test]
fn a_proxy_that_is_a_static_pod() {
    let facts = facts(&["nodes", "kube-proxy-static"]);
    assert_found(
        &facts,
        &[(Aspect::Services, "nftables"), (Aspect::Cni, "?")],
    );
}

#[test]
fn a_cluster_that_tells_nothing_has_nothing_but_unknowns() {
    let facts = inspect(&Snapshot::default());
    for (aspect, finding) in &facts.findings {
        assert_eq!(finding.basis, Basis::Unknown, "{aspect}");
    }
    assert_found(&facts, &[]);
}

#[test]
fn two_plugins_are_told() {
    let facts = facts(&["cilium-vxlan", "flannel-vxlan"]);
    assert_found(&facts, &[(Aspect::Cni, "cilium")]);
    assert!(facts.remarks[0].contains("a second plugin stands beside it: flannel"));
}

/// What the typed schema doesn't know, it drops: a field that comes back is one of Kubernetes.
#[test]
fn fixtures_are_objects_of_kubernetes() {
    fn same<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), *object);
    }
    let mut checked = 0;
    for file in fs::read_dir(fixtures()).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            match object["kind"].as_str().unwrap() {
                "Node" => same::<Node>(&object),
                "DaemonSet" => same::<DaemonSet>(&object),
                "ConfigMap" => same::<ConfigMap>(&object),
                "Pod" => same::<Pod>(&object),
                "Service" => same::<Service>(&object),
                "NetworkPolicy" => same::<NetworkPolicy>(&object),
                _ => continue,
            }
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}
