//! Packets take the path that an arm declares, and its evidence says so.

use std::net::{IpAddr, SocketAddr};

use tollgate_results::arm::{Datapath, Family, Offloads, Pods, Position, Service, Services, Wire};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Protocol;

use crate::harness::{
    echo, holder, lab, name, native, packets, possible, run, traffic, vxlan, with_service,
};

fn services(count: u32, endpoints: u32, position: Position) -> Services {
    Services {
        count,
        endpoints,
        position,
        ..Services::default()
    }
}

#[test]
fn native_and_vxlan_carry_requests_as_they_say() {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        for (wire, pods) in [
            (native(), Pods::Bridge),
            (native(), Pods::Host),
            (vxlan(), Pods::Bridge),
            (vxlan(), Pods::Host),
        ] {
            let datapath = Datapath {
                family,
                pods,
                ..wire
            };
            let arm = name(&format!("{}-{pods}-{family}", datapath.wire));
            let (seen, flow) = traffic(&lab, &arm, &datapath, Protocol::Tcp);
            assert_eq!(flow.remote.is_ipv6(), family == Family::Ipv6);
            for node in ["a", "b"] {
                assert!(
                    packets(&seen, node, "veth") >= 200,
                    "{arm}, node {node}: {seen:?}"
                );
                let bridged = packets(&seen, node, "bridge");
                assert_eq!(bridged >= 200, pods == Pods::Bridge, "{arm}: {seen:?}");
                let tunnelled = packets(&seen, node, "vxlan");
                if datapath.wire == Wire::Vxlan {
                    assert!(
                        (200..300).contains(&tunnelled),
                        "{arm}: {tunnelled} in the tunnel"
                    );
                } else {
                    assert!(seen.devices.iter().all(|device| device.kind != "vxlan"));
                }
            }
            assert_eq!(
                lab.translation(&arm, &flow).unwrap(),
                Translation::Untouched,
                "{arm}"
            );
            lab.remove(&arm).unwrap();
        }
    }
}

#[test]
fn an_arm_says_what_it_is() {
    let Some(lab) = lab() else { return };
    for (datapath, pod_mtu) in [
        (native(), 1500),
        (vxlan(), 1450),
        (
            Datapath {
                family: Family::Ipv6,
                ..vxlan()
            },
            1430,
        ),
    ] {
        let arm = name(&format!("arm-{pod_mtu}"));
        let facts = lab.deploy(&arm, &datapath, 1).unwrap();
        assert_eq!((facts.pod_mtu, facts.wire_mtu), (Some(pod_mtu), Some(1500)));
        assert!(facts.deploy_ns > 0 && facts.programming_ns.is_none());
        let counters = lab.counters(&arm).unwrap();
        let nodes: Vec<_> = counters
            .conntrack_entries
            .iter()
            .map(|e| e.node.as_str())
            .collect();
        assert_eq!(nodes, ["a", "b"]);
        assert_eq!(
            (
                counters.service_rule_packets,
                counters.socket_lb_translations
            ),
            (None, None)
        );
    }
    let error = lab
        .deploy(&name("arm-1500"), &native(), 1)
        .unwrap_err()
        .chain();
    assert!(error.contains("already"), "{error}");
    let error = lab.counters(&name("nobody")).unwrap_err().chain();
    assert!(error.contains("arm-1430, arm-1450, arm-1500"), "{error}");
}

/// Deploys a service path and checks that its service is reached, and that the node says how.
fn reach_service(service: Service, family: Family, protocol: Protocol, counts: Services) {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        family,
        ..with_service(service, counts)
    };
    if !possible(&datapath) {
        return;
    }
    let arm = name("arm");
    let (seen, flow) = traffic(&lab, &arm, &datapath, protocol);
    let endpoints = lab.endpoints(&arm).unwrap();
    assert_eq!(
        flow.remote, endpoints.target,
        "the client sees the service's address"
    );
    assert_ne!(endpoints.target.ip(), endpoints.server);

    let translation = lab.translation(&arm, &flow).unwrap();
    let by_socket = service == Service::SocketLb;
    let endpoint = match translation {
        Translation::Rewritten { endpoint } if !by_socket => endpoint,
        Translation::AtTheSocket { endpoint } if by_socket => endpoint,
        other => panic!("{service}: {other:?} for {flow:?}"),
    };
    assert_eq!(endpoint.port(), endpoints.port);
    assert!(
        is_server(endpoint, endpoints.server, counts.endpoints),
        "{endpoint}"
    );
    match service {
        Service::IptablesLegacy | Service::IptablesNft => {
            assert_eq!(
                seen.service_rule_packets,
                Some(1),
                "the first packet of one connection"
            );
        }
        _ => assert_eq!(seen.service_rule_packets, None),
    }
    let translated = seen.socket_lb_translations;
    assert_eq!(translated.is_some(), by_socket);
    assert!(translated.is_none_or(|count| count >= 1), "{seen:?}");
    assert!(packets(&seen, "b", "veth") >= 200, "{seen:?}");
}

fn is_server(endpoint: SocketAddr, first: IpAddr, count: u32) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let (first, found) = (number(first), number(endpoint.ip()));
    (first..first + u128::from(count)).contains(&found)
}

