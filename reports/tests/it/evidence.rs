//! Whether the packets took the declared datapath.

use tollgate_reports::analyse;
use tollgate_reports::model::{AnswerKind, Judgement, Verdict};
use tollgate_reports::synthetic::{Synthetic, datapath, name};
use tollgate_results::arm::{Datapath, Place, Pods, Service, Wire};
use tollgate_results::evidence::Translation;
use tollgate_results::run::Campaign;
use tollgate_results::slice::Measured;

use crate::validity::{change, verdicts};

#[test]
fn declared_vxlan_but_deployed_native_is_invalid() {
    let mut synthetic = Synthetic::quickstart();
    synthetic.arms[1].carried = datapath(Wire::Native, Service::None, None);
    let analysis = analyse(&synthetic.campaign());
    let vxlan = analysis.arm(&name("vxlan")).unwrap();
    assert_eq!(vxlan.evidence.judgement, Judgement::Contradicts);
    assert_eq!(vxlan.evidence.encapsulated_packets, Some(0));
    for cell in &analysis.cells {
        let concerned = cell.arm == name("vxlan");
        assert_eq!(
            cell.verdict == Verdict::Invalid,
            concerned,
            "{}",
            cell.words
        );
        assert!(
            !concerned || cell.words.contains("declared vxlan, but only 0 packets"),
            "{}",
            cell.words
        );
    }
    assert_eq!(
        analysis.answers[0].kind,
        AnswerKind::Verdict(Verdict::Invalid)
    );
    assert!(
        analysis.answers[0]
            .text
            .contains("vxlan is not what it declares")
    );
    assert!(
        !analysis.answers[1..]
            .iter()
            .any(|answer| answer.arm == Some(name("vxlan")))
    );
}

#[test]
fn a_broken_reference_makes_all_that_lean_on_it_invalid() {
    let mut synthetic = Synthetic::overlay();
    synthetic.arms[0].carried = datapath(Wire::Vxlan, Service::None, None);
    let analysis = analyse(&synthetic.campaign());
    assert!(
        verdicts(&analysis)
            .iter()
            .all(|verdict| *verdict == Verdict::Invalid)
    );
    assert!(
        analysis.cells[0]
            .words
            .contains("native is not what it declares")
    );
}

#[test]
fn every_service_is_held_to_its_own_proof() {
    let kinds = [
        Service::None,
        Service::IptablesLegacy,
        Service::IptablesNft,
        Service::Nftables,
        Service::SocketLb,
        Service::TcLb,
        Service::Ipvs,
    ];
    let alike = |service| {
        matches!(
            service,
            Service::IptablesLegacy | Service::IptablesNft | Service::Ipvs
        )
    };
    for declared in kinds {
        for carried in kinds {
            let mut synthetic = Synthetic::quickstart();
            synthetic.rounds = 1;
            synthetic.arms.truncate(2);
            synthetic.workloads.truncate(1);
            let count = |service| (service != Service::None).then_some(10);
            synthetic.arms[1].arm.datapath = datapath(Wire::Native, declared, count(declared));
            synthetic.arms[1].carried = datapath(Wire::Native, carried, count(carried));
            let analysis = analyse(&synthetic.campaign());
            let evidence = &analysis.arms[1].evidence;
            // Rules of either backend count alike: which one holds them shows in the arm's facts. The
            // nftables mode has no counters of its own, so rules beside it do not contradict.
            let same = declared == carried
                || (alike(declared) && alike(carried))
                || (declared == Service::Nftables && alike(carried));
            let unreadable = alike(declared) && carried == Service::Nftables;
            let expected = match (same, unreadable) {
                (true, _) => Judgement::Ok,
                (_, true) => Judgement::Unknown,
                _ => Judgement::Contradicts,
            };
            assert_eq!(
                evidence.judgement, expected,
                "{declared} by {carried}: {:#?}",
                evidence.checks
            );
        }
    }
}

