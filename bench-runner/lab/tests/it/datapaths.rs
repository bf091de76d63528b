//! Packets take the path that an arm declares.

use tollgate_results::evidence::DatapathCounters;
use tollgate_results::outcome::Protocol;

use crate::harness::{echo, lab, name, native, ping, vxlan};

/// Packets that all devices of a kind saw on one node, both ways.
fn packets(counters: &DatapathCounters, node: &str, kind: &str) -> u64 {
    let devices = counters.devices.iter().filter(|d| d.node == node && d.kind == kind);
    devices.map(|device| device.rx_packets + device.tx_packets).sum()
}

#[test]
fn native_and_vxlan_carry_requests_as_they_say() {
    let Some(lab) = lab() else { return };
    for (arm, datapath, pod_mtu) in [("native", native(), 1500), ("vxlan", vxlan(), 1450)] {
        let arm = name(arm);
        let facts = lab.deploy(&arm, &datapath, 1).unwrap_or_else(|e| panic!("{}", e.chain()));
        eprintln!("{arm}: {facts:?}");
        assert_eq!((facts.pod_mtu, facts.wire_mtu), (Some(pod_mtu), Some(1500)));
        let _echo = echo(&lab, &arm);
        let before = lab.counters(&arm).unwrap();
        ping(&lab, &arm, 100, Protocol::Tcp);
        let seen = lab.counters(&arm).unwrap().since(&before);
        for node in ["a", "b"] {
            assert!(packets(&seen, node, "veth") >= 400, "{arm}, node {node}: {seen:?}");
            let tunnelled = packets(&seen, node, "vxlan");
            if arm.as_str() == "vxlan" {
                assert!((200..300).contains(&tunnelled), "{tunnelled} packets in the tunnel");
            } else {
                assert_eq!(tunnelled, 0);
                assert!(seen.devices.iter().all(|device| device.kind != "vxlan"));
            }
        }
        assert_eq!(before.conntrack_entries.len(), 2);
    }
}
