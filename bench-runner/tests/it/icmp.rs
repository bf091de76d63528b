//! Echo requests and path MTUs in a real lab: what the far end's kernel answers has evidence, too, and the overlay's
//! headers show.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{ended, no_lab, run, scenario, stderr, stdout};

const PING: &str = r#"
schema = 1
name = "ping"
about = "Echo requests over native routing and VXLAN"
reference = "native"

[rounds]
count = 6
slice = "60ms"
warmup = "10ms"

[arm.native]

[arm.vxlan]
wire = "vxlan"

[arm.six]
family = "ipv6"

[workload.ping.icmp-echo]
timestamps = true

[workload.paced.icmp-echo]
load = { open = "1k/s" }
"#;

fn path_mtu(run: &Value, arm: &str, which: &str) -> Value {
    run["installs"][0]["arms"][arm]["path_mtu"][which]["mtu"].clone()
}

#[test]
fn echo_requests_have_evidence_and_the_overlay_shows_in_the_path_mtu() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "ping", PING);
    let out = dir.path().join("out");
    let output = run(&[
        "run",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let record = fs::read_to_string(out.join("run.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    for (arm, pods) in [("native", 1_500), ("vxlan", 1_450), ("six", 1_500)] {
        assert_eq!(path_mtu(&record, arm, "there"), pods, "{arm}");
        assert_eq!(path_mtu(&record, arm, "back"), pods, "{arm}");
        assert_eq!(path_mtu(&record, arm, "node_there"), 1_500, "{arm}");
        assert_eq!(path_mtu(&record, arm, "node_back"), 1_500, "{arm}");
    }
    let slices = fs::read_to_string(out.join("slices.jsonl")).unwrap();
    let mut identifiers = Vec::new();
    for line in slices.lines() {
        let slice: Value = serde_json::from_str(line).unwrap();
        let measured = &slice["result"]["measured"];
        let outcome = &measured["outcome"];
        assert!(outcome["replied"].as_u64() > Some(0), "{line}");
        assert_eq!(outcome["stray"], 0, "{line}");
        assert_eq!(outcome["socket"], "raw", "{line}");
        assert_eq!(outcome["flow"]["protocol"], "icmp", "{line}");
        assert_eq!(measured["evidence"]["translation"], "untouched", "{line}");
        identifiers.push(outcome["flow"]["local"].to_string());
    }
    let all = identifiers.len();
    identifiers.sort();
    identifiers.dedup();
    // Each slice has an identifier of its own; of 65,536 a few may be drawn twice.
    assert!(
        identifiers.len() + 3 >= all,
        "{} of {all}",
        identifiers.len()
    );
    let report = fs::read_to_string(out.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    for arm in report["arms"].as_array().unwrap() {
        assert_eq!(arm["evidence"]["judgement"], "ok", "{arm}");
    }
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("vxlan 1450 there, 1450 back, 1500 between nodes"));
}