#[test]
fn iptables_legacy_rewrites_on_the_node() {
    let counts = services(50, 3, Position::Last);
    reach_service(Service::IptablesLegacy, Family::Ipv4, Protocol::Tcp, counts);
}

#[test]
fn iptables_legacy_rewrites_ipv6() {
    let counts = services(20, 1, Position::Random);
    reach_service(Service::IptablesLegacy, Family::Ipv6, Protocol::Tcp, counts);
}

#[test]
fn iptables_nft_rewrites_on_the_node() {
    let counts = services(50, 1, Position::Median);
    reach_service(Service::IptablesNft, Family::Ipv4, Protocol::Udp, counts);
}

#[test]
fn iptables_nft_rewrites_ipv6() {
    let counts = services(20, 3, Position::First);
    reach_service(Service::IptablesNft, Family::Ipv6, Protocol::Tcp, counts);
}

#[test]
fn nftables_rewrites_on_the_node() {
    let counts = services(50, 3, Position::First);
    reach_service(Service::Nftables, Family::Ipv4, Protocol::Tcp, counts);
}

#[test]
fn nftables_rewrites_ipv6() {
    let counts = services(20, 1, Position::Last);
    reach_service(Service::Nftables, Family::Ipv6, Protocol::Udp, counts);
}

#[test]
fn the_socket_load_balancer_rewrites_before_the_node() {
    let counts = services(50, 3, Position::Last);
    reach_service(Service::SocketLb, Family::Ipv4, Protocol::Tcp, counts);
}

#[test]
fn the_socket_load_balancer_rewrites_ipv6_datagrams() {
    let counts = services(20, 1, Position::Last);
    reach_service(Service::SocketLb, Family::Ipv6, Protocol::Udp, counts);
}

#[test]
fn a_service_can_be_reached_from_a_node_without_pods() {
    let Some(lab) = lab() else { return };
    let counts = services(10, 2, Position::Last);
    let datapath = Datapath {
        pods: Pods::Host,
        ..with_service(Service::IptablesNft, counts)
    };
    let (seen, flow) = traffic(&lab, &name("arm"), &datapath, Protocol::Tcp);
    assert_eq!(seen.service_rule_packets, Some(1));
    let translation = lab.translation(&name("arm"), &flow).unwrap();
    assert!(
        matches!(translation, Translation::Rewritten { .. }),
        "{translation:?}"
    );
}

#[test]
fn programming_is_timed_and_counted() {
    let Some(lab) = lab() else { return };
    // What one more service with one endpoint takes: rules, elements or map entries.
    for (service, each) in [
        (Service::IptablesLegacy, 5),
        (Service::IptablesNft, 5),
        (Service::Nftables, 6),
        (Service::SocketLb, 3),
    ] {
        let programmed = |count| {
            let datapath = with_service(service, services(count, 1, Position::First));
            if !possible(&datapath) {
                return None;
            }
            let arm = name(&format!("{service}-{count}"));
            let facts = lab.deploy(&arm, &datapath, 1).unwrap();
            assert!(facts.programming_ns.is_some_and(|time| time > 0));
            facts.programmed
        };
        if let Some((few, many)) = programmed(1).zip(programmed(200)) {
            assert_eq!(many - few, 199 * each, "{service}");
        }
    }
}

#[test]
fn offloads_are_off_where_the_arm_says_so() {
    let Some(lab) = lab() else { return };
    for (offloads, datapath) in [(Offloads::On, vxlan()), (Offloads::Off, vxlan())] {
        let arm = name(offloads.as_str());
        let facts = lab
            .deploy(
                &arm,
                &Datapath {
                    offloads,
                    ..datapath
                },
                1,
            )
            .unwrap();
        assert!(
            !facts.notes.iter().any(|note| note.contains("keeps")),
            "{:?}",
            facts.notes
        );
        let _echo = echo(&lab, &arm);
        let before = lab.counters(&arm).unwrap();
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let (well, printed) = run(
            &lab,
            &arm,
            tollgate_lab::Role::Client,
            &[holder(), "bulk", &target, "1000000"],
        );
        assert!(well, "{printed}");
        let seen = lab.counters(&arm).unwrap().since(&before);
        let node = seen
            .devices
            .iter()
            .find(|d| d.node == "a" && d.kind == "vxlan")
            .unwrap();
        // One megabyte takes at least 715 packets of 1,398 bytes; with offloads on, far fewer buffers.
        let off = offloads == Offloads::Off;
        assert_eq!(node.tx_packets >= 715, off, "{offloads}: {node:?}");
    }
}

#[test]
fn impossible_services_are_refused() {
    let Some(lab) = lab() else { return };
    for (count, endpoints) in [(0, 1), (50_001, 1), (1, 0), (1, 101)] {
        let counts = services(count, endpoints, Position::First);
        let datapath = with_service(Service::IptablesNft, counts);
        let error = lab.deploy(&name("arm"), &datapath, 1).unwrap_err().chain();
        assert!(error.contains("1 to"), "{error}");
    }
    assert!(lab.arms().unwrap().is_empty());
}
