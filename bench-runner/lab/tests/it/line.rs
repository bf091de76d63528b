//! A line between the nodes: packets cross it, no sooner than set, and are lost as set; it ends with its arm.

use std::time::{Duration, Instant};

use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Datapath, Family, Name, Pods};
use tollgate_results::line::{Line, LineDirection, LineFacts};
use tollgate_results::outcome::Protocol;
use tollgate_results::units::{BitRate, Nanoseconds};

use crate::harness::{capabilities, echo, holder, lab, name, native, ping, run, vxlan};

const MS: u64 = 1_000_000;

fn over(line: Line, datapath: Datapath) -> Datapath {
    Datapath {
        line: Some(line),
        ..datapath
    }
}

/// Starts a lab, or says loudly why this machine has no line.
fn lab_with_lines() -> Option<Lab> {
    let lab = lab()?;
    if let Some(missing) = capabilities().missing(&over(Line::default(), native())) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {missing}");
        return None;
    }
    Some(lab)
}

fn deploy(lab: &Lab, arm: &Name, datapath: &Datapath) -> LineFacts {
    let facts = lab
        .deploy(arm, datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    facts.line.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has no clock of its own")]
fn now() -> Instant {
    Instant::now()
}

/// Returns how many packets are accounted for.
fn gone(direction: &LineDirection) -> u64 {
    direction.left + direction.lost + direction.overflowed + direction.unroomed
}

#[test]
fn every_kind_of_arm_crosses_it_no_sooner_than_set() {
    let Some(lab) = lab_with_lines() else { return };
    let line = Line {
        delay: Nanoseconds(5 * MS),
        jitter: Nanoseconds(MS),
        rate: Some(BitRate(100_000_000)),
        ..Line::default()
    };
    for (datapath, family) in [
        (native(), Family::Ipv4),
        (vxlan(), Family::Ipv4),
        (vxlan(), Family::Ipv6),
        (
            Datapath {
                pods: Pods::Host,
                ..native()
            },
            Family::Ipv6,
        ),
    ] {
        let datapath = over(line, Datapath { family, ..datapath });
        let arm = name(&format!("{}-{}-{family}", datapath.pods, datapath.wire));
        let facts = deploy(&lab, &arm, &datapath);
        assert!(
            facts.arrived > 0 && facts.arrived <= facts.sent,
            "{facts:?}"
        );
        let _echo = echo(&lab, &arm);
        let before = lab.counters(&arm).unwrap();
        let start = now();
        ping(&lab, &arm, 10, Protocol::Tcp);
        // A round trip to connect and one for each request.
        assert!(
            start.elapsed() >= Duration::from_millis(11 * 10),
            "{arm}: too soon"
        );
        let seen = lab.counters(&arm).unwrap().since(&before).line.unwrap();
        for direction in [seen.there, seen.back] {
            assert!(
                direction.entered >= 11 && direction.lost == 0,
                "{arm}: {seen:?}"
            );
        }
    }
}

#[test]
fn packets_are_lost_as_set_and_all_are_accounted_for() {
    let Some(lab) = lab_with_lines() else { return };
    let arm = name("arm");
    let line = Line {
        loss_ppm: 500_000,
        burst: Some(3),
        seed: Some(7),
        ..Line::default()
    };
    let facts = deploy(&lab, &arm, &over(line, native()));
    assert!(facts.arrived < facts.sent, "{facts:?}");
    let seen = lab.counters(&arm).unwrap().line.unwrap();
    for direction in [seen.there, seen.back] {
        assert!(direction.lost > 0, "{seen:?}");
        assert_eq!(direction.entered, gone(&direction), "{seen:?}");
    }
}

#[test]
fn bulk_data_fills_the_queue_and_comes_whole() {
    let Some(lab) = lab_with_lines() else { return };
    let arm = name("arm");
    let line = Line {
        delay: Nanoseconds(MS),
        rate: Some(BitRate(50_000_000)),
        queue: Some("20 kB".parse().unwrap()),
        ..Line::default()
    };
    deploy(&lab, &arm, &over(line, native()));
    let _echo = echo(&lab, &arm);
    let target = lab.endpoints(&arm).unwrap().target.to_string();
    let (well, printed) = run(
        &lab,
        &arm,
        Role::Client,
        &[holder(), "bulk", &target, "3000000"],
    );
    assert!(well, "{printed}");
    let seen = lab.counters(&arm).unwrap().line.unwrap();
    assert!(seen.there.overflowed > 0, "{seen:?}");
    assert_eq!(seen.there.unroomed, 0, "{seen:?}");
}

/// Says whether a thread of a line runs in the lab.
fn runs(lab: &Lab, arm: &Name) -> bool {
    let script = "cat /proc/[0-9]*/task/*/comm | grep -q lab-line";
    run(lab, arm, Role::NodeA, &["sh", "-c", script]).0
}

#[test]
fn it_ends_with_its_arm_and_with_its_device() {
    let Some(lab) = lab_with_lines() else { return };
    let (plain, arm) = (name("plain"), name("arm"));
    lab.deploy(&plain, &native(), 1).unwrap();
    let datapath = over(Line::default(), native());
    deploy(&lab, &arm, &datapath);
    assert!(runs(&lab, &plain));
    lab.remove(&arm).unwrap();
    assert!(!runs(&lab, &plain));
    deploy(&lab, &arm, &datapath);
    // Somebody takes the device away under it.
    let (well, printed) = run(&lab, &arm, Role::NodeA, &["ip", "link", "delete", "eth0"]);
    if !well {
        eprintln!("SKIPPED, ONLY THE ARM'S END WAS TESTED: {printed}");
        return;
    }
    let ended = (0..100).any(|_| {
        std::thread::park_timeout(Duration::from_millis(20));
        !runs(&lab, &plain)
    });
    assert!(ended, "the line's thread outlived its device");
    assert!(lab.counters(&arm).is_ok(), "the arm can still be asked");
}
