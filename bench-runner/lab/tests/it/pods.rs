//! Pods attached by a bridge, by routes and by eBPF, on every wire that takes programs or none.

use std::path::Path;

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Family, Name, Pods, Service, Services, Wire};
use tollgate_results::evidence::{DatapathCounters, FROM_POD, FROM_WIRE, TO_TUNNEL, Translation};
use tollgate_results::outcome::Protocol;

use crate::harness::{capabilities, echo, few, holder, lab, name, native, ping, run, with_service};
use crate::traces::{EbpfIds, descendants};

/// Packets over all devices of a kind on a node, both ways.
fn packets(counters: &DatapathCounters, node: &str, kind: &str) -> u64 {
    let devices = counters.devices.iter();
    let of_kind = devices.filter(|device| device.node == node && device.kind == kind);
    of_kind
        .map(|device| device.rx_packets + device.tx_packets)
        .sum()
}

/// Says why a datapath can't be tested here; `false` where it can.
fn skipped(datapath: &Datapath) -> bool {
    let reason = capabilities().missing(datapath);
    if let Some(reason) = &reason {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {datapath}: {reason}");
    }
    reason.is_some()
}

fn deploy(lab: &Lab, arm: &Name, datapath: &Datapath) -> Option<u32> {
    let facts = lab.deploy(arm, datapath, 1);
    facts
        .unwrap_or_else(|error| panic!("{}", error.chain()))
        .pod_mtu
}

/// Checks that every attachment carries TCP and UDP over a wire, the way that it says.
fn every_attachment_on(wire: Wire, mtus: [u32; 2]) {
    attached(&[Pods::Bridge, Pods::Routed, Pods::Ebpf], wire, mtus);
}

/// Checks the same for some attachments.
pub(crate) fn attached(attachments: &[Pods], wire: Wire, mtus: [u32; 2]) {
    let Some(lab) = lab() else { return };
    for (family, mtu) in [Family::Ipv4, Family::Ipv6].into_iter().zip(mtus) {
        for &pods in attachments {
            let datapath = Datapath {
                pods,
                wire,
                family,
                ..Datapath::default()
            };
            if skipped(&datapath) {
                continue;
            }
            let arm = name(&format!("{pods}-{wire}-{family}"));
            assert_eq!(deploy(&lab, &arm, &datapath), Some(mtu), "{arm}");
            let _echo = echo(&lab, &arm);
            let before = lab.counters(&arm).unwrap();
            let flows = [Protocol::Tcp, Protocol::Udp].map(|kind| ping(&lab, &arm, 100, kind));
            let seen = lab.counters(&arm).unwrap().since(&before);
            carried_as_declared(&datapath, &seen);
            let tracked = if pods.past_the_stack() {
                Translation::Untracked
            } else {
                Translation::Untouched
            };
            for flow in flows {
                assert_eq!(lab.translation(&arm, &flow).unwrap(), tracked, "{arm}");
            }
            // A megabyte there and back: packets that are cut only at the end of the path.
            let target = lab.endpoints(&arm).unwrap().target.to_string();
            let bulk = [holder(), "bulk", &target, "1000000"];
            let (well, printed) = run(&lab, &arm, Role::Client, &bulk);
            assert!(well, "{arm}: {printed}");
            lab.remove(&arm).unwrap();
        }
    }
}

/// 100 requests over TCP and 100 over UDP were carried: at least 200 packets each way.
fn carried_as_declared(datapath: &Datapath, seen: &DatapathCounters) {
    let (pods, wire) = (datapath.pods, datapath.wire);
    for node in ["a", "b"] {
        let bridged = packets(seen, node, "bridge");
        let tunnelled = packets(seen, node, "vxlan");
        assert_eq!(bridged >= 400, pods == Pods::Bridge, "{datapath}: {seen:?}");
        assert!(pods == Pods::Bridge || bridged == 0, "{datapath}: {seen:?}");
        assert_eq!(
            tunnelled >= 400,
            wire != Wire::Native,
            "{datapath}: {seen:?}"
        );
        let fast = [
            seen.carried(node, &FROM_POD),
            seen.carried(node, &[FROM_WIRE]),
        ];
        let keyed = seen.carried(node, &[FROM_POD[1], TO_TUNNEL]);
        for carried in fast {
            assert_eq!(
                carried >= 200,
                pods.past_the_stack(),
                "{datapath}: {seen:?}"
            );
        }
        assert_eq!(
            keyed >= 200,
            wire == Wire::VxlanEbpf,
            "{datapath}: {seen:?}"
        );
        assert_eq!(
            seen.carried(node, &[TO_TUNNEL]) > 0,
            keyed > 0 && !pods.past_the_stack()
        );
    }
    let left = seen.programs.iter().map(|program| program.passed);
    assert!(left.sum::<u64>() < 20, "{datapath}: {:?}", seen.programs);
}

