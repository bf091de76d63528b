//! Packets followed from end to end, as a user asks for it. Nothing here is true of a fast machine alone.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{is_root, network_namespaces, no_lab, run, scenario, stderr, stdout};

const SMALL: &str = r#"
schema = 1
name = "small"
about = "A short comparison for tests"
reference = "native"

[arm.native]
pods = "bridge"
wire = "native"

[arm.vxlan]
pods = "bridge"
wire = "vxlan"

[arm.legacy]
pods = "bridge"
wire = "native"
service = "iptables-legacy"
services = { count = 10 }

[workload.rr.tcp-rr]
payload = "64 B"
cpu = "shared"
"#;

/// Says why packets can't be followed here.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn no_clock(output: &std::process::Output) -> bool {
    let cannot = output.status.code() == Some(4) && stderr(output).contains("packet clock");
    if cannot {
        eprintln!("SKIPPED: {}", stderr(output));
    }
    cannot
}

#[test]
fn every_exchange_is_followed_and_its_hops_are_named() {
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "small", SMALL);
    let out = dir.path().join("out");
    let (file, folder) = (file.to_str().unwrap(), out.to_str().unwrap());
    let before = network_namespaces();
    let output = run(&[
        "anatomy", file, "--rounds", "1", "--slice", "30ms", "--warmup", "10ms", "--seed", "1",
        "--out", folder, "--json",
    ]);
    assert!(network_namespaces().is_subset(&before), "something is left");
    if no_clock(&output) {
        assert!(!is_root(), "{}", stderr(&output));
        assert!(!out.exists(), "an empty folder is left");
        return;
    }
    // On a busy machine the sums may not agree, and that is said (4).
    let told = stderr(&output);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{told}");
    let report: Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}: {told}"));
    let arms = report["arms"].as_array().unwrap();
    // Three arms, each with tcp-rr, udp-rr and, because of the services, tcp-connect.
    assert_eq!(arms.len(), 9);
    for arm in arms {
        let name = format!("{} {}", arm["arm"], arm["followed"]);
        assert_eq!(
            (&arm["lost"], &arm["failed"]),
            (&0.into(), &0.into()),
            "{name}"
        );
        let (joined, exchanges) = (
            arm["joined"].as_u64().unwrap(),
            arm["exchanges"].as_u64().unwrap(),
        );
        assert!(
            exchanges > 0 && joined * 100 >= exchanges * 99,
            "{name}: {joined} of {exchanges}"
        );
        let hops = arm["ways"][0]["hops"].as_array().unwrap();
        let tunnelled = hops.iter().any(|hop| hop["key"]["kind"] == "encapsulation");
        assert_eq!(tunnelled, arm["arm"] == "vxlan", "{name}");
        assert!(
            !hops.iter().any(|hop| hop["key"]["kind"] == "other"),
            "{name}: {hops:#?}"
        );
    }
    let kept = fs::read(out.join("report.html")).unwrap();
    let again = run(&["anatomy", "--from", folder]);
    assert_eq!(
        again.status.code(),
        output.status.code(),
        "{}",
        stderr(&again)
    );
    assert_eq!(
        fs::read(out.join("report.html")).unwrap(),
        kept,
        "written again, byte for byte"
    );
    assert!(
        stdout(&again).contains("vxlan against native"),
        "{}",
        stdout(&again)
    );
    assert!(
        stdout(&again)
            .lines()
            .all(|line| line.chars().count() <= 80)
    );
}

#[test]
fn what_cannot_be_asked_for_is_refused_in_a_line() {
    let dir = tempdir().unwrap();
    let empty = dir.path().to_str().unwrap();
    for (args, said) in [
        (vec!["anatomy"], "<NAME|FILE>"),
        (
            vec!["anatomy", "quickstart", "--follow", "http"],
            "tcp-rr, udp-rr, tcp-connect",
        ),
        (
            vec!["anatomy", "quickstart", "--netfilter", "input"],
            "conntrack, dnat, forward, snat",
        ),
        (
            vec!["anatomy", "quickstart", "--slice", "1m"],
            "is not in 10ms to 2s",
        ),
        (vec!["anatomy", "quickstart", "--rounds", "0"], "--rounds"),
        (vec!["anatomy", "--from", empty], "has no anatomy.json"),
        (
            vec!["anatomy", "--from", empty, "--rounds", "3"],
            "cannot be used with",
        ),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(said),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    fs::write(dir.path().join("anatomy.json"), "{\"schema\": 1").unwrap();
    let output = run(&["anatomy", "--from", empty]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("failed to read"),
        "{}",
        stderr(&output)
    );
}
