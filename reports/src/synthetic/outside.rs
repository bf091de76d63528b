//! What a synthetic arm with a client outside the cluster leaves behind.

use tollgate_results::arm::Outside;
use tollgate_results::evidence::{
    DatapathCounters, DeviceCounters, EntryPackets, Evidence, Tracker, Translation,
};
use tollgate_results::facts::Hops;

use super::{address, flow};

/// Port that the client's connection gets where the entry node stands in for it.
const PORT: u16 = 40_000;

/// Turns the evidence of a path inside the cluster into that of one from outside.
pub(super) fn evidence(
    outside: Outside,
    packets: u64,
    connections: u64,
    inside: Evidence,
) -> Evidence {
    let returned = if outside == Outside::Dsr { 0 } else { packets };
    let mut devices = inside.counters.devices;
    let entry = devices.iter_mut().find(|device| device.node == "a");
    if let Some(entry) = entry {
        entry.rx_packets += returned;
        entry.tx_packets += returned;
    }
    devices.push(DeviceCounters {
        node: "outside".to_owned(),
        device: "eth0".to_owned(),
        kind: "veth".to_owned(),
        rx_packets: packets,
        tx_packets: packets,
        dropped: 0,
    });
    let by_programs = outside != Outside::Snat;
    Evidence {
        counters: DatapathCounters {
            devices,
            service_rule_packets: (!by_programs).then_some(connections),
            entry_programs: by_programs.then_some(EntryPackets {
                to_endpoint: packets,
                to_client: returned,
                refused: 0,
            }),
            ..inside.counters
        },
        translation: Translation::AtTheEntry {
            endpoint: address(2, 8_080),
            by: if by_programs {
                Tracker::Programs
            } else {
                Tracker::Conntrack
            },
            client_as: Some(hops(outside).client_as).map(|ip| (ip, PORT).into()),
        },
    }
}

/// Returns what the deployment of such an arm found.
pub(super) fn hops(outside: Outside) -> Hops {
    let direct = outside == Outside::Dsr;
    Hops {
        there: 2,
        back: if direct { 1 } else { 2 },
        client_as: if direct {
            flow(PORT).local.ip()
        } else {
            address(3, PORT).ip()
        },
    }
}
