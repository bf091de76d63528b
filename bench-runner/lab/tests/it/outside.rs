//! A client outside the cluster reaches a service by the way that its arm declares, and the evidence says so.

use std::net::{IpAddr, SocketAddr};

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Family, Name, Outside};
use tollgate_results::evidence::{DatapathCounters, DeviceCounters, Tracker, Translation};
use tollgate_results::facts::ArmFacts;
use tollgate_results::outcome::{Flow, Protocol};

use crate::harness::{Echo, capabilities, echo, holder, lab, name, native, ping, run};

/// Requests that a test sends.
const REQUESTS: u32 = 100;

fn outside(kind: Outside) -> Datapath {
    Datapath {
        outside: Some(kind),
        ..native()
    }
}

/// Deploys an arm with an answering server, or says loudly why this machine has none.
fn deployed(lab: &Lab, kind: Outside) -> Option<(Name, ArmFacts, Echo)> {
    let datapath = outside(kind);
    if let Some(reason) = capabilities().missing(&datapath) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {kind}: {reason}");
        return None;
    }
    let arm = name(kind.as_str());
    let facts = lab
        .deploy(&arm, &datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let echo = echo(lab, &arm);
    Some((arm, facts, echo))
}

fn joint<'a>(counters: &'a DatapathCounters, node: &str) -> &'a DeviceCounters {
    let mut devices = counters.devices.iter();
    let found = devices.find(|device| device.node == node && device.device == "eth0");
    found.unwrap_or_else(|| panic!("{node}: {counters:?}"))
}

/// Sends requests; the way in and out must be the declared one.
fn reach(kind: Outside, protocol: Protocol) {
    let Some(lab) = lab() else { return };
    let Some((arm, _, _echo)) = deployed(&lab, kind) else {
        return;
    };
    let endpoints = lab.endpoints(&arm).unwrap();
    let before = lab.counters(&arm).unwrap();
    let flow = ping(&lab, &arm, REQUESTS, protocol);
    let seen = lab.counters(&arm).unwrap().since(&before);
    assert_eq!(flow.remote, endpoints.target);
    assert_eq!(flow.local.ip(), endpoints.client);

    let [client, entry, server] = ["outside", "a", "b"].map(|node| joint(&seen, node));
    let least = u64::from(REQUESTS);
    assert!(
        client.tx_packets >= least && client.rx_packets >= least,
        "{seen:?}"
    );
    // A bridge says a word of its own now and then.
    let close = |one: u64, other: u64| one.abs_diff(other) <= 5;
    assert!(close(server.tx_packets, client.rx_packets), "{seen:?}");
    let returned = entry.rx_packets - client.tx_packets;
    let expected = if kind == Outside::Dsr {
        0
    } else {
        client.rx_packets
    };
    assert!(close(returned, expected), "{seen:?}");
    let dropped: u64 = seen.devices.iter().map(|device| device.dropped).sum();
    assert_eq!(dropped, 0, "{seen:?}");

    assert_eq!(seen.entry_programs.is_some(), kind != Outside::Snat);
    if let Some(packets) = seen.entry_programs {
        assert_eq!(packets.refused, 0);
        assert!(close(packets.to_endpoint, client.tx_packets), "{seen:?}");
        assert!(close(packets.to_client, expected), "{seen:?}");
    }
    let rules = (kind == Outside::Snat).then_some(1);
    assert_eq!(seen.service_rule_packets, rules);
    known_as(&lab, &arm, &flow, kind);
}

/// The server's node knows the client by its own address, or by the entry node's.
fn known_as(lab: &Lab, arm: &Name, flow: &Flow, kind: Outside) {
    let endpoints = lab.endpoints(arm).unwrap();
    let translation = lab.translation(arm, flow).unwrap();
    let Translation::AtTheEntry {
        endpoint,
        by,
        client_as,
    } = translation
    else {
        panic!("{kind}: {translation:?}");
    };
    assert_eq!(endpoint, SocketAddr::new(endpoints.server, endpoints.port));
    let expected = match kind {
        Outside::Snat => (Tracker::Conntrack, endpoints.nodes[0]),
        Outside::SnatEbpf => (Tracker::Programs, endpoints.nodes[0]),
        Outside::Dsr => (Tracker::Programs, endpoints.client),
    };
    assert_eq!((by, client_as.unwrap().ip()), expected, "{kind}");
}

#[test]
fn iptables_snat_carries_tcp() {
    reach(Outside::Snat, Protocol::Tcp);
}

#[test]
fn iptables_snat_carries_datagrams() {
    reach(Outside::Snat, Protocol::Udp);
}

#[test]
fn ebpf_snat_carries_tcp() {
    reach(Outside::SnatEbpf, Protocol::Tcp);
}

#[test]
fn ebpf_snat_carries_datagrams() {
    reach(Outside::SnatEbpf, Protocol::Udp);
}

#[test]
fn direct_return_carries_tcp() {
    reach(Outside::Dsr, Protocol::Tcp);
}

#[test]
fn direct_return_carries_datagrams() {
    reach(Outside::Dsr, Protocol::Udp);
}

