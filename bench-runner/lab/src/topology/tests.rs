use std::net::IpAddr;

use tollgate_results::arm::{self, Family, Wire};

use super::*;

fn datapath(pods: Pods, wire: Wire, family: Family) -> Datapath {
    Datapath {
        pods,
        wire,
        family,
        ..Datapath::default()
    }
}

fn node_a(topology: &Topology) -> &Site {
    &topology.sites[0].1
}

#[test]
fn every_tunnel_leaves_the_pods_what_its_headers_do_not_take() {
    for (wire, family, mtu) in [
        (Wire::Native, Family::Ipv4, 1500),
        (Wire::Native, Family::Ipv6, 1500),
        (Wire::Vxlan, Family::Ipv4, 1450),
        (Wire::Vxlan, Family::Ipv6, 1430),
        (Wire::VxlanEbpf, Family::Ipv4, 1450),
        (Wire::Geneve, Family::Ipv4, 1450),
        (Wire::Geneve, Family::Ipv6, 1430),
        (Wire::Ipip, Family::Ipv4, 1480),
        (Wire::Ipip, Family::Ipv6, 1460),
        (Wire::Wireguard, Family::Ipv4, 1440),
        (Wire::Wireguard, Family::Ipv6, 1420),
    ] {
        let topology = Topology::of(&datapath(Pods::Bridge, wire, family), 1, None);
        let devices = &node_a(&topology).devices;
        let tunnels = devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Tunnel(_)));
        let mtus: Vec<u32> = tunnels.map(|device| device.port.mtu).collect();
        let expected = if wire == Wire::Native {
            vec![]
        } else {
            vec![mtu]
        };
        assert_eq!(mtus, expected, "{wire} {family}");
        assert_eq!(topology.pod_port.mtu, mtu, "{wire} {family}");
    }
}

#[test]
fn a_tunnel_without_link_layer_has_a_route_and_no_neighbour() {
    for (wire, link_layer) in [
        (Wire::Vxlan, true),
        (Wire::VxlanEbpf, true),
        (Wire::Geneve, true),
        (Wire::Ipip, false),
        (Wire::Wireguard, false),
    ] {
        let topology = Topology::of(&datapath(Pods::Bridge, wire, Family::Ipv4), 1, None);
        let site = node_a(&topology);
        let pods = Some(("10.244.1.0".parse().unwrap(), 24));
        let route = site.routes.iter().find(|route| route.to == pods).unwrap();
        assert_eq!(route.via.is_some(), link_layer, "{wire}");
        let known = site.neighbours.iter().any(|n| n.device == route.device);
        assert_eq!(known, link_layer, "{wire}");
        assert_eq!(site.forwarding.is_empty(), wire != Wire::Vxlan, "{wire}");
        assert_eq!(site.wireguard.is_some(), wire == Wire::Wireguard);
    }
}

#[test]
fn both_pods_of_one_node_stand_on_its_bridge() {
    let near = |place, endpoints| {
        let datapath = Datapath {
            place,
            ..Datapath::default()
        };
        Topology::of(&datapath, endpoints, Some(Algorithm::new("cubic")))
    };
    let topology = near(arm::Place::SameNode, 2);
    assert_eq!(topology.client, "10.244.0.2".parse::<IpAddr>().unwrap());
    let servers: [IpAddr; 2] = ["10.244.0.3", "10.244.0.4"].map(|a| a.parse().unwrap());
    assert_eq!(topology.servers, servers);
    assert_eq!(topology.server_node, Side::A);
    let ports = |site: &Site| {
        let bridged = site.devices.iter().filter(|device| {
            matches!(
                device.kind,
                DeviceKind::Veth {
                    bridge: Some(_),
                    ..
                }
            )
        });
        bridged.map(|device| device.port.name).collect::<Vec<_>>()
    };
    assert_eq!(ports(node_a(&topology)), ["veth0", "veth1"]);
    assert!(
        ports(&topology.sites[1].1).is_empty(),
        "the other node stays empty"
    );
    let (_, pod) = topology
        .sites
        .iter()
        .find(|(at, _)| *at == Place::Pod(Side::A))
        .unwrap();
    for server in servers {
        assert!(pod.neighbours.iter().any(|n| n.address == server));
        let chosen = pod
            .routes
            .iter()
            .find(|route| route.to == Some((server, 32)))
            .unwrap();
        assert_eq!(chosen.congestion, Some(Algorithm::new("cubic")));
    }

    let topology = near(arm::Place::Hairpin, 1);
    assert_eq!(topology.servers, [topology.client]);
    assert_eq!(topology.client_place, topology.server_place);
    assert_eq!(topology.sites.len(), 3, "two nodes and one pod");
}

