//! Whole campaigns, from records to answers.

use std::collections::BTreeMap;

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, AnswerKind, Cell, Metric, Unit, Verdict};
use tollgate_reports::synthetic::{Synthetic, measured_mut, name, stream};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::Timed;
use tollgate_results::plan::Skipped;
use tollgate_results::run::Campaign;
use tollgate_results::units::Share;

fn cell<'a>(analysis: &'a Analysis, arm: &str, workload: &str, metric: Metric) -> &'a Cell {
    let cells = &analysis.cells;
    cells
        .iter()
        .find(|cell| {
            cell.arm == name(arm) && cell.workload == name(workload) && cell.metric == metric
        })
        .unwrap()
}

/// Loses a share of the requests of one arm from a round on.
fn lose(campaign: &mut Campaign, arm: &str, permille: u64, rounds: std::ops::Range<u32>) {
    for slice in &mut campaign.slices {
        let key = &slice.record.key;
        if key.arm == name(arm) && rounds.contains(&key.round) {
            let outcome = &mut measured_mut(slice).unwrap().outcome;
            outcome.lost = outcome.replied * permille / 1_000;
            outcome.sent = outcome.replied + outcome.lost;
        }
    }
}

#[test]
fn the_quickstart_answers_its_questions() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    let vxlan = cell(&analysis, "vxlan", "tcp-rr", Metric::P50);
    assert_eq!(vxlan.verdict, Verdict::Slower);
    let ratio = vxlan.ratio.unwrap();
    assert!(
        ratio.interval95.contains(1.25) && ratio.interval95.low > 1.2,
        "{ratio:?}"
    );
    assert!(ratio.interval95.confidence >= 0.95 && ratio.interval90.confidence >= 0.90);
    let shift = vxlan.shift.unwrap();
    assert_eq!(vxlan.unit, Unit::Nanoseconds);
    assert!((shift.value / 4_500.0 - 1.0).abs() < 0.1, "{shift:?}");
    assert_eq!(
        (vxlan.rounds, vxlan.walsh_rank, vxlan.pairs.len()),
        (10, Some(9), 10)
    );
    assert!(vxlan.words.starts_with("slower +2"), "{}", vxlan.words);
    assert_eq!(vxlan.worse_in, Some(1.0));

    let socket = cell(&analysis, "socket-lb", "tcp-crr", Metric::P50);
    assert_eq!(socket.reference, name("iptables-legacy"));
    assert_eq!(socket.verdict, Verdict::Faster);
    let iptables = cell(&analysis, "iptables-legacy", "tcp-rr", Metric::P50);
    assert_eq!(iptables.verdict, Verdict::Equivalent, "{}", iptables.words);
}

#[test]
fn answers_are_sentences_with_interval_and_unit_the_largest_first() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    let first = &analysis.answers[0];
    assert!(
        first.text.starts_with("vxlan is slower than native on ")
            && first.text.contains(" p50: +")
            && first.text.contains(" % [")
            && first.text.ends_with(" µs per request."),
        "{}",
        first.text
    );
    let classes: Vec<_> = analysis.answers.iter().map(|answer| answer.kind).collect();
    let decided =
        |kind: &AnswerKind| matches!(kind, AnswerKind::Verdict(Verdict::Slower | Verdict::Faster));
    let open = classes.iter().position(|kind| !decided(kind)).unwrap();
    assert!(open >= 4, "{:#?}", analysis.answers);
    assert!(
        analysis
            .answers
            .iter()
            .all(|answer| answer.text.ends_with('.'))
    );
}

#[test]
fn the_same_campaign_gives_the_same_bytes() {
    let campaign = Synthetic::quickstart().campaign();
    let one = serde_json::to_vec(&analyse(&campaign)).unwrap();
    let other = serde_json::to_vec(&analyse(&campaign.clone())).unwrap();
    assert_eq!(one, other);
}

