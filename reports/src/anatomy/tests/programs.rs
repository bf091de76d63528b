//! What eBPF programs cost, from slices in which the kernel counted their runs.

use tollgate_results::anatomy::{AnatomyRecord, AnatomySlice, Followed, ProgramCost, SliceOutcome};
use tollgate_results::histogram::Histogram;

use super::{faults, record};
use crate::anatomy::analyse;

/// Eight rounds of two arms, of which `vxlan` has programs that take 100 ns a run, and 1 ns more each round.
fn counted() -> AnatomyRecord {
    let mut record = record(8, 80);
    record.programs = true;
    for round in 0..=8_u64 {
        let mut latency = Histogram::new();
        latency.record_many(30_000, 20);
        let program = |place: &str, program: &str, runs: u64| ProgramCost {
            place: place.to_owned(),
            program: program.to_owned(),
            runs,
            time_ns: runs * (100 + round),
        };
        record.slices.push(AnatomySlice {
            round: u32::try_from(round).unwrap(),
            arm: "vxlan".parse().unwrap(),
            followed: Followed::TcpRr,
            counted_runs: Some(2_001),
            outcome: SliceOutcome::Counted {
                latency,
                programs: vec![
                    program("node a", "from_pod", 2_000),
                    program("node b", "from_pod", 1),
                    program("node b", "to_tunnel", 0),
                ],
            },
        });
    }
    record
}

#[test]
fn each_program_has_the_median_of_its_rounds() {
    let anatomy = analyse(&counted());
    assert_eq!(faults(&anatomy), Vec::<String>::new());
    let [native, vxlan] = &anatomy.arms[..] else {
        panic!("{:?}", anatomy.arms)
    };
    assert_eq!(native.programs, None);
    let found = vxlan.programs.as_ref().unwrap();
    let names: Vec<_> = found
        .programs
        .iter()
        .map(|one| (one.place.as_str(), one.program.as_str(), one.runs))
        .collect();
    assert_eq!(
        names,
        [
            ("node a", "from_pod", 16_000),
            ("node b", "from_pod", 8),
            ("node b", "to_tunnel", 0)
        ]
    );
    // Rounds 1 to 8 took 101 to 108 ns; round 0 counts for nothing.
    let ns = found.programs[0].ns.unwrap();
    assert!((ns.median - 104.5).abs() < 1e-9, "{ns:?}");
    assert_eq!(ns.rounds, 8);
    let interval = ns.interval.unwrap();
    assert!(
        interval.low <= 102.0 && interval.high >= 107.0,
        "{interval:?}"
    );
    assert_eq!(found.programs[2].ns, None);
    assert!(found.effect.unwrap().value > 1.2, "{:?}", found.effect);
}

#[test]
fn counted_slices_touch_no_other_figure() {
    let (with, without) = (analyse(&counted()), analyse(&record(8, 80)));
    let mut bare = with.clone();
    for arm in &mut bare.arms {
        arm.programs = None;
    }
    assert_eq!(bare.arms, without.arms);
    assert_eq!(bare.differences, without.differences);
}

#[test]
fn runs_that_were_timed_in_other_slices_are_told() {
    let mut record = counted();
    for slice in &mut record.slices {
        if let SliceOutcome::Plain { .. } = slice.outcome {
            slice.counted_runs = Some(u64::from(slice.arm.as_str() == "vxlan") * 1_000);
        }
    }
    let told = faults(&analyse(&record));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("the kernel timed 8,000 runs") && told[0].contains("bpf_stats_enabled"),
        "{told:?}"
    );
}

#[test]
fn a_report_lists_them_below_the_arm() {
    let anatomy = analyse(&counted());
    let text = crate::render::anatomy_text(&anatomy);
    let start = text.find("  eBPF programs, as the kernel timed").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    for line in text[start..end].lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(&text[start..end]);
    let page = String::from_utf8(crate::render::anatomy_page(&anatomy)).unwrap();
    assert!(page.contains("<code>to_tunnel</code>"));
    let json = serde_json::to_string(&anatomy).unwrap();
    let again: crate::anatomy::Anatomy = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}
