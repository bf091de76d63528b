//! Services in a real campaign: several endpoints, affinity, node ports and standing load, with what proves them.

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{ended, no_lab, run, scenario, stderr, stdout};

const SERVED: &str = r#"
schema = 1
name = "served"
about = "Services with several endpoints, for tests"
reference = "drawn"

[rounds]
count = 6
slice = "60ms"
warmup = "10ms"

[arm.drawn]
service = "iptables-nft"
services = { count = 10, endpoints = 3 }

[arm.kept]
service = "nftables"
services = { count = 10, endpoints = 3, affinity = true, access = "node-port" }

[arm.packets]
service = "tc-lb"
services = { count = 10, endpoints = 3 }
standing = { policies = 50, connections = 1000 }

[arm.routed]
pods = "routed"
service = "iptables-nft"
services = { count = 10, endpoints = 3 }

[arm.redirected]
pods = "ebpf"
service = "tc-lb"
services = { count = 10, endpoints = 3 }

[arm.balancer]
service = "ipvs"
services = { count = 10, endpoints = 3 }

[workload.crr.tcp-crr]
payload = "64 B"

[workload.udp.udp-rr]
payload = "64 B"

[workload.datagrams.udp-stream]
rate = "2k/s"
direction = "both"
"#;

#[test]
fn every_arm_of_services_has_its_proof() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "served", SERVED);
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let output = run(&["run", file.to_str().unwrap(), "--seed", "7", "--out", out]);
    assert!(ended(&output), "{}{}", stdout(&output), stderr(&output));
    let slices = std::fs::read_to_string(dir.path().join("out/slices.jsonl")).unwrap();
    assert!(!slices.contains("\"failed\""), "{slices}");
    let report = std::fs::read_to_string(dir.path().join("out/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    for arm in report["arms"].as_array().unwrap() {
        let evidence = &arm["evidence"];
        assert_eq!(evidence["judgement"], "ok", "{evidence:#}");
        let said = |about: &str| {
            let checks = evidence["checks"].as_array().unwrap().iter();
            let found = checks.filter(|check| check["about"] == about);
            found.map(|check| check["text"].as_str().unwrap()).next()
        };
        let balance = said("balance").unwrap();
        let endpoints = evidence["endpoints"].as_array().unwrap();
        if arm["name"] == "kept" {
            assert!(
                balance.contains("at one endpoint, as affinity has it"),
                "{balance}"
            );
        } else {
            assert!(balance.contains("over 3 endpoints"), "{balance}");
            assert_eq!(endpoints.len(), 3, "{endpoints:#?}");
        }
        if arm["name"] == "redirected" {
            assert!(said("pods").unwrap().starts_with("past the nodes' stack"));
            assert!(said("packet translations").unwrap().contains("one by one"));
        }
        if arm["name"] == "packets" {
            assert!(said("standing load").unwrap().starts_with("at least 1,000"));
            assert!(said("packet translations").unwrap().contains("one by one"));
        }
    }
}
