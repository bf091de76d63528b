//! The ruling on a whole gate.

use std::collections::BTreeSet;

use super::control;
use super::policy::Policy;
use super::report::{CalibrationState, Exit, GATE_SCHEMA, GateReport, GatedCell, Judged};
use super::rules::{self, Finding, Ruling};
use super::stage::{GateError, Measured, Stage};
use super::words;
use crate::calibration::Calibration;

/// Rules on every gated cell: pure, and the same for the same input.
///
/// With one stage, cells that it did not pass are `open`, and the report is not `complete`. The second stage may
/// leave out what the first passed.
///
/// # Errors
///
/// Where the stages can't be judged together, or the policy gates nothing of them.
pub fn rule(
    policy: &Policy,
    calibration: Option<&Calibration>,
    first: &Stage,
    second: Option<&Stage>,
) -> Result<GateReport, GateError> {
    if let Some(second) = second {
        first.agree(&second.scenario, &second.fingerprint)?;
        if !first.installs.is_disjoint(&second.installs) {
            return Err(GateError::NotFresh);
        }
    }
    let (state, calibration) = calibrated(calibration, first);
    let controls = [Some(first), second]
        .map(|stage| stage.and_then(|stage| control::look(policy, calibration, stage)));
    let [spoiled, spoiled_again] = controls
        .each_ref()
        .map(|found| found.as_ref().and_then(|found| found.invalid.as_ref()));
    let mut cells = Vec::new();
    let mut met = BTreeSet::new();
    for measured in &first.cells {
        if control::is_control(policy, measured) {
            continue;
        }
        let demand = policy.demand(&measured.workload, measured.metric, &measured.arm);
        if let Some((margin, named)) = demand {
            met.extend(named);
            let second = second.map(|stage| {
                let again = stage.cells.iter().find(|cell| cell.is(measured));
                again.map_or_else(not_measured, |cell| {
                    cell.judge(policy.second, margin).unless(spoiled_again)
                })
            });
            let first = measured.judge(policy.first, margin).unless(spoiled);
            let named = named.is_some();
            cells.push(gated(calibration, measured, (first, second), margin, named));
        }
    }
    let missing = (0..policy.cells.len()).find(|index| !met.contains(index));
    if let Some(missing) = missing {
        let text = format!(
            "number {} of `cells` matches none that was measured, or none that an earlier one leaves",
            missing + 1
        );
        return Err(GateError::Nothing(text));
    }
    if cells.is_empty() {
        let text = "none has a metric of [margins]".to_owned();
        return Err(GateError::Nothing(text));
    }
    let complete = second.is_some() || cells.iter().all(|cell| !cell.open);
    let mut report = GateReport {
        schema: GATE_SCHEMA,
        scenario: first.scenario.clone(),
        fingerprint: first.fingerprint.clone(),
        policy: policy.clone(),
        calibration: state,
        stages: std::iter::once(first)
            .chain(second)
            .map(Stage::summary)
            .collect(),
        complete,
        cells,
        exit: Exit::Invalid,
        words: String::new(),
        earlier: Vec::new(),
        against: None,
        notes: controls
            .into_iter()
            .flatten()
            .filter_map(|found| found.words)
            .collect(),
    };
    let counts = report.cells.iter().map(|cell| report.counts_for(cell));
    report.exit = counts.max().unwrap_or(Exit::Invalid);
    report.words = words::whole(&report.cells, report.exit, complete);
    Ok(report)
}

/// What is known of the noise, and the calibration where it fits.
fn calibrated<'a>(
    calibration: Option<&'a Calibration>,
    first: &Stage,
) -> (CalibrationState, Option<&'a Calibration>) {
    let uncalibrated = |reason| (CalibrationState::Uncalibrated { reason }, None);
    let Some(found) = calibration else {
        return uncalibrated(
            "this machine was never calibrated; run `tollgate calibrate`".to_owned(),
        );
    };
    let now = first.started_unix_ms();
    if let Some(reason) = found.unfit(&first.fingerprint, now) {
        return uncalibrated(reason);
    }
    let age_days = found.age_days(now);
    (CalibrationState::Calibrated { age_days }, Some(found))
}

/// A cell that a second stage left out.
fn not_measured() -> Judged {
    Judged {
        finding: Finding::Insufficient,
        rounds: 0,
        installs: 0,
        effect: None,
        spread: None,
        reason: Some("the second stage did not measure it".to_owned()),
        to_resolve: None,
    }
}

fn gated(
    calibration: Option<&Calibration>,
    measured: &Measured,
    (first, second): (Judged, Option<Judged>),
    margin: f64,
    named: bool,
) -> GatedCell {
    // What the first stage passed needs no second one.
    let second = second.filter(|judged| first.finding != Finding::Pass || judged.rounds > 0);
    let (floor, why_not) = measured.not_gateable(calibration, margin);
    let judged = rules::judge(first.finding, second.as_ref().map(|judged| judged.finding));
    let ruling = match why_not {
        Some(_) if judged != Ruling::Invalid => Ruling::NotGateable,
        _ => judged,
    };
    let open = second.is_none() && matches!(ruling, Ruling::Suspect | Ruling::Inconclusive);
    let mut cell = GatedCell {
        workload: measured.workload.clone(),
        metric: measured.metric,
        arm: measured.arm.clone(),
        reference: measured.reference.clone(),
        unit: measured.unit,
        margin,
        named,
        ruling,
        open,
        words: String::new(),
        effect: second.as_ref().map_or(first.effect, |judged| judged.effect),
        floor,
        first,
        second,
    };
    let why_not = why_not.filter(|_| ruling == Ruling::NotGateable);
    cell.words = words::cell(&cell, why_not.as_deref());
    cell
}