/// Judges one arm that declares one thing and is carried by another.
fn judged(declared: &Datapath, carried: &Datapath) -> (Judgement, String) {
    let mut synthetic = Synthetic::quickstart();
    synthetic.rounds = 1;
    synthetic.arms.truncate(2);
    synthetic.workloads.truncate(1);
    synthetic.arms[1].arm.datapath = declared.clone();
    synthetic.arms[1].carried = carried.clone();
    let evidence = analyse(&synthetic.campaign()).arms[1].evidence.clone();
    let words: Vec<_> = evidence
        .checks
        .into_iter()
        .map(|check| check.text)
        .collect();
    (evidence.judgement, words.join("; "))
}

#[test]
fn every_wire_is_held_to_its_own_devices() {
    for &declared in Wire::ALL {
        for &carried in Wire::ALL {
            let plain = |wire| datapath(wire, Service::None, None);
            let (judgement, checks) = judged(&plain(declared), &plain(carried));
            let expected = if declared == carried {
                Judgement::Ok
            } else {
                Judgement::Contradicts
            };
            assert_eq!(judgement, expected, "{declared} by {carried}: {checks}");
        }
    }
}

#[test]
fn ends_on_one_node_never_use_the_wire() {
    let at = |place, pods, wire, service| Datapath {
        place,
        pods,
        ..datapath(wire, service, (service != Service::None).then_some(1))
    };
    for pods in [Pods::Bridge, Pods::Routed, Pods::Ebpf, Pods::Netkit] {
        for wire in [Wire::Native, Wire::Vxlan, Wire::VxlanEbpf] {
            let near = at(Place::SameNode, pods, wire, Service::None);
            let far = at(Place::OtherNode, pods, wire, Service::None);
            let (judgement, checks) = judged(&near, &near);
            assert_eq!(judgement, Judgement::Ok, "{near}: {checks}");
            let (judgement, checks) = judged(&near, &far);
            assert_eq!(judgement, Judgement::Contradicts, "{near}: {checks}");
            assert!(
                checks.contains("declared same-node, but") && checks.contains("crossed the wire"),
                "{checks}"
            );
        }
    }
    let hairpin = |service| at(Place::Hairpin, Pods::Bridge, Wire::Native, service);
    for service in [Service::IptablesNft, Service::SocketLb] {
        let (judgement, checks) = judged(&hairpin(service), &hairpin(service));
        assert_eq!(judgement, Judgement::Ok, "{service}: {checks}");
    }
    let (judgement, checks) = judged(&hairpin(Service::IptablesNft), &hairpin(Service::SocketLb));
    assert_ne!(judgement, Judgement::Ok, "{checks}");
}

#[test]
fn every_attachment_of_pods_and_every_tunnel_is_held_to_its_own_proof() {
    let paths: Vec<Datapath> = [Pods::Bridge, Pods::Routed, Pods::Ebpf, Pods::Netkit]
        .into_iter()
        .flat_map(|pods| {
            [Wire::Native, Wire::Vxlan, Wire::VxlanEbpf].map(|wire| Datapath {
                pods,
                wire,
                ..Datapath::default()
            })
        })
        .collect();
    for declared in &paths {
        for carried in &paths {
            let (judgement, words) = judged(declared, carried);
            let expected = if declared == carried {
                Judgement::Ok
            } else {
                Judgement::Contradicts
            };
            assert_eq!(judgement, expected, "{declared} by {carried}: {words}");
        }
    }
}

