//! Where everything stands when the client is outside the cluster: three machines on one switch.
//!
//! ```text
//! outside          node a (entry)                 node b
//! client           owns the service's address     cni0 ── pod (server)
//!   │ eth0           │ eth0                         │ eth0
//!   └────────────────┴───────────── br0 ────────────┘      a switch, a namespace of its own
//! ```

use tollgate_results::arm::{Datapath, Pods};

use super::layout::{Layout, ROUTER_MAC, mac_of, wire_port};
use super::{
    Address, Device, DeviceKind, Mac, Neighbour, Place, Port, Route, Site, Station, Topology,
    WIRE_MTU,
};
use crate::address::{self, Side};
use crate::congestion::Algorithm;

/// Last but one byte of the hardware addresses of the client and of the switch; the nodes have `a` and `b`.
const OUTSIDE: u8 = 0xc;
const SWITCH: u8 = 0xd;

/// The client's device.
const CLIENT: Port = Port {
    name: "eth0",
    index: 13,
    mac: mac_of(OUTSIDE, 1),
    mtu: WIRE_MTU,
};
const BRIDGE: Port = switch_port("br0", 61, 2);

/// The switch's ends of the three cables, each with the machine at the other end.
const CABLES: [(Port, Place); 3] = [
    (switch_port("to-outside", 62, 3), Place::Outside),
    (switch_port("to-entry", 63, 4), Place::Node(Side::A)),
    (switch_port("to-server", 64, 5), Place::Node(Side::B)),
];

/// Lays out the arm: the server has one address.
pub(super) fn topology(datapath: &Datapath, congestion: Option<Algorithm>) -> Topology {
    let layout = Layout {
        datapath,
        family: datapath.family,
        endpoints: 1,
        congestion,
    };
    let all = All { layout };
    Topology {
        sites: vec![
            (Place::Switch, switch()),
            (Place::Node(Side::A), all.entry()),
            (Place::Node(Side::B), all.server_node()),
            (Place::Pod(Side::B), all.layout.pod(Side::B)),
            (Place::Outside, all.client()),
        ],
        client: address::outside(datapath.family),
        servers: all.layout.hosts(Side::B),
        client_place: Place::Outside,
        server_place: Place::Pod(Side::B),
        server_node: Side::B,
        pod_port: CLIENT,
        wire_mtu: WIRE_MTU,
    }
}

/// Returns the device of the machine at the end of a cable.
fn far_end(place: Place) -> Port {
    match place {
        Place::Node(side) => wire_port(side),
        _ => CLIENT,
    }
}

/// A bridge that knows from the start where everybody is, so that it never floods.
fn switch() -> Site {
    let mut out = Site {
        devices: vec![Device {
            port: BRIDGE,
            kind: DeviceKind::Bridge,
        }],
        ..Site::default()
    };
    for (port, place) in CABLES {
        let peer = far_end(place);
        out.devices.push(Device {
            port,
            kind: DeviceKind::Cable {
                peer,
                peer_place: place,
                switch: BRIDGE.index,
            },
        });
        out.stations.push(Station {
            port: port.index,
            mac: peer.mac,
        });
    }
    out
}

/// What depends on the arm.
struct All<'a> {
    layout: Layout<'a>,
}

