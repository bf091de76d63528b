//! Runs of other tools, arm against arm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Imported, Tool};
use crate::analysis::{less_one, margin, typical};
use crate::model::{Direction, Estimate, Metric, Typical, Unit, Verdict};
use crate::unpaired::Unpaired;
use crate::verdict::Scale;
use crate::words;

/// Version of [`ImportedComparison`] as JSON.
pub const IMPORT_SCHEMA: u32 = 1;

/// One file with the arm that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The arm.
    pub arm: String,
    /// The file, as the user named it.
    pub file: String,
    /// What it says.
    pub imported: Imported,
}

/// Runs of other tools compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedComparison {
    /// [`IMPORT_SCHEMA`] of the writer.
    pub schema: u32,
    /// Whether figures of several runs may be merged: never, they are summaries.
    pub mergeable: bool,
    /// Whether runs are paired: never, here.
    pub paired: bool,
    /// The arm with which the others are compared: that of the first file.
    pub reference: String,
    /// What was read.
    pub files: Vec<ImportedFile>,
    /// Every figure that the reference and another arm have.
    pub cells: Vec<ImportedCell>,
    /// What this comparison can't tell, one line each.
    pub costs: Vec<String>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedFile {
    /// The file, as the user named it.
    pub file: String,
    /// The arm.
    pub arm: String,
    /// The tool that wrote it.
    pub tool: Tool,
}

/// One figure of one arm against the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedCell {
    /// The traffic in few words.
    pub workload: String,
    /// What was measured.
    pub metric: Metric,
    /// The arm.
    pub arm: String,
    /// Unit of the values.
    pub unit: Unit,
    /// Which way is worse.
    pub direction: Direction,
    /// What may be said.
    pub verdict: Verdict,
    /// The verdict is `equivalent`, yet the 95 % interval excludes equality.
    pub measurable: bool,
    /// Why it is insufficient, in one line.
    pub reason: Option<String>,
    /// The verdict in words.
    pub words: String,
    /// Typical value of the reference's runs.
    pub reference_typical: Option<Typical>,
    /// Typical value of the arm's runs.
    pub arm_typical: Option<Typical>,
    /// θ, or for loss the difference, oriented so that more is worse.
    pub effect: Option<Estimate>,
    /// Equivalence margin on `effect` - 1, or for loss on `effect`.
    pub margin: f64,
}

/// Runs of which none can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is only one arm.
    #[error(
        "all files are of one arm, so there is nothing to compare; name arms as ARM=FILE, or put the files of each \
         into a folder of its own"
    )]
    OneArm,
    /// The arms have no figure in common.
    #[error("the arms have no figure in common: run the tool with the same options on both")]
    NothingInCommon,
}

/// Compares the runs of each arm with those of the first file's arm. `plan_margin` is a share, for example 0.05.
///
/// # Errors
///
/// Where there is one arm only, or nothing in common.
pub fn compare(runs: &[Run], plan_margin: f64) -> Result<ImportedComparison, ImportError> {
    let mut arms: Vec<&str> = Vec::new();
    for run in runs {
        if !arms.contains(&run.arm.as_str()) {
            arms.push(&run.arm);
        }
    }
    let Some((&reference, others)) = arms.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return Err(ImportError::OneArm);
    };
    let mut keys: Vec<(&str, Metric)> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.imported.figures) {
        let key = (figure.workload.as_str(), figure.metric);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut cells = Vec::new();
    for (workload, metric) in keys {
        let values = |arm: &str| values(runs, arm, workload, metric);
        let before = values(reference);
        for arm in others {
            let after = values(arm);
            if !before.is_empty() && !after.is_empty() {
                cells.push(cell(
                    workload,
                    metric,
                    (reference, &before),
                    (arm, &after),
                    plan_margin,
                ));
            }
        }
    }
    if cells.is_empty() {
        return Err(ImportError::NothingInCommon);
    }
    Ok(ImportedComparison {
        schema: IMPORT_SCHEMA,
        mergeable: false,
        paired: false,
        reference: reference.to_owned(),
        files: runs
            .iter()
            .map(|run| ImportedFile {
                file: run.file.clone(),
                arm: run.arm.clone(),
                tool: run.imported.tool,
            })
            .collect(),
        costs: costs(runs, &cells),
        cells,
    })
}

