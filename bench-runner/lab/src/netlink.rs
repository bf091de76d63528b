//! Devices, addresses, neighbours, routes and packet counters of one namespace, over rtnetlink.

pub(crate) mod generic;
pub(crate) mod plain;
mod qdisc;
pub(crate) mod shown;
mod tunnel;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoNetkit, InfoVeth, LinkAttribute, LinkInfo, LinkMessage, NetkitMode,
    NetkitPolicy, State,
};
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteScope};
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkDummy, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};
use tokio::runtime::{Builder, Runtime};

use self::tunnel::tunnel_message;
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::netns::NetNs;
use crate::topology::{Device, DeviceKind, Place, Port, Route, Site};

/// Index of the loopback device in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// One netlink socket in one namespace. It serves any thread, whatever namespace that is in.
#[derive(Debug)]
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

/// One device as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// What the kernel says it is; empty for the loopback device.
    pub(crate) kind: String,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) rx_packets: u64,
    pub(crate) tx_packets: u64,
    pub(crate) dropped: u64,
}

impl Netlink {
    /// Opens a socket in `netns`.
    pub(crate) fn open(netns: &NetNs) -> Result<Self, LabError> {
        netns.enter(|| {
            let runtime = Builder::new_current_thread().enable_io().build();
            let runtime = runtime.doing(|| "start the netlink loop")?;
            let inside = runtime.enter();
            let (connection, handle, _) =
                rtnetlink::new_connection().doing(|| "open a netlink socket")?;
            drop(inside);
            runtime.spawn(connection);
            Ok(Self { runtime, handle })
        })
    }

    /// Makes the devices that `site` lists, the loopback device first. `namespace` gives the descriptor of
    /// another of the arm's namespaces.
    pub(crate) fn apply_devices(
        &self,
        site: &Site,
        namespace: impl Fn(Place) -> RawFd,
    ) -> Result<(), LabError> {
        self.runtime.block_on(async {
            let up = LinkUnspec::new_with_index(LOOPBACK).up().build();
            self.handle
                .link()
                .set(up)
                .execute()
                .await
                .doing(|| "set up the loopback device")?;
            for device in &site.devices {
                self.device(device, &namespace)
                    .await
                    .doing(|| format!("make the device `{}`", device.port.name))?;
            }
            Ok(())
        })
    }

    /// Sets the far ends up and gives all devices their addresses, neighbours and routes, once they all stand.
    pub(crate) fn apply_addresses(&self, site: &Site) -> Result<(), LabError> {
        self.runtime.block_on(async {
            for index in &site.far_ends {
                let up = LinkUnspec::new_with_index(*index).up().build();
                self.handle
                    .link()
                    .set(up)
                    .execute()
                    .await
                    .doing(|| "set a device up")?;
            }
            self.addresses(site).await?;
            self.neighbours(site).await?;
            for route in &site.routes {
                let request = self.handle.route().add(route_message(route));
                request.execute().await.doing(|| match route.to {
                    Some((to, prefix)) => format!("add the route to {to}/{prefix}"),
                    None => "add the default route".to_owned(),
                })?;
            }
            Ok(())
        })
    }

    async fn device(
        &self,
        device: &Device,
        namespace: &impl Fn(Place) -> RawFd,
    ) -> Result<(), rtnetlink::Error> {
        let port = device.port;
        let message = match &device.kind {
            DeviceKind::Veth {
                peer,
                peer_place,
                bridge,
            } => pair(port, *peer, namespace(*peer_place), *bridge),
            DeviceKind::Netkit { peer, peer_place } => netkit(port, *peer, namespace(*peer_place)),
            DeviceKind::Cable {
                peer,
                peer_place,
                switch,
            } => pair(port, *peer, namespace(*peer_place), Some(*switch)),
            DeviceKind::Bridge => with_port(LinkBridge::new(port.name), port).build(),
            DeviceKind::Tunnel(tunnel) => tunnel_message(port, *tunnel),
            DeviceKind::Line => {
                let message = with_port(LinkMessageBuilder::<LinkUnspec>::new(), port).build();
                return self.handle.link().set(message).execute().await;
            }
        };
        self.handle.link().add(message).execute().await?;
        if matches!(
            device.kind,
            DeviceKind::Veth {
                bridge: Some(_),
                ..
            }
        ) {
            let hairpin = LinkBridgePort::new(port.index).hairpin(true).build();
            self.handle.link().set_port(hairpin).execute().await?;
        }
        Ok(())
    }

