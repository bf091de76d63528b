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
