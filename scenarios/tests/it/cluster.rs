//! Arms that are paths through a cluster: what they may say, and what is refused.

use tollgate_results::arm::Family;
use tollgate_results::change::Place;
use tollgate_results::cluster::Aspect;
use tollgate_results::cluster_path::Path;
use tollgate_scenarios::{Overrides, Scenario, resolve};

use crate::{name, refused};

/// A scenario of one reference and one arm with these keys.
fn text(reference: &str, arm: &str) -> String {
    format!(
        "schema = 1\nname = \"small\"\nabout = \"Paths\"\nreference = \"a\"\n[arm.a]\n{reference}\n[arm.b]\n{arm}\n\
         [workload.rr.tcp-rr]\n"
    )
}

/// Refuses an arm beside a good one with just one line, which has all the parts.
#[track_caller]
fn refuses(arm: &str, parts: &[&str]) {
    let lines = refused(&text("cluster = { path = \"pod-ip\" }", arm));
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}

#[test]
fn an_arm_of_a_cluster_is_a_path_with_a_context_and_a_declaration() {
    let arm = "family = \"ipv6\"\ncluster = { path = \"cluster-ip\", context = \"two\", declares = { wire = \"vxlan\" } }\n\
               ready = { run = [\"true\"] }";
    let scenario =
        Scenario::parse("small.toml", &text("cluster = { path = \"pod-ip\" }", arm)).unwrap();
    let arm = scenario.arm(&name("b")).unwrap();
    let cluster = arm.datapath.cluster.as_ref().unwrap();
    assert_eq!(cluster.path, Path::ClusterIp);
    assert_eq!(cluster.context.as_deref(), Some("two"));
    assert_eq!(cluster.declares[&Aspect::Wire], "vxlan");
    assert_eq!(arm.datapath.family, Family::Ipv6);
    assert_eq!(arm.change.ready.as_ref().unwrap().on, Place::Runner);
    assert_eq!(
        arm.describe(),
        "pod to ClusterIP, pod on another node, context two, declares wire vxlan, ipv6"
    );
}

#[test]
fn what_can_t_be_of_a_cluster_is_refused() {
    refuses(
        "wire = \"vxlan\"\ncluster = { path = \"cluster-ip\" }",
        &["arm.b.wire", "builds an arm of a lab"],
    );
    refuses("cluster = {}", &["`path` is missing"]);
    refuses(
        "cluster = { path = \"pod-up\" }",
        &["arm.b.cluster", "pod-ip"],
    );
    refuses(
        "cluster = { path = \"cluster-ip\", context = \"\" }",
        &["arm.b.cluster.context", "kubectl config get-contexts"],
    );
    refuses(
        "cluster = { path = \"cluster-ip\", declares = { wire = \"vxlam\" } }",
        &["`vxlam` is no wire", "did you mean `vxlan`?"],
    );
    refuses(
        "cluster = { path = \"cluster-ip\", declares = { kernels = \"6.1\" } }",
        &["`kernels` is no matter of the datapath", "host-routing"],
    );
    refuses(
        "cluster = { path = \"pod-ip\" }",
        &["the same path as `a`", "`apply`"],
    );
    refuses("", &["is an arm of a lab", "`a` is one of a cluster"]);
    refuses(
        "cluster = { path = \"cluster-ip\" }\napply = [{ on = \"client\", run = [\"true\"] }]",
        &["client is a place of a lab"],
    );
    refuses(
        "cluster = { path = \"cluster-ip\" }\n[workload.ping.icmp-echo]",
        &["`ping` is icmp-echo", "path = \"pod-ip\""],
    );
    let lab = text(
        "",
        "wire = \"vxlan\"\napply = [{ on = \"runner\", run = [\"true\"] }]",
    );
    let lines = refused(&lab);
    assert!(
        lines.len() == 1 && lines[0].contains("runner is the place of a cluster's arm"),
        "{lines:?}"
    );
}

#[test]
fn an_arm_may_name_its_nodes() {
    let arm = "cluster = { path = \"pod-ip\", nodes = [\"w2\", \"w1.lan\"] }";
    let scenario =
        Scenario::parse("small.toml", &text("cluster = { path = \"pod-ip\" }", arm)).unwrap();
    let arm = scenario.arm(&name("b")).unwrap();
    let path = arm.datapath.cluster.as_ref().unwrap();
    assert_eq!(path.ends(), Some(("w2", "w1.lan")));
    assert_eq!(
        arm.describe(),
        "pod to pod on another node, from w2 to w1.lan"
    );
}