#[test]
fn the_analysis_is_read_back_from_json_infinities_included() {
    let mut campaign = Synthetic::overlay().campaign();
    lose(&mut campaign, "vxlan", 20, 1..4);
    let analysis = analyse(&campaign);
    let p99 = cell(&analysis, "vxlan", "tcp-rr", Metric::P99);
    assert!(p99.pairs[0].arm.is_infinite());
    let json = serde_json::to_string(&analysis).unwrap();
    assert!(json.contains("\"infinite\""));
    let again: Analysis = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}

#[test]
fn banned_words_never_occur() {
    for synthetic in [Synthetic::quickstart(), Synthetic::overlay()] {
        let json = serde_json::to_string(&analyse(&synthetic.campaign())).unwrap();
        for banned in ["no change", "same", "significant"] {
            assert!(!json.contains(banned), "{banned}");
        }
    }
}

#[test]
fn equal_arms_are_equivalent_or_open_never_different_beyond_chance() {
    let mut wrong = 0;
    for seed in 0..20 {
        let mut synthetic = Synthetic {
            seed,
            ..Synthetic::overlay()
        };
        synthetic.arms[1].per_packet = 1.0;
        let analysis = analyse(&synthetic.campaign());
        let verdict = cell(&analysis, "vxlan", "tcp-rr", Metric::P50).verdict;
        wrong += u32::from(matches!(verdict, Verdict::Slower | Verdict::Faster));
    }
    // A true 5 % gives more than 5 of 20 less than once in two thousand.
    assert!(wrong <= 5, "{wrong}");
}

#[test]
fn a_noisy_campaign_says_what_would_resolve_it() {
    let mut synthetic = Synthetic {
        noise: 0.08,
        seed: 3,
        ..Synthetic::overlay()
    };
    synthetic.arms[1].per_packet = 1.01;
    let analysis = analyse(&synthetic.campaign());
    let cell = cell(&analysis, "vxlan", "tcp-rr", Metric::P50);
    assert_eq!(cell.verdict, Verdict::Inconclusive, "{}", cell.words);
    let open = cell.to_resolve.clone().unwrap();
    let rounds = open.rounds.unwrap();
    assert!(rounds > 10);
    // Two slices of a round, 1.3 s from start to start.
    assert!((open.seconds.unwrap() - 2.6 * f64::from(rounds)).abs() < 1e-6);
    let answer = &analysis.answers[0].text;
    assert!(
        answer.contains("is undecided") && answer.contains("would resolve ±5 %"),
        "{answer}"
    );
    assert!(analysis.noise_floor.workloads[0].detectable > 0.05);
}

#[test]
fn lost_replies_make_percentiles_infinite_and_speak_in_the_loss() {
    let mut campaign = Synthetic::overlay().campaign();
    lose(&mut campaign, "vxlan", 20, 1..11);
    let analysis = analyse(&campaign);
    let p99 = cell(&analysis, "vxlan", "tcp-rr", Metric::P99);
    assert_eq!(p99.verdict, Verdict::Slower);
    assert!(p99.ratio.unwrap().value.is_infinite());
    let p50 = cell(&analysis, "vxlan", "tcp-rr", Metric::P50);
    assert!(p50.ratio.unwrap().value.is_finite());
    let loss = cell(&analysis, "vxlan", "tcp-rr", Metric::Loss);
    assert_eq!((loss.verdict, loss.ratio), (Verdict::Slower, None));
    assert!((loss.shift.unwrap().value - 0.0196).abs() < 1e-4);
    assert!(loss.words.contains("percentage points"), "{}", loss.words);
    assert!(
        analysis
            .answers
            .iter()
            .any(|a| a.text.contains("vxlan loses more requests"))
    );
    let spectrum = &analysis.spectra[1];
    assert!(spectrum.points.last().unwrap().ns.is_infinite());
}

