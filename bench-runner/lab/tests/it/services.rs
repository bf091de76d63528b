//! What a service can ask for beside its translation: endpoints, affinity, ports of nodes; what stands beside it; and
//! rules that somebody flushes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;

use tollgate_lab::{Capabilities, Lab, Role};
use tollgate_results::arm::{Access, Datapath, Family, Name, Pods, Service, Services};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Protocol;
use tollgate_results::standing::Standing;

use crate::harness::{capabilities, echo, few, holder, lab, name, native, ping, run, with_service};

/// Every way of translating.
const WAYS: [Service; 6] = [
    Service::IptablesLegacy,
    Service::IptablesNft,
    Service::Nftables,
    Service::SocketLb,
    Service::TcLb,
    Service::Ipvs,
];

/// Says why an arm cannot be deployed here; what this machine can do is found out once.
fn missing(datapath: &Datapath) -> Option<String> {
    static FOUND: OnceLock<Capabilities> = OnceLock::new();
    FOUND.get_or_init(capabilities).missing(datapath)
}

/// Deploys an arm, unless this machine lacks something for it.
fn deploy(lab: &Lab, arm: &Name, datapath: &Datapath) -> bool {
    if let Some(reason) = missing(datapath) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {datapath}: {reason}");
        return false;
    }
    lab.deploy(arm, datapath, 1)
        .unwrap_or_else(|error| panic!("{datapath}: {}", error.chain()));
    true
}

/// Asks over a connection of its own, and returns the endpoint that the lab says has answered.
fn endpoint(lab: &Lab, arm: &Name, service: Service, protocol: Protocol) -> SocketAddr {
    let flow = ping(lab, arm, 3, protocol);
    assert_eq!(flow.remote, lab.endpoints(arm).unwrap().target);
    match (service, lab.translation(arm, &flow).unwrap()) {
        (Service::SocketLb, Translation::AtTheSocket { endpoint })
        | (Service::TcLb, Translation::BeforeTheNode { endpoint })
        | (
            Service::IptablesLegacy | Service::IptablesNft | Service::Nftables | Service::Ipvs,
            Translation::Rewritten { endpoint },
        ) => endpoint,
        (_, other) => panic!("{service}: {other:?} for {flow:?}"),
    }
}

#[test]
fn every_endpoint_is_drawn_and_affinity_keeps_to_one() {
    let Some(lab) = lab() else { return };
    for service in WAYS {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for affinity in [false, true] {
                let services = Services {
                    endpoints: 3,
                    affinity,
                    ..few()
                };
                let arm = name(&format!("{service}-{protocol:?}-{affinity}").to_lowercase());
                if !deploy(&lab, &arm, &with_service(service, services)) {
                    continue;
                }
                let _echo = echo(&lab, &arm);
                let endpoints: BTreeSet<SocketAddr> = (0..12)
                    .map(|_| endpoint(&lab, &arm, service, protocol))
                    .collect();
                if affinity {
                    assert_eq!(endpoints.len(), 1, "{arm}: {endpoints:?}");
                } else {
                    // The chance of one endpoint in 12 draws of three is 6e-6.
                    assert!(endpoints.len() > 1, "{arm}: {endpoints:?}");
                }
                lab.remove(&arm).unwrap();
            }
        }
    }
}

#[test]
fn a_port_of_the_node_leads_to_the_service() {
    let Some(lab) = lab() else { return };
    for service in WAYS {
        for family in [Family::Ipv4, Family::Ipv6] {
            let services = Services {
                access: Access::NodePort,
                ..few()
            };
            let datapath = Datapath {
                family,
                ..with_service(service, services)
            };
            let arm = name(&format!("{service}-{family}"));
            if !deploy(&lab, &arm, &datapath) {
                continue;
            }
            let endpoints = lab.endpoints(&arm).unwrap();
            assert_eq!(
                endpoints.target,
                SocketAddr::new(endpoints.nodes[0], 30_000)
            );
            let _echo = echo(&lab, &arm);
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let found = endpoint(&lab, &arm, service, protocol);
                assert_eq!(found, SocketAddr::new(endpoints.server, endpoints.port));
            }
            lab.remove(&arm).unwrap();
        }
    }
}

