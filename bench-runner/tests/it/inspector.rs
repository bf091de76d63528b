//! The node inspector on nodes of the lab, and from there through a cluster's API to `tollgate cluster inspect`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use serde_json::{Value, json};
use tollgate_cluster::objects::inspector::{INSPECTOR, NAMESPACE};
use tollgate_lab::{Capabilities, Lab, LabOptions, Role};
use tollgate_results::arm::{Datapath, Name, Pods, Service, Services, Wire};
use tollgate_results::node::{Hook, NodeFacts, RulesBy};

use crate::on_cluster::World;
use crate::support::{is_root, no_lab, probe, stderr, stdout};

fn holder() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_tollgate").into(), "lab-holder".into()]
}

/// Returns what the inspector prints on the client's node of an arm; `None` where this machine has no such arm.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn printed(lab: &Lab, name: &str, datapath: &Datapath) -> Option<String> {
    if let Some(missing) = Capabilities::detect(&holder()).missing(datapath) {
        eprintln!("SKIPPED: {name}: {missing}");
        return None;
    }
    let arm: Name = name.parse().unwrap();
    lab.deploy(&arm, datapath, 1).unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let errors = io::stderr();
    let argv = [probe().into_os_string(), "inspect".into(), "--json".into()];
    let stdio = [null.as_fd(), writer.as_fd(), errors.as_fd()];
    let program = lab.exec_start(&arm, Role::NodeA, &argv, stdio).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(program.wait().unwrap().success());
    Some(text)
}

fn seen(lab: &Lab, name: &str, datapath: &Datapath) -> Option<NodeFacts> {
    let text = printed(lab, name, datapath)?;
    Some(serde_json::from_str(&text).unwrap())
}

fn with_service(service: Service) -> Datapath {
    Datapath {
        service,
        services: Some(Services {
            count: 3,
            ..Services::default()
        }),
        ..Datapath::default()
    }
}

#[test]
fn the_datapaths_of_the_lab_are_told_apart_by_a_look_at_their_nodes() {
    if no_lab() {
        return;
    }
    let lab = Lab::start(&LabOptions { holder: holder() }).unwrap();
    let tunnels = |facts: &NodeFacts| {
        let links = facts.links.iter().filter(|links| links.is_tunnel());
        links.map(|links| links.kind.clone()).collect::<Vec<_>>()
    };
    if let Some(native) = seen(&lab, "native", &Datapath::default()) {
        assert_eq!(tunnels(&native), Vec::<String>::new());
        assert!(native.rules.is_empty(), "{native:?}");
        assert!(
            native
                .links
                .iter()
                .any(|links| links.kind == "veth" && links.up)
        );
        assert_eq!(native.sysctls["net.ipv4.ip_forward"], "1");
        assert!(native.conntrack.is_some());
    }
    let vxlan = Datapath {
        wire: Wire::Vxlan,
        ..Datapath::default()
    };
    if let Some(vxlan) = seen(&lab, "vxlan", &vxlan) {
        assert_eq!(tunnels(&vxlan), ["vxlan"]);
    }
    for (name, service, by) in [
        ("legacy", Service::IptablesLegacy, RulesBy::IptablesLegacy),
        ("nft", Service::IptablesNft, RulesBy::IptablesNft),
        ("nftables", Service::Nftables, RulesBy::Nftables),
    ] {
        if let Some(facts) = seen(&lab, name, &with_service(service)) {
            let found: Vec<RulesBy> = facts.rules.iter().map(|rules| rules.by).collect();
            assert_eq!(found, [by], "{name}: {facts:?}");
        }
    }
    let fast = Datapath {
        pods: Pods::Ebpf,
        wire: Wire::VxlanEbpf,
        ..Datapath::default()
    };
    // A user namespace may not ask for programs, and has none of these arms.
    if is_root()
        && let Some(facts) = seen(&lab, "ebpf", &fast)
    {
        let tcx = |program: &&tollgate_results::node::Programs| {
            matches!(program.hook, Hook::TcxIngress | Hook::TcxEgress) && !program.name.is_empty()
        };
        assert!(
            facts.programs.iter().any(|program| tcx(&program)),
            "{facts:?}"
        );
    }
}

#[test]
fn what_nodes_show_stands_beside_what_the_api_tells() {
    if no_lab() {
        return;
    }
    let lab = Lab::start(&LabOptions { holder: holder() }).unwrap();
    let vxlan = Datapath {
        wire: Wire::Vxlan,
        ..with_service(Service::Nftables)
    };
    let Some(line) = printed(&lab, "vxlan", &vxlan) else {
        return;
    };
    let world = World::new(|_, _, _| Box::new(|_, _| Value::Null));
    for node in ["node1", "node2", "node3"] {
        let pod = format!("inspector-{node}");
        world.double.put("pods", json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"tollgate.io/role": INSPECTOR}},
            "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"},
        }));
        if node != "node3" {
            world.double.log(&pod, &format!("starting\n{line}"));
        }
    }
    let output = world.tollgate(&["cluster", "inspect", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("log on node node3 may not be read (pods/log)"));
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["findings"]["wire"]["value"], "vxlan");
    assert_eq!(facts["findings"]["wire"]["basis"], "seen");
    assert_eq!(facts["findings"]["services"]["value"], "nftables");
    let evidence = facts["findings"]["wire"]["evidence"][0].as_str().unwrap();
    assert!(
        evidence.starts_with("seen on node1: vxlan link "),
        "{evidence}"
    );
    assert_eq!(facts["nodes"].as_object().unwrap().len(), 2);
    let told = stdout(&world.tollgate(&["cluster", "inspect"]));
    assert!(
        told.contains("seen on node1") && told.contains("node2: "),
        "{told}"
    );
}
