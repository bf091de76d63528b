//! Readings of an arm's namespaces joined: which device's other end is which, and what is not there any more.

use tollgate_results::lab_state::{DeviceState, Peer, PlaceKind, PlaceState, RouteState};

use super::reading::Reading;
use crate::ipvs;
use crate::netlink::shown::Shown;
use crate::topology::{Device, DeviceKind, Place, Port, Site, Topology};

/// The kinds of device that have another end.
const PAIRS: [&str; 2] = ["veth", "netkit"];

/// Puts together what was read, one reading for each of the topology's sites, in their order.
pub(super) fn places(topology: &Topology, readings: Vec<Reading>) -> Vec<PlaceState> {
    let sites: Vec<(Place, &Site)> = topology
        .sites
        .iter()
        .map(|(place, site)| (*place, site))
        .collect();
    let joined: Vec<Vec<DeviceState>> = sites
        .iter()
        .zip(&readings)
        .map(|((place, _), reading)| {
            let devices = reading.devices.iter();
            devices
                .map(|device| describe(*place, device, reading, &sites, &readings))
                .collect()
        })
        .collect();
    let places = sites.iter().zip(readings).zip(joined);
    places
        .map(|(((place, _), reading), devices)| PlaceState {
            place: place.words().to_owned(),
            kind: kind(*place),
            home: home(*place, &sites).map(|home| home.words().to_owned()),
            missing: missing(*place, &sites, &reading),
            routes: routes(&reading),
            devices,
            tables: reading.tables,
            conntrack: reading.conntrack,
            sysctls: reading.sysctls,
            faults: reading.faults,
        })
        .collect()
}

const fn kind(place: Place) -> PlaceKind {
    match place {
        Place::Node(_) => PlaceKind::Node,
        Place::Pod(_) => PlaceKind::Pod,
        Place::Outside => PlaceKind::Outside,
        Place::Switch => PlaceKind::Switch,
    }
}

/// Returns the node whose device a pod's pair was made from.
fn home(place: Place, sites: &[(Place, &Site)]) -> Option<Place> {
    if !matches!(place, Place::Pod(_)) {
        return None;
    }
    let leads_there = |device: &Device| {
        let end = device.kind.other_end();
        end.is_some_and(|(_, there)| there == place)
    };
    let home = sites
        .iter()
        .find(|(_, site)| site.devices.iter().any(leads_there));
    home.map(|(home, _)| *home)
}

/// Returns the devices that were made in a place, far ends of others' pairs among them.
fn planned(place: Place, sites: &[(Place, &Site)]) -> Vec<Port> {
    let mut ports = Vec::new();
    for (at, site) in sites {
        for device in &site.devices {
            if *at == place {
                ports.push(device.port);
            }
            if let Some((peer, there)) = device.kind.other_end()
                && there == place
            {
                ports.push(peer);
            }
        }
    }
    ports
}

/// Names the devices that were made in a place and are not there now.
fn missing(place: Place, sites: &[(Place, &Site)], reading: &Reading) -> Vec<String> {
    let gone = planned(place, sites).into_iter().filter(|port| {
        let mut there = reading.devices.iter().map(|device| &device.link);
        !there.any(|link| link.index == port.index || link.name == port.name)
    });
    gone.map(|port| port.name.to_owned()).collect()
}

fn describe(
    place: Place,
    device: &Shown,
    reading: &Reading,
    sites: &[(Place, &Site)],
    readings: &[Reading],
) -> DeviceState {
    let link = &device.link;
    let made = planned(place, sites)
        .iter()
        .any(|port| port.index == link.index);
    let is_pair = PAIRS.contains(&link.kind.as_str());
    let peer = if is_pair {
        pair(place, device, sites, readings)
    } else {
        line(place, link.index, sites, readings)
    };
    let over = device.joined.filter(|_| !is_pair);
    let addresses = reading.addresses.iter();
    DeviceState {
        index: link.index,
        name: link.name.clone(),
        kind: link.kind.clone(),
        own: made || link.name == ipvs::DEVICE,
        up: link.up,
        mtu: link.mtu,
        mac: device.mac.clone(),
        addresses: addresses
            .filter(|(index, _)| *index == link.index)
            .map(|(_, address)| address.clone())
            .collect(),
        peer,
        bridge: device.bridge.and_then(|index| name(reading, index)),
        over: over.and_then(|index| name(reading, index)),
        tunnel: device.tunnel.clone(),
        qdisc: device.qdisc.clone(),
        offloads: reading.offloads.get(&link.index).cloned(),
        programs: reading
            .programs
            .get(&link.index)
            .cloned()
            .unwrap_or_default(),
    }
}