#[test]
fn every_attachment_carries_packets_natively() {
    every_attachment_on(Wire::Native, [1500, 1500]);
}

#[test]
fn every_attachment_carries_packets_over_vxlan() {
    every_attachment_on(Wire::Vxlan, [1450, 1430]);
}

#[test]
fn every_attachment_carries_packets_over_vxlan_by_ebpf() {
    every_attachment_on(Wire::VxlanEbpf, [1450, 1430]);
}

#[test]
fn every_node_is_a_hop() {
    hops(&[
        (Pods::Routed, Wire::Native),
        (Pods::Ebpf, Wire::Native),
        (Pods::Ebpf, Wire::VxlanEbpf),
    ]);
}

/// Checks that what starts with one hop less than there are nodes arrives nowhere.
pub(crate) fn hops(paths: &[(Pods, Wire)]) {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        for &(pods, wire) in paths {
            let datapath = Datapath {
                pods,
                wire,
                family,
                ..Datapath::default()
            };
            if skipped(&datapath) {
                continue;
            }
            let arm = name(&format!("{pods}-{wire}-{family}"));
            deploy(&lab, &arm, &datapath);
            let _echo = echo(&lab, &arm);
            let target = lab.endpoints(&arm).unwrap().target.to_string();
            let ttl = match family {
                Family::Ipv4 => "net/ipv4/ip_default_ttl",
                Family::Ipv6 => {
                    "net/ipv6/conf/all/hop_limit /proc/sys/net/ipv6/conf/eth0/hop_limit"
                }
            };
            // Two nodes between the pods: what starts with 2 arrives nowhere.
            for (hops, limit, arrives) in [("3", "3", true), ("2", "0.2", false)] {
                let script = format!("echo {hops} | tee /proc/sys/{ttl} && exec timeout \"$@\"");
                let argv = [
                    "sh",
                    "-c",
                    &script,
                    "sh",
                    limit,
                    holder(),
                    "ping",
                    &target,
                    "1",
                    "udp",
                ];
                let (well, printed) = run(&lab, &arm, Role::Client, &argv);
                assert_eq!(well, arrives, "{arm} with {hops} hops: {printed}");
            }
            lab.remove(&arm).unwrap();
        }
    }
}

#[test]
fn a_routed_pod_finds_its_gateway_by_asking() {
    let Some(lab) = lab() else { return };
    if !["/sbin/ip", "/usr/sbin/ip", "/bin/ip"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: iproute2 is not installed");
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let arm = name(family.as_str());
        let datapath = Datapath {
            pods: Pods::Routed,
            family,
            ..Datapath::default()
        };
        deploy(&lab, &arm, &datapath);
        let _echo = echo(&lab, &arm);
        let flag = if family == Family::Ipv4 { "-4" } else { "-6" };
        let gateway = if family == Family::Ipv4 {
            "169.254.1.1"
        } else {
            "fe80::1"
        };
        let forget = ["ip", flag, "neigh", "del", gateway, "dev", "eth0"];
        let (well, printed) = run(&lab, &arm, Role::Client, &forget);
        assert!(well, "{printed}");
        ping(&lab, &arm, 1, Protocol::Udp);
        let (_, found) = run(&lab, &arm, Role::Client, &["ip", flag, "neigh"]);
        assert!(
            found.contains(gateway) && !found.contains("PERMANENT"),
            "{found}"
        );
    }
}

#[test]
fn services_work_without_a_bridge() {
    let Some(lab) = lab() else { return };
    for (pods, service, family) in [
        (Pods::Routed, Service::IptablesLegacy, Family::Ipv4),
        (Pods::Routed, Service::IptablesNft, Family::Ipv6),
        (Pods::Routed, Service::Nftables, Family::Ipv4),
        (Pods::Routed, Service::SocketLb, Family::Ipv6),
        (Pods::Ebpf, Service::SocketLb, Family::Ipv4),
        (Pods::Ebpf, Service::SocketLb, Family::Ipv6),
    ] {
        let datapath = Datapath {
            pods,
            family,
            ..with_service(service, few())
        };
        if skipped(&datapath) {
            continue;
        }
        let arm = name(&format!("{pods}-{service}-{family}"));
        deploy(&lab, &arm, &datapath);
        let _echo = echo(&lab, &arm);
        let flow = ping(&lab, &arm, 10, Protocol::Tcp);
        let translation = lab.translation(&arm, &flow).unwrap();
        let expected = match translation {
            Translation::Rewritten { .. } => service != Service::SocketLb,
            Translation::AtTheSocket { .. } => service == Service::SocketLb && pods != Pods::Ebpf,
            Translation::Untracked => pods == Pods::Ebpf,
            _ => false,
        };
        assert!(expected, "{arm}: {translation:?}");
    }
}

