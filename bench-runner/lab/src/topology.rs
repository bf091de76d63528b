//! What an arm is made of, as plain data: devices, addresses, neighbours and routes of its namespaces.

use std::net::IpAddr;

use tollgate_results::arm::{Datapath, Family, Pods, Wire};

use crate::address::{self, Side};

/// MTU of the device that joins the nodes.
pub(crate) const WIRE_MTU: u32 = 1500;
/// flannel's VXLAN network identifier.
pub(crate) const VNI: u32 = 1;
/// flannel's VXLAN port: the kernel's default, not IANA's 4789.
pub(crate) const VXLAN_PORT: u16 = 8472;
/// Number of the server's first address in its pod subnet.
const FIRST_POD: u8 = 2;
/// Hardware address of the router that nobody answers at.
const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 0xff, 0xfe]);

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

/// One of an arm's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A node.
    Node(Side),
    /// The pod on a node.
    Pod(Side),
}

/// What stands in one namespace.
#[derive(Debug, Default)]
pub(crate) struct Site {
    /// Devices that are made from here, in this order.
    pub(crate) devices: Vec<Device>,
    /// Far ends of pairs that another namespace makes: they are only set up from here.
    pub(crate) far_ends: Vec<u32>,
    /// Addresses of devices.
    pub(crate) addresses: Vec<Address>,
    /// Neighbours that need not be asked for.
    pub(crate) neighbours: Vec<Neighbour>,
    /// Where a VXLAN device finds the other node.
    pub(crate) forwarding: Vec<Forwarding>,
    /// Routes.
    pub(crate) routes: Vec<Route>,
}

/// One end of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: &'static str,
    /// Unique within the arm, so that an index alone names a device.
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
}

/// A device to make.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) port: Port,
    pub(crate) kind: DeviceKind,
}

/// What a device is.
#[derive(Debug)]
pub(crate) enum DeviceKind {
    /// A pair whose other end lies in another namespace.
    Veth {
        peer: Port,
        peer_place: Place,
        /// Index of the bridge that this end is a port of, with hairpin.
        bridge: Option<u32>,
    },
    /// A Linux bridge.
    Bridge,
    /// flannel's VXLAN device.
    Vxlan {
        /// Index of the device underneath.
        under: u32,
        /// The node's own address.
        local: IpAddr,
    },
}

/// An address of a device.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) device: u32,
    pub(crate) own: IpAddr,
    pub(crate) prefix: u8,
}

/// A permanent neighbour.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) device: u32,
    pub(crate) address: IpAddr,
    pub(crate) mac: Mac,
}

/// A permanent entry of a VXLAN device's forwarding table.
#[derive(Debug)]
pub(crate) struct Forwarding {
    pub(crate) device: u32,
    pub(crate) mac: Mac,
    pub(crate) node: IpAddr,
}

/// A route through a gateway.
#[derive(Debug)]
pub(crate) struct Route {
    /// The destination; `None` for the default route.
    pub(crate) to: Option<(IpAddr, u8)>,
    pub(crate) via: IpAddr,
    pub(crate) device: u32,
    /// Whether the gateway counts as reachable although no address says so.
    pub(crate) onlink: bool,
    /// Congestion control of connections that take this route; `None` for the namespace's default.
    pub(crate) congestion: Option<&'static str>,
}

/// An arm's namespaces and their addresses.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) sites: Vec<(Place, Site)>,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The server's addresses, one for each endpoint of the service under test.
    pub(crate) servers: Vec<IpAddr>,
    /// Where the client runs.
    pub(crate) client_place: Place,
    /// Where the server runs.
    pub(crate) server_place: Place,
    /// The device at which the client's traffic starts.
    pub(crate) pod_port: Port,
}

impl Topology {
    /// Lays out an arm whose server has `endpoints` addresses (1 to 100) and whose routes, if asked, choose the
    /// congestion control.
    pub(crate) fn of(datapath: &Datapath, endpoints: u8, congestion: Option<&'static str>) -> Self {
        let layout = Layout {
            datapath,
            family: datapath.family,
            endpoints,
            congestion,
        };
        let mut sites: Vec<_> = Side::BOTH
            .into_iter()
            .map(|side| (Place::Node(side), layout.node(side)))
            .collect();
        if datapath.pods == Pods::Bridge {
            sites.extend(
                Side::BOTH
                    .into_iter()
                    .map(|side| (Place::Pod(side), layout.pod(side))),
            );
        }
        let place = |side| match datapath.pods {
            Pods::Bridge => Place::Pod(side),
            Pods::Host => Place::Node(side),
        };
        Self {
            sites,
            client: layout.hosts(Side::A).remove(0),
            servers: layout.hosts(Side::B),
            client_place: place(Side::A),
            server_place: place(Side::B),
            pod_port: layout.end_port(Side::A),
        }
    }
}

