//! Sweeps over source ports: the slices of an arm together tell whether ports differ.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tollgate_reports::analyse;
use tollgate_reports::model::{Flows, Renderer as _};
use tollgate_reports::render::{Html, Markdown, Terminal};
use tollgate_reports::synthetic::Synthetic;
use tollgate_results::run::Campaign;
use tollgate_results::slice::SliceResult;
use tollgate_results::sweep::{FlowSweep, SweptTuple};

/// Four ports in eight blocks around 20 µs, the first one slower by a share.
fn sweep(round: u32, slower: f64) -> FlowSweep {
    let tuple = |tuple: u32| {
        let own = if tuple == 0 { 1.0 + slower } else { 1.0 };
        let visit = |block: u32| {
            // Up to 1.3 %, and the same in every run.
            let mut hasher = DefaultHasher::new();
            (3_u32, round, tuple, block).hash(&mut hasher);
            let noise = hasher.finish() % 256;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "near 20,000"
            )]
            let ns = (20_000.0 * own) as u64 + noise;
            Some(ns)
        };
        SweptTuple {
            local: None,
            medians_ns: (0..8).map(visit).collect(),
        }
    };
    FlowSweep {
        tuples: (0..4).map(tuple).collect(),
    }
}

/// A campaign whose ports differ by a share on vxlan and don't on native.
fn campaign(slower: f64) -> Campaign {
    let mut campaign = Synthetic::overlay().referenced().campaign();
    for workload in &mut campaign.run.plan.workloads {
        workload.ports = (workload.name.as_str() == "tcp-rr").then_some(4);
    }
    for slice in &mut campaign.slices {
        let key = &slice.record.key;
        let share = if key.arm.as_str() == "vxlan" {
            slower
        } else {
            0.0
        };
        if let SliceResult::Measured(measured) = &mut slice.record.result
            && key.workload.as_str() == "tcp-rr"
        {
            measured.outcome.sweep = Some(sweep(key.round, share));
        }
    }
    campaign
}

#[test]
fn ports_that_differ_on_one_arm_are_told() {
    let analysis = analyse(&campaign(0.05));
    let found: Vec<(&str, bool)> = analysis
        .flows
        .iter()
        .map(|of| (of.arm.as_str(), of.difference.unwrap().p <= Flows::LEVEL))
        .collect();
    assert_eq!(
        found,
        [("native", false), ("vxlan", true)],
        "{:?}",
        analysis.flows
    );
    let terminal = String::from_utf8(Terminal::default().render(&analysis)).unwrap();
    let terminal = terminal.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        terminal.contains("4 source ports of native aren't told apart"),
        "{terminal}"
    );
    assert!(
        terminal.contains("4 source ports of vxlan differ: sd"),
        "{terminal}"
    );
    for bytes in [Html.render(&analysis), Markdown.render(&analysis)] {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("4 source ports of vxlan differ"));
    }
}

#[test]
fn replies_that_never_came_are_no_difference() {
    let mut campaign = campaign(0.05);
    for slice in &mut campaign.slices {
        if let SliceResult::Measured(measured) = &mut slice.record.result
            && let Some(sweep) = &mut measured.outcome.sweep
        {
            sweep.tuples[1].medians_ns.fill(None);
        }
    }
    let analysis = analyse(&campaign);
    assert!(
        analysis
            .flows
            .iter()
            .all(|of| of.difference.is_none() && of.rounds == 0)
    );
    let text = String::from_utf8(Markdown.render(&analysis)).unwrap();
    assert!(text.contains("4 source ports of vxlan: too few replies to compare them."));
}