/// Cilium where sockets are not translated: each packet is balanced as it leaves the pod, and then redirected.
#[test]
fn a_packet_balancer_stands_before_the_redirection() {
    balanced(Pods::Ebpf);
}

/// Checks that packets are balanced as they leave a pod, and redirected then.
pub(crate) fn balanced(pods: Pods) {
    let Some(lab) = lab() else { return };
    for (wire, family) in [
        (Wire::Native, Family::Ipv4),
        (Wire::Native, Family::Ipv6),
        (Wire::VxlanEbpf, Family::Ipv4),
    ] {
        let services = Services {
            endpoints: 3,
            ..few()
        };
        let datapath = Datapath {
            pods,
            wire,
            family,
            ..with_service(Service::TcLb, services)
        };
        if skipped(&datapath) {
            return;
        }
        let arm = name(&format!("{pods}-{wire}-{family}"));
        deploy(&lab, &arm, &datapath);
        let _echo = echo(&lab, &arm);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let before = lab.counters(&arm).unwrap();
            let flow = ping(&lab, &arm, 100, protocol);
            assert_eq!(flow.remote, lab.endpoints(&arm).unwrap().target, "{arm}");
            let seen = lab.counters(&arm).unwrap().since(&before);
            let known = lab.translation(&arm, &flow).unwrap();
            assert_eq!(known, Translation::Untracked, "{arm}");
            let balanced = seen.tc_lb.unwrap();
            assert!(
                (100..320).contains(&balanced.forward),
                "{arm}: {balanced:?}"
            );
            assert!((100..320).contains(&balanced.back), "{arm}: {balanced:?}");
            assert_eq!((balanced.connections, balanced.forgotten), (1, 0), "{arm}");
            for node in ["a", "b"] {
                let left = seen.carried(node, &FROM_POD);
                let came = seen.carried(node, &[FROM_WIRE]);
                assert!(left >= 100 && came >= 100, "{arm}, {node}: {seen:?}");
            }
        }
        let target = lab.endpoints(&arm).unwrap().target.to_string();
        let bulk = [holder(), "bulk", &target, "3000000"];
        let (well, printed) = run(&lab, &arm, Role::Client, &bulk);
        assert!(well, "{arm}: {printed}");
        lab.remove(&arm).unwrap();
    }
}

#[test]
fn the_kernel_says_what_each_program_costs() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        pods: Pods::Ebpf,
        ..Datapath::default()
    };
    if skipped(&datapath) {
        return;
    }
    let arm = name("arm");
    deploy(&lab, &arm, &datapath);
    let _echo = echo(&lab, &arm);
    ping(&lab, &arm, 100, Protocol::Udp);
    let traffic = || ping(&lab, &arm, 500, Protocol::Udp);
    let (costs, _) = lab.program_costs(&arm, traffic).unwrap();
    let mut found: Vec<_> = costs
        .iter()
        .map(|one| (one.place.as_str(), one.program.as_str()))
        .collect();
    found.sort_unstable();
    let expected = ["node a", "node b"].map(|node| [(node, "from_pod"), (node, "from_wire")]);
    assert_eq!(found, expected.concat());
    for one in &costs {
        // What ran before, and without statistics, does not count.
        assert!((500..600).contains(&one.runs) && one.time_ns > 0, "{one:?}");
    }
    deploy(&lab, &name("plain"), &native());
    let (costs, ()) = lab.program_costs(&name("plain"), || ()).unwrap();
    assert_eq!(costs, []);
}

#[test]
fn nothing_of_ebpf_is_left_of_an_arm() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        pods: Pods::Ebpf,
        wire: Wire::VxlanEbpf,
        ..with_service(Service::SocketLb, few())
    };
    if skipped(&datapath) {
        return;
    }
    let family = descendants(lab.janitor().unwrap());
    let arm = name("arm");
    assert!(EbpfIds::held_by(&family).is_empty());
    deploy(&lab, &arm, &datapath);
    let held = EbpfIds::held_by(&family);
    // Two programs on each node, four at the socket, and a link for each.
    assert_eq!((held.programs.len(), held.links.len()), (8, 8), "{held:?}");
    assert!(held.maps.len() >= 10, "{held:?}");
    lab.remove(&arm).unwrap();
    assert!(EbpfIds::held_by(&family).is_empty());
    let left = held.left_in_the_kernel();
    assert!(left.is_empty(), "{left:?}");
}
