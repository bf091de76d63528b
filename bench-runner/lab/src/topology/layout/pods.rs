//! How pods are attached to their node: by a bridge, by a route each, or by eBPF at veth or netkit pairs.

use std::iter;
use std::net::IpAddr;

use tollgate_results::arm::{self, Family, Pods, Wire};

use super::{Layout, index, mac, wire_port};
use crate::address::{self, Side};
use crate::topology::{
    Address, Device, DeviceKind, FarPods, FastPath, LocalPod, Mac, Neighbour, Place, Port,
    ProgramName, Route, Site, VNI,
};

impl Layout<'_> {
    /// `cni0` with the gateway's address and the pods' veths as its ports.
    pub(in crate::topology) fn bridge(&self, side: Side, out: &mut Site) {
        let bridge = self.bridge_port(side);
        out.devices.push(Device {
            port: bridge,
            kind: DeviceKind::Bridge,
        });
        out.addresses.push(Address {
            device: bridge.index,
            own: address::pod(side, 1, self.family),
            prefix: address::pod_prefix(self.family),
        });
        for end in self.ends_on(side) {
            self.pair(end, Some(bridge.index), out);
            self.pod_neighbours(end, bridge.index, out);
        }
    }

    /// The pods' pairs alone, and a route to each of their addresses. A veth answers for the pods' gateway; at a netkit device
    /// nobody asks.
    pub(in crate::topology) fn routed(&self, side: Side, out: &mut Site) {
        for end in self.ends_on(side) {
            self.routed_pod(end, out);
        }
    }

    fn routed_pod(&self, side: Side, out: &mut Site) {
        let device = self.host_end(side).index;
        self.pair(side, None, out);
        match self.family {
            Family::Ipv4 if self.has_netkit() => {}
            // As Calico sets them: the pods' gateway stands on no device, and the answer comes at once.
            Family::Ipv4 if self.is_second(side) => out.sysctls.extend([
                ("net/ipv4/conf/veth1/proxy_arp", "1"),
                ("net/ipv4/neigh/veth1/proxy_delay", "0"),
            ]),
            Family::Ipv4 => out.sysctls.extend([
                ("net/ipv4/conf/veth0/proxy_arp", "1"),
                ("net/ipv4/neigh/veth0/proxy_delay", "0"),
            ]),
            Family::Ipv6 => out.addresses.push(Address {
                device,
                own: address::pod_gateway(self.family),
                prefix: address::pod_prefix(self.family),
            }),
        }
        let pods = self.hosts(side).into_iter();
        out.routes.extend(pods.map(|address| Route {
            to: Some((address, address::host_prefix(self.family))),
            via: None,
            device,
            onlink: false,
            congestion: self.congestion,
        }));
        self.pod_neighbours(side, device, out);
    }

    /// The pair that joins the pod to its node.
    fn pair(&self, side: Side, bridge: Option<u32>, out: &mut Site) {
        let (peer, peer_place) = (self.pod_port(side), Place::Pod(side));
        out.devices.push(Device {
            port: self.host_end(side),
            kind: if self.has_netkit() {
                DeviceKind::Netkit { peer, peer_place }
            } else {
                DeviceKind::Veth {
                    peer,
                    peer_place,
                    bridge,
                }
            },
        });
    }

    fn has_netkit(&self) -> bool {
        self.datapath.pods == Pods::Netkit
    }

    /// The hardware address of a pair's end; none at a netkit device, whose packets begin with empty ones.
    fn pair_mac(&self, side: Side, device: u8) -> Mac {
        if self.has_netkit() {
            Mac([0; 6])
        } else {
            mac(side, device)
        }
    }

    fn pod_neighbours(&self, side: Side, device: u32, out: &mut Site) {
        if self.has_netkit() {
            return;
        }
        let mac = self.pod_port(side).mac;
        let pods = self.hosts(side).into_iter();
        out.neighbours.extend(pods.map(|address| Neighbour {
            device,
            address,
            mac,
        }));
    }

    /// Programs at the node's devices: those that carry pods' packets, and those that give a tunnel's packets their key.
    pub(super) fn fast_path(&self, side: Side) -> FastPath {
        let by_key = self.datapath.wire == Wire::VxlanEbpf;
        let mut out = FastPath {
            netkit: self.has_netkit(),
            ..FastPath::default()
        };
        if self.datapath.pods.past_the_stack() {
            let leave = if by_key {
                ProgramName::FromPodToTunnel
            } else {
                ProgramName::FromPod
            };
            for end in self.ends_on(side) {
                let device = self.host_end(end).index;
                out.programs.push((leave, device));
                out.pods
                    .extend(self.hosts(end).into_iter().map(|address| LocalPod {
                        address,
                        device,
                        mac: self.pod_port(end).mac,
                        gateway: self.host_end(end).mac,
                    }));
            }
            if !out.pods.is_empty() {
                out.programs
                    .push((ProgramName::FromWire, self.far_port(side).index));
            }
        } else if by_key {
            out.programs
                .push((ProgramName::ToTunnel, self.far_port(side).index));
        }
        if !out.programs.is_empty() {
            out.routes.push(self.far_pods(side));
        }
        out
    }

    /// The device towards the other node's pods.
    fn far_port(&self, side: Side) -> Port {
        match self.datapath.wire {
            Wire::Native => wire_port(side),
            _ => self.tunnel_port(side),
        }
    }

    fn far_pods(&self, side: Side) -> FarPods {
        let to = self.pods_of(side.other());
        let node = address::node(side.other(), self.family);
        let (via, tunnel) = match self.datapath.wire {
            Wire::Native => (node, 0),
            Wire::VxlanEbpf => (node, VNI),
            // The device knows the other node.
            _ => (to.0, 0),
        };
        FarPods {
            to,
            device: self.far_port(side).index,
            tunnel,
            via,
        }
    }

    /// What stands in the pod of a side.
    pub(in crate::topology) fn pod(&self, side: Side) -> Site {
        let device = self.pod_port(side).index;
        let single = address::host_prefix(self.family);
        let bridged = self.datapath.pods == Pods::Bridge;
        let (gateway, first) = self.gateway(side);
        let prefixes = iter::once(first).chain(iter::repeat(single));
        let addresses = self.hosts(side).into_iter().zip(prefixes);
        let route = |to, via, onlink| Route {
            to,
            via,
            device,
            onlink,
            congestion: self.congestion,
        };
        // Every link knows IPv6's gateway, which is local to it.
        let to_gateway = (!bridged && self.family == Family::Ipv4)
            .then(|| route(Some((gateway.0, single)), None, false));
        let mut routes: Vec<Route> = to_gateway.into_iter().collect();
        routes.push(route(None, Some(gateway.0), false));
        let near = iter::once(gateway).chain(self.beside(side));
        let near: Vec<(IpAddr, Mac)> = near.filter(|_| !self.has_netkit()).collect();
        // The kernel's own route to the bridge's other pods, and to whom it masquerades as, cannot choose.
        if bridged && self.congestion.is_some() && self.datapath.place != arm::Place::OtherNode {
            let choosing = near.iter().map(|&(to, _)| (Some((to, single)), Some(to)));
            routes.extend(choosing.map(|(to, via)| route(to, via, true)));
        }
        Site {
            far_ends: vec![device],
            addresses: addresses
                .map(|(own, prefix)| Address {
                    device,
                    own,
                    prefix,
                })
                .collect(),
            neighbours: near
                .into_iter()
                .map(|(address, mac)| Neighbour {
                    device,
                    address,
                    mac,
                })
                .collect(),
            routes,
            ..Site::default()
        }
    }

    /// A pod's gateway and where it is found, and the length of the subnet that the pod's first address is in.
    fn gateway(&self, side: Side) -> ((IpAddr, Mac), u8) {
        let home = self.home(side);
        if self.datapath.pods == Pods::Bridge {
            let gateway = address::pod(home, 1, self.family);
            let prefix = address::pod_prefix(self.family);
            ((gateway, self.bridge_port(home).mac), prefix)
        } else {
            let gateway = address::pod_gateway(self.family);
            let prefix = address::host_prefix(self.family);
            ((gateway, self.host_end(side).mac), prefix)
        }
    }

    /// Addresses of the other side's pod where it is a port of the same bridge, each with where it is found.
    fn beside(&self, side: Side) -> Vec<(IpAddr, Mac)> {
        if self.datapath.pods != Pods::Bridge {
            return Vec::new();
        }
        let others = self.ends_on(self.home(side)).filter(|end| *end != side);
        let of = |end| {
            let mac = self.pod_port(end).mac;
            let hosts = self.hosts(end).into_iter();
            hosts.map(move |address| (address, mac))
        };
        others.flat_map(of).collect()
    }

    /// Whether a side's pod is the second one of its node: the server's beside the client's.
    fn is_second(&self, side: Side) -> bool {
        self.home(side) != side
    }

    /// The node's end of the pod's pair.
    fn host_end(&self, side: Side) -> Port {
        Port {
            name: match (self.has_netkit(), self.is_second(side)) {
                (false, false) => "veth0",
                (false, true) => "veth1",
                (true, false) => "netkit0",
                (true, true) => "netkit1",
            },
            index: 31 + index(side),
            mac: self.pair_mac(side, 3),
            mtu: self.pod_mtu(),
        }
    }

    pub(super) fn pod_port(&self, side: Side) -> Port {
        Port {
            name: "eth0",
            index: 41 + index(side),
            mac: self.pair_mac(side, 4),
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
}
