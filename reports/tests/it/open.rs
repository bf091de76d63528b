//! Open loops: metrics of their own, and generators that were the bottleneck.

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, Cell, Metric, Renderer as _, Verdict};
use tollgate_reports::render::Terminal;
use tollgate_reports::synthetic::{Synthetic, open};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::Timed;
use tollgate_results::run::Campaign;
use tollgate_results::slice::{Slice, SliceResult};

/// A campaign of native against vxlan, with a closed and an open loop.
fn both() -> Campaign {
    let mut synthetic = Synthetic::overlay();
    synthetic.workloads.push(open());
    synthetic.referenced().campaign()
}

fn cells<'a>(analysis: &'a Analysis, workload: &str) -> Vec<&'a Cell> {
    let cells = analysis.cells.iter();
    cells
        .filter(|cell| cell.workload.as_str() == workload)
        .collect()
}

fn cell(analysis: &Analysis, metric: Metric) -> &Cell {
    let cells = cells(analysis, "open-rr");
    cells
        .into_iter()
        .find(|cell| cell.metric == metric)
        .unwrap()
}

/// Every measured slice of vxlan's open loop in a round that counts.
fn slices(campaign: &mut Campaign) -> impl Iterator<Item = &mut Slice> {
    campaign.slices.iter_mut().filter(|slice| {
        let key = &slice.record.key;
        key.workload.as_str() == "open-rr" && key.arm.as_str() == "vxlan" && key.round > 0
    })
}

fn late(slice: &mut Slice) {
    let mut lateness = Histogram::new();
    (0..1_000).for_each(|_| lateness.record(15_000));
    slice.histograms.insert(Timed::Lateness, lateness);
}

#[test]
fn open_and_closed_loops_share_no_metric_of_latency() {
    let analysis = analyse(&both());
    let timed = |workload| {
        let mut timed: Vec<_> = cells(&analysis, workload)
            .iter()
            .filter_map(|cell| cell.metric.timed())
            .collect();
        timed.dedup();
        timed
    };
    assert_eq!(timed("tcp-rr"), [Timed::Latency]);
    assert_eq!(
        timed("open-rr"),
        [Timed::FromPlan, Timed::FromSend, Timed::Lateness]
    );
    let p50 = cell(&analysis, Metric::PlanP50);
    assert_eq!(p50.verdict, Verdict::Slower, "{}", p50.words);
    assert!(p50.notes.is_empty(), "{:?}", p50.notes);
    let late = cell(&analysis, Metric::LatenessP50);
    assert_eq!(late.verdict, Verdict::Equivalent, "{}", late.words);
    let told = analysis.answers.iter().any(|answer| {
        let text = &answer.text;
        text.starts_with("vxlan is slower than native on open-rr p50 from plan")
    });
    assert!(told, "{:?}", analysis.answers);
    assert!(
        analysis
            .timeline
            .iter()
            .any(|slice| slice.lateness_p99_ns.is_some())
    );
}

#[test]
fn a_report_says_what_an_open_loop_is() {
    let text = Terminal::default().render(&analyse(&both()));
    let text = String::from_utf8(text).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "open loop: requests of 64 B and their replies over one open TCP connection",
        "10k/s planned, as independent users arrive (Poisson)",
        "p50 from plan",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_generator_that_lags_leaves_nothing_to_say_of_the_path() {
    let mut campaign = both();
    slices(&mut campaign).for_each(late);
    let analysis = analyse(&campaign);
    for metric in [
        Metric::PlanP50,
        Metric::PlanP99,
        Metric::ServiceP50,
        Metric::Rate,
    ] {
        let cell = cell(&analysis, metric);
        assert_eq!(cell.verdict, Verdict::Insufficient, "{}", cell.words);
        let words =
            "the generator was the bottleneck in 10 of 10 slices of vxlan: requests went out late";
        assert!(cell.words.contains(words), "{}", cell.words);
    }
    let lateness = cell(&analysis, Metric::LatenessP50);
    assert_eq!(lateness.verdict, Verdict::Slower, "its own figure is told");
    let closed = cells(&analysis, "tcp-rr");
    assert!(
        closed
            .iter()
            .all(|cell| cell.verdict != Verdict::Insufficient)
    );
}

#[test]
fn a_generator_that_lags_now_and_then_makes_a_note() {
    let mut campaign = both();
    slices(&mut campaign).take(3).for_each(late);
    let analysis = analyse(&campaign);
    let p50 = cell(&analysis, Metric::PlanP50);
    assert_eq!(p50.verdict, Verdict::Slower, "{}", p50.words);
    let note = "the generator was the bottleneck in 3 of 10 slices: requests went out late";
    assert!(
        p50.notes.iter().any(|told| told.starts_with(note)),
        "{:?}",
        p50.notes
    );
}

#[test]
fn what_was_planned_and_not_sent_is_lost() {
    let mut campaign = both();
    for slice in slices(&mut campaign) {
        let SliceResult::Measured(measured) = &mut slice.record.result else {
            panic!("every slice is measured");
        };
        let open = measured.outcome.open.as_mut().unwrap();
        // Half a percent: not enough for the mark, and half of p99's tail.
        open.unsent = 50;
        open.planned += 50;
    }
    let analysis = analyse(&campaign);
    let loss = cell(&analysis, Metric::Loss);
    assert!(
        loss.arm_typical
            .is_some_and(|typical| (0.0049..0.0051).contains(&typical.median))
    );
    assert_eq!(loss.verdict, Verdict::Slower, "{}", loss.words);
    let p999 = cell(&analysis, Metric::PlanP999);
    assert!(
        p999.arm_typical
            .is_some_and(|typical| typical.median.is_infinite())
    );
    assert!(cell(&analysis, Metric::PlanP99).notes.is_empty());
}

#[test]
fn a_generator_that_spins_is_no_noise() {
    let mut campaign = both();
    for slice in slices(&mut campaign) {
        let SliceResult::Measured(measured) = &mut slice.record.result else {
            panic!("every slice is measured");
        };
        for cpu in &mut measured.client.cpus {
            cpu.user_ns = cpu.user_ns.map(|ns| ns + 900_000_000);
        }
        for end in [&mut measured.client, &mut measured.server] {
            let threads = end.threads.as_mut().unwrap();
            threads.cpu_ns /= 10;
        }
    }
    let conduct = analyse(&campaign).conduct;
    assert_eq!((conduct.dropped, &conduct.invalid), (0, &None));
    assert!(
        !conduct.notes.iter().any(|note| note.contains("busy")),
        "{:?}",
        conduct.notes
    );
}
