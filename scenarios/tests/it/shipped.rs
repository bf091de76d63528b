//! The scenarios in the binary, the defaults file and the schema.

use std::path::Path;

use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_scenarios::{DEFAULTS, Overrides, Scenario, can_compare, estimate, resolve, shipped};

fn plan(scenario: &str) -> Plan {
    let scenario = Scenario::load(scenario).unwrap_or_else(|faults| panic!("{faults}"));
    resolve(&scenario, &Overrides::default(), &|_| None).expect("nothing is overridden")
}

#[test]
fn every_shipped_scenario_is_good_and_fits_its_time() {
    let limits = [
        ("quickstart", 3.5),
        ("overlay-tax", 3.0),
        ("pod-attachment", 3.5),
        ("service-path", 5.5),
        ("ebpf-latency", 9.0),
        ("datapath-matrix", 16.0),
        ("service-scaling", 7.0),
        ("north-south", 2.5),
        ("bbr", 8.0),
        ("sysctl-folklore", 4.5),
        ("latency-under-load", 5.0),
        ("conntrack-exhaustion", 10.0),
        ("service-balance", 4.5),
        ("gateway-split", 2.0),
    ];
    for (name, minutes) in limits {
        let plan = plan(name);
        assert!(can_compare(&plan) && plan.skipped.is_empty(), "{name}");
        assert!(
            estimate(&plan).seconds() < minutes * 60.0,
            "{name}: {}",
            estimate(&plan)
        );
    }
    assert_eq!(shipped().len(), limits.len());
}

#[test]
fn every_file_in_the_folder_is_shipped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shipped");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut names: Vec<_> = shipped()
        .iter()
        .map(|known| format!("{}.toml", known.name))
        .collect();
    names.sort();
    assert_eq!(files, names);
}

/// What the shipped scenarios are, in short; a change of any is a change of what results mean.
#[test]
fn the_shipped_scenarios_are_these() {
    let mut lines = Vec::new();
    for known in shipped() {
        let plan = plan(known.name);
        lines.push(format!(
            "{} ({} rounds, {})",
            known.name,
            plan.rounds.count,
            estimate(&plan)
        ));
        for arm in &plan.arms {
            let workloads: Vec<_> = arm.workloads.iter().map(Name::as_str).collect();
            let reference = arm.reference.as_ref().map_or("-", Name::as_str);
            let workloads = workloads.join(" ");
            lines.push(format!(
                "  {} | {} | vs {reference} | {workloads}",
                arm.name, arm.datapath
            ));
        }
        for claim in &plan.claims {
            let pairs: Vec<_> = claim
                .pairs
                .iter()
                .map(|pair| format!("{} vs {}", pair.arm, pair.baseline))
                .collect();
            let workloads: Vec<_> = claim.workloads.iter().map(Name::as_str).collect();
            lines.push(format!(
                "  claim {} | {} {} | {} | {}",
                claim.name,
                claim.metric,
                claim.change.words(),
                pairs.join(", "),
                workloads.join(" ")
            ));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_defaults_file_says_what_the_code_does() {
    let written = Scenario::parse("defaults.toml", DEFAULTS).unwrap();
    let bare = r#"
        schema = 1
        name = "defaults"
        about = "Every key of a scenario file at its default"
        reference = "native"
        [arm.native]
        [arm.service]
        service = "iptables-legacy"
        workloads = ["rr", "crr", "stream", "udp", "http"]
        [workload.rr.tcp-rr]
        [workload.crr.tcp-crr]
        [workload.stream.tcp-stream]
        [workload.datagrams.udp-stream]
        [workload.udp.udp-rr]
        [workload.ping.icmp-echo]
        [workload.http.http]
    "#;
    let mut left_out = Scenario::parse("defaults.toml", bare).unwrap();
    left_out.hash.clone_from(&written.hash);
    assert_eq!(written, left_out);
}

/// Every key that the schema knows stands in the defaults file, if only in a comment.
#[test]
fn the_defaults_file_has_every_key() {
    let schema = serde_json::to_value(tollgate_scenarios::schema()).unwrap();
    let mut keys = Vec::new();
    collect_keys(&schema, &mut keys);
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        assert!(DEFAULTS.contains(&key), "{key}");
    }
}

fn collect_keys(value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Object(properties)) = object.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(values) => {
            for value in values {
                collect_keys(value, keys);
            }
        }
        _ => {}
    }
}

/// What the reader misses, an editor misses too.
#[test]
fn the_schema_requires_what_the_reader_does() {
    let schema = serde_json::to_value(tollgate_scenarios::schema()).unwrap();
    let required = schema["required"].as_array().unwrap();
    let missed = crate::refused("").join("\n");
    assert_eq!(required.len(), missed.lines().count());
    for key in required {
        let key = key.as_str().unwrap();
        assert!(missed.contains(&format!("small.toml: {key}: ")), "{key}");
    }
}