#[test]
fn ebpf_that_leaves_packets_to_the_stack_is_no_fast_path() {
    let ebpf = Datapath {
        pods: Pods::Ebpf,
        ..Datapath::default()
    };
    let mut synthetic = Synthetic::overlay();
    synthetic.arms[1].arm.datapath = ebpf.clone();
    synthetic.arms[1].carried = ebpf;
    let mut campaign = synthetic.campaign();
    let leave = |measured: &mut Measured, packets| {
        for program in &mut measured.evidence.counters.programs {
            program.passed = packets;
        }
    };
    let judgement = |campaign: &Campaign| analyse(campaign).arms[1].evidence.judgement;
    change(&mut campaign, |_, _| true, |measured| leave(measured, 3));
    assert_eq!(judgement(&campaign), Judgement::Ok);
    change(
        &mut campaign,
        |round, _| round == 4,
        |measured| leave(measured, 30_000),
    );
    let evidence = &analyse(&campaign).arms[1].evidence;
    let check = evidence
        .checks
        .iter()
        .find(|check| check.about == "pods")
        .unwrap();
    assert_eq!(check.judgement, Judgement::Contradicts);
    assert!(
        check
            .text
            .contains("120,000 packets went through the nodes' stack"),
        "{}",
        check.text
    );
    change(
        &mut campaign,
        |_, arm| arm == "vxlan",
        |measured| {
            leave(measured, 0);
            measured.evidence.translation = Translation::Untouched;
        },
    );
    assert_eq!(
        judgement(&campaign),
        Judgement::Contradicts,
        "netfilter saw it"
    );
}

#[test]
fn evidence_that_cannot_be_read_is_a_note() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |_, _| true,
        |measured| {
            measured.evidence.counters.devices.clear();
            measured.evidence.translation = Translation::Unknown {
                reason: "no permission".to_owned(),
            };
        },
    );
    let analysis = analyse(&campaign);
    for arm in &analysis.arms {
        assert_eq!(arm.evidence.judgement, Judgement::Unknown);
        assert_eq!(arm.evidence.encapsulated_packets, None);
        assert!(arm.evidence.translation.contains("no permission"));
    }
    assert_eq!(analysis.cells[0].verdict, Verdict::Slower);
}

#[test]
fn one_contradicting_slice_is_enough_and_is_named() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, arm| round == 6 && arm == "vxlan",
        |measured| {
            for device in &mut measured.evidence.counters.devices {
                device.rx_packets /= 2;
            }
        },
    );
    let analysis = analyse(&campaign);
    let check = &analysis.arms[1].evidence.checks[0];
    assert_eq!(check.judgement, Judgement::Contradicts);
    assert!(
        check.text.contains("(tcp-rr in round 6; 1 of 11 slices)"),
        "{}",
        check.text
    );
}

#[test]
fn a_slice_that_tells_nothing_does_not_outweigh_those_that_do() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, arm| round == 6 && arm == "vxlan",
        |measured| {
            measured.evidence.translation = Translation::Unknown {
                reason: "the slice had no connection".to_owned(),
            };
        },
    );
    let evidence = &analyse(&campaign).arms[1].evidence;
    assert_eq!(evidence.judgement, Judgement::Ok);
    assert!(
        evidence
            .translation
            .ends_with("but: the slice had no connection (tcp-rr in round 6; 1 of 11 slices)"),
        "{}",
        evidence.translation
    );
}

#[test]
fn a_full_connection_table_that_lost_open_connections_is_no_balancer() {
    for (forgotten, expected) in [(10, Judgement::Ok), (1_000_000, Judgement::Contradicts)] {
        let mut synthetic = Synthetic::quickstart();
        synthetic.rounds = 1;
        synthetic.arms.truncate(2);
        synthetic.workloads.truncate(1);
        let balanced = datapath(Wire::Native, Service::TcLb, Some(10));
        synthetic.arms[1].arm.datapath = balanced.clone();
        synthetic.arms[1].carried = balanced;
        let mut campaign = synthetic.campaign();
        let full = |measured: &mut Measured| {
            if let Some(packets) = &mut measured.evidence.counters.tc_lb {
                (packets.displaced, packets.forgotten) = (200_000, forgotten);
            }
        };
        change(&mut campaign, |_, _| true, full);
        let evidence = analyse(&campaign).arms[1].evidence.clone();
        assert_eq!(evidence.judgement, expected, "{:#?}", evidence.checks);
        let told = evidence.checks.iter().any(|check| {
            check
                .text
                .starts_with("the connection table was full: 1,000,000")
        });
        assert_eq!(told, expected == Judgement::Contradicts);
    }
}