#[test]
fn where_both_arms_lose_the_percentile_the_loss_decides() {
    let mut campaign = Synthetic::overlay().campaign();
    lose(&mut campaign, "vxlan", 30, 1..11);
    lose(&mut campaign, "native", 30, 1..11);
    let analysis = analyse(&campaign);
    let p99 = cell(&analysis, "vxlan", "tcp-rr", Metric::P99);
    assert_eq!(p99.verdict, Verdict::Insufficient);
    assert!(p99.words.contains("loss-limited"), "{}", p99.words);
    let loss = cell(&analysis, "vxlan", "tcp-rr", Metric::Loss);
    assert_eq!(loss.verdict, Verdict::Equivalent);
}

#[test]
fn a_tail_from_too_few_samples_is_insufficient() {
    let mut campaign = Synthetic::overlay().campaign();
    for slice in &mut campaign.slices {
        let mut few = Histogram::new();
        for sample in 0..1_500 {
            few.record(20_000 + sample);
        }
        let outcome = &mut measured_mut(slice).unwrap().outcome;
        (outcome.sent, outcome.replied) = (1_500, 1_500);
        slice.histograms = BTreeMap::from([(Timed::Latency, few)]);
    }
    let analysis = analyse(&campaign);
    let verdict = |metric| cell(&analysis, "vxlan", "tcp-rr", metric);
    assert_eq!(verdict(Metric::P999).verdict, Verdict::Insufficient);
    assert!(
        verdict(Metric::P999).words.contains("about 2 samples"),
        "{}",
        verdict(Metric::P999).words
    );
    // Fifteen samples lie beyond p99: told, but called thin.
    assert_eq!(verdict(Metric::P99).verdict, Verdict::Equivalent);
    assert!(
        verdict(Metric::P99)
            .notes
            .iter()
            .any(|note| note.starts_with("thin:"))
    );
    assert!(
        verdict(Metric::P50).notes.is_empty(),
        "{:?}",
        verdict(Metric::P50).notes
    );
}

#[test]
fn streams_are_judged_by_throughput_oriented_so_that_more_is_worse() {
    let mut synthetic = Synthetic::overlay();
    synthetic.workloads = vec![stream()];
    let analysis = analyse(&synthetic.referenced().campaign());
    let throughput = cell(&analysis, "vxlan", "tcp-stream", Metric::Throughput);
    assert_eq!(
        throughput.verdict,
        Verdict::Slower,
        "{:#?}",
        throughput.notes
    );
    assert!((throughput.ratio.unwrap().value - 1.25).abs() < 0.05);
    assert!((throughput.change.unwrap().value + 0.2).abs() < 0.03);
    assert!(throughput.shift.unwrap().value < 0.0);
    assert!(
        analysis.answers[0].text.contains("throughput: -2"),
        "{}",
        analysis.answers[0].text
    );
    assert!(analysis.spectra.is_empty());
    assert!(
        analysis
            .timeline
            .iter()
            .all(|point| point.throughput.is_some())
    );
    let cpu = cell(&analysis, "vxlan", "tcp-stream", Metric::CpuPerMib);
    assert_eq!(cpu.verdict, Verdict::Slower);
}

#[test]
fn cpu_per_request_needs_both_ends() {
    let mut campaign = Synthetic::overlay().campaign();
    let analysis = analyse(&campaign);
    let cpu = cell(&analysis, "vxlan", "tcp-rr", Metric::CpuPerRequest);
    assert!(cpu.arm_typical.unwrap().median > 0.0);
    for slice in &mut campaign.slices {
        measured_mut(slice).unwrap().server.threads = None;
    }
    let analysis = analyse(&campaign);
    let cpu = cell(&analysis, "vxlan", "tcp-rr", Metric::CpuPerRequest);
    assert_eq!(
        (cpu.verdict, cpu.arm_typical),
        (Verdict::Insufficient, None)
    );
}