struct Layout<'a> {
    datapath: &'a Datapath,
    family: Family,
    endpoints: u8,
    congestion: Option<&'static str>,
}

impl Layout<'_> {
    fn node(&self, side: Side) -> Site {
        let mut out = Site::default();
        self.wire(side, &mut out);
        if self.datapath.pods == Pods::Bridge {
            self.bridge(side, &mut out);
        }
        match self.datapath.wire {
            Wire::Native => self.native(side, &mut out),
            Wire::Vxlan => self.vxlan(side, &mut out),
        }
        if self.datapath.pods == Pods::Host {
            self.host_addresses(side, &mut out);
        }
        out
    }

    /// The veth pair between the nodes, and the way out of both.
    fn wire(&self, side: Side, out: &mut Site) {
        let (port, peer) = (wire_port(side), wire_port(side.other()));
        if side == Side::A {
            let kind = DeviceKind::Veth {
                peer,
                peer_place: Place::Node(side.other()),
                bridge: None,
            };
            out.devices.push(Device { port, kind });
        } else {
            out.far_ends.push(port.index);
        }
        out.addresses.push(Address {
            device: port.index,
            own: address::node(side, self.family),
            prefix: address::node_prefix(self.family),
        });
        let neighbours = [
            (address::node(side.other(), self.family), peer.mac),
            (address::router(self.family), ROUTER_MAC),
        ];
        out.neighbours
            .extend(neighbours.map(|(address, mac)| Neighbour {
                device: port.index,
                address,
                mac,
            }));
        out.routes.push(Route {
            to: None,
            via: address::router(self.family),
            device: port.index,
            onlink: false,
            congestion: self.congestion,
        });
    }

    /// `cni0` with the gateway's address and the pod's veth as its port.
    fn bridge(&self, side: Side, out: &mut Site) {
        let bridge = self.bridge_port(side);
        let pod = self.pod_port(side);
        let host_end = Port {
            name: "veth0",
            index: 31 + index(side),
            mac: mac(side, 3),
            mtu: pod.mtu,
        };
        out.devices.push(Device {
            port: bridge,
            kind: DeviceKind::Bridge,
        });
        out.devices.push(Device {
            port: host_end,
            kind: DeviceKind::Veth {
                peer: pod,
                peer_place: Place::Pod(side),
                bridge: Some(bridge.index),
            },
        });
        out.addresses.push(Address {
            device: bridge.index,
            own: address::pod(side, 1, self.family),
            prefix: address::pod_prefix(self.family),
        });
        let pods = self.hosts(side).into_iter();
        out.neighbours.extend(pods.map(|address| Neighbour {
            device: bridge.index,
            address,
            mac: pod.mac,
        }));
    }

    /// A plain route to the other node's pods, as flannel's host-gw backend sets it.
    fn native(&self, side: Side, out: &mut Site) {
        if self.datapath.pods == Pods::Bridge {
            out.routes.push(Route {
                to: Some(self.pods_of(side.other())),
                via: address::node(side.other(), self.family),
                device: wire_port(side).index,
                onlink: false,
                congestion: self.congestion,
            });
        }
    }

    /// flannel's device with its three static entries for the other node.
    fn vxlan(&self, side: Side, out: &mut Site) {
        let (port, far) = (self.vxlan_port(side), self.vxlan_port(side.other()));
        let (other_base, prefix) = self.pods_of(side.other());
        out.devices.push(Device {
            port,
            kind: DeviceKind::Vxlan {
                under: wire_port(side).index,
                local: address::node(side, self.family),
            },
        });
        out.addresses.push(Address {
            device: port.index,
            own: address::pod(side, 0, self.family),
            prefix: address::host_prefix(self.family),
        });
        out.neighbours.push(Neighbour {
            device: port.index,
            address: other_base,
            mac: far.mac,
        });
        out.forwarding.push(Forwarding {
            device: port.index,
            mac: far.mac,
            node: address::node(side.other(), self.family),
        });
        out.routes.push(Route {
            to: Some((other_base, prefix)),
            via: other_base,
            device: port.index,
            onlink: true,
            congestion: self.congestion,
        });
    }

    /// Without a pod the server's further addresses stand on the node.
    fn host_addresses(&self, side: Side, out: &mut Site) {
        let device = self.end_port(side).index;
        for address in self.hosts(side).into_iter().skip(1) {
            out.addresses.push(Address {
                device,
                own: address,
                prefix: address::host_prefix(self.family),
            });
        }
        if self.datapath.wire == Wire::Native {
            self.host_neighbours(side, out);
        }
    }

    /// The nodes know each other's addresses; the route that joins them is the kernel's own, and cannot choose.
    fn host_neighbours(&self, side: Side, out: &mut Site) {
        let device = wire_port(side).index;
        let mac = wire_port(side.other()).mac;
        let others = self.hosts(side.other());
        let further = others.iter().skip(1);
        out.neighbours.extend(further.map(|&address| Neighbour {
            device,
            address,
            mac,
        }));
        if self.congestion.is_some() {
            out.routes.extend(others.into_iter().map(|address| Route {
                to: Some((address, address::host_prefix(self.family))),
                via: address,
                device,
                onlink: true,
                congestion: self.congestion,
            }));
        }
    }

    fn pod(&self, side: Side) -> Site {
        let device = self.pod_port(side).index;
        let gateway = address::pod(side, 1, self.family);
        let first = address::pod_prefix(self.family);
        let prefixes =
            std::iter::once(first).chain(std::iter::repeat(address::host_prefix(self.family)));
        let addresses = self.hosts(side).into_iter().zip(prefixes);
        Site {
            far_ends: vec![device],
            addresses: addresses
                .map(|(own, prefix)| Address {
                    device,
                    own,
                    prefix,
                })
                .collect(),
            neighbours: vec![Neighbour {
                device,
                address: gateway,
                mac: self.bridge_port(side).mac,
            }],
            routes: vec![Route {
                to: None,
                via: gateway,
                device,
                onlink: false,
                congestion: self.congestion,
            }],
            ..Site::default()
        }
    }

    /// Addresses at which the arm's traffic starts or ends on one side.
    fn hosts(&self, side: Side) -> Vec<IpAddr> {
        let count = match side {
            Side::A => 1,
            Side::B => self.endpoints.max(1),
        };
        let numbered = |number: u8| match (self.datapath.pods, self.datapath.wire) {
            (Pods::Bridge, _) => address::pod(side, FIRST_POD + number, self.family),
            // The VXLAN device's own address is the base of the node's pod subnet.
            (Pods::Host, Wire::Vxlan) => address::pod(side, number, self.family),
            (Pods::Host, Wire::Native) => address::on_wire(1 + side.number() + number, self.family),
        };
        (0..count).map(numbered).collect()
    }

    fn pods_of(&self, side: Side) -> (IpAddr, u8) {
        (
            address::pod(side, 0, self.family),
            address::pod_prefix(self.family),
        )
    }

    /// The device at which the arm's traffic starts or ends.
    fn end_port(&self, side: Side) -> Port {
        match (self.datapath.pods, self.datapath.wire) {
            (Pods::Bridge, _) => self.pod_port(side),
            (Pods::Host, Wire::Vxlan) => self.vxlan_port(side),
            (Pods::Host, Wire::Native) => wire_port(side),
        }
    }

    fn pod_port(&self, side: Side) -> Port {
        Port {
            name: "eth0",
            index: 41 + index(side),
            mac: mac(side, 4),
            mtu: self.pod_mtu(),
        }
    }

    fn bridge_port(&self, side: Side) -> Port {
        Port {
            name: "cni0",
            index: 21 + index(side),
            mac: mac(side, 2),
            mtu: self.pod_mtu(),
        }
    }

    fn vxlan_port(&self, side: Side) -> Port {
        let name = match self.family {
            Family::Ipv4 => "flannel.1",
            Family::Ipv6 => "flannel-v6.1",
        };
        Port {
            name,
            index: 51 + index(side),
            mac: mac(side, 5),
            mtu: self.pod_mtu(),
        }
    }

    fn pod_mtu(&self) -> u32 {
        match (self.datapath.wire, self.family) {
            (Wire::Native, _) => WIRE_MTU,
            // Inner Ethernet 14, VXLAN 8, UDP 8, and 20 or 40 of outer IP.
            (Wire::Vxlan, Family::Ipv4) => WIRE_MTU - 50,
            (Wire::Vxlan, Family::Ipv6) => WIRE_MTU - 70,
        }
    }
}

