//! What crossed the wire between the nodes, and in what wrapping.

use tollgate_results::arm::{Datapath, Wire};
use tollgate_results::evidence::{DatapathCounters, FROM_POD, TO_TUNNEL};

use super::{ENCAPSULATION, Expected, Finding, PLACE};
use crate::words;

/// Name of the device that joins a node to the other.
const WIRE_DEVICE: &str = "eth0";

/// Says what the devices of a wire are called.
pub(super) const fn tunnels(wire: Wire) -> &'static str {
    match wire {
        Wire::Native => "tunnel devices",
        Wire::Vxlan | Wire::VxlanEbpf => "VXLAN devices",
        Wire::Geneve => "Geneve devices",
        Wire::Ipip => "IP-in-IP devices",
        Wire::Wireguard => "WireGuard devices",
    }
}

/// Whether the kernel calls so a device that wraps packets.
pub(super) fn is_tunnel(kind: &str) -> bool {
    Wire::ALL.iter().any(|wire| wire.tunnels().contains(&kind))
}

/// Packets over the devices of some kinds: all, and the fewest that crossed a node in the direction of the requests.
pub(super) struct Encapsulated {
    pub(super) all: u64,
    requests: u64,
}

impl Encapsulated {
    pub(super) fn of(counters: &DatapathCounters, counts: impl Fn(&str) -> bool) -> Self {
        let tunnels = || {
            counters
                .devices
                .iter()
                .filter(|device| counts(&device.kind))
        };
        let sent = tunnels().filter(|device| device.node == "a");
        let received = tunnels().filter(|device| device.node == "b");
        let sent = sent
            .map(|device| device.tx_packets)
            .fold(0, u64::saturating_add);
        let received = received
            .map(|device| device.rx_packets)
            .fold(0, u64::saturating_add);
        Self {
            all: tunnels()
                .map(|device| device.rx_packets.saturating_add(device.tx_packets))
                .fold(0, u64::saturating_add),
            requests: sent.min(received),
        }
    }
}

/// Judges whether the requests crossed the devices that the wire wraps packets with, or none where it wraps none.
pub(super) fn encapsulation(
    wire: Wire,
    counters: &DatapathCounters,
    expected: Expected,
) -> Finding {
    if counters.devices.is_empty() {
        let text = "no device counters could be read".to_owned();
        return Finding::unknown(ENCAPSULATION, text);
    }
    let own = wire.tunnels();
    if own.is_empty() {
        let seen = Encapsulated::of(counters, is_tunnel).all;
        let text = format!(
            "declared {wire}, but {} packets crossed {}",
            words::count(seen),
            tunnels(wire)
        );
        return Finding::of(ENCAPSULATION, seen <= expected.stray(), text);
    }
    if let Some(fault) = told_by(wire, counters, expected) {
        return Finding::of(
            ENCAPSULATION,
            false,
            format!("declared {wire}, but {fault}"),
        );
    }
    let seen = Encapsulated::of(counters, |kind| own.contains(&kind)).requests;
    let text = format!(
        "declared {wire}, but only {} packets crossed both {} where at least {} must",
        words::count(seen),
        tunnels(wire),
        words::count(expected.packets)
    );
    Finding::of(ENCAPSULATION, seen >= expected.packets, text)
}

/// Says what is wrong with who chose the far end of VXLAN's packets: eBPF or the device's own table.
fn told_by(wire: Wire, counters: &DatapathCounters, expected: Expected) -> Option<String> {
    let keyed = counters.carried("a", &[FROM_POD[1], TO_TUNNEL]);
    let told = words::count(keyed);
    if wire == Wire::VxlanEbpf && keyed < expected.packets {
        let least = words::count(expected.packets);
        return Some(format!(
            "eBPF chose the far end of only {told} packets where at least {least} must have gone"
        ));
    }
    (wire != Wire::VxlanEbpf && keyed > expected.stray())
        .then(|| format!("an eBPF program chose the far end of {told} packets"))
}

/// Judges whether the packets of two ends on one node stayed on it.
pub(super) fn place(
    datapath: &Datapath,
    counters: &DatapathCounters,
    expected: Expected,
) -> Finding {
    let wires = counters
        .devices
        .iter()
        .filter(|device| device.device == WIRE_DEVICE);
    if wires.clone().count() == 0 {
        let text = "no device counters could be read".to_owned();
        return Finding::unknown(PLACE, text);
    }
    let crossed = wires
        .map(|device| device.rx_packets.saturating_add(device.tx_packets))
        .fold(0, u64::saturating_add);
    if crossed > expected.stray() {
        let text = format!(
            "declared {}, but {} packets crossed the wire between the nodes",
            datapath.place,
            words::count(crossed)
        );
        return Finding::of(PLACE, false, text);
    }
    let text = "no request crossed the wire between the nodes".to_owned();
    Finding::of(PLACE, true, text)
}
