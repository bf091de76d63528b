//! Histories: what is kept of an analysis, which values stand together, changes, budgets, text and page.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_reports::analyse;
use tollgate_reports::calibration::{CALIBRATION_SCHEMA, Calibration, CellCalibration, Rate};
use tollgate_reports::gate::Finding;
use tollgate_reports::history::{History, Series, Telling, entry_of, tell};
use tollgate_reports::model::Metric;
use tollgate_reports::render::history as render;
use tollgate_reports::synthetic::{Synthetic, name};
use tollgate_results::history::{CampaignEntry, CellEntry, RatioEntry};
use tollgate_results::run::TargetKind;

const TELLING: Telling<'static> = Telling {
    floor: None,
    calibrations: &[],
    budget: 0.10,
};

/// A campaign of one arm at a ratio, on a day.
fn day(day: u32, ratio: f64) -> CampaignEntry {
    let cell = |metric: &str, value: f64| CellEntry {
        workload: name("rr"),
        metric: metric.to_owned(),
        arm: name("vxlan"),
        reference: name("native"),
        setup: "0123456789ab".to_owned(),
        verdict: "slower".to_owned(),
        ratio: Some(RatioEntry {
            value,
            low: value / 1.01,
            high: value * 1.01,
            confidence: 0.951,
        }),
        spread: Some(0.02),
        rounds: 10,
        arm_value: Some(25_000.0 * value),
        reference_value: Some(25_000.0),
    };
    CampaignEntry {
        scenario: name("overlay-tax"),
        scenario_hash: "ab".repeat(32),
        seed: u64::from(day),
        // 2026-03-01.
        started_unix_ms: 1_772_323_200_000 + u64::from(day) * 86_400_000,
        label: Some(format!("commit-{day}")),
        release: None,
        fingerprint: "0123456789ab".to_owned(),
        machine: "a CPU, 2 CPUs, kernel 6.18".to_owned(),
        schema: 1,
        version: "0.1.0".to_owned(),
        target: TargetKind::Lab,
        rounds: 10,
        invalid: None,
        folder: Some(format!("overlay-tax-{day}")),
        cells: vec![cell("p50", ratio), cell("p99", ratio * 1.1)],
    }
}

/// Noise of ±0.5 % that has no memory and is the same on every machine.
fn noise(day: u32) -> f64 {
    let hashed = day.wrapping_mul(2_654_435_761) >> 16;
    1.0 + 0.005 * (f64::from(hashed) / 32_768.0 - 1.0)
}

fn numbered(entries: Vec<CampaignEntry>) -> Vec<(i64, CampaignEntry)> {
    (1..).zip(entries).collect()
}

/// 30 quiet days at 1.25, then 10 at 1.31.
fn stepped() -> Vec<CampaignEntry> {
    (0..40)
        .map(|number| {
            day(
                number,
                if number < 30 { 1.25 } else { 1.31 } * noise(number),
            )
        })
        .collect()
}

fn main_series(history: &History) -> Vec<&Series> {
    history.series.iter().filter(|series| series.main).collect()
}

#[test]
fn every_cell_of_an_analysis_is_kept() {
    let campaign = Synthetic::quickstart().campaign();
    let analysis = analyse(&campaign);
    let entry = entry_of(&analysis, campaign.run.schema);
    assert_eq!(entry.cells.len(), analysis.cells.len());
    for (kept, cell) in entry.cells.iter().zip(&analysis.cells) {
        assert_eq!((&kept.workload, &kept.arm), (&cell.workload, &cell.arm));
        assert_eq!(
            kept.ratio.map(|ratio| ratio.value),
            cell.ratio.map(|ratio| ratio.value)
        );
        assert_eq!(kept.verdict, cell.verdict.as_str());
    }
    assert_eq!(entry.machine, "Synthetic CPU, 2 CPUs, kernel 6.18.0, kvm");
    // What is compared says which values may stand in one series.
    let setup = |entry: &CampaignEntry| entry.cells[0].setup.clone();
    let mut longer = campaign.clone();
    longer.run.plan.rounds.slice.0 *= 2;
    assert_ne!(setup(&entry_of(&analyse(&longer), 1)), setup(&entry));
    let mut more = campaign;
    more.run.plan.rounds.count += 10;
    assert_eq!(setup(&entry_of(&analyse(&more), 1)), setup(&entry));
}

