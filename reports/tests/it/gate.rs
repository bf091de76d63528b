//! Gates over whole campaigns: stages, freshness, calibration, exit classes.

use schemars::schema_for;
use tollgate_reports::analyse;
use tollgate_reports::calibration::{Calibration, CalibrationError, Costs};
use tollgate_reports::gate::{
    CalibrationState, CellPolicy, Exit, GateError, GateReport, GatedCell, OnInconclusive, Policy,
    Ruling, Stage, StagePolicy, rule,
};
use tollgate_reports::model::{Analysis, Metric};
use tollgate_reports::synthetic::{Synthetic, datapath, measured_mut, name};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::run::Campaign;
use tollgate_results::units::Share;

/// Native against itself, the second `theta` times as slow, measured at a time of its own.
pub(crate) fn campaign(seed: u64, rounds: u32, theta: f64) -> Campaign {
    let mut synthetic = Synthetic::overlay();
    synthetic.seed = seed;
    synthetic.rounds = rounds;
    let mut candidate = synthetic.arms[0].clone();
    candidate.arm.name = name("candidate");
    candidate.per_packet = theta;
    synthetic.arms[1] = candidate;
    let mut campaign = synthetic.referenced().campaign();
    campaign.run.started_unix_ms += 1_000_000 * seed;
    campaign
}

pub(crate) fn analyses(seeds: std::ops::Range<u64>, rounds: u32, theta: f64) -> Vec<Analysis> {
    seeds
        .map(|seed| analyse(&campaign(seed, rounds, theta)))
        .collect()
}

pub(crate) fn stage_of(analyses: &[Analysis]) -> Stage {
    Stage::of(&analyses.iter().collect::<Vec<_>>()).unwrap()
}

pub(crate) fn first(theta: f64) -> Stage {
    stage_of(&analyses(1..2, 10, theta))
}

/// Four fresh installs of five rounds each.
pub(crate) fn second(theta: f64) -> Stage {
    stage_of(&analyses(11..15, 5, theta))
}

fn p50(report: &GateReport) -> &GatedCell {
    report
        .cells
        .iter()
        .find(|cell| cell.metric == Metric::P50)
        .unwrap()
}

pub(crate) fn gate(theta: f64, again: Option<f64>) -> GateReport {
    let second = again.map(second);
    rule(&Policy::default(), None, &first(theta), second.as_ref()).unwrap()
}

#[test]
fn equal_arms_pass_the_first_stage() {
    let report = gate(1.0, None);
    let metrics: Vec<Metric> = report.cells.iter().map(|cell| cell.metric).collect();
    assert_eq!(
        metrics,
        [Metric::P50, Metric::P90, Metric::P99, Metric::Loss]
    );
    assert_eq!(p50(&report).ruling, Ruling::Pass, "{}", p50(&report).words);
    assert!(
        p50(&report).words.ends_with(", below the margin of 5 %"),
        "{}",
        p50(&report).words
    );
    let loss = &report.cells[3];
    assert_eq!(
        loss.words,
        "PASS: +0.00 percentage points [0.00, 0.00] worse, below the margin of 0.1 percentage points"
    );
    assert_eq!((report.exit, report.exit.code()), (Exit::Done, 0));
    assert_eq!(report.complete, report.open().count() == 0);
    assert!(matches!(
        report.calibration,
        CalibrationState::Uncalibrated { .. }
    ));
}

#[test]
fn a_regression_is_suspect_once_and_fails_twice() {
    let report = gate(1.12, None);
    assert_eq!(p50(&report).ruling, Ruling::Suspect);
    assert!(!report.complete && report.open().any(|cell| cell.metric == Metric::P50));
    assert!(
        report
            .words
            .contains("a second stage on fresh installs is needed"),
        "{}",
        report.words
    );
    assert_eq!(report.exit, Exit::Done);

    let report = gate(1.12, Some(1.12));
    let cell = p50(&report);
    assert_eq!(cell.ruling, Ruling::Fail, "{}", cell.words);
    assert!(
        cell.words.contains("seen twice on fresh installs"),
        "{}",
        cell.words
    );
    // What the first stage found suspicious is exaggerated: the second one's estimate counts.
    assert_eq!(cell.effect, cell.second.as_ref().unwrap().effect);
    assert!(cell.effect.unwrap().interval95.contains(1.12));
    assert_eq!(report.stages[1].campaigns, 4);
    assert_eq!(cell.second.as_ref().unwrap().installs, 4);
    assert!(report.complete && report.open().count() == 0);
    assert_eq!(report.exit.code(), 1);
    assert!(
        report.words.starts_with("The gate FAILs: "),
        "{}",
        report.words
    );
}

