//! What an arm is made of, as plain data: devices, addresses, neighbours and routes of its namespaces.

mod fast_path;
mod layout;
mod outside;

use std::net::{IpAddr, SocketAddr};

use tollgate_results::arm::{self, Datapath, Pods};

pub(crate) use self::fast_path::{FarPods, FastPath, LocalPod, ProgramName};
use self::layout::Layout;
use crate::address::Side;
use crate::congestion::Algorithm;

/// MTU of the device that joins the nodes.
pub(crate) const WIRE_MTU: u32 = 1500;
/// The network identifier of VXLAN, flannel's, and of Geneve.
pub(crate) const VNI: u32 = 1;
/// VXLAN's port, flannel's and Cilium's: the kernel's default, not IANA's 4789.
pub(crate) const VXLAN_PORT: u16 = 8472;
/// Geneve's port, IANA's.
pub(crate) const GENEVE_PORT: u16 = 6081;
/// WireGuard's port, that of `wg` and of Calico.
pub(crate) const WIREGUARD_PORT: u16 = 51820;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

/// One of an arm's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A node.
    Node(Side),
    /// The pod of the client's side or of the server's. Both may stand on one node.
    Pod(Side),
    /// A machine outside the cluster, the client's.
    Outside,
    /// What joins more than two machines.
    Switch,
}

impl Place {
    /// Returns what people call it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Node(Side::A) => "node A",
            Self::Node(Side::B) => "node B",
            Self::Pod(Side::A) => "client pod",
            Self::Pod(Side::B) => "server pod",
            Self::Outside => "client outside",
            Self::Switch => "switch",
        }
    }
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
    /// What a switch knows of who is where.
    pub(crate) stations: Vec<Station>,
    /// Routes.
    pub(crate) routes: Vec<Route>,
    /// Sysctls of devices, set once they all stand.
    pub(crate) sysctls: Vec<(&'static str, &'static str)>,
    /// eBPF programs at the devices.
    pub(crate) fast_path: FastPath,
    /// The other node, where a WireGuard device needs to know it.
    pub(crate) wireguard: Option<WireguardPeer>,
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
    /// A netkit pair whose other end lies in a pod. Programs see what the pod sends before it has left the pod, and without
    /// any the pod can send nothing; what is for the pod needs none. Neither end has a hardware address.
    Netkit { peer: Port, peer_place: Place },
    /// A pair whose other end lies in another namespace, and whose own is a port of a switch: a bridge that sends
    /// nothing back where it came from.
    Cable {
        peer: Port,
        peer_place: Place,
        /// Index of the bridge.
        switch: u32,
    },
    /// A Linux bridge.
    Bridge,
    /// An end of a line, which the line has made: it is only set up.
    Line,
    /// A device that wraps packets between the nodes.
    Tunnel(Tunnel),
}

impl DeviceKind {
    /// Returns the other end of a pair and where it lies.
    pub(crate) const fn other_end(&self) -> Option<(Port, Place)> {
        match *self {
            Self::Veth {
                peer, peer_place, ..
            }
            | Self::Netkit { peer, peer_place }
            | Self::Cable {
                peer, peer_place, ..
            } => Some((peer, peer_place)),
            Self::Bridge | Self::Line | Self::Tunnel(_) => None,
        }
    }
}

/// What wraps packets between the nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tunnel {
    /// flannel's VXLAN device.
    Vxlan {
        /// Index of the device underneath.
        under: u32,
        /// The node's own address.
        local: IpAddr,
    },
    /// A VXLAN device that takes the far end from each packet, where a program has put it.
    VxlanByKey,
    /// A Geneve device that leads to one other node.
    Geneve {
        /// The other node's address.
        remote: IpAddr,
    },
    /// A device that wraps IP in IP.
    Ipip {
        /// Index of the device underneath.
        under: u32,
        /// The node's own address.
        local: IpAddr,
        /// The other node's address.
        remote: IpAddr,
    },
    /// A WireGuard device, which needs keys and a [`WireguardPeer`] to carry anything.
    Wireguard,
}