/// The values of an arm: one for each run. A file may hold a test more than once, as several runs.
fn values(runs: &[Run], arm: &str, workload: &str, metric: Metric) -> Vec<f64> {
    let figures = runs
        .iter()
        .filter(|run| run.arm == arm)
        .flat_map(|run| &run.imported.figures);
    figures
        .filter(|figure| figure.workload == workload && figure.metric == metric)
        .map(|figure| figure.value)
        .collect()
}

fn cell(
    workload: &str,
    metric: Metric,
    (reference, before): (&str, &[f64]),
    (arm, after): (&str, &[f64]),
    plan_margin: f64,
) -> ImportedCell {
    let (scale, direction) = (Scale::of(metric), metric.direction());
    let oriented = |values: &[f64]| -> Vec<f64> {
        let one = |value: &f64| match (scale, direction) {
            (Scale::Difference, _) => *value,
            (Scale::Ratio, Direction::LargerIsWorse) => value.ln(),
            (Scale::Ratio, Direction::SmallerIsWorse) => -value.ln(),
        };
        values.iter().map(one).collect()
    };
    let margin = margin(metric, plan_margin);
    let inference = Unpaired::of(&[oriented(before)], &[oriented(after)], scale)
        .map_err(|lacking| lacking.words("run"));
    let (verdict, measurable) = inference
        .as_ref()
        .map_or((Verdict::Insufficient, false), |inference| {
            inference.verdict(margin)
        });
    let effect = inference.as_ref().ok().map(Unpaired::estimate);
    let reason = inference.err();
    ImportedCell {
        workload: workload.to_owned(),
        metric,
        arm: arm.to_owned(),
        unit: metric.unit(),
        direction,
        verdict,
        measurable,
        words: match &effect {
            Some(effect) => format!(
                "{verdict}: {arm} against {reference} {} worse",
                worse_by(metric, verdict, effect)
            ),
            None => format!("{verdict}: {}", reason.as_deref().unwrap_or("no interval")),
        },
        reason,
        reference_typical: typical(before),
        arm_typical: typical(after),
        effect,
        margin,
    }
}

/// Writes an effect with the interval that its verdict rests on; more is worse.
pub(crate) fn worse_by(metric: Metric, verdict: Verdict, effect: &Estimate) -> String {
    let equivalent = verdict == Verdict::Equivalent;
    match Scale::of(metric) {
        Scale::Ratio if equivalent => words::change90(&less_one(effect)),
        Scale::Ratio => words::change(&less_one(effect)),
        Scale::Difference if equivalent => words::shift90(metric.unit(), effect),
        Scale::Difference => words::shift_with_interval(metric.unit(), effect),
    }
}

fn costs(runs: &[Run], cells: &[ImportedCell]) -> Vec<String> {
    let mut costs = vec![
        "Imported figures are summaries and not mergeable: each run counts as one value, whatever it rests on".to_owned(),
        "Unpaired: what happened between the runs of two arms is not told from the arms. Where runs took turns, \
         --pairs with their figures tells more"
            .to_owned(),
        "Nothing proves which datapath carried the packets".to_owned(),
    ];
    for note in runs.iter().flat_map(|run| &run.imported.notes) {
        if !costs.contains(note) {
            costs.push(note.clone());
        }
    }
    if cells.len() > 1 {
        costs.push(format!(
            "Each of the {} verdicts stands for itself: of equal arms, one in twenty is called slower or faster",
            cells.len()
        ));
    }
    costs
}
