//! Devices that wrap packets between the nodes.

use std::net::SocketAddr;

use tollgate_results::arm::{Family, Wire};

use super::{Layout, index, mac, wire_port};
use crate::address::{self, Side};
use crate::topology::{
    Address, Device, DeviceKind, Forwarding, Neighbour, Port, Route, Site, Tunnel, WIREGUARD_PORT,
    WireguardPeer,
};

impl Layout<'_> {
    /// The device that leads to the other node's pods, with all that it knows of that node.
    ///
    /// VXLAN has flannel's three static entries; Cilium's device and Geneve's the same but for the forwarding: one is
    /// told by eBPF, the other leads to one node only. IP in IP and WireGuard have no link-layer addresses: the route names the device alone.
    pub(super) fn tunnel(&self, side: Side, out: &mut Site) {
        let (port, far) = (self.tunnel_port(side), self.tunnel_port(side.other()));
        let (other_base, prefix) = self.pods_of(side.other());
        let tunnel = self.tunnel_kind(side);
        let via = tunnel.has_link_layer().then_some(other_base);
        if via.is_some() {
            out.neighbours.push(Neighbour {
                device: port.index,
                address: other_base,
                mac: far.mac,
            });
        }
        let node = address::node(side.other(), self.family);
        if self.datapath.wire == Wire::Vxlan {
            out.forwarding.push(Forwarding {
                device: port.index,
                mac: far.mac,
                node,
            });
        }
        if self.datapath.wire == Wire::Wireguard {
            out.wireguard = Some(WireguardPeer {
                device: port.index,
                endpoint: SocketAddr::new(node, WIREGUARD_PORT),
                allowed: (other_base, prefix),
            });
        }
        out.devices.push(Device {
            port,
            kind: DeviceKind::Tunnel(tunnel),
        });
        out.addresses.push(Address {
            device: port.index,
            own: address::pod(side, 0, self.family),
            prefix: address::host_prefix(self.family),
        });
        out.routes.push(Route {
            to: Some((other_base, prefix)),
            via,
            device: port.index,
            onlink: via.is_some(),
            congestion: self.congestion,
        });
    }

    fn tunnel_kind(&self, side: Side) -> Tunnel {
        let under = wire_port(side).index;
        let local = address::node(side, self.family);
        let remote = address::node(side.other(), self.family);
        match self.datapath.wire {
            Wire::Native | Wire::Vxlan => Tunnel::Vxlan { under, local },
            Wire::VxlanEbpf => Tunnel::VxlanByKey,
            Wire::Geneve => Tunnel::Geneve { remote },
            Wire::Ipip => Tunnel::Ipip {
                under,
                local,
                remote,
            },
            Wire::Wireguard => Tunnel::Wireguard,
        }
    }

    pub(super) fn tunnel_port(&self, side: Side) -> Port {
        let name = match (self.datapath.wire, self.family) {
            (Wire::Native | Wire::Vxlan, Family::Ipv4) => "flannel.1",
            (Wire::Native | Wire::Vxlan, Family::Ipv6) => "flannel-v6.1",
            (Wire::VxlanEbpf, _) => "vxlan0",
            (Wire::Geneve, _) => "geneve1",
            // `tunl0` and `ip6tnl0` are the kernel's own names, taken in every namespace once the module is there.
            (Wire::Ipip, _) => "ipip1",
            (Wire::Wireguard, _) => "wg0",
        };
        Port {
            name,
            index: 51 + index(side),
            mac: mac(side, 5),
            mtu: self.pod_mtu(),
        }
    }

    /// Bytes of each packet that the wire's own headers take.
    pub(super) fn overhead(&self) -> u32 {
        let outer_ip = match self.family {
            Family::Ipv4 => 20,
            Family::Ipv6 => 40,
        };
        match self.datapath.wire {
            Wire::Native => 0,
            // Inner Ethernet 14, the tunnel's header 8, UDP 8: Geneve without options is as long as VXLAN.
            Wire::Vxlan | Wire::VxlanEbpf | Wire::Geneve => 14 + 8 + 8 + outer_ip,
            Wire::Ipip => outer_ip,
            // WireGuard's header 16, its tag 16, UDP 8.
            Wire::Wireguard => 16 + 16 + 8 + outer_ip,
        }
    }
}