/// Finds the other end of a pair: the device that each of the two says the other is joined to. Indices that people's own
/// devices have may stand in several namespaces, but hardly in such a pair.
fn pair(
    place: Place,
    device: &Shown,
    sites: &[(Place, &Site)],
    readings: &[Reading],
) -> Option<Peer> {
    let places = sites.iter().map(|(place, _)| *place).zip(readings);
    let mut ends = places.flat_map(|(at, reading)| {
        let devices = reading.devices.iter();
        devices.map(move |device| (at, device))
    });
    let found = ends.find(|(at, other)| {
        let is_itself = *at == place && other.link.index == device.link.index;
        !is_itself
            && other.link.kind == device.link.kind
            && device.joined == Some(other.link.index)
            && other.joined == Some(device.link.index)
    });
    found.map(|(at, other)| Peer {
        place: at.words().to_owned(),
        device: other.link.name.clone(),
        by_line: false,
    })
}

/// Finds the other end of a line between nodes, if the device is one end, and as long as both are there.
fn line(place: Place, index: u32, sites: &[(Place, &Site)], readings: &[Reading]) -> Option<Peer> {
    let mut ends = sites
        .iter()
        .zip(readings)
        .flat_map(|((at, site), reading)| {
            let lines = site
                .devices
                .iter()
                .filter(|device| matches!(device.kind, DeviceKind::Line));
            lines.map(move |device| (*at, device.port.index, reading))
        });
    let is_end = ends.clone().any(|(at, end, _)| at == place && end == index);
    let (at, end, reading) = ends.find(|(at, ..)| *at != place)?;
    let device = name(reading, end).filter(|_| is_end)?;
    Some(Peer {
        place: at.words().to_owned(),
        device,
        by_line: true,
    })
}

/// Returns the name of a device in its own namespace.
fn name(reading: &Reading, index: u32) -> Option<String> {
    let mut devices = reading.devices.iter();
    let found = devices.find(|device| device.link.index == index);
    found.map(|device| device.link.name.clone())
}