#[test]
fn with_too_few_rounds_for_all_comparisons_it_is_told_once() {
    // Six rounds: the smallest p is 1/32, out of reach for Holm over two cells or more.
    let synthetic = Synthetic {
        rounds: 6,
        ..Synthetic::quickstart()
    };
    let analysis = analyse(&synthetic.campaign());
    let vxlan = cell(&analysis, "vxlan", "tcp-rr", Metric::P50);
    let tests = vxlan.tests.unwrap();
    assert_eq!(vxlan.verdict, Verdict::Slower);
    assert!(
        !tests.holds_family_wise && !tests.holm_attainable,
        "{tests:?}"
    );
    let told = |note: &&String| note.contains("with 6 valid rounds no difference, however large");
    assert_eq!(analysis.conduct.notes.iter().filter(told).count(), 1);
    assert!(!analysis.answers[0].text.contains("taken by itself"));

    // Ten rounds are enough for nine cells.
    let analysis = analyse(&Synthetic::quickstart().campaign());
    let tests = cell(&analysis, "vxlan", "tcp-rr", Metric::P50)
        .tests
        .unwrap();
    assert!(
        tests.holds_family_wise && tests.holm_attainable,
        "{tests:?}"
    );
    assert!(
        !analysis
            .conduct
            .notes
            .iter()
            .any(|note| note.contains("Holm"))
    );
}

#[test]
fn what_holds_alone_and_not_among_many_is_marked() {
    // Some of many slightly slower arms are just about told apart: those are marked, in the note and the sentence.
    let mut marked = 0;
    for seed in 0..10 {
        let mut synthetic = Synthetic {
            seed,
            ..Synthetic::wide(8, 10)
        };
        synthetic.workloads.truncate(1);
        for arm in &mut synthetic.arms[1..] {
            arm.per_packet = 1.012;
        }
        let mut campaign = synthetic.referenced().campaign();
        campaign.run.plan.rounds.margin = Share(0.001);
        let analysis = analyse(&campaign);
        for cell in analysis
            .cells
            .iter()
            .filter(|cell| cell.metric == Metric::P50)
        {
            let tests = cell.tests.unwrap();
            let decided = cell.verdict == Verdict::Slower;
            let alone = decided && !tests.holds_family_wise;
            let noted = cell
                .notes
                .iter()
                .any(|note| note.contains("holds for this cell alone"));
            assert_eq!(noted, alone, "{cell:#?}");
            let said = analysis.answers.iter().any(|answer| {
                answer.arm.as_ref() == Some(&cell.arm)
                    && answer.metric == Some(Metric::P50)
                    && answer.text.contains("taken by itself")
            });
            assert_eq!(said, alone);
            marked += u32::from(alone);
        }
    }
    assert!(marked > 0);
}

#[test]
fn tables_that_fill_up_are_noted() {
    let mut campaign = Synthetic::overlay().campaign();
    for slice in &mut campaign.slices {
        let round = u64::from(slice.record.key.round);
        let measured = measured_mut(slice).unwrap();
        measured.client.time_wait = Some(2_000 * round);
    }
    let analysis = analyse(&campaign);
    assert!(
        analysis.cells[0]
            .notes
            .iter()
            .any(|note| note.contains("entries grew from"))
    );
}

#[test]
fn arms_that_were_left_out_are_told() {
    let mut campaign = Synthetic::overlay().campaign();
    campaign.run.plan.skipped.push(Skipped {
        arm: name("socket-lb"),
        reason: "needs CAP_BPF; run as root".to_owned(),
    });
    let analysis = analyse(&campaign);
    let last = analysis.answers.last().unwrap();
    assert_eq!(
        last.text,
        "socket-lb was left out: needs CAP_BPF; run as root."
    );
    assert_eq!(last.kind, AnswerKind::Warning);
}

#[test]
fn an_arm_deployed_twice_shows_what_installs_differ_by() {
    let mut synthetic = Synthetic::overlay();
    let mut twin = synthetic.arms[0].clone();
    twin.arm.name = name("native-again");
    twin.arm.reference = Some(name("native"));
    synthetic.arms.push(twin);
    let analysis = analyse(&synthetic.referenced().campaign());
    let statement = &analysis.noise_floor.statement;
    assert!(
        statement.contains("native-again is native deployed a second time"),
        "{statement}"
    );
}

