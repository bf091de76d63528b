//! Wires that most kernels have as modules, and some not at all.

use tollgate_results::arm::{Datapath, Family, Pods, Wire};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Protocol;

use crate::harness::{lab, name, native, packets, possible, traffic};

/// Sends requests through a wire, as pods and as nodes, and checks that its devices carried them.
fn carries(wire: Wire, family: Family, pod_mtu: u32) {
    let Some(lab) = lab() else { return };
    for pods in [Pods::Bridge, Pods::Host] {
        let datapath = Datapath {
            wire,
            family,
            pods,
            ..Datapath::default()
        };
        if !possible(&datapath) {
            return;
        }
        let arm = name(pods.as_str());
        let (seen, flow) = traffic(&lab, &arm, &datapath, Protocol::Tcp);
        for node in ["a", "b"] {
            let kinds = wire.tunnels().iter();
            let wrapped: u64 = kinds.map(|kind| packets(&seen, node, kind)).sum();
            assert!(
                (200..300).contains(&wrapped),
                "{datapath}, {node}: {seen:?}"
            );
        }
        let known = lab.translation(&arm, &flow).unwrap();
        assert_eq!(known, Translation::Untouched, "{datapath}");
        lab.remove(&arm).unwrap();
        let facts = lab.deploy(&arm, &datapath, 1).unwrap();
        assert_eq!((facts.pod_mtu, facts.wire_mtu), (Some(pod_mtu), Some(1500)));
    }
}

#[test]
fn geneve_carries_ipv4() {
    carries(Wire::Geneve, Family::Ipv4, 1450);
}

#[test]
fn geneve_carries_ipv6() {
    carries(Wire::Geneve, Family::Ipv6, 1430);
}

#[test]
fn ipip_carries_ipv4() {
    carries(Wire::Ipip, Family::Ipv4, 1480);
}

#[test]
fn ipip_carries_ipv6() {
    carries(Wire::Ipip, Family::Ipv6, 1460);
}

#[test]
fn wireguard_carries_ipv4() {
    carries(Wire::Wireguard, Family::Ipv4, 1440);
}

#[test]
fn wireguard_carries_ipv6() {
    carries(Wire::Wireguard, Family::Ipv6, 1420);
}

#[test]
fn what_is_said_to_be_missing_cannot_be_deployed() {
    let Some(lab) = lab() else { return };
    for wire in [Wire::Geneve, Wire::Ipip, Wire::Wireguard] {
        let datapath = Datapath { wire, ..native() };
        let arm = name(wire.as_str());
        let deployed = lab.deploy(&arm, &datapath, 1);
        assert_eq!(deployed.is_ok(), possible(&datapath), "{deployed:?}");
    }
}
