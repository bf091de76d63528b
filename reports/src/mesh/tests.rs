//! What is planted in a synthetic mesh is told, and nothing else.

use super::*;
use crate::model::Verdict;
use crate::synthetic::SyntheticMesh;

fn report(mesh: &SyntheticMesh) -> MeshReport {
    analyse(&mesh.record(), &mesh.meetings())
}

fn told(report: &MeshReport) -> Vec<(&str, Verdict)> {
    let nodes = report.nodes.iter().filter(|node| node.is_told());
    nodes
        .map(|node| (node.name.as_str(), node.effect.verdict))
        .collect()
}

#[test]
fn a_slow_node_is_told_with_its_size_and_nobody_else() {
    let mesh = SyntheticMesh {
        slow: vec![(7, 0.2)],
        ..SyntheticMesh::plain(24, 1)
    };
    let report = report(&mesh);
    assert_eq!(report.basis, Basis::Peers);
    assert_eq!(told(&report), [("node-007", Verdict::Slower)]);
    let effect = &report.nodes[7].effect;
    let interval = effect.interval95.unwrap();
    assert!(interval.low < 1.2 && 1.2 < interval.high, "{effect:?}");
    assert!(effect.p_holm.unwrap() <= 0.05);
    assert!(report.nodes.iter().all(|node| node.peers == 23));
    assert_eq!(report.zones, []);
    assert!(report.nodes.iter().all(|node| node.sending.is_none()));
}

#[test]
fn few_nodes_are_told_apart_by_passes_alone() {
    let few = SyntheticMesh {
        slow: vec![(2, 0.3)],
        ..SyntheticMesh::plain(4, 2)
    };
    let once = report(&few);
    assert_eq!(once.basis, Basis::Nothing);
    assert_eq!(told(&once), []);
    assert_eq!(once.nodes[2].effect.verdict, Verdict::Insufficient);
    assert!(once.nodes[2].effect.ratio.unwrap() > 1.1);
    assert_eq!(passes_wanted(4), 8);
    let often = report(&SyntheticMesh { passes: 8, ..few });
    assert_eq!(often.basis, Basis::Passes);
    assert_eq!(told(&often), [("node-002", Verdict::Slower)]);
}

#[test]
fn a_far_zone_is_no_slow_node_and_crossing_has_its_price() {
    let mesh = SyntheticMesh {
        zones: 3,
        crossing: 0.4,
        between: 0.01,
        slow: vec![(4, 0.25)],
        ..SyntheticMesh::plain(30, 3)
    };
    let report = report(&mesh);
    assert_eq!(told(&report), [("node-004", Verdict::Slower)]);
    assert_eq!(report.zones.len(), 6);
    for pair in &report.zones {
        let Some(crossing) = &pair.crossing else {
            assert_eq!(pair.zone, pair.other);
            assert_eq!(pair.pairs, 45);
            continue;
        };
        assert_eq!(pair.pairs, 100);
        assert_eq!(crossing.verdict, Verdict::Slower);
        let interval = crossing.interval95.unwrap();
        assert!(interval.low < 1.42 && 1.38 < interval.high, "{pair:?}");
    }
}

#[test]
fn a_zone_of_one_node_is_not_taken_for_an_outlier() {
    let mut mesh = SyntheticMesh::plain(16, 4);
    mesh.slow = vec![(15, 0.5)];
    let mut record = mesh.record();
    for node in &mut record.nodes {
        node.zone = Some(if node.name == "node-015" { "b" } else { "a" }.to_owned());
    }
    let report = analyse(&record, &mesh.meetings());
    assert_eq!(told(&report), []);
    assert_eq!(report.nodes[15].effect.verdict, Verdict::Insufficient);
    let crossing = report.zones[2].crossing.as_ref().unwrap();
    assert_eq!(crossing.verdict, Verdict::Insufficient);
}

#[test]
fn a_slow_sender_shows_where_both_ways_were_measured() {
    let mesh = SyntheticMesh {
        both_ways: true,
        slow_senders: vec![(3, 0.3)],
        ..SyntheticMesh::plain(20, 5)
    };
    let report = report(&mesh);
    let slow: Vec<&str> = report
        .nodes
        .iter()
        .filter(|node| node.sending.as_ref().unwrap().verdict == Verdict::Slower)
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(slow, ["node-003"]);
    assert!((report.nodes[3].sending.as_ref().unwrap().ratio.unwrap() - 1.3).abs() < 0.05);
}

#[test]
fn what_fails_is_told_by_pair_and_by_node() {
    let mesh = SyntheticMesh {
        gone: vec![5],
        cut: vec![(1, 2)],
        ..SyntheticMesh::plain(12, 6)
    };
    let report = report(&mesh);
    assert_eq!(report.nodes[5].absent, 11);
    assert_eq!(report.nodes[5].failed, 11);
    assert_eq!(report.nodes[5].peers, 0);
    assert_eq!(report.nodes[5].effect.verdict, Verdict::Insufficient);
    assert_eq!((report.nodes[1].failed, report.nodes[1].absent), (2, 0));
    assert_eq!(report.subject.failed, 12);
    assert_eq!(report.failed_pairs.len(), 12);
    assert_eq!(report.failed_pairs[1].reason, "connection timed out");
    assert_eq!(report.heat.cells[1][2], HeatCell::Failed);
    assert_eq!(report.heat.cells[1][1], HeatCell::Empty);
}