#[test]
fn what_is_seen_once_is_inconclusive_and_says_so() {
    let report = gate(1.12, Some(1.049));
    let cell = p50(&report);
    assert_eq!(cell.ruling, Ruling::Inconclusive, "{}", cell.words);
    assert!(
        cell.words.contains("seen once, not reproduced"),
        "{}",
        cell.words
    );
    assert!(cell.words.contains("rounds"), "{}", cell.words);
    assert_eq!(report.exit.code(), 0);
    let strict = Policy {
        on_inconclusive: OnInconclusive::Fail,
        ..Policy::default()
    };
    let report = rule(&strict, None, &first(1.12), Some(&second(1.049))).unwrap();
    assert_eq!(report.exit.code(), 3);

    let report = gate(1.12, Some(1.0));
    assert_eq!(p50(&report).ruling, Ruling::Pass, "{}", p50(&report).words);
}

#[test]
fn a_second_stage_that_leaves_a_cell_out_decides_nothing() {
    let mut partial = analyses(11..15, 5, 1.12);
    for analysis in &mut partial {
        analysis.cells.retain(|cell| cell.metric != Metric::P50);
    }
    let report = rule(
        &Policy::default(),
        None,
        &first(1.12),
        Some(&stage_of(&partial)),
    )
    .unwrap();
    let cell = p50(&report);
    assert_eq!(cell.ruling, Ruling::Inconclusive);
    assert_eq!(
        cell.words,
        "INCONCLUSIVE: the second stage did not measure it"
    );
}

#[test]
fn stages_that_cannot_be_judged_together_are_refused() {
    let rule = |second: &Stage| rule(&Policy::default(), None, &first(1.0), Some(second));
    assert_eq!(rule(&first(1.0)), Err(GateError::NotFresh));
    let twice = analyses(1..2, 10, 1.0);
    assert_eq!(Stage::of(&[&twice[0], &twice[0]]), Err(GateError::NotFresh));
    assert_eq!(Stage::of(&[]), Err(GateError::Empty));

    let mut elsewhere = analyses(11..15, 5, 1.0);
    for analysis in &mut elsewhere {
        analysis.subject.fingerprint = "0123456789ab".to_owned();
    }
    assert!(matches!(
        rule(&stage_of(&elsewhere)),
        Err(GateError::Machines(..))
    ));
    let mut other = analyses(11..12, 20, 1.0);
    other[0].subject.scenario = name("other");
    let error = rule(&stage_of(&other)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "campaigns of `overlay` and `other` can't be gated together; give campaigns of one scenario"
    );
}

#[test]
fn a_policy_that_matches_nothing_is_refused() {
    let policy = Policy {
        cells: vec![CellPolicy {
            workload: Some(name("nothing-like-it")),
            ..CellPolicy::default()
        }],
        ..Policy::default()
    };
    let error = rule(&policy, None, &first(1.0), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "number 1 of `cells` matches none that was measured, or none that an earlier one leaves"
        ),
        "{error}"
    );
    let policy = Policy {
        margins: [(Metric::Throughput, Share(0.05))].into(),
        ..Policy::default()
    };
    assert!(matches!(
        rule(&policy, None, &first(1.0), None),
        Err(GateError::Nothing(_))
    ));
}

#[test]
fn too_little_is_invalid_and_never_a_failure() {
    let short = stage_of(&analyses(1..2, 9, 1.12));
    let report = rule(&Policy::default(), None, &short, None).unwrap();
    assert_eq!(p50(&report).words, "INVALID: 9 of 10 valid rounds");
    assert_eq!(report.exit.code(), 4);

    let one_install = stage_of(&analyses(11..12, 20, 1.12));
    let report = rule(&Policy::default(), None, &first(1.12), Some(&one_install)).unwrap();
    assert_eq!(p50(&report).words, "INVALID: 1 of 4 installs of the arms");
    assert_eq!(report.exit.code(), 4);
    let lenient = Policy {
        second: StagePolicy {
            rounds: 20,
            installs: 1,
        },
        ..Policy::default()
    };
    let report = rule(&lenient, None, &first(1.12), Some(&one_install)).unwrap();
    assert_eq!(p50(&report).ruling, Ruling::Fail);
}

