//! The control: a second install of the reference, measured beside the arms (statistics §2.9). Where it differs from the
//! reference by as much as a margin, installs or the machine do what the gate looks for, and nothing holds.

use tollgate_results::arm::Name;

use super::policy::Policy;
use super::stage::{Measured, Stage};
use super::words;
use crate::calibration::Calibration;
use crate::verdict::Scale;

/// Returns the name of a second install of an arm: its own with `-again`.
///
/// # Panics
///
/// Never: a plain word is a name.
#[must_use]
pub fn control_of(reference: &Name) -> Name {
    let name = format!("{reference}-again");
    name.parse().unwrap_or_else(|_| {
        // The reference's own name is as long as a name can be.
        let fallback = if reference.as_str() == "again" {
            "second"
        } else {
            "again"
        };
        fallback.parse().expect("a plain word is a name")
    })
}

/// What the control says in one stage.
#[derive(Debug)]
pub(super) struct Control {
    /// Why nothing in the stage holds, where it doesn't.
    pub(super) invalid: Option<String>,
    /// How much it differs, in one sentence.
    pub(super) words: Option<String>,
}

/// Whether a cell is the control's, and not gated itself.
pub(super) fn is_control(policy: &Policy, cell: &Measured) -> bool {
    policy.control && cell.arm == control_of(&cell.reference)
}

/// Looks at the control of a stage; `None` where the policy demands none.
pub(super) fn look(
    policy: &Policy,
    calibration: Option<&Calibration>,
    stage: &Stage,
) -> Option<Control> {
    if !policy.control {
        return None;
    }
    let mut said = Vec::new();
    let mut invalid = None;
    for cell in stage.cells.iter().filter(|cell| is_control(policy, cell)) {
        let Some(margin) = margin(policy, stage, cell) else {
            continue;
        };
        // Where the margin can't be told here, the gated cells say so themselves.
        if cell.not_gateable(calibration, margin).1.is_some() {
            continue;
        }
        match judge(cell, margin) {
            Ok(text) => said.push(text),
            Err(reason) => invalid = invalid.or(Some(reason)),
        }
    }
    let any = stage.cells.iter().any(|cell| is_control(policy, cell));
    let missing = (!any).then(|| {
        "the policy demands a control, and no second install of a reference was measured".to_owned()
    });
    Some(Control {
        invalid: invalid.or(missing),
        words: (!said.is_empty()).then(|| said.join("; ")),
    })
}

/// Returns the narrowest margin to which an arm with the same reference is held in this cell's workload and metric.
fn margin(policy: &Policy, stage: &Stage, control: &Measured) -> Option<f64> {
    let cells = stage.cells.iter().filter(|cell| {
        !is_control(policy, cell)
            && (&cell.workload, cell.metric, &cell.reference)
                == (&control.workload, control.metric, &control.reference)
    });
    let margins = cells.filter_map(|cell| policy.demand(&cell.workload, cell.metric, &cell.arm));
    margins.map(|(margin, _)| margin).reduce(f64::min)
}

/// Says how much a control differs: an error where that invalidates its stage.
fn judge(cell: &Measured, margin: f64) -> Result<String, String> {
    let subject = format!("{}, a second install of {},", cell.arm, cell.reference);
    let place = format!("{} {}", cell.workload, cell.metric);
    if let Some(reason) = &cell.invalid {
        return Err(format!("the control is invalid on {place}: {reason}"));
    }
    let Some(estimate) = cell.estimate() else {
        return Err(format!(
            "the control has no interval on {place}: too few valid rounds, or no finite value"
        ));
    };
    let scale = Scale::of(cell.metric);
    let differs = words::worse(cell.metric, cell.unit, &estimate);
    let distance = (estimate.value - scale.neutral()).abs();
    if !estimate.interval95.contains(scale.neutral()) && distance >= margin {
        return Err(format!(
            "{subject} differs by {differs} on {place}, and the margin is {}: installs or the machine do what is gated",
            words::margin_of(cell.metric, cell.unit, margin)
        ));
    }
    Ok(format!("{subject} differs by {differs} on {place}"))
}
