//! What the inspector saw before a cluster was switched counts no more behind the switch.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_cluster::double::Double;
use tollgate_cluster::objects::inspector::{INSPECTOR, NAMESPACE};

use crate::cluster_arms::{evidence, paths, ran};
use crate::on_cluster::{World, pause};
use crate::support::{ended, stderr};

const POD: &str = "inspector-node1";

/// Has the inspector print what it sees where packets go by this wire.
fn look(double: &Double, number: u64, wire: &str) {
    let link =
        |kind: &str| json!({"kind": kind, "mtu": 1500, "up": true, "count": 1, "names": [kind]});
    let mut links = vec![link("veth")];
    if wire == "vxlan" {
        links.push(link("vxlan"));
    }
    let printed = json!({"looked_unix_ms": number, "links": links});
    double.log(POD, &format!("{printed}\n"));
}

#[test]
fn a_look_at_the_nodes_from_before_a_switch_does_not_count() {
    let world = World::with_probes();
    world.double.put("pods", json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": POD, "namespace": NAMESPACE, "labels": {"tollgate.io/role": INSPECTOR}},
        "spec": {"nodeName": "node1", "containers": []}, "status": {"phase": "Running"},
    }));
    look(&world.double, 0, "native");
    let stop = Arc::new(AtomicBool::new(false));
    let looking = {
        let (double, stop) = (world.double.clone(), Arc::clone(&stop));
        let wanted = world.dir.path().join("wanted");
        std::thread::spawn(move || {
            let (mut last, mut number) = (String::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                let now = fs::read_to_string(&wanted).unwrap_or_default();
                if now != last && now.ends_with('\n') {
                    // It doesn't look at once.
                    std::thread::park_timeout(Duration::from_millis(1_500));
                    number += 1;
                    look(&double, number, now.trim());
                    last = now;
                }
                pause();
            }
        })
    };
    let dir = world.dir.path().to_str().unwrap();
    let arm = |name: &str, wire: &str| {
        format!(
            "[arm.{name}]\ncluster = {{ path = \"pod-ip\", declares = {{ wire = \"{wire}\" }} }}\n\
             apply = [{{ run = [\"sh\", \"-c\", \"echo {wire} > {dir}/wanted\"] }}]\n"
        )
    };
    let text = paths("count = 1", &(arm("a", "native") + &arm("b", "vxlan")));
    let (output, record, _) = ran(&world, &text, &[]);
    stop.store(true, Ordering::Relaxed);
    looking.join().unwrap();
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(!told.contains("will be invalid"), "{told}");
    let arms = &record["installs"][0]["arms"];
    for (arm, wire) in [("a", "native"), ("b", "vxlan")] {
        let found = &arms[arm]["network"]["findings"]["wire"];
        assert_eq!(
            (&found["value"], &found["basis"]),
            (&json!(wire), &json!("seen"))
        );
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for arm in ["a", "b"] {
        assert_eq!(evidence(&report, arm)["judgement"], "ok");
    }
}