#[test]
fn a_step_is_found_where_it_was_made_and_named() {
    let history = tell(&numbered(stepped()), TELLING);
    let series = main_series(&history);
    assert_eq!(series.len(), 1);
    let changes = &series[0].stretch.changes;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(
        (changes[0].after.as_str(), changes[0].at.as_str()),
        ("commit-29", "commit-30")
    );
    assert!((changes[0].change - 0.048).abs() < 0.01, "{changes:?}");
    assert!(
        series[0].words.contains("between commit-29 and commit-30"),
        "{}",
        series[0].words
    );
    // A noise floor above the step silences it.
    let deaf = Telling {
        floor: Some(0.08),
        ..TELLING
    };
    assert!(
        main_series(&tell(&numbered(stepped()), deaf))[0]
            .stretch
            .changes
            .is_empty()
    );
}

#[test]
fn a_calibration_of_the_machine_is_the_floor_unless_one_is_asked_for() {
    let entries = numbered(stepped());
    let (_, entry) = &entries[0];
    let cell = CellCalibration {
        workload: name("rr"),
        metric: Metric::P50,
        comparisons: 60,
        rounds: 10,
        phi: 0.08,
        s_round: 0.02,
        s_install: None,
        mde: 0.01,
        told_apart: Rate {
            hits: 3,
            trials: 60,
            at_most: 0.12,
        },
        suspected: None,
    };
    let of_machine = |fingerprint: &str| Calibration {
        schema: CALIBRATION_SCHEMA,
        fingerprint: fingerprint.to_owned(),
        scenario: entry.scenario.clone(),
        made_unix_ms: 0,
        campaigns: 60,
        slice: None,
        workloads: Vec::new(),
        cells: vec![cell.clone()],
        notes: Vec::new(),
    };
    let told = |calibrations: &[Calibration], floor: Option<f64>| {
        let telling = Telling {
            floor,
            calibrations,
            ..TELLING
        };
        let history = tell(&entries, telling);
        let series = main_series(&history)[0].clone();
        (
            series.stretch.changes.len(),
            series.stretch.notes.join("; "),
        )
    };
    let own = [of_machine(&entry.fingerprint)];
    assert_eq!(
        told(&own, None),
        (
            0,
            "changes below 8 %, the noise floor by this machine's calibration, are not told"
                .to_owned()
        )
    );
    assert_eq!(told(&own, Some(0.02)), (1, String::new()));
    assert_eq!(
        told(&[of_machine("fedcba987654")], None),
        (1, String::new())
    );
}

#[test]
fn other_machines_formats_and_set_ups_are_series_of_their_own() {
    let changes: [fn(&mut CampaignEntry); 3] = [
        |entry| entry.fingerprint = "fedcba987654".to_owned(),
        |entry| entry.schema = 2,
        |entry| {
            for cell in &mut entry.cells {
                cell.setup = "other".to_owned();
            }
        },
    ];
    for change in changes {
        let mut entries = stepped();
        entries[30..].iter_mut().for_each(change);
        let history = tell(&numbered(entries), TELLING);
        let series = main_series(&history);
        let lengths: Vec<usize> = series.iter().map(|series| series.points.len()).collect();
        // The latest first.
        assert_eq!(lengths, [10, 30]);
        assert!(
            series
                .iter()
                .all(|series| series.stretch.changes.is_empty()),
            "no test across them"
        );
    }
}

#[test]
fn what_has_no_value_is_a_gap_with_its_reason() {
    let mut entries = stepped();
    entries[3].invalid = Some("the machine was busy".to_owned());
    entries[5].cells[0].verdict = "insufficient".to_owned();
    entries[7].cells[0].ratio = None;
    let wild = [f64::INFINITY, f64::NAN, 0.0, -1.0];
    for (entry, value) in entries[10..].iter_mut().zip(wild) {
        if let Some(ratio) = &mut entry.cells[0].ratio {
            ratio.value = value;
        }
    }
    let history = tell(&numbered(entries), TELLING);
    let series = main_series(&history)[0];
    let gaps: Vec<usize> = (0..40)
        .filter(|&index| series.points[index].gap.is_some())
        .collect();
    assert_eq!(gaps, [3, 5, 7, 10, 11, 12, 13]);
    for point in &series.points {
        assert_eq!(point.gap.is_some(), point.ratio.is_none());
    }
    assert_eq!(series.stretch.values, 33);
    assert_eq!(series.stretch.changes[0].at, "commit-30");
    assert!(
        history.notes[0].contains("1 campaign invalid"),
        "{:?}",
        history.notes
    );
    // Whatever stands in it, it is read back from its JSON.
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
}