#[test]
fn campaigns_without_anything_in_them_do_not_panic() {
    let mut empty = Synthetic::quickstart().campaign();
    empty.slices.clear();
    let analysis = analyse(&empty);
    assert!(
        analysis
            .cells
            .iter()
            .all(|cell| cell.verdict == Verdict::Insufficient)
    );
    empty.run.installs.clear();
    empty.run.plan.arms.clear();
    empty.run.plan.workloads.clear();
    assert!(analyse(&empty).cells.is_empty());

    let mut hollow = Synthetic::quickstart().campaign();
    for slice in &mut hollow.slices {
        slice.histograms.clear();
        let measured = measured_mut(slice).unwrap();
        measured.outcome = tollgate_results::outcome::Outcome::default();
    }
    let analysis = analyse(&hollow);
    assert!(
        analysis
            .cells
            .iter()
            .all(|cell| cell.verdict == Verdict::Insufficient)
    );
}

#[test]
fn absurd_counters_do_not_panic() {
    let mut campaign = Synthetic::quickstart().campaign();
    for slice in &mut campaign.slices {
        slice.record.started_unix_ms = u64::MAX - slice.record.started_unix_ms;
        let measured = measured_mut(slice).unwrap();
        for cpu in &mut measured.client.cpus {
            (cpu.user_ns, cpu.idle_ns, cpu.steal_ns) =
                (Some(u64::MAX), Some(u64::MAX), Some(u64::MAX));
        }
        measured.client.at_ns = 0;
        for device in &mut measured.evidence.counters.devices {
            (device.rx_packets, device.tx_packets) = (u64::MAX, u64::MAX);
        }
        for node in &mut measured.evidence.counters.conntrack_entries {
            node.entries = u64::MAX;
        }
        measured.outcome.bytes_received = u64::MAX;
        measured.outcome.window_ns = 0;
    }
    let analysis = analyse(&campaign);
    let json = serde_json::to_string(&analysis).unwrap();
    assert!(!json.contains("NaN"));
}

#[test]
fn series_for_plots_are_whole() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    assert_eq!(analysis.timeline.len(), 4 * 3 * 11);
    assert!(
        analysis
            .timeline
            .windows(2)
            .all(|pair| pair[0].at_ms < pair[1].at_ms)
    );
    assert!(
        analysis
            .timeline
            .iter()
            .all(|point| point.kept == (point.round > 0))
    );
    // Latency of four arms on three workloads, connect on one, and the times to the first and last byte of http.
    assert_eq!(analysis.spectra.len(), 24);
    for spectrum in &analysis.spectra {
        assert_eq!(spectrum.rounds, 10);
        assert!(
            spectrum
                .points
                .windows(2)
                .all(|pair| pair[0].ns <= pair[1].ns && pair[0].quantile < pair[1].quantile)
        );
        assert!(spectrum.points.last().unwrap().quantile > 0.999);
    }
    let programming = analysis
        .arm(&name("iptables-legacy"))
        .unwrap()
        .programming
        .clone();
    assert_eq!(programming.unwrap().services, 1_000);
    assert!(
        analysis
            .levels
            .iter()
            .any(|level| level.arm == name("native"))
    );
}

#[test]
fn a_campaign_can_be_compared_with_another_arm_than_planned() {
    let mut campaign = Synthetic::overlay().campaign();
    let planned = analyse(&campaign);
    let plan = &mut campaign.run.plan;
    assert!(!plan.compare_with(&"nobody".parse().unwrap()));
    assert!(plan.compare_with(&"vxlan".parse().unwrap()));
    let turned = analyse(&campaign);
    assert_eq!(turned.cells.len(), planned.cells.len());
    assert!(
        turned
            .cells
            .iter()
            .all(|cell| cell.arm.as_str() == "native")
    );
    assert_eq!(turned.subject.reference.as_str(), "vxlan");
}
