//! Which rounds count.

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, AnswerKind, Fate, Steal, Verdict};
use tollgate_reports::synthetic::{Synthetic, measured_mut, name};
use tollgate_results::run::{Campaign, Install};
use tollgate_results::slice::{Measured, SliceResult};
use tollgate_results::workload::Cpu;

/// Changes every measured slice that fulfils a condition on its round and arm.
pub(crate) fn change(
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

pub(crate) fn verdicts(analysis: &Analysis) -> Vec<Verdict> {
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
        reason.contains("the hypervisor took 5 % of CPU 0 (tcp-rr on vxlan)"),
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
        |measured| measured.client.cpus[1].steal_ns = Some(40_000_000),
    );
    campaign.run.facts.cpu_time_resolution_ns = 10_000_000;
    change(
        &mut campaign,
        |round, _| round == 5,
        |measured| measured.client.cpus[0].steal_ns = Some(29_000_000),
    );
    assert_eq!(analyse(&campaign).conduct.dropped, 0);
}

/// Puts a load beside the arm, on the CPU that carries the traffic.
fn load(measured: &mut Measured) {
    let window = measured.outcome.window_ns;
    let cpu = &mut measured.client.cpus[0];
    cpu.user_ns = Some(window / 2);
    cpu.system_ns = cpu.system_ns.map(|system| system / 4);
    for threads in [&mut measured.client.threads, &mut measured.server.threads] {
        let threads = threads.as_mut().unwrap();
        threads.cpu_ns = threads.cpu_ns * 6 / 10;
    }
}

/// The reasons why rounds don't count.
fn reasons(analysis: &Analysis) -> Vec<String> {
    let rounds = analysis.conduct.rounds.iter();
    rounds.filter_map(|round| round.reason.clone()).collect()
}

#[test]
fn a_foreign_load_drops_its_round() {
    let mut campaign = Synthetic::overlay().campaign();
    change(
        &mut campaign,
        |round, arm| round == 7 && arm == "native",
        load,
    );
    // In the kernel, as a disk or another network card would load it.
    change(
        &mut campaign,
        |round, arm| round == 2 && arm == "vxlan",
        |measured| measured.server.threads.as_mut().unwrap().cpu_ns /= 2,
    );
    let analysis = analyse(&campaign);
    assert_eq!(fates(&analysis, Fate::Dropped), [2, 7]);
    let reasons = reasons(&analysis);
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("client and server lacked their CPU 27 %")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.ends_with("(tcp-rr on native)")),
        "{reasons:?}"
    );
}

#[test]
fn waits_are_judged_where_nobody_has_to_wait() {
    for (cpu, dropped) in [(Cpu::Split, 1), (Cpu::Free, 1), (Cpu::Shared, 0)] {
        let mut synthetic = Synthetic::overlay();
        synthetic.workloads[0].cpu = cpu;
        let mut campaign = synthetic.campaign();
        change(
            &mut campaign,
            |round, arm| round == 2 && arm == "vxlan",
            |measured| {
                let wait = measured.client.at_ns * 6 / 10;
                measured.server.threads.as_mut().unwrap().run_queue_wait_ns = wait;
            },
        );
        let analysis = analyse(&campaign);
        let reasons = reasons(&analysis);
        let told = reasons
            .iter()
            .filter(|reason| reason.contains("the server waited for a CPU 60 % of the time"));
        assert_eq!(told.count(), dropped, "{cpu:?}: {reasons:?}");
        assert_eq!(fates(&analysis, Fate::Dropped).len(), dropped);
    }
}

#[test]
fn a_machine_that_is_always_busy_is_told_of() {
    let mut campaign = Synthetic::overlay().campaign();
    change(&mut campaign, |_, _| true, load);
    let analysis = analyse(&campaign);
    assert_eq!(analysis.conduct.dropped, 0);
    let notes = &analysis.conduct.notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("client and server got only 5")),
        "{notes:?}"
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
    // What would have come out is told, but not as a verdict.
    let hint = &analysis.answers[1];
    assert_eq!(hint.kind, AnswerKind::Verdict(Verdict::Invalid));
    assert!(
        hint.text.starts_with(
            "With no round dropped vxlan would be slower than native on tcp-rr p50: +2"
        ),
        "{}",
        hint.text
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
    change(&mut campaign, |_, arm| arm == "vxlan", load);
    let analysis = analyse(&campaign);
    assert!(analysis.conduct.invalid.is_some());
    assert!(
        verdicts(&analysis)
            .iter()
            .all(|verdict| *verdict == Verdict::Invalid)
    );
}

#[test]
fn load_beside_one_arm_is_seen_while_others_use_the_network() {
    let mut campaign = Synthetic::overlay().campaign();
    change(&mut campaign, |_, arm| arm == "vxlan", load);
    // What runs on the other CPU has packets of its own, and takes user space as it likes.
    change(
        &mut campaign,
        |round, _| round.is_multiple_of(2),
        |measured| {
            let window = measured.outcome.window_ns;
            let carrier = measured.client.cpus[0].net_rx;
            let other = &mut measured.client.cpus[1];
            other.net_rx = carrier;
            other.user_ns = Some(window * 7 / 10);
            other.idle_ns = Some(window / 10);
        },
    );
    let analysis = analyse(&campaign);
    assert_eq!(analysis.conduct.dropped, 0);
    let reason = analysis.conduct.invalid.unwrap();
    assert!(
        reason.contains("something ran beside vxlan only"),
        "{reason}"
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