#[test]
fn small_steps_use_up_the_budget_since_the_last_release() {
    // +0.8 % a campaign: no change point is that small.
    let creeping = |steps: u32| -> Vec<CampaignEntry> {
        (0..steps)
            .map(|step| day(step, 1.2 * 1.008_f64.powi(step.cast_signed())))
            .collect()
    };
    for (steps, expected) in [
        (4, Finding::Pass),
        (12, Finding::Inconclusive),
        (18, Finding::Suspect),
    ] {
        let mut entries = creeping(steps);
        entries[0].release = Some("v1.2".to_owned());
        let history = tell(&numbered(entries), TELLING);
        let series = main_series(&history)[0];
        let since = series.budget.as_ref().unwrap();
        assert_eq!(
            since.budget.finding, expected,
            "{steps}: {}",
            since.budget.words
        );
        assert_eq!((since.release.as_str(), since.at), ("v1.2", 0));
        assert!(
            since.budget.words.contains("since release v1.2"),
            "{}",
            since.budget.words
        );
    }
    // The release itself is not judged against itself, and another machine's not at all.
    let mut entries = creeping(4);
    entries[3].release = Some("v1.3".to_owned());
    assert!(
        main_series(&tell(&numbered(entries.clone()), TELLING))[0]
            .budget
            .is_none()
    );
    entries.push(CampaignEntry {
        fingerprint: "fedcba987654".to_owned(),
        ..day(9, 1.2)
    });
    let history = tell(&numbered(entries), TELLING);
    assert!(
        main_series(&history)
            .iter()
            .all(|series| series.budget.is_none())
    );
}

#[test]
fn the_latest_release_counts_and_one_without_a_value_is_told() {
    let mut entries = stepped();
    entries[1].release = Some("v1".to_owned());
    entries[20].release = Some("v2".to_owned());
    entries[25].release = Some("v3".to_owned());
    entries[25].invalid = Some("noise".to_owned());
    let history = tell(&numbered(entries), TELLING);
    assert_eq!(
        main_series(&history)[0].budget.as_ref().unwrap().release,
        "v2"
    );
    assert!(
        history
            .notes
            .iter()
            .any(|note| note.contains("release v3 has no value"))
    );
}

#[test]
fn a_small_history_as_json() {
    let mut entries: Vec<CampaignEntry> = (0..4).map(|number| day(number, 1.25)).collect();
    entries[0].release = Some("v1".to_owned());
    entries[2].invalid = Some("the machine was busy".to_owned());
    for entry in &mut entries {
        entry.cells.pop();
    }
    let history = tell(&numbered(entries), TELLING);
    insta::assert_json_snapshot!(history);
}

#[test]
fn text_fits_a_terminal_and_cannot_steer_it() {
    let mut entries = stepped();
    entries[0].release = Some("v1.2".to_owned());
    entries[5].label = Some("\u{1b}[31mred".to_owned());
    entries[8].machine = "an \u{7}impossibly long CPU name ".repeat(9);
    entries[9].fingerprint = "fedcba987654".to_owned();
    let history = tell(&numbered(entries), TELLING);
    for text in [
        render::text(&history, false),
        render::text(&history, true),
        render::campaigns(&history),
    ] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    insta::assert_snapshot!(render::text(&history, false));
    assert!(render::text(&tell(&[], TELLING), false).contains("history add"));
}

fn links(history: &History) -> BTreeMap<i64, String> {
    let campaigns = history.campaigns.iter().skip(1);
    campaigns
        .map(|campaign| (campaign.id, format!("./c-{}/report.html", campaign.id)))
        .collect()
}

