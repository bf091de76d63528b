//! What stands in a namespace now, as the kernel shows it: devices with what joins them, their addresses, and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoGeneve, InfoIpTunnel, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage, LinkXdp,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteType,
};

use super::{LOOPBACK, Link, Netlink, link};
use crate::error::{Doing as _, LabError};

/// A device with all that is shown of it; others are meant by their indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) link: Link,
    /// The other end of a pair, in whatever namespace that is; for a tunnel the device that carries it, in this one.
    pub(crate) joined: Option<u32>,
    /// The bridge that it is a port of.
    pub(crate) bridge: Option<u32>,
    pub(crate) mac: Option<String>,
    pub(crate) qdisc: Option<String>,
    /// Particulars of a tunnel.
    pub(crate) tunnel: Vec<String>,
    /// The number of an XDP program.
    pub(crate) xdp: Option<u32>,
}

/// A route as it is shown; its device is meant by its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownRoute {
    pub(crate) to: String,
    /// What it does other than lead on.
    pub(crate) kind: Option<String>,
    pub(crate) via: Option<IpAddr>,
    pub(crate) device: Option<u32>,
    pub(crate) congestion: Option<String>,
}

impl Netlink {
    /// Returns all devices by index, the loopback device excluded.
    pub(crate) fn shown_devices(&self) -> Result<Vec<Shown>, LabError> {
        self.runtime.block_on(async {
            let found: Vec<LinkMessage> = self
                .handle
                .link()
                .get()
                .execute()
                .try_collect()
                .await
                .doing(|| "list the network devices")?;
            let mut devices: Vec<Shown> = found
                .into_iter()
                .filter(|message| message.header.index != LOOPBACK)
                .map(shown)
                .collect();
            devices.sort_by_key(|device| device.link.index);
            Ok(devices)
        })
    }

    /// Returns the addresses of all devices, each with its device's index and the length of its subnet. Those are left
    /// out that the kernel gives each device by itself.
    pub(crate) fn shown_addresses(&self) -> Result<Vec<(u32, String)>, LabError> {
        self.runtime.block_on(async {
            let found: Vec<AddressMessage> = self
                .handle
                .address()
                .get()
                .execute()
                .try_collect()
                .await
                .doing(|| "list the addresses")?;
            Ok(found.into_iter().filter_map(address).collect())
        })
    }

    /// Returns the routes of the main table, IPv4's first.
    pub(crate) fn shown_routes(&self) -> Result<Vec<ShownRoute>, LabError> {
        let families = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        self.runtime.block_on(async {
            let mut routes = Vec::new();
            for asked in families {
                let family = asked.header.address_family;
                let found: Vec<RouteMessage> = self
                    .handle
                    .route()
                    .get(asked)
                    .execute()
                    .try_collect()
                    .await
                    .doing(|| "list the routes")?;
                // A kernel without this family answers with all others.
                let found = found
                    .into_iter()
                    .filter(|message| message.header.address_family == family);
                routes.extend(found.filter_map(route));
            }
            Ok(routes)
        })
    }
}

fn shown(message: LinkMessage) -> Shown {
    let mut out = Shown {
        link: link(message.clone()),
        joined: None,
        bridge: None,
        mac: None,
        qdisc: None,
        tunnel: Vec::new(),
        xdp: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::Link(index) if index != 0 => out.joined = Some(index),
            LinkAttribute::Controller(index) => out.bridge = Some(index),
            LinkAttribute::Address(bytes) => out.mac = hardware_address(&bytes),
            LinkAttribute::Qdisc(kind) => {
                out.qdisc = Some(kind).filter(|kind| !["noqueue", "noop"].contains(&kind.as_str()));
            }
            LinkAttribute::Xdp(attributes) => {
                out.xdp = attributes.iter().find_map(|attribute| match attribute {
                    LinkXdp::ProgId(id) if *id != 0 => Some(*id),
                    _ => None,
                });
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(data) = info {
                        out.joined = under(&data).or(out.joined);
                        out.tunnel = tunnel(&data);
                    }
                }
            }
            _ => {}
        }
    }
    out
}

/// Writes an Ethernet address; `None` for what is none.
fn hardware_address(bytes: &[u8]) -> Option<String> {
    let is_one = bytes.len() == 6 && bytes.iter().any(|byte| *byte != 0);
    is_one.then(|| {
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    })
}

/// Returns the device underneath that a tunnel was given; some kinds tell it here alone.
fn under(data: &InfoData) -> Option<u32> {
    let device = match data {
        InfoData::Vxlan(attributes) => attributes.iter().find_map(|attribute| match attribute {
            InfoVxlan::Link(device) => Some(*device),
            _ => None,
        }),
        InfoData::IpTunnel(attributes) => attributes.iter().find_map(|attribute| match attribute {
            InfoIpTunnel::Link(device) => Some(*device),
            _ => None,
        }),
        _ => None,
    };
    device.filter(|device| *device != 0)
}