impl Tunnel {
    /// Whether packets in the device begin with link-layer addresses.
    pub(crate) const fn has_link_layer(self) -> bool {
        !matches!(self, Self::Ipip { .. } | Self::Wireguard)
    }
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

/// What a WireGuard device knows of the other node, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireguardPeer {
    /// Index of the own device.
    pub(crate) device: u32,
    /// Where the other node is reached.
    pub(crate) endpoint: SocketAddr,
    /// The addresses behind it.
    pub(crate) allowed: (IpAddr, u8),
}

/// A permanent entry of a bridge's forwarding table.
#[derive(Debug)]
pub(crate) struct Station {
    /// Index of the port behind which it is.
    pub(crate) port: u32,
    pub(crate) mac: Mac,
}

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    /// The destination; `None` for the default route.
    pub(crate) to: Option<(IpAddr, u8)>,
    /// The gateway; `None` where the destination is on the device's own link.
    pub(crate) via: Option<IpAddr>,
    pub(crate) device: u32,
    /// Whether the gateway counts as reachable although no address says so.
    pub(crate) onlink: bool,
    /// Congestion control of connections that take this route; `None` for the namespace's default.
    pub(crate) congestion: Option<Algorithm>,
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
    /// The node that the server runs on.
    pub(crate) server_node: Side,
    /// The device at which the client's traffic starts.
    pub(crate) pod_port: Port,
    /// MTU between the nodes.
    wire_mtu: u32,
}

impl Topology {
    /// Lays out an arm whose server has `endpoints` addresses (1 to 100) and whose routes, if asked, choose the
    /// congestion control.
    pub(crate) fn of(datapath: &Datapath, endpoints: u8, congestion: Option<Algorithm>) -> Self {
        let mut topology = if datapath.outside.is_some() {
            outside::topology(datapath, congestion)
        } else {
            Self::inside(datapath, endpoints, congestion)
        };
        if let Some(mtu) = datapath.kernel.mtu {
            topology.shift_mtu(mtu);
        }
        topology
    }

    /// Lays out two nodes with the client at one and the server at the other.
    fn inside(datapath: &Datapath, endpoints: u8, congestion: Option<Algorithm>) -> Self {
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
        if datapath.pods != Pods::Host {
            let pods = layout.ends().iter().copied();
            sites.extend(pods.map(|side| (Place::Pod(side), layout.pod(side))));
        }
        let place = |side| match datapath.pods {
            Pods::Bridge | Pods::Routed | Pods::Ebpf | Pods::Netkit => Place::Pod(side),
            Pods::Host => Place::Node(side),
        };
        let server = match datapath.place {
            arm::Place::OtherNode | arm::Place::SameNode => Side::B,
            arm::Place::Hairpin => Side::A,
        };
        Self {
            sites,
            client: layout.hosts(Side::A).remove(0),
            servers: layout.hosts(server),
            client_place: place(Side::A),
            server_place: place(server),
            server_node: layout.home(server),
            pod_port: layout.end_port(Side::A),
            wire_mtu: WIRE_MTU,
        }
    }

    /// Returns the ends of the pair that joins the client's pod to its node, the node's first; `None` where the client has no
    /// pod.
    pub(crate) fn client_pair(&self) -> Option<[Port; 2]> {
        let is_pod = matches!(self.client_place, Place::Pod(_));
        let mut devices = self.sites.iter().flat_map(|(_, site)| &site.devices);
        devices.find_map(|device| {
            let (end, place) = device.kind.other_end()?;
            (is_pod && place == self.client_place).then_some([device.port, end])
        })
    }

    /// Gives the wire another MTU; every other device keeps its distance from it.
    fn shift_mtu(&mut self, wire: u32) {
        let shift = |port: &mut Port| port.mtu = (port.mtu + wire).saturating_sub(WIRE_MTU);
        for device in self
            .sites
            .iter_mut()
            .flat_map(|(_, site)| &mut site.devices)
        {
            shift(&mut device.port);
            if let DeviceKind::Veth { peer, .. }
            | DeviceKind::Netkit { peer, .. }
            | DeviceKind::Cable { peer, .. } = &mut device.kind
            {
                shift(peer);
            }
        }
        shift(&mut self.pod_port);
        self.wire_mtu = wire;
    }

    /// Returns the device with which a node is joined to the other.
    pub(crate) fn wire_port(&self, side: Side) -> Port {
        Port {
            mtu: self.wire_mtu,
            ..layout::wire_port(side)
        }
    }
}

#[cfg(test)]
mod tests;
