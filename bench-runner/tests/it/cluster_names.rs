//! Headless services: arms whose client goes by a name.

use serde_json::{Value, json};

use crate::cluster_arms::{evidence_of, paths, ran};
use crate::on_cluster::{World, names};
use crate::support::{ended, stderr};

const HEADLESS: &str = "[arm.a.cluster]\npath = \"pod-ip\"\n[arm.b.cluster]\npath = \"headless\"\n\
                        [arm.c.cluster]\npath = \"near-pod-ip\"\n";

#[test]
fn a_headless_service_leads_to_the_pod_by_its_name() {
    let world = World::with_probes();
    if !names(&world, "127.0.0.1 tollgate-far-headless\n") {
        eprintln!("SKIPPED: no mount namespace here");
        return;
    }
    let (output, record, slices) = ran(&world, &paths("count = 1", HEADLESS), &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert_eq!(slices.len(), 2 * 3, "{told}");
    let path = record["cluster"]["paths"]["b"].as_str().unwrap();
    assert_eq!(
        path,
        "pod to a headless service's name, pod on another node: 127.0.0.1:7801"
    );
    let named = &record["installs"][0]["arms"]["b"]["named"];
    assert_eq!(named["addresses"], json!(["127.0.0.1"]));
    assert_eq!(named["pod"], "127.0.0.1");
    assert!(named["took_ns"].as_u64().unwrap() > 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = evidence_of(&report, "b", "name");
    assert_eq!(name["judgement"], "ok");
    let text = name["text"].as_str().unwrap();
    assert!(
        text.starts_with(
            "tollgate-far-headless led the client to 127.0.0.1, the pod's own address"
        ),
        "{text}"
    );
    world.assert_nothing_left();
}

#[test]
fn without_dns_a_headless_service_is_skipped_with_the_reason() {
    let world = World::with_probes();
    if !names(&world, "127.0.0.1 localhost\n") {
        eprintln!("SKIPPED: no mount namespace here");
        return;
    }
    let (output, record, slices) = ran(&world, &paths("count = 1", HEADLESS), &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    let line = told
        .lines()
        .find(|line| line.contains("skipping b"))
        .unwrap();
    assert!(
        line.contains("takes a DNS server in the cluster")
            && line.contains("`tollgate-far-headless` leads nowhere"),
        "{line}"
    );
    assert_eq!(record["plan"]["skipped"][0]["arm"], "b");
    assert_eq!(slices.len(), 2 * 2, "{told}");
    world.assert_nothing_left();
}