#[test]
fn the_server_has_an_address_for_each_endpoint() {
    for pods in Pods::ALL.iter().copied() {
        for &wire in Wire::ALL {
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
    assert_eq!(route.via, Some("10.244.1.0".parse().unwrap()));
    assert_eq!(
        site.forwarding[0].node,
        "192.168.77.2".parse::<IpAddr>().unwrap()
    );
    assert!(site.neighbours.iter().any(|n| Some(n.address) == route.via
        && n.mac == site.forwarding[0].mac
        && n.device == route.device));
}

#[test]
fn every_way_to_the_other_end_can_choose_the_congestion_control() {
    for pods in Pods::ALL.iter().copied() {
        for &wire in Wire::ALL {
            let topology = Topology::of(
                &datapath(pods, wire, Family::Ipv4),
                1,
                Some(Algorithm::new("cubic")),
            );
            let (_, site) = topology
                .sites
                .iter()
                .find(|(place, _)| *place == topology.client_place)
                .unwrap();
            let server = topology.servers[0];
            let chosen = site.routes.iter().any(|route| {
                let leads = route.to.is_none_or(|(to, _)| to == server);
                leads && route.congestion == Some(Algorithm::new("cubic"))
            });
            assert!(chosen, "{pods} {wire}: {:?}", site.routes);
        }
    }
}

#[test]
fn device_indexes_are_unique_within_an_arm() {
    for place in [arm::Place::OtherNode, arm::Place::SameNode] {
        let datapath = Datapath {
            place,
            ..datapath(Pods::Bridge, Wire::Vxlan, Family::Ipv6)
        };
        // Two wires, one or two bridges, four ends of pods' pairs, two tunnels.
        let bridges = if place == arm::Place::SameNode { 1 } else { 2 };
        unique_indexes(&Topology::of(&datapath, 1, None), 8 + bridges);
    }
}

fn unique_indexes(topology: &Topology, expected: usize) {
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
    assert_eq!((indexes.len(), count), (expected, expected));
}

#[test]
fn pods_without_a_bridge_have_a_route_each_and_calicos_gateway() {
    for (family, gateway, single) in [
        (Family::Ipv4, "169.254.1.1", 32),
        (Family::Ipv6, "fe80::1", 128),
    ] {
        for pods in [Pods::Routed, Pods::Ebpf, Pods::Netkit] {
            let topology = Topology::of(&datapath(pods, Wire::Native, family), 3, None);
            let site = |place| {
                &topology
                    .sites
                    .iter()
                    .find(|(at, _)| *at == place)
                    .unwrap()
                    .1
            };
            let node = site(Place::Node(Side::B));
            assert!(
                node.devices
                    .iter()
                    .all(|device| !matches!(device.kind, DeviceKind::Bridge))
            );
            for server in &topology.servers {
                let to = Some((*server, single));
                let on_link = |route: &&Route| route.to == to && route.via.is_none();
                assert_eq!(node.routes.iter().filter(on_link).count(), 1, "{server}");
            }
            let pod = site(Place::Pod(Side::B));
            assert!(pod.addresses.iter().all(|address| address.prefix == single));
            let default = pod.routes.iter().find(|route| route.to.is_none()).unwrap();
            assert_eq!(default.via, Some(gateway.parse().unwrap()));
        }
    }
}

#[test]
fn programs_stand_where_packets_leave_the_pod_and_come_in() {
    use ProgramName::{FromPod, FromPodToTunnel, FromWire, ToTunnel};
    for (pods, wire, expected) in [
        (Pods::Bridge, Wire::Native, vec![]),
        (Pods::Routed, Wire::Vxlan, vec![]),
        (Pods::Host, Wire::VxlanEbpf, vec![(ToTunnel, "vxlan0")]),
        (Pods::Bridge, Wire::VxlanEbpf, vec![(ToTunnel, "vxlan0")]),
        (
            Pods::Ebpf,
            Wire::Native,
            vec![(FromPod, "veth0"), (FromWire, "eth0")],
        ),
        (
            Pods::Ebpf,
            Wire::Vxlan,
            vec![(FromPod, "veth0"), (FromWire, "flannel.1")],
        ),
        (
            Pods::Ebpf,
            Wire::VxlanEbpf,
            vec![(FromPodToTunnel, "veth0"), (FromWire, "vxlan0")],
        ),
        (
            Pods::Netkit,
            Wire::Native,
            vec![(FromPod, "netkit0"), (FromWire, "eth0")],
        ),
        (
            Pods::Netkit,
            Wire::VxlanEbpf,
            vec![(FromPodToTunnel, "netkit0"), (FromWire, "vxlan0")],
        ),
    ] {
        let topology = Topology::of(&datapath(pods, wire, Family::Ipv4), 2, None);
        let node = node_a(&topology);
        let device = |index: u32| {
            let device = node
                .devices
                .iter()
                .find(|device| device.port.index == index);
            device.unwrap().port.name
        };
        let programs = node.fast_path.programs.iter();
        let found: Vec<_> = programs
            .map(|(program, index)| (*program, device(*index)))
            .collect();
        assert_eq!(found, expected, "{pods} {wire}");
        // Its own pods, and one way to all of the other node's.
        let pods_known = usize::from(pods.past_the_stack());
        assert_eq!(node.fast_path.pods.len(), pods_known);
        assert_eq!(node.fast_path.netkit, pods == Pods::Netkit);
        let routes = usize::from(!expected.is_empty());
        assert_eq!(node.fast_path.routes.len(), routes);
    }
}

#[test]
fn nobody_is_asked_for_at_a_netkit_pair() {
    for place in [arm::Place::OtherNode, arm::Place::SameNode] {
        let datapath = Datapath {
            place,
            ..datapath(Pods::Netkit, Wire::Native, Family::Ipv4)
        };
        let topology = Topology::of(&datapath, 2, None);
        let [host, pod] = topology.client_pair().unwrap();
        assert_eq!((host.name, pod.name), ("netkit0", "eth0"));
        assert_eq!((host.mac, pod.mac), (Mac([0; 6]), Mac([0; 6])));
        let (near, far) = (node_a(&topology), host.index);
        assert!(near.neighbours.iter().all(|one| one.device != far));
        assert!(near.sysctls.is_empty());
        for (place, site) in &topology.sites {
            let is_pod = matches!(place, Place::Pod(_));
            assert!(!is_pod || site.neighbours.is_empty(), "{place:?}");
        }
    }
    let hosts = Topology::of(&datapath(Pods::Host, Wire::Native, Family::Ipv4), 1, None);
    assert!(hosts.client_pair().is_none());
}

#[test]
fn another_mtu_of_the_wire_moves_that_of_every_device() {
    for pods in [Pods::Bridge, Pods::Netkit] {
        let mut path = datapath(pods, Wire::Vxlan, Family::Ipv4);
        path.kernel.mtu = Some(9000);
        let topology = Topology::of(&path, 1, None);
        assert_eq!(topology.pod_port.mtu, 8950);
        for side in Side::BOTH {
            assert_eq!(topology.wire_port(side).mtu, 9000);
        }
        for device in &node_a(&topology).devices {
            let is_wire = device.port.name == "eth0";
            let expected = if is_wire { 9000 } else { 8950 };
            assert_eq!(device.port.mtu, expected, "{}", device.port.name);
            if let Some((peer, _)) = device.kind.other_end() {
                assert_eq!(peer.mtu, expected, "{}", device.port.name);
            }
        }
    }
}

#[test]
fn a_line_has_an_end_on_each_node() {
    let mut path = datapath(Pods::Bridge, Wire::Native, Family::Ipv4);
    path.line = Some(tollgate_results::line::Line::default());
    let topology = Topology::of(&path, 1, None);
    for (place, site) in &topology.sites {
        let ends = site
            .devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Line));
        let expected = usize::from(matches!(place, Place::Node(_)));
        assert_eq!(ends.count(), expected, "{place:?}");
        assert!(!site.far_ends.contains(&11) && !site.far_ends.contains(&12));
    }
}
