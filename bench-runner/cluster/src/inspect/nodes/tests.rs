//! What becomes of findings when the nodes are looked at.

use tollgate_results::node::{ConntrackTable, Programs, ProxyRules};

use super::*;

fn links(kind: &str, mtu: u32, names: &[&str]) -> Links {
    Links {
        kind: kind.to_owned(),
        mtu,
        up: true,
        over_mtu: None,
        count: u32::try_from(names.len()).unwrap(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn node(links: Vec<Links>) -> NodeFacts {
    NodeFacts {
        links,
        ..NodeFacts::default()
    }
}

fn rules(by: RulesBy, chains: u32) -> ProxyRules {
    ProxyRules { by, chains }
}

fn seen(told: &[(Aspect, Finding)], nodes: &[NodeFacts]) -> ClusterFacts {
    let facts = ClusterFacts {
        findings: told.iter().cloned().collect(),
        ..ClusterFacts::default()
    };
    let names = (1..).map(|number| format!("node{number}"));
    with_nodes(facts, names.zip(nodes.iter().cloned()).collect())
}

#[test]
fn what_no_object_tells_is_seen() {
    let plain = node(vec![
        links("device", 1500, &["eth0"]),
        links("veth", 1450, &["veth1", "veth2"]),
        links("bridge", 1450, &["cni0"]),
    ]);
    let facts = seen(&[], &[plain.clone(), plain.clone()]);
    assert_eq!(facts.value(Aspect::Wire), Some("native"));
    assert_eq!(facts.value(Aspect::PodDevice), Some("veth"));
    assert_eq!(facts.value(Aspect::Mtu), Some("1450"));
    assert_eq!(facts.value(Aspect::Services), None);
    let wire = &facts.findings[&Aspect::Wire];
    assert_eq!(wire.basis, Basis::Seen);
    assert_eq!(wire.evidence[0], "seen on node1: no link of a tunnel is up");
    assert_eq!((facts.nodes.len(), facts.remarks.len()), (2, 0));

    let mut overlay = plain;
    overlay.links.push(links("vxlan", 1450, &["flannel.1"]));
    let facts = seen(&[], &vec![overlay; 5]);
    assert_eq!(facts.value(Aspect::Wire), Some("vxlan"));
    let evidence = &facts.findings[&Aspect::Wire].evidence;
    assert_eq!(evidence.len(), 4);
    assert_eq!(evidence[0], "seen on node1: vxlan link flannel.1, MTU 1450");
    assert_eq!(evidence[3], "and on 2 more nodes");
}

#[test]
fn what_agrees_is_evidence_and_what_doesn_t_is_a_remark() {
    let told = |value: &str| [(Aspect::Wire, Finding::implied(value, "a default"))];
    let overlay = node(vec![links("vxlan", 1450, &["cilium_vxlan"])]);
    let facts = seen(&told("vxlan-cross-subnet"), std::slice::from_ref(&overlay));
    let wire = &facts.findings[&Aspect::Wire];
    assert_eq!(
        (wire.value.as_deref(), wire.basis),
        (Some("vxlan-cross-subnet"), Basis::Seen)
    );
    assert_eq!(wire.evidence.len(), 2);
    assert!(facts.remarks.is_empty());

    let facts = seen(&told("native"), &[overlay]);
    assert_eq!(
        facts.value(Aspect::Wire),
        Some("native"),
        "what is stated stays"
    );
    assert_eq!(facts.findings[&Aspect::Wire].basis, Basis::Implied);
    assert!(
        facts.remarks[0].contains("the API tells native, the nodes show vxlan (seen on node1"),
        "{:?}",
        facts.remarks
    );
}

#[test]
fn a_tunnel_that_is_down_carries_nothing_and_encryption_is_no_wire_of_its_own() {
    let mut spare = links("ipip", 1480, &["tunl0"]);
    spare.up = false;
    let facts = seen(&[], &[node(vec![spare])]);
    assert_eq!(facts.value(Aspect::Wire), Some("native"));
    let both = node(vec![
        links("geneve", 1450, &["cilium_geneve"]),
        links("wireguard", 1420, &["cilium_wg0"]),
    ]);
    let facts = seen(&[], &[both]);
    assert_eq!(facts.value(Aspect::Wire), Some("geneve"));
    assert_eq!(facts.value(Aspect::Encryption), Some("wireguard"));
    let alone = node(vec![links("wireguard", 1420, &["flannel-wg"])]);
    assert_eq!(seen(&[], &[alone]).value(Aspect::Wire), Some("wireguard"));
}

#[test]
fn proxies_are_told_by_their_rules_and_programs() {
    let with = |rules: Vec<ProxyRules>, programs: Vec<Programs>| {
        let node = NodeFacts {
            rules,
            programs,
            ..NodeFacts::default()
        };
        seen(&[], &[node])
    };
    let nft = with(vec![rules(RulesBy::IptablesNft, 40)], Vec::new());
    assert_eq!(nft.value(Aspect::Services), Some("iptables"));
    let own = with(vec![rules(RulesBy::Nftables, 12)], Vec::new());
    assert_eq!(own.value(Aspect::Services), Some("nftables"));
    let ipvs = with(
        vec![rules(RulesBy::IptablesNft, 9), rules(RulesBy::Ipvs, 30)],
        Vec::new(),
    );
    assert_eq!(ipvs.value(Aspect::Services), Some("ipvs"));
    let program = |name: &str, hook| Programs {
        name: name.to_owned(),
        hook,
        count: 1,
        at: vec!["/host/cgroup".to_owned()],
    };
    let socket = with(
        vec![rules(RulesBy::IptablesNft, 3)],
        vec![program("cil_sock4_conne", Hook::CgroupConnect)],
    );
    assert_eq!(socket.value(Aspect::Services), Some("ebpf"));
    let other = with(
        Vec::new(),
        vec![program("systemd_connect", Hook::CgroupConnect)],
    );
    assert_eq!(other.value(Aspect::Services), None);
    let mixed = with(
        vec![
            rules(RulesBy::IptablesLegacy, 3),
            rules(RulesBy::IptablesNft, 3),
        ],
        Vec::new(),
    );
    assert!(
        mixed.remarks[0].starts_with("node1: rules of kube-proxy stand in"),
        "{:?}",
        mixed.remarks
    );
}

#[test]
fn what_is_wrong_on_a_node_is_told() {
    let mut tight = links("vxlan", 1500, &["flannel.1"]);
    tight.over_mtu = Some(1500);
    let mut fits = links("vxlan", 1450, &["flannel.2"]);
    fits.over_mtu = Some(1500);
    let mut full = node(vec![tight, fits]);
    full.conntrack = Some(ConntrackTable {
        entries: Some(9_000),
        most: Some(10_000),
        buckets: Some(1),
    });
    let facts = seen(&[], &[full.clone()]);
    assert_eq!(facts.remarks.len(), 2, "{:?}", facts.remarks);
    assert!(facts.remarks[0].contains("flannel.1") && facts.remarks[0].contains("50 bytes"));
    assert!(facts.remarks[1].contains("9000 of 10000 connections"));
    full.links.clear();
    full.conntrack = None;
    assert_eq!(seen(&[], &[full]).remarks.len(), 0);
}

#[test]
fn without_an_inspector_nothing_changes() {
    let told = [(Aspect::Wire, Finding::stated("native", "a config map"))];
    let facts = seen(&told, &[]);
    assert_eq!(facts.findings.len(), 1);
    assert!(facts.nodes.is_empty() && facts.remarks.is_empty());
}
