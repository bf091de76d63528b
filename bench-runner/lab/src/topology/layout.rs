//! Where everything of an arm stands and how it is joined.

mod pods;
mod tunnel;

use std::net::IpAddr;

use tollgate_results::arm::{self, Datapath, Family, Pods, Wire};

use super::{Address, Device, DeviceKind, Mac, Neighbour, Place, Port, Route, Site, WIRE_MTU};
use crate::address::{self, Side};
use crate::congestion::Algorithm;

/// Number of the server's first address in its pod subnet.
const FIRST_POD: u8 = 2;
/// Hardware address of the router that nobody answers at.
pub(super) const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 0xff, 0xfe]);

/// What an arm's layout depends on.
pub(super) struct Layout<'a> {
    pub(super) datapath: &'a Datapath,
    pub(super) family: Family,
    /// Addresses of the server.
    pub(super) endpoints: u8,
    /// Congestion control that routes choose.
    pub(super) congestion: Option<Algorithm>,
}

impl Layout<'_> {
    /// The sides that have a pod: a pod that reaches itself is both client and server.
    pub(super) fn ends(&self) -> &'static [Side] {
        match self.datapath.place {
            arm::Place::OtherNode | arm::Place::SameNode => &Side::BOTH,
            arm::Place::Hairpin => &[Side::A],
        }
    }

    /// The node that a side's pod stands on.
    pub(super) fn home(&self, end: Side) -> Side {
        match self.datapath.place {
            arm::Place::OtherNode => end,
            arm::Place::SameNode | arm::Place::Hairpin => Side::A,
        }
    }

    /// The sides whose pods stand on a node.
    fn ends_on(&self, node: Side) -> impl Iterator<Item = Side> {
        let ends = self.ends().iter().copied();
        ends.filter(move |end| self.home(*end) == node)
    }

    /// What stands on a node.
    pub(super) fn node(&self, side: Side) -> Site {
        let mut out = Site::default();
        self.wire(side, &mut out);
        if self.ends_on(side).next().is_some() {
            match self.datapath.pods {
                Pods::Bridge => self.bridge(side, &mut out),
                Pods::Routed | Pods::Ebpf | Pods::Netkit => self.routed(side, &mut out),
                Pods::Host => {}
            }
        }
        match self.datapath.wire {
            Wire::Native => self.native(side, &mut out),
            _ => self.tunnel(side, &mut out),
        }
        if self.datapath.pods == Pods::Host {
            self.host_addresses(side, &mut out);
        }
        out.fast_path = self.fast_path(side);
        out
    }

    /// The veth pair between the nodes, or each end of a line, and the way out of both.
    fn wire(&self, side: Side, out: &mut Site) {
        let (port, peer) = (wire_port(side), wire_port(side.other()));
        if self.datapath.line.is_some() {
            let kind = DeviceKind::Line;
            out.devices.push(Device { port, kind });
        } else if side == Side::A {
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
            via: Some(address::router(self.family)),
            device: port.index,
            onlink: false,
            congestion: self.congestion,
        });
    }

    /// A plain route to the other node's pods, as flannel's host-gw backend sets it.
    fn native(&self, side: Side, out: &mut Site) {
        if self.datapath.pods != Pods::Host {
            out.routes.push(Route {
                to: Some(self.pods_of(side.other())),
                via: Some(address::node(side.other(), self.family)),
                device: wire_port(side).index,
                onlink: false,
                congestion: self.congestion,
            });
        }
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
                via: Some(address),
                device,
                onlink: true,
                congestion: self.congestion,
            }));
        }
    }

    /// Addresses at which the arm's traffic starts or ends on one side.
    pub(super) fn hosts(&self, side: Side) -> Vec<IpAddr> {
        let count = match side {
            Side::A => 1,
            Side::B => self.endpoints.max(1),
        };
        let home = self.home(side);
        // On one node the client's pod stands before the server's.
        let first_pod = FIRST_POD + u8::from(home != side);
        let numbered = |number: u8| match (self.datapath.pods, self.datapath.wire) {
            (Pods::Bridge | Pods::Routed | Pods::Ebpf | Pods::Netkit, _) => {
                address::pod(home, first_pod + number, self.family)
            }
            (Pods::Host, Wire::Native) => address::on_wire(1 + side.number() + number, self.family),
            // The tunnel device's own address is the base of the node's pod subnet.
            (Pods::Host, _) => address::pod(side, number, self.family),
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
    pub(super) fn end_port(&self, side: Side) -> Port {
        match (self.datapath.pods, self.datapath.wire) {
            (Pods::Bridge | Pods::Routed | Pods::Ebpf | Pods::Netkit, _) => self.pod_port(side),
            (Pods::Host, Wire::Native) => wire_port(side),
            (Pods::Host, _) => self.tunnel_port(side),
        }
    }

    fn pod_mtu(&self) -> u32 {
        WIRE_MTU - self.overhead()
    }
}

pub(super) fn wire_port(side: Side) -> Port {
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
    mac_of(side.number() + 0xa, device)
}

/// Returns the hardware address of a machine's device: the nodes are machines `a` and `b`.
pub(super) const fn mac_of(machine: u8, device: u8) -> Mac {
    Mac([2, 0, 0, 0, machine, device])
}
