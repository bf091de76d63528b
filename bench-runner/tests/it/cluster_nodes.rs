//! Arms of a cluster that name the nodes of their probes.

use serde_json::Value;

use crate::cluster_arms::{paths, ran};
use crate::on_cluster::World;
use crate::support::{ended, stderr};

#[test]
fn arms_lead_between_the_nodes_that_they_name() {
    let world = World::with_probes();
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\n\
         [arm.back.cluster]\npath = \"cluster-ip\"\nnodes = [\"node2\", \"node1\"]\n\
         [arm.one.cluster]\npath = \"node-port\"\nnodes = [\"node2\"]\n",
    );
    let (output, record, slices) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(
        slices.len() == 2 * 3
            && slices
                .iter()
                .all(|slice| slice["result"].get("measured").is_some()),
        "{told}"
    );
    assert_eq!(world.double.faults(), Vec::<String>::new());
    let placed = &record["cluster"]["placed"];
    for (pod, node) in [
        ("tollgate-client", "node1"),
        ("tollgate-far", "node2"),
        ("tollgate-pair1-client", "node2"),
        ("tollgate-pair1-far", "node1"),
        ("tollgate-pair2-client", "node2"),
        ("tollgate-pair2-far", "node2"),
    ] {
        assert_eq!(placed[pod], node, "{placed}");
    }
    let note = |arm: &str| {
        let notes = &record["installs"][0]["arms"][arm]["notes"];
        notes[0].as_str().unwrap().to_owned()
    };
    assert_eq!(
        note("back"),
        "pod to ClusterIP, pod on another node; client on node2, server on node1"
    );
    assert_eq!(
        note("one"),
        "pod to its own node's port, pod on the same node; client on node2, server on node2"
    );
    assert_eq!(
        record["plan"]["arms"][1]["datapath"]["cluster"]["nodes"][0],
        "node2"
    );
    world.assert_rights_kept();
    world.assert_nothing_left();
}

#[test]
fn nodes_that_take_no_pods_are_told_before_anything_is_made() {
    let world = World::with_probes();
    let mut ill = world.double.object("nodes", "node2").unwrap();
    ill["status"]["conditions"][0]["status"] = Value::from("False");
    ill["metadata"]["name"] = Value::from("node3");
    world.double.put("nodes", ill);
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\n\
         [arm.ill.cluster]\npath = \"pod-ip\"\nnodes = [\"node3\"]\n\
         [arm.gone.cluster]\npath = \"cluster-ip\"\nnodes = [\"node1\", \"node9\"]\n",
    );
    let (output, record, _) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    for node in ["node3", "node9"] {
        let line = format!("node {node} isn't there, isn't ready, or takes no pods");
        assert_eq!(told.matches(&line).count(), 1, "{told}");
    }
    assert!(!told.contains("node node1"), "{told}");
    assert!(record.is_null(), "{record}");
    assert!(world.probes.lock().unwrap().is_empty());
    world.assert_nothing_left();
}