fn wire_port(side: Side) -> Port {
    Port {
        name: "eth0",
        index: 11 + index(side),
        mac: mac(side, 1),
        mtu: WIRE_MTU,
    }
}

fn index(side: Side) -> u32 {
    side.number().into()
}

fn mac(side: Side, device: u8) -> Mac {
    Mac([2, 0, 0, 0, side.number() + 0xa, device])
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::{Offloads, Service};

    use super::*;

    fn datapath(pods: Pods, wire: Wire, family: Family) -> Datapath {
        Datapath {
            pods,
            wire,
            service: Service::None,
            services: None,
            family,
            offloads: Offloads::On,
        }
    }

    fn node_a(topology: &Topology) -> &Site {
        &topology.sites[0].1
    }

    #[test]
    fn only_an_overlay_has_a_vxlan_device_and_its_mtu_is_smaller() {
        for (wire, family, mtu) in [
            (Wire::Native, Family::Ipv4, 1500),
            (Wire::Vxlan, Family::Ipv4, 1450),
            (Wire::Vxlan, Family::Ipv6, 1430),
        ] {
            let topology = Topology::of(&datapath(Pods::Bridge, wire, family), 1, None);
            let devices = &node_a(&topology).devices;
            let vxlan = devices
                .iter()
                .any(|d| matches!(d.kind, DeviceKind::Vxlan { .. }));
            assert_eq!(vxlan, wire == Wire::Vxlan);
            assert_eq!(topology.pod_port.mtu, mtu);
        }
    }

    #[test]
    fn the_server_has_an_address_for_each_endpoint() {
        for pods in [Pods::Bridge, Pods::Host] {
            for wire in [Wire::Native, Wire::Vxlan] {
                let topology = Topology::of(&datapath(pods, wire, Family::Ipv4), 100, None);
                let mut servers = topology.servers.clone();
                servers.dedup();
                assert_eq!(servers.len(), 100);
                assert!(!servers.contains(&topology.client));
                let site = topology
                    .sites
                    .iter()
                    .find(|(place, _)| *place == topology.server_place);
                let addresses = &site.unwrap().1.addresses;
                for server in servers {
                    assert!(
                        addresses.iter().any(|a| a.own == server),
                        "{pods} {wire} {server}"
                    );
                }
            }
        }
    }

    #[test]
    fn flannels_entries_point_at_the_other_node() {
        let topology = Topology::of(&datapath(Pods::Bridge, Wire::Vxlan, Family::Ipv4), 1, None);
        let site = node_a(&topology);
        let route = site.routes.iter().find(|route| route.onlink).unwrap();
        assert_eq!(route.to, Some(("10.244.1.0".parse().unwrap(), 24)));
        assert_eq!(route.via, "10.244.1.0".parse::<IpAddr>().unwrap());
        assert_eq!(
            site.forwarding[0].node,
            "192.168.77.2".parse::<IpAddr>().unwrap()
        );
        assert!(site.neighbours.iter().any(|n| n.address == route.via
            && n.mac == site.forwarding[0].mac
            && n.device == route.device));
    }

    #[test]
    fn every_way_to_the_other_end_can_choose_the_congestion_control() {
        for pods in [Pods::Bridge, Pods::Host] {
            for wire in [Wire::Native, Wire::Vxlan] {
                let topology = Topology::of(&datapath(pods, wire, Family::Ipv4), 1, Some("cubic"));
                let (_, site) = topology
                    .sites
                    .iter()
                    .find(|(place, _)| *place == topology.client_place)
                    .unwrap();
                let server = topology.servers[0];
                let chosen = site.routes.iter().any(|route| {
                    let leads = route.to.is_none_or(|(to, _)| to == server);
                    leads && route.congestion == Some("cubic")
                });
                assert!(chosen, "{pods} {wire}: {:?}", site.routes);
            }
        }
    }

    #[test]
    fn device_indexes_are_unique_within_an_arm() {
        let topology = Topology::of(&datapath(Pods::Bridge, Wire::Vxlan, Family::Ipv6), 1, None);
        let mut indexes = Vec::new();
        for (_, site) in &topology.sites {
            for device in &site.devices {
                indexes.push(device.port.index);
                if let DeviceKind::Veth { peer, .. } = &device.kind {
                    indexes.push(peer.index);
                }
            }
        }
        let count = indexes.len();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!((indexes.len(), count), (10, 10));
    }
}
