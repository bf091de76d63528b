//! Arms of a cluster with several client pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster_arms::{evidence_of, paths, ran};
use crate::on_cluster::World;
use crate::support::{ended, stderr};

#[test]
fn several_pods_send_at_once_and_are_one_slice() {
    let world = World::with_probes();
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\n\
         [arm.three.cluster]\npath = \"cluster-ip\"\nclients = 3\n\
         [arm.two.cluster]\npath = \"node-port\"\nclients = 2\nnodes = [\"node2\"]\n",
    );
    let (output, record, slices) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert_eq!(world.double.faults(), Vec::<String>::new());
    let pods: BTreeSet<String> = world
        .probes
        .lock()
        .unwrap()
        .iter()
        .map(|(pod, _)| pod.clone())
        .collect();
    for pod in [
        "tollgate-client-2",
        "tollgate-client-3",
        "tollgate-pair1-client",
        "tollgate-pair1-client-2",
    ] {
        assert!(pods.contains(pod), "{pod} in {pods:?}");
    }
    assert_eq!(pods.len(), 3 + 2 + 3, "{pods:?}");
    assert_eq!(
        record["cluster"]["placed"]["tollgate-pair1-client-2"],
        "node2"
    );
    for slice in &slices {
        let measured = &slice["result"]["measured"];
        let clients = match slice["key"]["arm"].as_str().unwrap() {
            "three" => 3,
            "two" => 2,
            _ => {
                assert!(measured.get("together").is_none(), "{slice}");
                continue;
            }
        };
        let each: Vec<u64> = measured["together"]["replied"]
            .as_array()
            .unwrap()
            .iter()
            .map(|replied| replied.as_u64().unwrap())
            .collect();
        assert_eq!(each.len(), clients, "{slice}");
        assert!(each.iter().all(|replied| *replied > 0), "{slice}");
        let all: u64 = each.iter().sum();
        assert_eq!(measured["outcome"]["replied"], all, "{slice}");
        assert!(measured["together"]["skew_ns"].as_u64().is_some());
        let threads = &measured["client"]["threads"]["threads"];
        assert_eq!(*threads, clients, "a thread of each client is counted");
    }
    assert_eq!(slices.len(), 2 * 3);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let clients = evidence_of(&report, "three", "clients");
    // On a busy machine they may begin apart: then that is what is said.
    assert_ne!(clients["judgement"], "contradicts", "{clients}");
    assert!(
        clients["text"].as_str().unwrap().contains("3 clients"),
        "{clients}"
    );
    world.assert_rights_kept();
    world.assert_nothing_left();
}
