//! How pods are attached to their node: by a bridge, by a route each, or by eBPF.

use std::iter;

use tollgate_results::arm::{Family, Pods, Wire};

use super::{Layout, index, mac, wire_port};
use crate::address::{self, Side};
use crate::topology::{
    Address, Device, DeviceKind, FarPods, FastPath, LocalPod, Neighbour, Place, Port, ProgramName,
    Route, Site, VNI,
};

impl Layout<'_> {
    /// `cni0` with the gateway's address and the pod's veth as its port.
    pub(super) fn bridge(&self, side: Side, out: &mut Site) {
        let bridge = self.bridge_port(side);
        out.devices.push(Device {
            port: bridge,
            kind: DeviceKind::Bridge,
        });
        self.veth(side, Some(bridge.index), out);
        out.addresses.push(Address {
            device: bridge.index,
            own: address::pod(side, 1, self.family),
            prefix: address::pod_prefix(self.family),
        });
        self.pod_neighbours(side, bridge.index, out);
    }

    /// The pod's veth alone, which answers for the pods' gateway, and a route to each of its addresses.
    pub(super) fn routed(&self, side: Side, out: &mut Site) {
        let device = self.host_end(side).index;
        self.veth(side, None, out);
        match self.family {
            // As Calico sets them: the pods' gateway stands on no device, and the answer comes at once.
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
    fn veth(&self, side: Side, bridge: Option<u32>, out: &mut Site) {
        out.devices.push(Device {
            port: self.host_end(side),
            kind: DeviceKind::Veth {
                peer: self.pod_port(side),
                peer_place: Place::Pod(side),
                bridge,
            },
        });
    }

    fn pod_neighbours(&self, side: Side, device: u32, out: &mut Site) {
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
        let pods = self.datapath.pods == Pods::Ebpf;
        let mut out = FastPath::default();
        if pods {
            let leave = if by_key {
                ProgramName::FromPodToTunnel
            } else {
                ProgramName::FromPod
            };
            out.programs.push((leave, self.host_end(side).index));
            out.programs
                .push((ProgramName::FromWire, self.far_port(side).index));
            out.pods
                .extend(self.hosts(side).into_iter().map(|address| LocalPod {
                    address,
                    device: self.host_end(side).index,
                    mac: self.pod_port(side).mac,
                    gateway: self.host_end(side).mac,
                }));
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
            Wire::Vxlan | Wire::VxlanEbpf => self.vxlan_port(side),
        }
    }

    fn far_pods(&self, side: Side) -> FarPods {
        let to = self.pods_of(side.other());
        let node = address::node(side.other(), self.family);
        let (via, tunnel) = match self.datapath.wire {
            Wire::Native => (node, 0),
            // The forwarding entry knows the other node.
            Wire::Vxlan => (to.0, 0),
            Wire::VxlanEbpf => (node, VNI),
        };
        FarPods {
            to,
            device: self.far_port(side).index,
            tunnel,
            via,
        }
    }

    /// What stands in the pod of a node.
    pub(in crate::topology) fn pod(&self, side: Side) -> Site {
        let device = self.pod_port(side).index;
        let single = address::host_prefix(self.family);
        let bridged = self.datapath.pods == Pods::Bridge;
        let (gateway, mac, first) = if bridged {
            let prefix = address::pod_prefix(self.family);
            (
                address::pod(side, 1, self.family),
                self.bridge_port(side).mac,
                prefix,
            )
        } else {
            (
                address::pod_gateway(self.family),
                self.host_end(side).mac,
                single,
            )
        };
        let prefixes = iter::once(first).chain(iter::repeat(single));
        let addresses = self.hosts(side).into_iter().zip(prefixes);
        let route = |to, via| Route {
            to,
            via,
            device,
            onlink: false,
            congestion: self.congestion,
        };
        // Every link knows IPv6's gateway, which is local to it.
        let to_gateway =
            (!bridged && self.family == Family::Ipv4).then(|| route(Some((gateway, single)), None));
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
                mac,
            }],
            routes: to_gateway
                .into_iter()
                .chain([route(None, Some(gateway))])
                .collect(),
            ..Site::default()
        }
    }

    /// The node's end of the pod's pair.
    fn host_end(&self, side: Side) -> Port {
        Port {
            name: "veth0",
            index: 31 + index(side),
            mac: mac(side, 3),
            mtu: self.pod_mtu(),
        }
    }

    pub(super) fn pod_port(&self, side: Side) -> Port {
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
}
