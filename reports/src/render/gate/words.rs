//! What all renderers of a gate say alike. The words banned in reports are banned here too (statistics §2.6).

use crate::gate::{
    CalibrationState, Exit, GateReport, GatedCell, OnInconclusive, Ruling, StagePolicy,
    StageSummary, margin, worse_by,
};
use crate::render::{number, words::short_metric};
use crate::words::plural;

/// Error of a one-sided judgement by a 95 % interval: each stage errs this often on either side.
const PER_STAGE: f64 = 0.025;

/// Installs of the second stage that keep an install's luck from failing a gate (statistics §2.7, simulated).
const ENOUGH_INSTALLS: u32 = 4;

/// Returns the result in one word.
pub(in crate::render) const fn result(report: &GateReport) -> &'static str {
    match report.exit {
        Exit::Failed => "FAIL",
        Exit::Invalid | Exit::Usage => "INVALID",
        Exit::Inconclusive => "INCONCLUSIVE",
        Exit::Done => "no FAIL",
    }
}

/// Returns the symbol of a ruling; the word always stands beside it.
pub(in crate::render) const fn symbol(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Pass => "✓",
        Ruling::Fail => "✗",
        Ruling::Invalid => "!",
        Ruling::Suspect | Ruling::Inconclusive => "?",
        Ruling::NotGateable => "–",
    }
}

/// Names a cell: `rr p50, candidate against native`.
pub(in crate::render) fn cell(cell: &GatedCell) -> String {
    format!(
        "{} {}, {} against {}",
        cell.workload,
        short_metric(cell.metric),
        cell.arm,
        cell.reference
    )
}

/// Writes how much worse a cell is, with its interval; nothing of what was not measured as declared.
pub(in crate::render) fn effect(cell: &GatedCell) -> String {
    let told = !matches!(cell.ruling, Ruling::Invalid | Ruling::NotGateable);
    cell.effect.filter(|_| told).map_or_else(
        || number::UNKNOWN.to_owned(),
        |effect| worse_by(cell, &effect),
    )
}

/// Writes a cell's margin in few letters: `5 %`, `0.1 pp`.
pub(in crate::render) fn short_margin(cell: &GatedCell) -> String {
    margin(cell).replace("percentage points", "pp")
}

/// Returns a cell's words without the ruling at their head.
pub(in crate::render) fn why(cell: &GatedCell) -> &str {
    let head = cell.ruling.as_str();
    let rest = cell
        .words
        .strip_prefix(head)
        .and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(&cell.words)
}

/// Returns the cells with the gravest first; the plan's order among equals.
pub(in crate::render) fn by_gravity(report: &GateReport) -> Vec<&GatedCell> {
    let mut cells: Vec<&GatedCell> = report.cells.iter().collect();
    cells.sort_by_key(|cell| match cell.ruling {
        Ruling::Fail => 0,
        Ruling::Invalid => 1,
        Ruling::Suspect => 2,
        Ruling::Inconclusive => 3,
        Ruling::NotGateable => 4,
        Ruling::Pass => 5,
    });
    cells
}

/// How often a gate like this errs, one sentence each: a false alarm, and a miss.
pub(in crate::render) fn errors(report: &GateReport) -> [String; 2] {
    let cells = report.cells.len();
    let alarm = PER_STAGE * PER_STAGE;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a report has far fewer cells than 2^53"
    )]
    let all = (alarm * cells as f64).min(1.0);
    let together = match cells {
        0 | 1 => String::new(),
        _ => format!(
            "; among these {cells} together, in at most {}",
            number::share(all)
        ),
    };
    let luck = if report.policy.second.installs < ENOUGH_INSTALLS {
        format!(
            ". With fewer than {ENOUGH_INSTALLS} fresh installs in the second stage, one that is slow by luck adds to that"
        )
    } else {
        String::new()
    };
    [
        format!(
            "a cell that is no worse FAILs in at most {} of gates ({} in each of two stages, on fresh \
             installs, taken as independent){together}{luck}",
            number::share(alarm),
            number::share(PER_STAGE)
        ),
        format!(
            "a cell that is worse by its margin or more PASSes in at most {} of gates ({} in each stage)",
            number::share(2.0 * PER_STAGE),
            number::share(PER_STAGE)
        ),
    ]
}

/// What was demanded and what was measured.
pub(in crate::render) fn stages(report: &GateReport) -> String {
    let demanded = |stage: StagePolicy| {
        format!(
            "{} on {}",
            plural(stage.rounds as usize, "round"),
            plural(stage.installs as usize, "install")
        )
    };
    let measured = |stage: &StageSummary| {
        format!(
            "{} ({}, {})",
            number::date(stage.started_unix_ms),
            plural(stage.installs as usize, "install"),
            plural(stage.campaigns as usize, "campaign")
        )
    };
    let times: Vec<String> = report.stages.iter().map(measured).collect();
    format!(
        "{}, then for the cells that these don't pass {} anew. Measured {}",
        demanded(report.policy.first),
        demanded(report.policy.second),
        times.join(", then ")
    )
}

/// Where the effects shown come from.
pub(in crate::render) const EFFECTS: &str = "how much more latency or loss, or how much less throughput (reference / arm); of the \
     second stage where it measured the cell, since what the first found suspicious is exaggerated. \
     Hodges-Lehmann, exact signed-rank interval of 95 %";

/// What FAIL says of every cell that bears it.
pub(in crate::render) const FAILED: &str =
    "proved worse, and by the margin or more, in both stages, the second on fresh installs";

/// What is known of the machine's noise.
pub(in crate::render) fn calibration(report: &GateReport) -> String {
    match &report.calibration {
        CalibrationState::Calibrated { age_days } => {
            format!("margins checked against the noise floor, {age_days:.0} days old")
        }
        CalibrationState::Uncalibrated { reason } => {
            format!("margins not checked against a noise floor: {reason}")
        }
    }
}

/// What an inconclusive cell counts for.
pub(in crate::render) const fn inconclusive(policy: OnInconclusive) -> &'static str {
    match policy {
        OnInconclusive::Warn => {
            "counts for nothing (on-inconclusive = \"warn\"): neither a regression nor its absence was proved"
        }
        OnInconclusive::Fail => {
            "ends the gate with exit code 3 (on-inconclusive = \"fail\"): neither a regression nor its absence was proved"
        }
    }
}

/// What a second run is good for.
pub(in crate::render) const fn again(exit: Exit) -> &'static str {
    match exit {
        Exit::Invalid | Exit::Usage => {
            "INVALID says nothing of the change under test: mend the environment and run it once more"
        }
        _ => {
            "a re-run is one more gate, and whoever re-runs until it is green has no error rates left: mend the cause, \
             or widen the margin in the policy and say why"
        }
    }
}

/// What a reader must know beside the rulings, the gravest first, one sentence each.
pub(in crate::render) fn remarks(report: &GateReport) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(stored) = &report.against {
        remarks.push(format!(
            "Compared with a stored reference of {}, the weaker kind: {}",
            number::date(stored.started_unix_ms),
            stored.words
        ));
    }
    remarks.extend(report.notes.iter().cloned());
    let count = report.earlier.len();
    if let Some(last) = report.earlier.last() {
        remarks.push(format!(
            "Run {} of this gate: whoever runs again until it passes has no error rates left. The one before, of {}: {}",
            count + 1,
            number::date(last.started_unix_ms),
            last.words
        ));
    }
    remarks
}
