//! What stands in an arm is read back from the kernel: what the lab made is there, and what somebody deleted is not.

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Name, Outside, Pods, Service, Services, Wire};
use tollgate_results::lab_state::{ArmState, DeviceState, PlaceState, RuleKeeper};

use crate::harness::{few, is_root, lab, name, possible, run, vxlan};

/// Deploys an arm and reads it back.
fn deployed(lab: &Lab, arm: &Name, datapath: &Datapath) -> ArmState {
    lab.deploy(arm, datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    state(lab, arm)
}

fn state(lab: &Lab, arm: &Name) -> ArmState {
    let state = lab.state(&name("test")).unwrap();
    state
        .arms
        .into_iter()
        .find(|found| found.name == *arm)
        .unwrap()
}

fn place<'a>(arm: &'a ArmState, place: &str) -> &'a PlaceState {
    let found = arm.places.iter().find(|found| found.place == place);
    found.unwrap_or_else(|| panic!("{place} is not in {arm:#?}"))
}

fn device<'a>(arm: &'a ArmState, at: &str, device: &str) -> &'a DeviceState {
    let at = place(arm, at);
    let found = at.devices.iter().find(|found| found.name == device);
    found.unwrap_or_else(|| panic!("{device} is not in {at:#?}"))
}

fn peer<'a>(arm: &'a ArmState, at: &str, name: &str) -> (&'a str, &'a str) {
    let peer = device(arm, at, name).peer.as_ref().unwrap();
    (&peer.place, &peer.device)
}

/// Programs at a device as `hook name`.
fn programs(arm: &ArmState, at: &str, name: &str) -> Vec<String> {
    let programs = device(arm, at, name).programs.iter();
    programs
        .map(|program| {
            assert!(program.own && program.id > 0, "{program:?}");
            format!("{} {}", program.hook, program.name)
        })
        .collect()
}

#[test]
fn an_overlay_with_rules_shows_what_the_lab_made() {
    let datapath = Datapath {
        service: Service::IptablesLegacy,
        services: Some(Services { count: 40, ..few() }),
        ..vxlan()
    };
    let Some(lab) = lab() else { return };
    if !possible(&datapath) {
        return;
    }
    let arm = deployed(&lab, &name("arm"), &datapath);
    assert_eq!(arm.places.len(), 4);
    for at in &arm.places {
        assert!(at.missing.is_empty(), "{at:#?}");
        assert!(at.faults.is_empty(), "{at:#?}");
    }
    assert_eq!(
        peer(&arm, "client pod", "eth0"),
        ("node A", "veth0"),
        "{arm:#?}"
    );
    assert_eq!(peer(&arm, "node B", "eth0"), ("node A", "eth0"));
    assert_eq!(place(&arm, "server pod").home.as_deref(), Some("node B"));
    let pod = device(&arm, "client pod", "eth0");
    assert_eq!(pod.addresses, [format!("{}/24", arm.client)]);
    assert_eq!((pod.mtu, pod.up, pod.own), (1450, true, true));
    assert!(pod.mac.is_some() && pod.offloads.is_some());
    let veth = device(&arm, "node A", "veth0");
    assert_eq!(veth.bridge.as_deref(), Some("cni0"));
    let tunnel = device(&arm, "node A", "flannel.1");
    assert_eq!(tunnel.kind, "vxlan");
    assert_eq!(tunnel.over.as_deref(), Some("eth0"));
    assert_eq!(tunnel.tunnel, ["id 1", "port 8472"]);
    assert_eq!(device(&arm, "node B", "cni0").addresses, ["10.244.1.1/24"]);

    let node = place(&arm, "node A");
    let over_the_tunnel = node
        .routes
        .iter()
        .any(|route| route.to == "10.244.1.0/24" && route.device.as_deref() == Some("flannel.1"));
    assert!(over_the_tunnel, "{:#?}", node.routes);
    assert_eq!(node.sysctls["net.ipv4.ip_forward"], "1");
    assert!(node.conntrack.is_some());
    assert!(place(&arm, "client pod").conntrack.is_none());
    let table = |keeper: RuleKeeper, table: &str| {
        let mut tables = node.tables.iter();
        let found = tables.find(|found| found.keeper == keeper && found.table == table);
        found.unwrap_or_else(|| panic!("no {table} in {:#?}", node.tables))
    };
    // The base's rules run through nf_tables, the services' through the old tables: base.rs, services.rs.
    let base = table(RuleKeeper::Nftables, "nat");
    let flannel = base
        .chains
        .iter()
        .find(|chain| chain.name == "FLANNEL-POSTRTG");
    assert_eq!(flannel.unwrap().rules, 6);
    let services = table(RuleKeeper::Legacy, "nat");
    let endpoints = services
        .chains
        .iter()
        .find(|chain| chain.name == "KUBE-SEP-*");
    // One chain for each service of one port, two for the service under test: TCP and UDP.
    assert_eq!(endpoints.unwrap().chains, 41, "{services:#?}");
    assert_eq!(
        services.rules,
        services.chains.iter().map(|chain| chain.rules).sum::<u64>()
    );
}