#[test]
fn each_packet_of_a_packet_balancer_is_counted() {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        let datapath = Datapath {
            family,
            ..with_service(Service::TcLb, few())
        };
        let arm = name(&format!("tc-lb-{family}"));
        if !deploy(&lab, &arm, &datapath) {
            return;
        }
        let _echo = echo(&lab, &arm);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let before = lab.counters(&arm).unwrap();
            ping(&lab, &arm, 100, protocol);
            let seen = lab.counters(&arm).unwrap().since(&before);
            let translated = seen.tc_lb.unwrap();
            // TCP has its handshake, acknowledgements and end beside.
            assert!((100..320).contains(&translated.forward), "{translated:?}");
            assert!((100..320).contains(&translated.back), "{translated:?}");
            assert_eq!((translated.connections, translated.forgotten), (1, 0));
        }
        // Large pieces, which cross the veth pair unsegmented.
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let bulk = [holder(), "bulk", &target, "3000000"];
        let (well, printed) = run(&lab, &arm, Role::Client, &bulk);
        assert!(well, "{printed}");
    }
}

#[test]
fn a_packet_balancer_needs_a_pod() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        pods: Pods::Host,
        ..with_service(Service::TcLb, few())
    };
    if missing(&with_service(Service::TcLb, few())).is_some() {
        return;
    }
    let error = lab.deploy(&name("arm"), &datapath, 1).unwrap_err().chain();
    assert!(error.contains("no pod with a veth pair"), "{error}");
}

#[test]
fn rules_and_connections_stand_beside_the_path() {
    let Some(lab) = lab() else { return };
    for service in [Service::None, Service::IptablesLegacy] {
        let datapath = Datapath {
            service,
            services: (service != Service::None).then(few),
            standing: Standing {
                policies: 600,
                connections: 3_000,
            },
            ..native()
        };
        let arm = name(&format!("standing-{service}"));
        if !deploy(&lab, &arm, &datapath) {
            continue;
        }
        let _echo = echo(&lab, &arm);
        ping(&lab, &arm, 100, Protocol::Tcp);
        for node in lab.counters(&arm).unwrap().conntrack_entries {
            assert!((3_000..3_100).contains(&node.entries), "{node:?}");
        }
        let rules = ["iptables-nft", "-S", "POD-POLICIES"];
        let (well, printed) = run(&lab, &arm, Role::NodeB, &rules);
        assert!(well, "{printed}");
        assert_eq!(printed.matches("-j ACCEPT").count(), 600);
    }
}

#[test]
fn rules_that_somebody_flushes_are_missed() {
    let Some(lab) = lab() else { return };
    for (service, flush) in [
        (
            Service::IptablesLegacy,
            &["iptables-legacy", "-t", "nat", "-F"][..],
        ),
        (Service::IptablesNft, &["iptables-nft", "-t", "nat", "-F"]),
        (Service::Nftables, &["nft", "flush", "ruleset"]),
    ] {
        let arm = name(service.as_str());
        if !deploy(&lab, &arm, &with_service(service, few())) {
            continue;
        }
        let before = lab.counters(&arm).unwrap();
        assert_eq!(before.rule_generations.len(), 2);
        let (well, printed) = run(&lab, &arm, Role::NodeA, flush);
        assert!(well, "{printed}");
        match (service, lab.counters(&arm)) {
            (Service::Nftables, Ok(after)) => {
                let changed = after.since(&before).rule_generations;
                assert!(
                    changed[0].generation > 0 && changed[1].generation == 0,
                    "{changed:?}"
                );
            }
            (Service::Nftables, Err(error)) => panic!("{}", error.chain()),
            (_, after) => {
                let error = after.unwrap_err().chain();
                assert!(
                    error.contains("somebody flushed or changed them"),
                    "{error}"
                );
            }
        }
    }
}
