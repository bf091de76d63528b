//! Messages that make devices which wrap packets.

use std::net::IpAddr;

use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::link::{
    InfoData, InfoIpTunnel, InfoKind, Ip6TunnelFlags, LinkMessage,
};
use rtnetlink::{LinkGeneve, LinkMessageBuilder, LinkUnspec, LinkVxlan, LinkWireguard};

use super::{with_port, without_address};
use crate::topology::{GENEVE_PORT, Port, Tunnel, VNI, VXLAN_PORT};

/// Asks for a device between the nodes.
pub(super) fn tunnel_message(port: Port, tunnel: Tunnel) -> LinkMessage {
    match tunnel {
        Tunnel::Vxlan { under, local } => {
            let vxlan = LinkVxlan::new(port.name, VNI).dev(under).port(VXLAN_PORT);
            let vxlan = match local {
                IpAddr::V4(local) => vxlan.local(local),
                IpAddr::V6(local) => vxlan.local6(local),
            };
            with_port(vxlan.learning(false), port).build()
        }
        // It has no identifier of its own: each packet brings one.
        Tunnel::VxlanByKey => {
            let vxlan = LinkVxlan::new(port.name, 0).port(VXLAN_PORT);
            with_port(vxlan.collect_metadata(true).learning(false), port).build()
        }
        Tunnel::Geneve { remote } => {
            let geneve = LinkGeneve::new(port.name, VNI).port(GENEVE_PORT);
            let geneve = match remote {
                IpAddr::V4(remote) => geneve.remote(remote),
                IpAddr::V6(remote) => geneve.remote6(remote),
            };
            with_port(geneve, port).build()
        }
        Tunnel::Ipip {
            under,
            local,
            remote,
        } => ip_in_ip(port, under, local, remote),
        Tunnel::Wireguard => without_address(LinkWireguard::new(port.name), port).build(),
    }
}

/// IPv4 in IPv4 (`ipip`) or IPv6 in IPv6 (`ip6tnl`), which are two kinds of device.
fn ip_in_ip(port: Port, under: u32, local: IpAddr, remote: IpAddr) -> LinkMessage {
    let mut ends = vec![
        InfoIpTunnel::Link(under),
        InfoIpTunnel::Local(local),
        InfoIpTunnel::Remote(remote),
    ];
    let kind = if local.is_ipv4() {
        InfoKind::IpIp
    } else {
        ends.push(InfoIpTunnel::Protocol(IpProtocol::Ipv6));
        // The option that limits nesting takes 8 bytes of each packet, and no CNI sets it.
        ends.push(InfoIpTunnel::Ipv6Flags(Ip6TunnelFlags::IgnEncapLimit));
        InfoKind::Ip6Tnl
    };
    let builder = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind);
    without_address(builder, port)
        .set_info_data(InfoData::IpTunnel(ends))
        .build()
}