#[test]
fn a_path_of_programs_shows_every_one_where_it_is_attached() {
    let datapath = Datapath {
        pods: Pods::Ebpf,
        wire: Wire::VxlanEbpf,
        service: Service::SocketLb,
        services: Some(few()),
        ..Datapath::default()
    };
    let Some(lab) = lab() else { return };
    if !possible(&datapath) {
        return;
    }
    let arm = deployed(&lab, &name("arm"), &datapath);
    for node in ["node A", "node B"] {
        // The kernel keeps 15 letters of this name; the lab knows them all.
        assert_eq!(
            programs(&arm, node, "veth0"),
            ["tcx/ingress from_pod_to_tunnel"]
        );
        assert_eq!(programs(&arm, node, "vxlan0"), ["tcx/ingress from_wire"]);
        assert!(programs(&arm, node, "eth0").is_empty());
        assert_eq!(
            device(&arm, node, "vxlan0").tunnel[0],
            "key from each packet"
        );
    }
    let sockets: Vec<_> = arm
        .sockets
        .iter()
        .map(|program| (program.hook.as_str(), program.name.as_str()))
        .collect();
    assert_eq!(
        sockets,
        [
            ("cgroup/connect4", "on_connect"),
            ("cgroup/sendmsg4", "on_sendmsg"),
            ("cgroup/recvmsg4", "on_recvmsg"),
            ("cgroup/getpeername4", "on_getpeername"),
        ]
    );
    assert!(arm.detached.is_empty() && arm.notes.is_empty(), "{arm:#?}");
}

#[test]
fn a_netkit_pair_shows_the_program_at_the_pods_end() {
    let datapath = Datapath {
        pods: Pods::Netkit,
        ..Datapath::default()
    };
    let Some(lab) = lab() else { return };
    if !possible(&datapath) {
        return;
    }
    let arm = deployed(&lab, &name("arm"), &datapath);
    for (node, pod) in [("node A", "client pod"), ("node B", "server pod")] {
        let near = device(&arm, node, "netkit0");
        assert_eq!(
            (near.kind.as_str(), near.own, near.up),
            ("netkit", true, true)
        );
        assert_eq!(peer(&arm, node, "netkit0"), (pod, "eth0"));
        assert_eq!(peer(&arm, pod, "eth0"), (node, "netkit0"));
        assert_eq!(programs(&arm, node, "netkit0"), ["netkit/peer from_pod"]);
        assert_eq!(programs(&arm, node, "eth0"), ["tcx/ingress from_wire"]);
        assert_eq!(place(&arm, pod).faults, Vec::<String>::new());
    }
}

#[test]
fn what_somebody_deleted_is_missing_and_its_program_attached_nowhere() {
    let Some(lab) = lab() else { return };
    let ebpf = Datapath {
        pods: Pods::Ebpf,
        ..Datapath::default()
    };
    let (datapath, with_programs) = if is_root() && possible(&ebpf) {
        (ebpf, true)
    } else {
        (vxlan(), false)
    };
    if !possible(&datapath) {
        return;
    }
    let arm = name("arm");
    deployed(&lab, &arm, &datapath);
    for command in [
        &["ip", "link", "add", "mine0", "type", "bridge"][..],
        &["ip", "link", "set", "mine0", "up"],
        &["ip", "address", "add", "10.9.9.9/32", "dev", "mine0"],
        &["ip", "link", "delete", "veth0"],
    ] {
        let (well, said) = run(&lab, &arm, Role::NodeA, command);
        assert!(well, "{command:?}: {said}");
    }
    let now = state(&lab, &arm);
    assert_eq!(place(&now, "node A").missing, ["veth0"]);
    // A pair goes as a whole.
    assert_eq!(place(&now, "client pod").missing, ["eth0"]);
    assert!(place(&now, "server pod").missing.is_empty());
    let mine = device(&now, "node A", "mine0");
    assert!(!mine.own);
    assert_eq!(mine.addresses, ["10.9.9.9/32"]);
    let detached = if with_programs {
        vec!["from_pod (node a)".to_owned()]
    } else {
        Vec::new()
    };
    assert_eq!(now.detached, detached);
    // The other arm of the same lab knows nothing of it.
    let other = deployed(&lab, &name("other"), &vxlan());
    assert!(other.places.iter().all(|place| place.missing.is_empty()));
}

#[test]
fn a_client_outside_stands_before_a_switch() {
    let datapath = Datapath {
        outside: Some(Outside::Snat),
        ..Datapath::default()
    };
    let Some(lab) = lab() else { return };
    if !possible(&datapath) {
        return;
    }
    let arm = deployed(&lab, &name("arm"), &datapath);
    assert_eq!(
        peer(&arm, "client outside", "eth0"),
        ("switch", "to-outside")
    );
    assert_eq!(peer(&arm, "node A", "eth0"), ("switch", "to-entry"));
    let port = device(&arm, "switch", "to-server");
    assert_eq!(port.bridge.as_deref(), Some("br0"));
    assert!(place(&arm, "node A").tables.iter().any(|table| {
        table
            .chains
            .iter()
            .any(|chain| chain.name.starts_with("KUBE-EXT-"))
    }));
}