    /// Makes a device that no packet leaves by, with addresses of its own. It stays down, as kube-proxy's does, but for
    /// IPv6, where only a device that is up has addresses.
    pub(crate) fn dummy(
        &self,
        name: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), LabError> {
        self.runtime.block_on(async {
            let mut addresses = addresses.into_iter().peekable();
            let mut message = LinkDummy::new(name);
            if addresses.peek().is_some_and(IpAddr::is_ipv6) {
                message = message.up();
            }
            let made = self.handle.link().add(message.build()).execute().await;
            made.doing(|| format!("make the device `{name}`"))?;
            let found = self.handle.link().get().match_name(name.to_owned());
            let found = found.execute().try_next().await;
            let found = found.doing(|| format!("find the device `{name}`"))?;
            let device = found.map_or(0, |link| link.header.index);
            for own in addresses {
                let prefix = if own.is_ipv4() { 32 } else { 128 };
                let mut request = self.handle.address().add(device, own, prefix);
                if own.is_ipv6() {
                    let flags = &mut request.message_mut().header.flags;
                    flags.insert(AddressHeaderFlags::Nodad);
                }
                let added = request.execute().await;
                added.doing(|| format!("add the address {own} to `{name}`"))?;
            }
            Ok(())
        })
    }

    async fn addresses(&self, site: &Site) -> Result<(), LabError> {
        for entry in &site.addresses {
            let mut request = self
                .handle
                .address()
                .add(entry.device, entry.own, entry.prefix);
            if entry.own.is_ipv6() {
                // No other machine can have it, and an address under test of uniqueness cannot be used.
                request
                    .message_mut()
                    .header
                    .flags
                    .insert(AddressHeaderFlags::Nodad);
            }
            request
                .execute()
                .await
                .doing(|| format!("add the address {}", entry.own))?;
        }
        Ok(())
    }

    async fn neighbours(&self, site: &Site) -> Result<(), LabError> {
        for entry in &site.neighbours {
            let request = self.handle.neighbours().add(entry.device, entry.address);
            let request = request.link_layer_address(&entry.mac.0).replace();
            request
                .execute()
                .await
                .doing(|| format!("add the neighbour {}", entry.address))?;
        }
        for entry in &site.forwarding {
            let request = self
                .handle
                .neighbours()
                .add_bridge(entry.device, &entry.mac.0);
            let request = request
                .destination(entry.node)
                .flags(NeighbourFlags::Own)
                .replace();
            request
                .execute()
                .await
                .doing(|| format!("add the forwarding entry to {}", entry.node))?;
        }
        for entry in &site.stations {
            let request = self
                .handle
                .neighbours()
                .add_bridge(entry.port, &entry.mac.0);
            // Permanent ones are the bridge's own addresses; those that need no asking are others', for good.
            let request = request
                .flags(NeighbourFlags::Controller)
                .state(NeighbourState::Noarp)
                .replace();
            request
                .execute()
                .await
                .doing(|| "tell a switch who is where")?;
        }
        Ok(())
    }

    /// Returns all devices, the loopback device excluded.
    pub(crate) fn links(&self) -> Result<Vec<Link>, LabError> {
        self.runtime.block_on(async {
            let found: Vec<LinkMessage> = self
                .handle
                .link()
                .get()
                .execute()
                .try_collect()
                .await
                .doing(|| "list the network devices")?;
            Ok(found
                .into_iter()
                .filter(|message| message.header.index != LOOPBACK)
                .map(link)
                .collect())
        })
    }
}