fn routes(reading: &Reading) -> Vec<RouteState> {
    let routes = reading.routes.iter().map(|route| RouteState {
        to: route.to.clone(),
        kind: route.kind.clone(),
        via: route.via,
        device: route.device.and_then(|index| name(reading, index)),
        congestion: route.congestion.clone(),
    });
    routes.collect()
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::{Datapath, Pods, Wire};
    use tollgate_results::line::Line;

    use super::*;
    use crate::netlink::Link;

    fn topology(datapath: &Datapath) -> Topology {
        Topology::of(datapath, 1, None)
    }

    fn shown(index: u32, name: &str, kind: &str, joined: Option<u32>) -> Shown {
        Shown {
            link: Link {
                index,
                name: name.to_owned(),
                kind: kind.to_owned(),
                mtu: 1500,
                up: true,
                rx_packets: 0,
                tx_packets: 0,
                dropped: 0,
            },
            joined,
            bridge: None,
            mac: None,
            qdisc: None,
            tunnel: Vec::new(),
            xdp: None,
        }
    }

    /// Everything that was planned, as the kernel would show it right after.
    fn as_made(topology: &Topology) -> Vec<Reading> {
        let mut readings: Vec<Reading> =
            topology.sites.iter().map(|_| Reading::default()).collect();
        let at = |place: Place| topology.sites.iter().position(|(at, _)| *at == place);
        for (place, site) in &topology.sites {
            let near = at(*place).unwrap();
            for device in &site.devices {
                let port = device.port;
                let add = |reading: &mut Reading, shown| reading.devices.push(shown);
                match device.kind {
                    DeviceKind::Veth {
                        peer,
                        peer_place,
                        bridge,
                    } => {
                        let mut end = shown(port.index, port.name, "veth", Some(peer.index));
                        end.bridge = bridge;
                        add(&mut readings[near], end);
                        let far = shown(peer.index, peer.name, "veth", Some(port.index));
                        add(&mut readings[at(peer_place).unwrap()], far);
                    }
                    DeviceKind::Netkit { peer, peer_place } => {
                        let pair = |near: Port, far: Port| {
                            shown(near.index, near.name, "netkit", Some(far.index))
                        };
                        add(&mut readings[near], pair(port, peer));
                        add(&mut readings[at(peer_place).unwrap()], pair(peer, port));
                    }
                    DeviceKind::Tunnel(_) => {
                        let tunnel = shown(port.index, port.name, "vxlan", Some(11));
                        add(&mut readings[near], tunnel);
                    }
                    DeviceKind::Line => {
                        add(
                            &mut readings[near],
                            shown(port.index, port.name, "tun", None),
                        );
                    }
                    DeviceKind::Bridge | DeviceKind::Cable { .. } => {
                        let bridge = shown(port.index, port.name, "bridge", None);
                        add(&mut readings[near], bridge);
                    }
                }
            }
        }
        readings
    }

    fn find<'a>(places: &'a [PlaceState], place: &str) -> &'a PlaceState {
        places.iter().find(|found| found.place == place).unwrap()
    }

    fn device<'a>(place: &'a PlaceState, name: &str) -> &'a DeviceState {
        place
            .devices
            .iter()
            .find(|device| device.name == name)
            .unwrap()
    }

    #[test]
    fn every_end_of_a_pair_finds_its_other_end() {
        let datapath = Datapath {
            wire: Wire::Vxlan,
            ..Datapath::default()
        };
        let topology = topology(&datapath);
        let places = places(&topology, as_made(&topology));
        assert_eq!(places.len(), 4);
        assert!(places.iter().all(|place| place.missing.is_empty()));
        let node = find(&places, "node A");
        let peer = device(node, "veth0").peer.as_ref().unwrap();
        assert_eq!(
            (peer.place.as_str(), peer.device.as_str()),
            ("client pod", "eth0")
        );
        assert_eq!(device(node, "veth0").bridge.as_deref(), Some("cni0"));
        let peer = device(node, "eth0").peer.as_ref().unwrap();
        assert_eq!(peer.place, "node B");
        let tunnel = device(node, "flannel.1");
        assert_eq!(
            (tunnel.over.as_deref(), &tunnel.peer),
            (Some("eth0"), &None)
        );
        let pod = find(&places, "server pod");
        assert_eq!(pod.home.as_deref(), Some("node B"));
        assert_eq!(device(pod, "eth0").peer.as_ref().unwrap().place, "node B");
    }

    #[test]
    fn netkit_devices_are_joined_as_veths_are() {
        let datapath = Datapath {
            pods: Pods::Netkit,
            ..Datapath::default()
        };
        let topology = topology(&datapath);
        let mut readings = as_made(&topology);
        let joined = places(&topology, as_made(&topology));
        let peer = device(&joined[0], "netkit0").peer.as_ref().unwrap();
        assert_eq!(
            (peer.place.as_str(), peer.device.as_str()),
            ("client pod", "eth0")
        );
        assert_eq!(joined[2].home.as_deref(), Some("node A"));
        assert_eq!(device(&joined[2], "eth0").over, None);
        readings[0]
            .devices
            .retain(|device| device.link.kind != "netkit");
        assert_eq!(places(&topology, readings)[0].missing, ["netkit0"]);
    }

    #[test]
    fn what_somebody_deleted_is_missing_and_what_somebody_made_is_not_the_labs() {
        let topology = topology(&Datapath::default());
        let mut readings = as_made(&topology);
        let bridge = |device: &Shown| device.link.name != "cni0";
        readings[0].devices.retain(bridge);
        readings[1].devices.push(shown(99, "mine", "dummy", None));
        let places = places(&topology, readings);
        assert_eq!(places[0].missing, ["cni0"]);
        assert!(places[1].missing.is_empty());
        assert!(!device(&places[1], "mine").own && device(&places[1], "eth0").own);
        // Its port is a port of nothing that is there.
        assert_eq!(device(&places[0], "veth0").bridge, None);
    }

    #[test]
    fn one_index_in_two_namespaces_confuses_nobody() {
        let topology = topology(&Datapath::default());
        let mut readings = as_made(&topology);
        let pod = readings[0].devices.iter().find(|d| d.link.name == "veth0");
        let index = pod.unwrap().joined.unwrap();
        readings[1]
            .devices
            .push(shown(index, "mine", "veth", Some(7)));
        let places = places(&topology, readings);
        let peer = device(&places[0], "veth0").peer.as_ref().unwrap();
        assert_eq!(peer.place, "client pod");
        assert_eq!(device(&places[1], "mine").peer, None);
    }

    #[test]
    fn a_line_joins_the_nodes_as_long_as_both_ends_stand() {
        let datapath = Datapath {
            line: Some(Line::default()),
            pods: Pods::Host,
            ..Datapath::default()
        };
        let topology = topology(&datapath);
        let mut readings = as_made(&topology);
        let joined = places(&topology, as_made(&topology));
        let peer = device(&joined[0], "eth0").peer.as_ref().unwrap();
        assert!(peer.by_line && peer.place == "node B");
        readings[1].devices.clear();
        let broken = places(&topology, readings);
        assert_eq!(device(&broken[0], "eth0").peer, None);
        assert_eq!(broken[1].missing, ["eth0"]);
    }
}
