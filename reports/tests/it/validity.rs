//! Which rounds count, and what the evidence says.

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, AnswerKind, Fate, Judgement, Steal, Verdict};
use tollgate_reports::synthetic::{Synthetic, datapath, measured_mut, name};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::evidence::Translation;
use tollgate_results::run::{Campaign, Install};
use tollgate_results::slice::{Measured, SliceResult};

/// Changes every measured slice that fulfils a condition on its round and arm.
fn change(
    campaign: &mut Campaign,
    which: impl Fn(u32, &str) -> bool,
    with: impl Fn(&mut Measured),
) {
    for slice in &mut campaign.slices {
        let key = &slice.record.key;
        if which(key.round, key.arm.as_str()) {
            with(measured_mut(slice).unwrap());
        }
    }
}

fn fates(analysis: &Analysis, fate: Fate) -> Vec<u32> {
    let rounds = analysis.conduct.rounds.iter();
    rounds
        .filter(|round| round.fate == fate)
        .map(|round| round.round)
        .collect()
}

fn verdicts(analysis: &Analysis) -> Vec<Verdict> {
    analysis.cells.iter().map(|cell| cell.verdict).collect()
}

#[test]
fn ordinary_noise_drops_nothing() {
    for seed in 0..4 {
        let campaign = Synthetic {
            seed,
            ..Synthetic::quickstart()
        };
        let analysis = analyse(&campaign.campaign());
        assert_eq!(analysis.conduct.dropped, 0, "{:?}", analysis.conduct.rounds);
        assert_eq!(analysis.conduct.kept, 10);
        assert_eq!(fates(&analysis, Fate::Warmup), [0]);
        assert!(analysis.conduct.complete);
        assert_eq!(analysis.conduct.steal, Steal::Unobservable);
    }
}

#[test]
fn the_first_round_of_a_new_install_and_a_cut_round_do_not_count() {
    let mut campaign = Synthetic::overlay().campaign();
    // Interrupted after the first slice of round 4; resumed with a fresh round 5.
    campaign
        .slices
        .retain(|slice| slice.record.key.round != 4 || slice.record.position == 0);
    for slice in &mut campaign.slices {
        slice.record.install = u32::from(slice.record.key.round > 4);
    }
    let first = campaign.run.installs[0].clone();
    campaign.run.installs.push(Install {
        first_round: 5,
        ..first
    });
    let analysis = analyse(&campaign);
    assert_eq!(fates(&analysis, Fate::Warmup), [0, 5]);
    assert_eq!(fates(&analysis, Fate::Partial), [4]);
    assert_eq!(analysis.conduct.kept, 8);
    assert_eq!(analysis.subject.installs, 2);
    assert!(!analysis.conduct.complete);
    assert!(analysis.cells.iter().all(|cell| cell.rounds == 8));
    let pairs = &analysis.cells[0].pairs;
    assert!(
        pairs
            .iter()
            .all(|pair| pair.install == u32::from(pair.round > 4))
    );
}

#[test]
fn stolen_time_drops_the_whole_round() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, arm| round == 3 && arm == "vxlan",
        |measured| {
            measured.client.cpus[0].steal_ns = Some(40_000_000);
        },
    );
    let analysis = analyse(&campaign);
    assert_eq!(fates(&analysis, Fate::Dropped), [3]);
    let fate = analysis
        .conduct
        .rounds
        .iter()
        .find(|round| round.round == 3);
    let reason = fate.unwrap().reason.clone().unwrap();
    assert!(
        reason.contains("the hypervisor took 4 % of CPU 0 (tcp-rr on vxlan)"),
        "{reason}"
    );
    assert!(
        matches!(analysis.conduct.steal, Steal::Observed { largest_share } if largest_share > 0.03)
    );
    assert!(analysis.cells.iter().all(|cell| cell.rounds == 9));
    let undropped = analysis.cells[0].undropped.unwrap();
    assert_eq!((undropped.rounds, undropped.verdict), (10, Verdict::Slower));
}

#[test]
fn steal_on_an_idle_cpu_and_two_ticks_of_it_are_not_judged() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, _| round == 3,
        |measured| {
            let idle = &mut measured.client.cpus[1];
            (idle.user_ns, idle.system_ns, idle.softirq_ns) = (Some(0), Some(0), Some(0));
            idle.steal_ns = Some(40_000_000);
        },
    );
    campaign.run.facts.cpu_time_resolution_ns = 10_000_000;
    change(
        &mut campaign,
        |round, _| round == 5,
        |measured| {
            measured.client.cpus[0].steal_ns = Some(29_000_000);
        },
    );
    assert_eq!(analyse(&campaign).conduct.dropped, 0);
}