/// Meetings of which those that are picked fail.
fn with_failures(mesh: &SyntheticMesh, fails: impl Fn(&Meeting) -> bool) -> Vec<Meeting> {
    let mut meetings = mesh.meetings();
    for meeting in meetings.iter_mut().filter(|meeting| fails(meeting)) {
        meeting.outcome = Met::Failed {
            reason: "no answer".to_owned(),
            node: None,
        };
    }
    meetings
}

#[test]
fn passes_without_a_node_say_nothing_of_it() {
    let mesh = SyntheticMesh {
        slow: vec![(2, 0.4)],
        passes: 12,
        ..SyntheticMesh::plain(6, 10)
    };
    let without = |passes: u32| {
        let meets = |meeting: &Meeting| meeting.client == 2 || meeting.server == 2;
        let meetings = with_failures(&mesh, |it| it.pass < passes && meets(it));
        analyse(&mesh.record(), &meetings)
    };
    let some = without(4);
    assert_eq!(some.basis, Basis::Passes);
    assert_eq!(told(&some), [("node-002", Verdict::Slower)]);
    let effect = &some.nodes[2].effect;
    assert_eq!(
        (effect.observations, some.nodes[3].effect.observations),
        (8, 12)
    );
    let interval = effect.interval95.unwrap();
    assert!(interval.low > 1.3, "no pass has it at 1: {effect:?}");
    let most = without(9);
    let effect = &most.nodes[2].effect;
    assert_eq!(
        (effect.observations, effect.verdict),
        (3, Verdict::Insufficient)
    );
    assert!((effect.ratio.unwrap() - 1.4).abs() < 0.1, "{effect:?}");
}

#[test]
fn passes_in_which_most_meetings_fail_are_no_observations() {
    let mesh = SyntheticMesh {
        passes: 12,
        ..SyntheticMesh::plain(6, 11)
    };
    let some = analyse(&mesh.record(), &with_failures(&mesh, |it| it.pass < 4));
    assert_eq!(some.basis, Basis::Passes);
    assert!(some.nodes.iter().all(|node| node.effect.observations == 8));
    let most = analyse(&mesh.record(), &with_failures(&mesh, |it| it.pass < 5));
    assert_eq!(most.basis, Basis::Nothing, "7 passes cannot tell 6 nodes");
}

#[test]
fn nodes_that_never_answer_leave_the_others_their_passes() {
    let mesh = SyntheticMesh {
        slow: vec![(2, 0.4)],
        gone: vec![0, 5],
        passes: 9,
        ..SyntheticMesh::plain(7, 12)
    };
    let report = report(&mesh);
    assert_eq!(report.basis, Basis::Passes, "10 of 21 pairs have figures");
    assert_eq!(told(&report), [("node-002", Verdict::Slower)]);
    assert_eq!(report.nodes[5].effect.observations, 0);
}

#[test]
fn a_slow_pair_is_listed_and_is_no_slow_node() {
    let mesh = SyntheticMesh::plain(12, 7);
    let mut meetings = mesh.meetings();
    let pair = meetings
        .iter_mut()
        .find(|it| (it.client + it.server, it.client * it.server) == (9, 14));
    let Met::Measured(times) = &mut pair.unwrap().outcome else {
        panic!("nothing fails here");
    };
    times.p50_ns = times.p50_ns.map(|ns| ns * 2);
    let report = analyse(&mesh.record(), &meetings);
    assert_eq!(told(&report), []);
    let slow = &report.slow_pairs[0];
    assert_eq!((slow.one, slow.other), (2, 7));
    assert!((slow.ratio - 2.0).abs() < 0.15, "{slow:?}");
}

#[test]
fn many_nodes_share_rows_and_those_that_were_told_keep_theirs() {
    let mesh = SyntheticMesh {
        zones: 3,
        slow: vec![(100, 0.5), (7, 0.3)],
        ..SyntheticMesh::plain(200, 8)
    };
    let report = report(&mesh);
    let heat = &report.heat;
    assert!(
        (30..=60).contains(&heat.groups.len()),
        "{}",
        heat.groups.len()
    );
    let apart: Vec<u32> = heat
        .groups
        .iter()
        .filter(|group| group.told)
        .flat_map(|group| group.nodes.clone())
        .collect();
    assert_eq!(apart, [7, 100]);
    let mut all: Vec<u32> = heat
        .groups
        .iter()
        .flat_map(|group| group.nodes.clone())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<u32>>());
    assert!(heat.cells.len() == heat.groups.len() && heat.cells[0].len() == heat.groups.len());
}

#[test]
fn nothing_measured_is_no_panic() {
    let mesh = SyntheticMesh::plain(3, 9);
    let report = analyse(&mesh.record(), &[]);
    assert_eq!(report.pairs, None);
    assert_eq!((report.subject.measured, report.subject.planned), (0, 3));
    assert!(report.nodes.iter().all(|node| node.effect.ratio.is_none()));
    let strange = Meeting {
        pass: 9,
        round: 0,
        client: 80,
        server: 80,
        started_unix_ms: 0,
        outcome: Met::Failed {
            reason: String::new(),
            node: Some(1_000),
        },
    };
    assert_eq!(analyse(&mesh.record(), &[strange]).failed_pairs, []);
}