/// Says what is particular to a tunnel.
fn tunnel(data: &InfoData) -> Vec<String> {
    const BY_KEY: &str = "key from each packet";
    match data {
        InfoData::Vxlan(attributes) => {
            let by_key = attributes.contains(&InfoVxlan::CollectMetadata(true));
            let particular = attributes.iter().filter_map(|attribute| match attribute {
                InfoVxlan::Id(id) if !by_key => Some(format!("id {id}")),
                InfoVxlan::Port(port) => Some(format!("port {port}")),
                InfoVxlan::CollectMetadata(true) => Some(BY_KEY.to_owned()),
                _ => None,
            });
            particular.collect()
        }
        InfoData::Geneve(attributes) => {
            let particular = attributes.iter().filter_map(|attribute| match attribute {
                InfoGeneve::Id(id) => Some(format!("id {id}")),
                InfoGeneve::Port(port) => Some(format!("port {port}")),
                InfoGeneve::Remote(to) => Some(format!("to {to}")),
                InfoGeneve::Remote6(to) => Some(format!("to {to}")),
                InfoGeneve::CollectMetadata => Some(BY_KEY.to_owned()),
                _ => None,
            });
            particular.collect()
        }
        InfoData::IpTunnel(attributes) => {
            let particular = attributes.iter().filter_map(|attribute| match attribute {
                InfoIpTunnel::Remote(to) if !to.is_unspecified() => Some(format!("to {to}")),
                _ => None,
            });
            particular.collect()
        }
        _ => Vec::new(),
    }
}

fn address(message: AddressMessage) -> Option<(u32, String)> {
    let index = message.header.index;
    if index == LOOPBACK {
        return None;
    }
    let mut own = None;
    for attribute in message.attributes {
        match attribute {
            // Where both are there the other one is the far end's.
            AddressAttribute::Local(local) => own = Some(local),
            AddressAttribute::Address(address) => own = own.or(Some(address)),
            _ => {}
        }
    }
    let own = own.filter(|own| !is_automatic(*own))?;
    Some((index, format!("{own}/{}", message.header.prefix_len)))
}

/// Whether the kernel made the address from a hardware address, as every IPv6 device has one.
fn is_automatic(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            let octets = address.octets();
            address.is_unicast_link_local() && octets[11..13] == [0xff, 0xfe]
        }
    }
}

fn route(message: RouteMessage) -> Option<ShownRoute> {
    let header = message.header;
    // Copies that the kernel made for one destination are no routes of anybody's.
    if header.table != RouteHeader::RT_TABLE_MAIN || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let kind = match header.kind {
        RouteType::Unicast => None,
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => {
            return None;
        }
        other => Some(format!("{other:?}").to_lowercase()),
    };
    let mut out = ShownRoute {
        to: "default".to_owned(),
        kind,
        via: None,
        device: None,
        congestion: None,
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                let to = plain(&to)?;
                if matches!(to, IpAddr::V6(to) if to.is_unicast_link_local()) {
                    return None;
                }
                out.to = format!("{to}/{}", header.destination_prefix_length);
            }
            RouteAttribute::Gateway(via) => out.via = plain(&via),
            RouteAttribute::Oif(device) => out.device = Some(device),
            RouteAttribute::MultiPath(_) => out.kind = Some("several ways".to_owned()),
            RouteAttribute::Metrics(metrics) => {
                out.congestion = metrics.into_iter().find_map(|metric| match metric {
                    RouteMetric::CcAlgo(name) => Some(name),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(out)
}

/// Returns an IP address; `None` for an address of another kind.
const fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_gives_every_device_is_told_from_what_people_gave() {
        assert!(is_automatic("fe80::ff:fe00:a04".parse().unwrap()));
        assert!(!is_automatic("fe80::1".parse().unwrap()));
        assert!(!is_automatic("fd00::ff:fe00:1".parse().unwrap()));
        assert!(!is_automatic("169.254.1.1".parse().unwrap()));
    }

    #[test]
    fn hardware_addresses_are_ethernets() {
        assert_eq!(
            hardware_address(&[2, 0, 0, 0, 0xa, 1]).unwrap(),
            "02:00:00:00:0a:01"
        );
        // A device that wraps IP in IP has its IP address there.
        assert_eq!(hardware_address(&[192, 168, 77, 1]), None);
        assert_eq!(hardware_address(&[0; 6]), None);
    }

    #[test]
    fn routes_of_other_tables_and_of_the_kernels_own_making_are_left_out() {
        let mut message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::new(10, 244, 1, 0), 24)
            .gateway(Ipv4Addr::new(192, 168, 77, 2))
            .output_interface(11)
            .build();
        let shown = route(message.clone()).unwrap();
        assert_eq!(shown.to, "10.244.1.0/24");
        assert_eq!(shown.via, Some("192.168.77.2".parse().unwrap()));
        assert_eq!((shown.device, shown.kind), (Some(11), None));
        message.header.kind = RouteType::BlackHole;
        assert_eq!(
            route(message.clone()).unwrap().kind.as_deref(),
            Some("blackhole")
        );
        message.header.table = 255;
        assert_eq!(route(message), None);
    }

    #[test]
    fn a_tunnel_that_takes_its_key_from_packets_has_no_identifier() {
        let data = |by_key| {
            InfoData::Vxlan(vec![
                InfoVxlan::Id(0),
                InfoVxlan::CollectMetadata(by_key),
                InfoVxlan::Port(8472),
            ])
        };
        assert_eq!(tunnel(&data(true)), ["key from each packet", "port 8472"]);
        assert_eq!(tunnel(&data(false)), ["id 0", "port 8472"]);
        let link = InfoVxlan::Link(11);
        assert_eq!(
            under(&InfoData::Vxlan(vec![InfoVxlan::Id(1), link])),
            Some(11)
        );
        assert_eq!(under(&InfoData::Vxlan(vec![InfoVxlan::Link(0)])), None);
    }
}