#[test]
fn only_direct_return_saves_a_router() {
    let Some(lab) = lab() else { return };
    for &kind in Outside::ALL {
        let Some((arm, facts, _echo)) = deployed(&lab, kind) else {
            continue;
        };
        let endpoints = lab.endpoints(&arm).unwrap();
        let hops = facts.hops.unwrap_or_else(|| panic!("{:?}", facts.notes));
        let direct = kind == Outside::Dsr;
        assert_eq!(
            (hops.there, hops.back),
            (2, if direct { 1 } else { 2 }),
            "{kind}"
        );
        let [entry, _] = endpoints.nodes;
        assert_eq!(
            hops.client_as,
            if direct { endpoints.client } else { entry }
        );
        assert!(facts.programmed.is_some() && facts.programming_ns.is_some());
        lab.remove(&arm).unwrap();
    }
}

/// Buffers far larger than a packet, both ways: checksums that nobody has completed yet, and more than one segment.
#[test]
fn bulk_data_arrives_whole() {
    let Some(lab) = lab() else { return };
    for &kind in Outside::ALL {
        let Some((arm, _, _echo)) = deployed(&lab, kind) else {
            continue;
        };
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let (well, printed) = run(
            &lab,
            &arm,
            Role::Client,
            &[holder(), "bulk", &target, "3000000"],
        );
        assert!(well, "{kind}: {printed}");
    }
}

/// Sends one datagram of so many bytes from a port; returns whether it was answered.
fn datagram(lab: &Lab, arm: &Name, bytes: u32, from: &str) -> bool {
    let target = lab.endpoints(arm).unwrap().target.to_string();
    let bytes = bytes.to_string();
    let argv = [holder(), "datagram", &target, &bytes, from];
    run(lab, arm, Role::Client, &argv).0
}

/// The IP option takes eight bytes of each datagram: what it would make too long is refused, and counted.
#[test]
fn direct_return_costs_eight_bytes_of_each_datagram() {
    let Some(lab) = lab() else { return };
    for (kind, most) in [(Outside::Dsr, 1464), (Outside::SnatEbpf, 1472)] {
        let Some((arm, _, _echo)) = deployed(&lab, kind) else {
            continue;
        };
        assert!(datagram(&lab, &arm, most, "0.0.0.0:0"), "{kind}");
        let before = lab.counters(&arm).unwrap();
        assert!(!datagram(&lab, &arm, most + 1, "0.0.0.0:0"), "{kind}");
        let seen = lab.counters(&arm).unwrap().since(&before);
        let refused = seen.entry_programs.unwrap().refused;
        assert_eq!(refused, if kind == Outside::Dsr { 1 } else { 2 }, "{kind}");
    }
}

/// Two clients with the same port: the second gets another one, and both their answers.
#[test]
fn clients_with_the_same_port_are_told_apart() {
    let Some(lab) = lab() else { return };
    let Some((arm, _, _echo)) = deployed(&lab, Outside::SnatEbpf) else {
        return;
    };
    let add = ["ip", "address", "add", "192.168.77.201/24", "dev", "eth0"];
    let (well, printed) = run(&lab, &arm, Role::Client, &add);
    if !well {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: {printed}");
    }
    let remote = lab.endpoints(&arm).unwrap().target;
    let mut known = Vec::new();
    for from in ["192.168.77.200:45000", "192.168.77.201:45000"] {
        assert!(datagram(&lab, &arm, 64, from), "{from}");
        let flow = Flow {
            protocol: Protocol::Udp,
            local: from.parse().unwrap(),
            remote,
            incoming_cpu: None,
        };
        let translation = lab.translation(&arm, &flow).unwrap();
        let Translation::AtTheEntry { client_as, .. } = translation else {
            panic!("{from}: {translation:?}");
        };
        known.push(client_as.unwrap());
    }
    assert_eq!(known[0].port(), 45_000);
    assert_ne!(known[0].port(), known[1].port());
    assert_eq!(known[0].ip(), known[1].ip());
}

#[test]
fn direct_return_passes_strict_reverse_path_filters() {
    let Some(lab) = lab() else { return };
    let Some((arm, _, _echo)) = deployed(&lab, Outside::Dsr) else {
        return;
    };
    for role in [Role::Client, Role::NodeA, Role::NodeB] {
        let script = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done";
        let (well, printed) = run(&lab, &arm, role, &["sh", "-c", script]);
        assert!(well, "{printed}");
    }
    ping(&lab, &arm, 10, Protocol::Tcp);
    ping(&lab, &arm, 10, Protocol::Udp);
}

/// What the programs have no part in goes its usual way: the entry node itself still answers.
#[test]
fn other_traffic_to_the_entry_node_is_left_alone() {
    let Some(lab) = lab() else { return };
    for kind in [Outside::SnatEbpf, Outside::Dsr] {
        let Some((arm, _, _echo)) = deployed(&lab, kind) else {
            continue;
        };
        let [entry, _]: [IpAddr; 2] = lab.endpoints(&arm).unwrap().nodes;
        let (refused, printed) = run(
            &lab,
            &arm,
            Role::Client,
            &[holder(), "ping", &format!("{entry}:80"), "1"],
        );
        assert!(!refused && printed.contains("refused"), "{kind}: {printed}");
    }
}

#[test]
fn what_cannot_stand_beside_it_is_refused() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        family: Family::Ipv6,
        ..outside(Outside::Dsr)
    };
    let error = lab.deploy(&name("arm"), &datapath, 1).unwrap_err().chain();
    assert!(error.contains("outside = \"dsr\" has no IPv6"), "{error}");
    assert!(lab.arms().unwrap().is_empty());
}
