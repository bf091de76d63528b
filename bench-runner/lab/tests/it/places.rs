//! Client and server on one node, or in one pod.

use std::path::Path;

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Family, Name, Place, Pods, Service, Services, Wire};
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::outcome::Protocol;

use crate::harness::{few, lab, name, native, packets, possible, run, traffic, with_service};

/// Packets that neighbour discovery and its like may cause on a device that carries no request.
const STRAY: u64 = 20;

/// Packets over the wire between the nodes, seen from both.
fn over_the_wire(counters: &DatapathCounters) -> u64 {
    let wires = counters
        .devices
        .iter()
        .filter(|device| device.device == "eth0");
    wires
        .map(|device| device.rx_packets + device.tx_packets)
        .sum()
}

/// Whether the node's rules and its connection tracking see bridged packets.
fn sees_bridged_packets() -> bool {
    Path::new("/proc/sys/net/bridge").exists()
}

#[test]
fn packets_between_pods_of_one_node_never_cross_the_wire() {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        for wire in [Wire::Native, Wire::Vxlan] {
            let datapath = Datapath {
                family,
                wire,
                place: Place::SameNode,
                ..Datapath::default()
            };
            let arm = name(&format!("{wire}-{family}"));
            let (seen, flow) = traffic(&lab, &arm, &datapath, Protocol::Tcp);
            assert!(over_the_wire(&seen) < STRAY, "{arm}: {seen:?}");
            // Each request passes both pods' devices, there and back.
            assert!(packets(&seen, "a", "veth") >= 400, "{arm}: {seen:?}");
            assert!(packets(&seen, "a", "vxlan") < STRAY, "{arm}: {seen:?}");
            if sees_bridged_packets() {
                let known = lab.translation(&arm, &flow).unwrap();
                assert_eq!(known, Translation::Untouched, "{arm}");
            }
            let endpoints = lab.endpoints(&arm).unwrap();
            assert_eq!(endpoints.nodes[0], endpoints.nodes[1], "{arm}");
            let (well, printed) = run(&lab, &arm, Role::NodeB, &["cat", "/proc/net/dev"]);
            assert!(well && printed.contains("veth1"), "{arm}: {printed}");
            lab.remove(&arm).unwrap();
        }
    }
}

/// Reaches a service at a place and returns what was counted; `None` where this machine has no such service.
fn reach(
    lab: &Lab,
    arm: &Name,
    datapath: &Datapath,
    protocol: Protocol,
) -> Option<(DatapathCounters, Translation)> {
    if !possible(datapath) {
        return None;
    }
    let (seen, flow) = traffic(lab, arm, datapath, protocol);
    assert!(over_the_wire(&seen) < STRAY, "{datapath}: {seen:?}");
    let target = lab.endpoints(arm).unwrap().target;
    assert_eq!(flow.remote, target, "the client sees the service's address");
    Some((seen, lab.translation(arm, &flow).unwrap()))
}

/// Every service of this crate, with the protocol and family that it is tried with.
const SERVICES: [(Service, Protocol, Family); 6] = [
    (Service::IptablesLegacy, Protocol::Tcp, Family::Ipv4),
    (Service::IptablesNft, Protocol::Udp, Family::Ipv4),
    (Service::IptablesNft, Protocol::Tcp, Family::Ipv6),
    (Service::Nftables, Protocol::Tcp, Family::Ipv4),
    // No route chooses the congestion control of a pod's connection to itself.
    (Service::SocketLb, Protocol::Udp, Family::Ipv4),
    (Service::SocketLb, Protocol::Udp, Family::Ipv6),
];

#[test]
fn services_reach_a_pod_of_the_same_node() {
    let Some(lab) = lab() else { return };
    for (service, protocol, family) in SERVICES {
        // The tests' echo server answers datagrams from its first address only.
        let endpoints = if protocol == Protocol::Tcp { 3 } else { 1 };
        let counts = Services { endpoints, ..few() };
        let datapath = Datapath {
            place: Place::SameNode,
            family,
            ..with_service(service, counts)
        };
        let arm = name(&format!("{service}-{family}"));
        let Some((_, translation)) = reach(&lab, &arm, &datapath, protocol) else {
            continue;
        };
        match translation {
            Translation::AtTheSocket { .. } if service == Service::SocketLb => {}
            Translation::Untracked if !sees_bridged_packets() => {}
            Translation::Rewritten { .. } if service != Service::SocketLb => {}
            other => panic!("{datapath}: {other:?}"),
        }
    }
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let Some(lab) = lab() else { return };
    for (service, protocol, family) in SERVICES {
        let datapath = Datapath {
            place: Place::Hairpin,
            family,
            ..with_service(service, few())
        };
        let arm = name(&format!("{service}-{family}"));
        let Some((seen, translation)) = reach(&lab, &arm, &datapath, protocol) else {
            continue;
        };
        let endpoints = lab.endpoints(&arm).unwrap();
        assert_eq!(endpoints.client, endpoints.server);
        let on_node = packets(&seen, "a", "veth");
        if service == Service::SocketLb {
            assert_eq!(translation, Translation::Untracked, "{datapath}");
            assert!(on_node < STRAY, "connected to itself inside: {seen:?}");
        } else {
            let Translation::Rewritten { endpoint } = translation else {
                panic!("{datapath}: {translation:?}");
            };
            assert_eq!(endpoint.ip(), endpoints.client);
            assert!(
                on_node >= 400,
                "each request leaves and comes back: {seen:?}"
            );
        }
    }
}

#[test]
fn a_pod_that_reaches_itself_is_masqueraded() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        place: Place::Hairpin,
        ..with_service(Service::IptablesLegacy, few())
    };
    let arm = name("arm");
    if reach(&lab, &arm, &datapath, Protocol::Tcp).is_none() {
        return;
    }
    let save = ["iptables-legacy-save", "-c", "-t", "nat"];
    let (well, printed) = run(&lab, &arm, Role::NodeA, &save);
    assert!(well, "{printed}");
    let met = |wanted: &[&str]| {
        let mut rules = printed.lines();
        let rule = rules.find(|line| wanted.iter().all(|part| line.contains(part)));
        !rule
            .unwrap_or_else(|| panic!("no rule {wanted:?}"))
            .starts_with("[0:")
    };
    // The rule of kube-proxy that makes it work, and what it leads to.
    assert!(
        met(&["-A KUBE-SEP-", "-s 10.244.0.2/32", "-j KUBE-MARK-MASQ"]),
        "{printed}"
    );
    assert!(met(&["-A KUBE-POSTROUTING", "-j MASQUERADE"]), "{printed}");
}

#[test]
fn impossible_places_are_refused() {
    let Some(lab) = lab() else { return };
    let hairpin = |datapath| Datapath {
        place: Place::Hairpin,
        ..datapath
    };
    let several = Services {
        endpoints: 2,
        ..few()
    };
    let host = Datapath {
        pods: Pods::Host,
        place: Place::SameNode,
        ..native()
    };
    for (datapath, said) in [
        (hairpin(native()), "choose one"),
        (
            hairpin(with_service(Service::IptablesNft, several)),
            "only endpoint",
        ),
        (host, "nodes without pods"),
    ] {
        let error = lab.deploy(&name("arm"), &datapath, 1).unwrap_err().chain();
        assert!(error.contains(said), "{error}");
    }
    assert!(lab.arms().unwrap().is_empty());
}
