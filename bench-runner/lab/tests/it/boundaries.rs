//! A datagram as large as the path's MTU goes in one piece; one a byte larger does not, and is refused where it must.

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Family, Name, Pods, Wire};

use crate::harness::{echo, holder, lab, name, possible, run};

/// Fragments that the kernel has made in one namespace of an arm.
fn fragments(lab: &Lab, arm: &Name, role: Role, family: Family) -> u64 {
    let file = match family {
        Family::Ipv4 => "/proc/net/snmp",
        Family::Ipv6 => "/proc/net/snmp6",
    };
    let (well, printed) = run(lab, arm, role, &["cat", file]);
    assert!(well, "{printed}");
    let made = match family {
        // A line of names, and below it one of values.
        Family::Ipv4 => {
            let mut lines = printed.lines().filter(|line| line.starts_with("Ip: "));
            let mut words = || lines.next().unwrap().split_whitespace();
            let place = words().position(|word| word == "FragCreates").unwrap();
            words().nth(place).unwrap().parse()
        }
        Family::Ipv6 => {
            let mut lines = printed.lines();
            let line = lines.find(|line| line.starts_with("Ip6FragCreates"));
            line.unwrap().split_whitespace().nth(1).unwrap().parse()
        }
    };
    made.unwrap()
}

/// Length of the headers in front of a datagram's payload.
const fn headers(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 20 + 8,
        Family::Ipv6 => 40 + 8,
    }
}

/// Sends one datagram that makes an IP packet of `bytes`, and returns the fragments that the client's namespace and
/// all of the arm's made meanwhile.
fn fragments_of(lab: &Lab, arm: &Name, family: Family, bytes: u32) -> (u64, u64) {
    let roles = [Role::Client, Role::NodeA, Role::NodeB, Role::Server];
    let made = || roles.map(|role| fragments(lab, arm, role, family));
    let target = lab.endpoints(arm).unwrap().target.to_string();
    let payload = (bytes - headers(family)).to_string();
    let before = made();
    let argv = [holder(), "datagram", &target, &payload];
    let (well, printed) = run(lab, arm, Role::Client, &argv);
    assert!(well, "{arm}: {bytes} bytes did not come back: {printed}");
    let after = made();
    let more: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    (more[0], more.iter().sum())
}

fn whole_up_to_the_mtu(wire: Wire, family: Family) {
    of_pods(Pods::Bridge, wire, family);
}

fn of_pods(pods: Pods, wire: Wire, family: Family) {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        pods,
        wire,
        family,
        ..Datapath::default()
    };
    if !possible(&datapath) {
        return;
    }
    let arm = name("arm");
    let facts = lab
        .deploy(&arm, &datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let mtu = facts.pod_mtu.unwrap();
    let _echo = echo(&lab, &arm);
    for bytes in [mtu - 1, mtu] {
        let (_, anywhere) = fragments_of(&lab, &arm, family, bytes);
        assert_eq!(
            anywhere, 0,
            "{datapath}: {bytes} bytes where the MTU is {mtu}"
        );
    }
    // Where nobody may cut it, the smallest that doesn't fit doesn't leave.
    for (bytes, goes) in [(mtu - 1, true), (mtu, true), (mtu + 1, false)] {
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let payload = (bytes - headers(family)).to_string();
        let argv = [holder(), "datagram", &target, &payload, "whole"];
        let (well, printed) = run(&lab, &arm, Role::Client, &argv);
        assert_eq!(well, goes, "{datapath}: {bytes} of {mtu} bytes: {printed}");
        assert!(
            goes || printed.contains("too long"),
            "{datapath}: {printed}"
        );
    }
    let (client, _) = fragments_of(&lab, &arm, family, mtu + 1);
    assert_eq!(
        client, 2,
        "{datapath}: the smallest that doesn't fit goes in two pieces"
    );
}

#[test]
fn native_ipv4() {
    whole_up_to_the_mtu(Wire::Native, Family::Ipv4);
}

#[test]
fn native_ipv6() {
    whole_up_to_the_mtu(Wire::Native, Family::Ipv6);
}

#[test]
fn vxlan_ipv4() {
    whole_up_to_the_mtu(Wire::Vxlan, Family::Ipv4);
}

#[test]
fn vxlan_ipv6() {
    whole_up_to_the_mtu(Wire::Vxlan, Family::Ipv6);
}

#[test]
fn geneve() {
    whole_up_to_the_mtu(Wire::Geneve, Family::Ipv4);
    whole_up_to_the_mtu(Wire::Geneve, Family::Ipv6);
}

#[test]
fn ipip() {
    whole_up_to_the_mtu(Wire::Ipip, Family::Ipv4);
    whole_up_to_the_mtu(Wire::Ipip, Family::Ipv6);
}

#[test]
fn wireguard() {
    whole_up_to_the_mtu(Wire::Wireguard, Family::Ipv4);
    whole_up_to_the_mtu(Wire::Wireguard, Family::Ipv6);
}

#[test]
fn vxlan_by_ebpf() {
    for pods in [Pods::Bridge, Pods::Routed, Pods::Ebpf] {
        of_pods(pods, Wire::VxlanEbpf, Family::Ipv4);
        of_pods(pods, Wire::VxlanEbpf, Family::Ipv6);
    }
}

#[test]
fn redirected_pods() {
    for wire in [Wire::Native, Wire::Vxlan] {
        of_pods(Pods::Ebpf, wire, Family::Ipv4);
        of_pods(Pods::Ebpf, wire, Family::Ipv6);
    }
}

/// One attachment and wire in each test: an emulated processor takes its time.
fn both_families(pods: Pods, wire: Wire) {
    of_pods(pods, wire, Family::Ipv4);
    of_pods(pods, wire, Family::Ipv6);
}

#[test]
fn redirected_pods_over_geneve() {
    both_families(Pods::Ebpf, Wire::Geneve);
}

#[test]
fn netkit_pods_natively() {
    both_families(Pods::Netkit, Wire::Native);
}

#[test]
fn netkit_pods_over_vxlan_by_ebpf() {
    both_families(Pods::Netkit, Wire::VxlanEbpf);
}

#[test]
fn netkit_pods_over_geneve() {
    both_families(Pods::Netkit, Wire::Geneve);
}