impl All<'_> {
    /// The node that the service's address belongs to. It has no pod of its own.
    fn entry(&self) -> Site {
        let mut out = self.node(Side::A);
        let family = self.layout.family;
        let device = wire_port(Side::A).index;
        out.addresses.push(Address {
            device,
            own: address::entry_service(family),
            prefix: address::host_prefix(family),
        });
        out.routes.push(Route {
            to: Some((
                address::pod(Side::B, 0, family),
                address::pod_prefix(family),
            )),
            via: Some(address::node(Side::B, family)),
            device,
            onlink: false,
            congestion: self.layout.congestion,
        });
        out
    }

    fn server_node(&self) -> Site {
        let mut out = self.node(Side::B);
        match self.layout.datapath.pods {
            Pods::Bridge => self.layout.bridge(Side::B, &mut out),
            // No others stand beside a client outside: `Datapath::against_outside`.
            Pods::Routed | Pods::Ebpf | Pods::Netkit | Pods::Host => {
                self.layout.routed(Side::B, &mut out);
            }
        }
        out
    }

    /// What both nodes have: an address on the switch, the others' hardware addresses, and a way out.
    fn node(&self, side: Side) -> Site {
        let family = self.layout.family;
        let device = wire_port(side).index;
        let known = [
            (
                address::node(side.other(), family),
                wire_port(side.other()).mac,
            ),
            (address::outside(family), CLIENT.mac),
            (address::router(family), ROUTER_MAC),
        ];
        Site {
            far_ends: vec![device],
            addresses: vec![Address {
                device,
                own: address::node(side, family),
                prefix: address::node_prefix(family),
            }],
            neighbours: neighbours(device, &known),
            routes: vec![Route {
                to: None,
                via: Some(address::router(family)),
                device,
                onlink: false,
                congestion: self.layout.congestion,
            }],
            // Packets leave the entry node by the device that they came in by: it would tell the client of a shorter way,
            // which leads past the translation. The kernel takes either of these for a yes.
            sysctls: vec![
                ("net/ipv4/conf/all/send_redirects", "0"),
                ("net/ipv4/conf/eth0/send_redirects", "0"),
            ],
            ..Site::default()
        }
    }

    /// A machine that knows nothing of pods: the service's address is on its own subnet.
    fn client(&self) -> Site {
        let family = self.layout.family;
        let device = CLIENT.index;
        let service = address::entry_service(family);
        let entry = wire_port(Side::A).mac;
        let known = [
            (service, entry),
            (address::node(Side::A, family), entry),
            (address::node(Side::B, family), wire_port(Side::B).mac),
        ];
        Site {
            far_ends: vec![device],
            addresses: vec![Address {
                device,
                own: address::outside(family),
                prefix: address::node_prefix(family),
            }],
            neighbours: neighbours(device, &known),
            // The kernel's own route to the subnet cannot choose.
            routes: self
                .layout
                .congestion
                .map(|congestion| Route {
                    to: Some((service, address::host_prefix(family))),
                    via: None,
                    device,
                    onlink: false,
                    congestion: Some(congestion),
                })
                .into_iter()
                .collect(),
            ..Site::default()
        }
    }
}

fn neighbours(device: u32, known: &[(std::net::IpAddr, Mac)]) -> Vec<Neighbour> {
    known
        .iter()
        .map(|&(address, mac)| Neighbour {
            device,
            address,
            mac,
        })
        .collect()
}

const fn switch_port(name: &'static str, index: u32, number: u8) -> Port {
    Port {
        name,
        index,
        mac: mac_of(SWITCH, number),
        mtu: WIRE_MTU,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn laid_out(congestion: Option<Algorithm>) -> Topology {
        topology(&Datapath::default(), congestion)
    }

    fn site(topology: &Topology, place: Place) -> &Site {
        let found = topology.sites.iter().find(|(at, _)| *at == place);
        &found.unwrap().1
    }

    #[test]
    fn every_cable_ends_in_a_machine_that_sets_it_up() {
        let topology = laid_out(None);
        let mut indexes = BTreeSet::new();
        for device in &site(&topology, Place::Switch).devices {
            assert!(indexes.insert(device.port.index));
            if let DeviceKind::Cable {
                peer, peer_place, ..
            } = device.kind
            {
                assert!(indexes.insert(peer.index), "{}", peer.index);
                assert!(site(&topology, peer_place).far_ends.contains(&peer.index));
            }
        }
        assert_eq!(indexes.len(), 7);
    }

    #[test]
    fn the_switch_knows_every_machine() {
        let topology = laid_out(None);
        let stations = &site(&topology, Place::Switch).stations;
        let mut known: Vec<_> = stations.iter().map(|station| station.mac.0).collect();
        known.dedup();
        assert_eq!(known.len(), 3);
        for machine in [Place::Outside, Place::Node(Side::A), Place::Node(Side::B)] {
            assert!(known.contains(&far_end(machine).mac.0));
        }
    }

    #[test]
    fn nobody_asks_for_a_hardware_address() {
        let topology = laid_out(Some(Algorithm::new("cubic")));
        let family = Datapath::default().family;
        let knows = |place, address| {
            let neighbours = &site(&topology, place).neighbours;
            neighbours.iter().any(|entry| entry.address == address)
        };
        for address in [
            address::entry_service(family),
            address::node(Side::B, family),
        ] {
            assert!(knows(Place::Outside, address));
        }
        for side in Side::BOTH {
            assert!(knows(Place::Node(side), address::outside(family)));
            assert!(knows(
                Place::Node(side),
                address::node(side.other(), family)
            ));
        }
        // The client has no way to the pods but the service's address.
        let routes = &site(&topology, Place::Outside).routes;
        assert!(routes.iter().all(|route| route.to.is_some()));
    }

    #[test]
    fn only_the_entry_node_owns_the_address_of_the_service() {
        let topology = laid_out(None);
        let service = address::entry_service(Datapath::default().family);
        for (place, site) in &topology.sites {
            let owns = site.addresses.iter().any(|address| address.own == service);
            assert_eq!(owns, *place == Place::Node(Side::A), "{place:?}");
        }
        assert_eq!(topology.servers.len(), 1);
        assert_ne!(topology.client, service);
    }
}