#[test]
fn figures_beyond_all_bounds_are_judged_in_words() {
    let mut analysis = analyses(1..2, 10, 1.0).remove(0);
    analysis.subject.rounds.count = u32::MAX;
    analysis.subject.installs = u32::MAX;
    for cell in &mut analysis.cells {
        let pairs = cell.pairs.clone();
        cell.pairs = pairs.into_iter().cycle().take(1_001).collect();
    }
    let report = rule(&Policy::default(), None, &stage_of(&[analysis]), None).unwrap();
    assert_eq!(
        p50(&report).words,
        "INVALID: 1001 rounds; an interval takes 6 to 1000"
    );
    assert_eq!(report.stages[0].installs, 1);
}

#[test]
fn an_arm_that_is_not_what_it_declares_is_invalid() {
    let mut synthetic = Synthetic::overlay();
    // Declared as an overlay, carried natively.
    synthetic.arms[1].carried = datapath(Wire::Native, Service::None, None);
    let analysis = analyse(&synthetic.campaign());
    let report = rule(&Policy::default(), None, &stage_of(&[analysis]), None).unwrap();
    assert!(
        report
            .cells
            .iter()
            .all(|cell| cell.ruling == Ruling::Invalid)
    );
    assert!(
        p50(&report).words.contains("vxlan is not what it declares"),
        "{}",
        p50(&report).words
    );
    assert_eq!(report.exit.code(), 4);
    assert!(
        report.words.starts_with("The environment is INVALID: "),
        "{}",
        report.words
    );
}

#[test]
fn lost_replies_fail_the_loss_cell() {
    let lossy = |seed: u64, rounds: u32| {
        let mut campaign = campaign(seed, rounds, 1.0);
        for slice in &mut campaign.slices {
            if slice.record.key.arm == name("candidate") {
                let outcome = &mut measured_mut(slice).unwrap().outcome;
                outcome.lost = outcome.replied / 50;
                outcome.sent = outcome.replied + outcome.lost;
            }
        }
        analyse(&campaign)
    };
    let second: Vec<Analysis> = (11..15).map(|seed| lossy(seed, 5)).collect();
    let first = stage_of(&[lossy(1, 10)]);
    let report = rule(&Policy::default(), None, &first, Some(&stage_of(&second))).unwrap();
    let by = |metric: Metric| {
        report
            .cells
            .iter()
            .find(|cell| cell.metric == metric)
            .unwrap()
    };
    assert_eq!(by(Metric::Loss).ruling, Ruling::Fail);
    assert!(
        by(Metric::Loss).words.contains("+1.96 percentage points"),
        "{}",
        by(Metric::Loss).words
    );
    // One reply of fifty is lost: the 99th percentile is infinite.
    assert_eq!(
        by(Metric::P99).ruling,
        Ruling::Fail,
        "{}",
        by(Metric::P99).words
    );
    assert!(
        by(Metric::P99).words.contains("+∞ %"),
        "{}",
        by(Metric::P99).words
    );
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<GateReport>(&text).unwrap(), report);
}

#[test]
fn a_tail_too_thin_for_a_gate_is_not_gated() {
    let mut analysis = analyses(1..2, 10, 1.0).remove(0);
    for spectrum in &mut analysis.spectra {
        spectrum.sent = 1_500 * u64::from(spectrum.rounds);
    }
    let report = rule(&Policy::default(), None, &stage_of(&[analysis]), None).unwrap();
    let p99 = report
        .cells
        .iter()
        .find(|cell| cell.metric == Metric::P99)
        .unwrap();
    assert_eq!(
        p99.words,
        "NOT GATEABLE: about 15 samples of a slice lie beyond p99: a gate needs 20 (longer slices)"
    );
    assert_eq!(p50(&report).ruling, Ruling::Pass);
    assert_eq!(report.exit.code(), 0);
}