#[test]
fn a_foreign_load_drops_its_round() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, arm| round == 7 && arm == "native",
        |measured| {
            let cpu = &mut measured.client.cpus[1];
            cpu.user_ns = Some(500_000_000);
            cpu.idle_ns = cpu.idle_ns.map(|idle| idle - 480_000_000);
        },
    );
    change(
        &mut campaign,
        |round, arm| round == 2 && arm == "vxlan",
        |measured| {
            measured.server.threads.as_mut().unwrap().run_queue_wait_ns = 600_000_000;
        },
    );
    let analysis = analyse(&campaign);
    assert_eq!(fates(&analysis, Fate::Dropped), [2, 7]);
    let reasons: Vec<_> = analysis
        .conduct
        .rounds
        .iter()
        .filter_map(|r| r.reason.clone())
        .collect();
    assert!(
        reasons.iter().any(|r| r.contains("user space took")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|r| r.contains("server threads waited for a CPU 60 %")),
        "{reasons:?}"
    );
}

#[test]
fn what_cannot_be_read_drops_nothing() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |_, _| true,
        |measured| {
            measured.client.cpus.clear();
            measured.client.pressure = None;
            measured.client.threads = None;
            measured.server.threads = None;
        },
    );
    let analysis = analyse(&campaign);
    assert_eq!(analysis.conduct.dropped, 0);
    assert_eq!(analysis.conduct.steal, Steal::Unobservable);
    assert!(
        analysis
            .timeline
            .iter()
            .all(|point| point.softirq_share.is_none()
                && point.steal_share.is_none()
                && point.client_wait_share.is_none())
    );
}

#[test]
fn a_campaign_with_too_many_dropped_rounds_is_invalid() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, _| (3..6).contains(&round),
        |measured| {
            measured.client.pressure.as_mut().unwrap().memory_some_us = Some(300_000);
        },
    );
    let analysis = analyse(&campaign);
    let reason = analysis.conduct.invalid.clone().unwrap();
    assert!(reason.contains("3 rounds of 10 dropped"), "{reason}");
    assert!(
        verdicts(&analysis)
            .iter()
            .all(|verdict| *verdict == Verdict::Invalid)
    );
    assert_eq!(analysis.answers[0].kind, AnswerKind::Warning);
    assert!(
        analysis.answers[0]
            .text
            .starts_with("This campaign is invalid: ")
    );
}

#[test]
fn noise_that_comes_with_one_arm_is_invalid_however_rare() {
    let mut campaign = Synthetic {
        rounds: 40,
        ..Synthetic::overlay()
    }
    .campaign();
    change(
        &mut campaign,
        |round, arm| round > 0 && round % 5 == 0 && arm == "vxlan",
        |measured| {
            measured.client.cpus[0].steal_ns = Some(80_000_000);
        },
    );
    let analysis = analyse(&campaign);
    assert_eq!(analysis.conduct.dropped, 8);
    let reason = analysis.conduct.invalid.unwrap();
    assert!(
        reason.contains("8 of 8 dropped rounds were disturbed while vxlan ran"),
        "{reason}"
    );
}

#[test]
fn load_that_runs_only_beside_one_arm_is_invalid() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |_, arm| arm == "vxlan",
        |measured| {
            let cpu = &mut measured.client.cpus[1];
            cpu.user_ns = Some(900_000_000);
            cpu.idle_ns = Some(50_000_000);
        },
    );
    let analysis = analyse(&campaign);
    assert!(analysis.conduct.invalid.is_some());
    assert!(
        verdicts(&analysis)
            .iter()
            .all(|verdict| *verdict == Verdict::Invalid)
    );
}

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
    ];
    let alike = |service| matches!(service, Service::IptablesLegacy | Service::IptablesNft);
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
fn slices_that_failed_are_listed_and_cost_only_their_pair() {
    let mut campaign = Synthetic::quickstart().campaign();
    for slice in &mut campaign.slices {
        let key = &slice.record.key;
        if key.round == 4 && key.arm == name("vxlan") && key.workload == name("http") {
            slice.record.result = SliceResult::Failed {
                reason: "connection refused".to_owned(),
            };
            slice.histograms.clear();
        }
    }
    let analysis = analyse(&campaign);
    assert_eq!(analysis.conduct.failures.len(), 1);
    assert_eq!(analysis.conduct.kept, 10);
    for cell in &analysis.cells {
        let hit = cell.arm == name("vxlan") && cell.workload == name("http");
        assert_eq!(cell.rounds, if hit { 9 } else { 10 });
        assert_eq!(
            cell.notes
                .iter()
                .any(|note| note.starts_with("1 round of one")),
            hit
        );
    }
}