#[test]
fn the_page_needs_nothing_else_and_escapes_what_people_wrote() {
    let mut entries = stepped();
    entries[0].release = Some("<script>alert(1)</script>".to_owned());
    entries[4].label = Some("\"><img src=x onerror=alert(1)>".to_owned());
    entries[6].invalid = Some("<b>noise</b>".to_owned());
    let history = tell(&numbered(entries), TELLING);
    let page = String::from_utf8(render::page(&history, &links(&history))).unwrap();
    for forbidden in [
        "<script", "<img", "<b>noise", "http://", "https://", "@import", "url(",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("Content-Security-Policy"));
    // The main metric, and the one that changed with it.
    assert_eq!(page.matches("<figure>").count(), 2);
    assert_eq!(
        page.matches("/report.html\"").count(),
        39,
        "each folder that is there is linked"
    );
    assert!(page.contains("between commit-29 and commit-30"));
    assert_eq!(
        page,
        String::from_utf8(render::page(&history, &links(&history))).unwrap()
    );
}

#[test]
fn the_page_of_years_stays_small() {
    let wide = Synthetic::wide(8, 10).campaign();
    let entry = entry_of(&analyse(&wide), 1);
    let entries: Vec<CampaignEntry> = (0..800_u32)
        .map(|number| CampaignEntry {
            seed: number.into(),
            started_unix_ms: entry.started_unix_ms + u64::from(number) * 86_400_000,
            folder: Some(format!("wide-{number}")),
            ..entry.clone()
        })
        .collect();
    let history = tell(&numbered(entries), TELLING);
    let page = render::page(&history, &links(&history));
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

/// The one series of two campaigns, of which the first is a release.
fn since(then: RatioEntry, now: RatioEntry) -> (f64, f64, f64) {
    let mut entries = vec![day(0, 1.0), day(1, 1.0)];
    entries[0].cells[0].ratio = Some(then);
    entries[0].release = Some("v1".to_owned());
    entries[1].cells[0].ratio = Some(now);
    let history = tell(&numbered(entries), TELLING);
    let since = main_series(&history)[0].budget.clone().unwrap();
    (
        since.budget.interval.low,
        since.ratio,
        since.budget.interval.high,
    )
}

fn ratio() -> impl Strategy<Value = RatioEntry> {
    (0.2_f64..5.0, 1.0_f64..1.5, 1.0_f64..1.5).prop_map(|(value, down, up)| RatioEntry {
        value,
        low: value / down,
        high: value * up,
        confidence: 0.95,
    })
}

proptest! {
    #[test]
    fn a_history_does_not_depend_on_the_order_of_its_campaigns(
        order in Just((0..14).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let campaigns = numbered(stepped()[22..36].to_vec());
        let shuffled: Vec<_> = order.iter().map(|&index| campaigns[index].clone()).collect();
        prop_assert_eq!(tell(&shuffled, TELLING), tell(&campaigns, TELLING));
    }

    #[test]
    fn now_and_release_swapped_turn_the_ratio_and_its_interval_over(a in ratio(), b in ratio()) {
        let (low, value, high) = since(a, b);
        prop_assert!(low <= value && value <= high);
        let (turned_low, turned, turned_high) = since(b, a);
        for (one, other) in [(low, turned_high), (value, turned), (high, turned_low)] {
            prop_assert!((one * other - 1.0).abs() < 1e-9, "{one} {other}");
        }
        // Never narrower than either campaign's own.
        prop_assert!(high / low >= (a.high / a.low).min(b.high / b.low) * (1.0 - 1e-9));
    }

    #[test]
    fn whatever_a_file_holds_is_told_without_a_panic(
        ratios in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<u64>()), 0..30),
        metric in "[a-z0-9.-]{0,8}",
    ) {
        let entries = ratios.iter().zip(0..).map(|(&(value, low, high, at), number)| {
            let mut entry = day(number, 1.0);
            entry.started_unix_ms = at;
            entry.cells[0].ratio = Some(RatioEntry { value, low, high, confidence: value });
            entry.cells[1].metric = metric.clone();
            entry.release = (number % 3 == 0).then(|| metric.clone());
            entry
        });
        let history = tell(&numbered(entries.collect()), TELLING);
        let _ = render::page(&history, &BTreeMap::new());
        let _ = render::text(&history, true);
        let _ = render::campaigns(&history);
        serde_json::to_string(&history).unwrap();
    }
}

#[test]
fn loss_has_no_ratio_and_no_series() {
    let mut entries = stepped();
    for entry in &mut entries {
        entry.cells[1].metric = "loss".to_owned();
    }
    let history = tell(&numbered(entries), TELLING);
    assert!(
        history
            .series
            .iter()
            .all(|series| series.metric == Metric::P50)
    );
}