/// Makes a pair whose far end lies in another namespace; the near one may be a port of a bridge.
fn pair(near: Port, far: Port, namespace: RawFd, bridge: Option<u32>) -> LinkMessage {
    // A far end cannot be set up before it has a near one.
    let peer = with_port(LinkMessageBuilder::<LinkUnspec>::new(), far)
        .down()
        .setns_by_fd(namespace)
        .build();
    let pair = with_port(LinkVeth::new(near.name, far.name), near)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    match bridge {
        Some(bridge) => pair.controller(bridge).build(),
        None => pair.build(),
    }
}

/// Makes a pair of netkit devices whose far end lies in another namespace, as Cilium does: without link layer (L3), and a far
/// end that drops what no program carries on.
fn netkit(near: Port, far: Port, namespace: RawFd) -> LinkMessage {
    let peer = without_address(LinkMessageBuilder::<LinkUnspec>::new(), far)
        .down()
        .setns_by_fd(namespace)
        .build();
    let settings = vec![
        InfoNetkit::Mode(NetkitMode::L3),
        InfoNetkit::Policy(NetkitPolicy::Pass),
        InfoNetkit::PeerPolicy(NetkitPolicy::Drop),
        InfoNetkit::Peer(peer),
    ];
    let pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Netkit);
    without_address(pair, near)
        .set_info_data(InfoData::Netkit(settings))
        .build()
}

fn with_port<T>(builder: LinkMessageBuilder<T>, port: Port) -> LinkMessageBuilder<T> {
    without_address(builder, port).address(port.mac.0.to_vec())
}

/// For devices that have no link-layer address of their own.
fn without_address<T>(builder: LinkMessageBuilder<T>, port: Port) -> LinkMessageBuilder<T> {
    builder.name(port.name).index(port.index).mtu(port.mtu).up()
}

fn route_message(route: &Route) -> RouteMessage {
    let mut builder = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(route.device);
    if route.onlink {
        builder = builder.onlink();
    }
    let mut message = builder.build();
    let to = route.to.map(|(to, _)| to);
    if route.via.or(to).is_some_and(|address| address.is_ipv6()) {
        message.header.address_family = AddressFamily::Inet6;
    }
    if let Some((to, prefix)) = route.to {
        message.header.destination_prefix_length = prefix;
        message
            .attributes
            .push(RouteAttribute::Destination(to.into()));
    }
    match route.via {
        Some(via) => message.attributes.push(RouteAttribute::Gateway(via.into())),
        // Only what is on a link can be a gateway of other routes.
        None => message.header.scope = RouteScope::Link,
    }
    if let Some(congestion) = route.congestion {
        let metric = RouteMetric::CcAlgo(congestion.to_string());
        message
            .attributes
            .push(RouteAttribute::Metrics(vec![metric]));
    }
    message
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        mtu: 0,
        up: false,
        rx_packets: 0,
        tx_packets: 0,
        dropped: 0,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            // Bridges and VXLAN devices have no carrier of their own to be up by.
            LinkAttribute::OperState(state) => {
                link.up = matches!(state, State::Up | State::Unknown);
            }
            LinkAttribute::Stats64(stats) => {
                link.rx_packets = stats.rx_packets;
                link.tx_packets = stats.tx_packets;
                link.dropped = stats.rx_dropped.saturating_add(stats.tx_dropped);
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    link
}

impl From<rtnetlink::Error> for LabErrorKind {
    fn from(error: rtnetlink::Error) -> Self {
        match error {
            rtnetlink::Error::NetlinkError(message) => Self::System(message.to_io()),
            other => Self::System(io::Error::other(other.to_string())),
        }
    }
}