#[test]
fn nodes_that_no_arm_can_have_are_all_told_at_once() {
    let nodes =
        |path: &str, nodes: &str| format!("cluster = {{ path = \"{path}\", nodes = {nodes} }}");
    let told = |path: &str, listed: &str, parts: &[&str]| refuses(&nodes(path, listed), parts);
    told(
        "hairpin",
        "[\"a\"]",
        &[
            "arm.b.cluster.nodes",
            "`hairpin` takes no nodes",
            "pod-ip, headless",
        ],
    );
    told("cluster-ip", "[]", &["there are 0 nodes"]);
    told("pod-ip", "[\"a\", \"b\", \"c\"]", &["there are 3 nodes"]);
    told("pod-ip", "[\"a\", \"a\"]", &["write it once"]);
    told("pod-ip", "[\"A node\"]", &["`A node` is no name of a node"]);
    told("node-port-far", "[\"a\"]", &["path = \"node-port\""]);
    let both = format!(
        "{}\nwire = \"vxlan\"",
        nodes("host", "[\"a\", \"a\", \"_\"]")
    );
    let lines = refused(&text("cluster = { path = \"pod-ip\" }", &both));
    for part in [
        "takes no nodes",
        "`_` is no name",
        "there are 3 nodes",
        "builds an arm of a lab",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part} in {lines:?}"
        );
    }
    let same = nodes("pod-ip", "[\"a\"]");
    let lines = refused(&text(&same, &same));
    assert!(
        lines.len() == 1 && lines[0].contains("the same path as `a`"),
        "{lines:?}"
    );
}

#[test]
fn several_clients_send_what_adds_up() {
    let arm = "cluster = { path = \"pod-ip\", clients = 4 }";
    let lines = refused(&text("cluster = { path = \"pod-ip\" }", arm));
    assert!(lines[0].contains("name the `nodes` of both"), "{lines:?}");
    let arm = "cluster = { path = \"pod-ip\", clients = 4, nodes = [\"a\", \"b\"] }";
    let one = "cluster = { path = \"pod-ip\", nodes = [\"a\", \"b\"] }";
    let scenario = Scenario::parse("small.toml", &text(one, arm)).unwrap();
    let arm = scenario.arm(&name("b")).unwrap();
    assert_eq!(
        arm.describe(),
        "pod to pod on another node, from a to b, 4 clients at once"
    );
    for clients in ["0", "17", "-1"] {
        refuses(
            &format!("cluster = {{ path = \"cluster-ip\", clients = {clients} }}"),
            &["arm.b.cluster.clients", "1", "16"],
        );
    }
    refuses(
        "cluster = { path = \"host\", clients = 2 }",
        &["`host` has one client only"],
    );
    let more = "cluster = { path = \"cluster-ip\", clients = 2 }\n[workload.open.udp-rr]\nload = { open = \"1k/s\" }\n\
                [workload.bulk.udp-stream]\n[workload.stream.tcp-stream]";
    let lines = refused(&text("cluster = { path = \"pod-ip\" }", more));
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in ["`open` is an open loop", "`bulk` is a stream of datagrams"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
    }
}

#[test]
fn a_cluster_that_is_switched_is_switched_for_every_arm_and_installs_are_what_repeats() {
    let arm = |wire: &str| {
        format!(
            "cluster = {{ path = \"pod-ip\", declares = {{ wire = \"{wire}\" }} }}\n\
             apply = [{{ run = [\"./switch.sh\", \"{wire}\"], within = \"5m\" }}]"
        )
    };
    let half = text(&arm("native"), "cluster = { path = \"cluster-ip\" }");
    let lines = refused(&half);
    assert!(
        lines.len() == 1 && lines[0].contains("`a` changes the configuration of this cluster"),
        "{lines:?}"
    );
    let scenario = Scenario::parse("small.toml", &text(&arm("native"), &arm("vxlan"))).unwrap();
    let plan = |rounds, installs| {
        let overrides = Overrides {
            rounds: Some(rounds),
            installs,
            ..Overrides::default()
        };
        resolve(&scenario, &overrides, &|_| None).unwrap()
    };
    assert!(plan(30, None).reconfigures());
    assert_eq!(plan(30, None).rounds.installs, 6);
    assert_eq!(plan(31, None).rounds.installs, 7);
    assert_eq!(plan(1_000, None).rounds.installs, 100);
    assert_eq!(plan(30, Some(10)).rounds.installs, 10);
}
