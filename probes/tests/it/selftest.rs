//! The self-test as a program: exact counts, a figure for everything, a verdict that its exit code tells too.
//! How near the delays are, and the verdict itself, depend on the machine and are not asserted.

use std::process::Command;

use serde_json::Value;
use tollgate_probes::clock::{Clock as _, Monotonic};

#[test]
fn known_answers_are_reported_and_the_exit_code_is_the_verdict() {
    let started = Monotonic.now();
    let output = Command::new(assert_cmd::cargo::cargo_bin!("tollgate-probe"))
        .args(["selftest", "--cpu", "0", "--json"])
        .output()
        .unwrap();
    let took_s = Monotonic.now().since(started) / 1_000_000_000;
    assert!(took_s < 30, "{took_s} s, where about 10 are promised");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["cpu"], 0, "{said}");
    for count in said["counts"].as_array().unwrap() {
        assert_eq!(count["answer"], "right", "{count}");
        assert_eq!(count["declared"], count["reported"], "{count}");
    }
    let delays = said["delays"].as_array().unwrap();
    let declared = |kind| {
        let of_kind = delays.iter().filter(move |delay| delay["kind"] == kind);
        of_kind.filter_map(|delay| delay["declared_ns"].as_u64())
    };
    for kind in ["tcp-rr", "udp-rr"] {
        let declared: Vec<u64> = declared(kind).collect();
        assert_eq!(declared, [10_000, 50_000, 200_000]);
    }
    assert!(
        delays.iter().all(|delay| delay["reported_ns"].is_i64()),
        "{said}"
    );
    assert_eq!(said["stalls"].as_array().unwrap().len(), 2, "{said}");
    assert!(
        said["floor"]["clock_read_ns"].as_u64().unwrap() > 0,
        "{said}"
    );
    assert!(said["floor"]["sleep"]["late_p99_ns"].is_u64(), "{said}");
    for kind in ["tcp_rr", "udp_rr"] {
        assert!(
            said["floor"][kind]["p50_ns"].as_u64().unwrap() > 0,
            "{said}"
        );
    }
    let verdict = said["verdict"].as_str().unwrap();
    let expected = match verdict {
        "can" | "degraded" => 0,
        "cannot" => 4,
        _ => panic!("{said}"),
    };
    assert_eq!(output.status.code(), Some(expected), "{said}");
    let reasons = said["reasons"].as_array().unwrap();
    assert_eq!(reasons.is_empty(), verdict == "can", "{said}");
}