pub(crate) fn calibrated() -> Calibration {
    let quiet = analyses(100..130, 10, 1.0);
    Calibration::of(&quiet.iter().collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_calibration_knows_the_noise_of_equal_arms() {
    let calibration = calibrated();
    let cell = calibration
        .cells
        .iter()
        .find(|cell| cell.metric == Metric::P50)
        .unwrap();
    assert_eq!(
        (cell.comparisons, cell.rounds, calibration.campaigns),
        (30, 10, 30)
    );
    // Each slice has 1.5 % of its own, each round thus 2.1 %.
    assert!((cell.s_round / 0.021 - 1.0).abs() < 0.15, "{cell:?}");
    // Synthetic installs don't differ.
    assert!(cell.s_install.unwrap() < 0.006, "{cell:?}");
    assert!((0.005..0.025).contains(&cell.phi), "{cell:?}");
    assert!((0.018..0.035).contains(&cell.mde), "{cell:?}");
    assert!(
        cell.told_apart.hits <= 6 && cell.told_apart.trials == 30,
        "{cell:?}"
    );
    let suspected = cell.suspected.unwrap();
    assert_eq!((suspected.hits, suspected.trials), (0, 30));
    assert!((suspected.at_most - (1.0 - 0.05_f64.powf(1.0 / 30.0))).abs() < 1e-9);
    let advice = cell.advise(
        0.05,
        Costs {
            install_seconds: 5.0,
            round_seconds: 3.0,
        },
    );
    assert!(advice.words.contains("tell ±5 %"), "{advice:?}");
    let text = serde_json::to_string(&calibration).unwrap();
    assert_eq!(
        serde_json::from_str::<Calibration>(&text).unwrap(),
        calibration
    );
}

#[test]
fn a_margin_below_the_noise_floor_is_refused() {
    let calibration = calibrated();
    let named = |named: bool| Policy {
        margins: [(Metric::P50, Share(0.01)), (Metric::P90, Share(0.07))].into(),
        cells: if named {
            vec![CellPolicy::default()]
        } else {
            Vec::new()
        },
        ..Policy::default()
    };
    let report = rule(&named(false), Some(&calibration), &first(1.0), None).unwrap();
    let cell = p50(&report);
    assert_eq!(cell.ruling, Ruling::NotGateable);
    assert!(
        cell.words
            .starts_with("NOT GATEABLE: not gateable on this host: noise floor 2")
            && cell.words.ends_with(" % > margin 1 %"),
        "{}",
        cell.words
    );
    assert_eq!(
        report.exit.code(),
        0,
        "the other cell is gated: {}",
        report.words
    );
    // Who names a cell wants to know that nobody watches it.
    let report = rule(&named(true), Some(&calibration), &first(1.0), None).unwrap();
    assert_eq!(report.exit.code(), 4);

    let report = rule(&Policy::default(), Some(&calibration), &first(1.0), None).unwrap();
    assert_eq!(p50(&report).ruling, Ruling::Pass);
    assert!(matches!(
        report.calibration,
        CalibrationState::Calibrated { .. }
    ));
}

#[test]
fn a_calibration_of_another_time_or_machine_does_not_count() {
    let mut old = calibrated();
    old.made_unix_ms -= 40 * 86_400_000;
    let mut foreign = calibrated();
    foreign.fingerprint = "0123456789ab".to_owned();
    for (calibration, words) in [
        (old, "days old, more than 30"),
        (foreign, "of machine 0123456789ab"),
    ] {
        let report = rule(&Policy::default(), Some(&calibration), &first(1.0), None).unwrap();
        let CalibrationState::Uncalibrated { reason } = &report.calibration else {
            panic!("{:?}", report.calibration);
        };
        assert!(
            reason.contains(words) && reason.contains("tollgate calibrate"),
            "{reason}"
        );
        assert_eq!(p50(&report).floor, None);
    }
}

#[test]
fn what_compares_no_arm_with_itself_calibrates_nothing() {
    let overlay = analyse(&Synthetic::overlay().campaign());
    assert_eq!(Calibration::of(&[&overlay]), Err(CalibrationError::NoTwin));
    assert_eq!(Calibration::of(&[]), Err(CalibrationError::Empty));
    let short = analyses(1..3, 5, 1.0);
    assert_eq!(
        Calibration::of(&short.iter().collect::<Vec<_>>()),
        Err(CalibrationError::NoInterval)
    );
    let mut mixed = analyses(1..3, 10, 1.0);
    mixed[1].subject.fingerprint.clear();
    assert_eq!(
        Calibration::of(&mixed.iter().collect::<Vec<_>>()),
        Err(CalibrationError::Mixed)
    );
}

#[test]
fn types_that_a_command_line_reads_and_writes_have_schemas() {
    let schemas = [
        schema_for!(Policy),
        schema_for!(GateReport),
        schema_for!(Calibration),
    ];
    for schema in schemas {
        assert!(schema.as_value()["properties"].is_object(), "{schema:?}");
    }
}
