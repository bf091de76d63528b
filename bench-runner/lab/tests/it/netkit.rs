//! Pods at netkit devices: what pods carried by eBPF do, with the programs at the pod's end of another pair.

use tollgate_lab::Role;
use tollgate_results::arm::{Datapath, Family, Place, Pods, Service, Wire};
use tollgate_results::evidence::{FROM_POD, FROM_WIRE, Translation};
use tollgate_results::outcome::Protocol;

use crate::harness::{echo, few, holder, lab, name, native, possible, run, traffic, with_service};
use crate::pods;

fn netkit() -> Datapath {
    Datapath {
        pods: Pods::Netkit,
        ..native()
    }
}

#[test]
fn packets_are_carried_natively() {
    pods::attached(&[Pods::Netkit], Wire::Native, [1500, 1500]);
}

#[test]
fn packets_are_carried_over_vxlan() {
    pods::attached(&[Pods::Netkit], Wire::Vxlan, [1450, 1430]);
}

#[test]
fn packets_are_carried_over_vxlan_by_ebpf() {
    pods::attached(&[Pods::Netkit], Wire::VxlanEbpf, [1450, 1430]);
}

#[test]
fn every_node_is_a_hop() {
    pods::hops(&[
        (Pods::Netkit, Wire::Native),
        (Pods::Netkit, Wire::VxlanEbpf),
    ]);
}

#[test]
fn a_packet_balancer_stands_before_the_redirection() {
    pods::balanced(Pods::Netkit);
}

#[test]
fn the_socket_load_balancer_finds_the_server() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        pods: Pods::Netkit,
        ..with_service(Service::SocketLb, few())
    };
    if !possible(&datapath) {
        return;
    }
    let arm = name("socket-lb");
    let (_, flow) = traffic(&lab, &arm, &datapath, Protocol::Tcp);
    assert_eq!(flow.remote, lab.endpoints(&arm).unwrap().target);
    let known = lab.translation(&arm, &flow).unwrap();
    assert_eq!(known, Translation::Untracked);
}

/// From one pod's pair to the other's: nothing comes in by a wire.
#[test]
fn pods_of_one_node_reach_each_other() {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        let datapath = Datapath {
            place: Place::SameNode,
            family,
            ..netkit()
        };
        if !possible(&datapath) {
            return;
        }
        let arm = name(family.as_str());
        let (seen, _) = traffic(&lab, &arm, &datapath, Protocol::Tcp);
        assert!(seen.carried("a", &FROM_POD) >= 200, "{family}: {seen:?}");
        assert_eq!(seen.carried("a", &[FROM_WIRE]), 0, "{family}: {seen:?}");
        let _echo = echo(&lab, &arm);
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let bulk = [holder(), "bulk", &target, "1000000"];
        let (well, printed) = run(&lab, &arm, Role::Client, &bulk);
        assert!(well, "{family}: {printed}");
    }
}

#[test]
fn what_is_said_to_be_missing_cannot_be_deployed() {
    let Some(lab) = lab() else { return };
    let deployed = lab.deploy(&name("netkit"), &netkit(), 1);
    assert_eq!(deployed.is_ok(), possible(&netkit()), "{deployed:?}");
}
