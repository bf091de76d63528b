//! History: where the ratio to a pinned reference changed, from campaign to campaign (statistics §2.11).
//!
//! A change point opens a question, it never fails a gate. Values of different machines or record formats never
//! stand in one stretch, and a campaign without a value is a gap, not a value.

mod entry;
mod overview;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::Finding;
use crate::model::Interval;
use crate::stats::calibrated::{self, FEWEST_AFTER, FEWEST_BEFORE};
use crate::stats::change_points::{self, Flavour, Settings};
use crate::words;

pub use entry::entry_of;
pub use overview::{
    CampaignSummary, HISTORY_SCHEMA, History, Range, Series, SeriesPoint, SinceRelease, Telling,
    tell,
};

/// The smallest change that is told, where a machine's noise floor is lower.
const LEAST_MAGNITUDE: f64 = 0.02;

/// One campaign's ratio to the pinned reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// What was measured: a commit, a version, a date.
    pub label: String,
    /// Wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// Version of the record.
    pub schema: u32,
    /// θ against the reference measured in the same campaign; `None` where it has no interval.
    pub ratio: Option<f64>,
}

/// A stretch of campaigns on one machine, with its changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// Version of the record.
    pub schema: u32,
    /// Index of its first point.
    pub first: u32,
    /// Index of its last point.
    pub last: u32,
    /// Points with a value.
    pub values: u32,
    /// Correlation of each value with the next, within stretches without change.
    pub memory: f64,
    /// The smallest change that is told (θ - 1): 2 %, or the noise floor where that is larger.
    pub magnitude: f64,
    /// p at which changes count: lowered until a series of the same memory shows 0.13 false ones in 100 values.
    pub p: f64,
    /// The changes, in order.
    pub changes: Vec<ChangePoint>,
    /// What a reader should know, one line each.
    pub notes: Vec<String>,
}

/// A change of the ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePoint {
    /// Index of the first point after it.
    pub index: u32,
    /// Label of the last point before it: the range to search is from here …
    pub after: String,
    /// … to this one.
    pub at: String,
    /// Typical ratio before.
    pub before_ratio: f64,
    /// Typical ratio after.
    pub after_ratio: f64,
    /// after / before - 1; more is worse.
    pub change: f64,
    /// p of the t test between the two stretches; small by choice of the place, so no false-alarm rate.
    pub p: f64,
    /// The change in words.
    pub words: String,
}

/// Finds the changes of a series of campaigns, in the order given. `floor` is the calibrated noise floor φ, 0 where
/// there is none; changes below 2 % or below it are not told.
#[must_use]
pub fn follow(points: &[Point], floor: f64) -> Vec<Stretch> {
    let mut first = 0;
    points
        .chunk_by(|a, b| (&a.fingerprint, a.schema) == (&b.fingerprint, b.schema))
        .map(|chunk| {
            let stretch = stretch(chunk, first, floor.max(LEAST_MAGNITUDE));
            first += chunk.len();
            stretch
        })
        .collect()
}

fn stretch(points: &[Point], first: usize, magnitude: f64) -> Stretch {
    let usable = |ratio: &f64| ratio.is_finite() && *ratio > 0.0;
    let values: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| Some((index, point.ratio.filter(usable)?.ln())))
        .collect();
    let series: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let found = calibrated::detect(&series, magnitude);
    let changes = found.changes.iter().map(|change| {
        let at = &points[values[change.index].0];
        let after = &points[values[change.index - 1].0];
        let share = (change.after - change.before).exp_m1();
        ChangePoint {
            index: count(first + values[change.index].0),
            after: after.label.clone(),
            at: at.label.clone(),
            before_ratio: change.before.exp(),
            after_ratio: change.after.exp(),
            change: share,
            p: change.p,
            words: format!(
                "{} between {} and {}",
                words::percent(share),
                after.label,
                at.label
            ),
        }
    });
    let head = points.first();
    Stretch {
        fingerprint: head.map_or_else(String::new, |point| point.fingerprint.clone()),
        schema: head.map_or(0, |point| point.schema),
        first: count(first),
        last: count(first + points.len().saturating_sub(1)),
        values: count(values.len()),
        memory: found.memory,
        magnitude,
        p: found.p,
        changes: changes.collect(),
        notes: notes(values.len(), points.len() - values.len()),
    }
}

fn notes(values: usize, gaps: usize) -> Vec<String> {
    let few = (values < FEWEST_BEFORE + FEWEST_AFTER).then(|| {
        format!(
            "{} are too few for a change: {FEWEST_BEFORE} before and {FEWEST_AFTER} after it",
            words::plural(values, "value")
        )
    });
    let gaps = (gaps > 0).then(|| {
        format!(
            "{} without a value left out",
            words::plural(gaps, "campaign")
        )
    });
    few.into_iter().chain(gaps).collect()
}

/// How much of a budget against the last release is used up: ten steps of +1 % are seen where each alone is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// How much worse than the last release is allowed in all (θ - 1).
    pub allowed: f64,
    /// Interval of θ of now against the last release.
    pub interval: Interval,
    /// Pass: proved to be within. Suspect: proved worse, and estimated beyond. Inconclusive: neither.
    pub finding: Finding,
    /// The state in words.
    pub words: String,
}

/// Judges θ of now against the last release (estimate and 95 % interval of one campaign) by a budget (θ - 1). It fails
/// nothing by itself: a suspicion asks for a gate.
#[must_use]
pub fn budget(ratio: f64, interval: Interval, allowed: f64) -> Budget {
    budget_since(ratio, interval, allowed, "the last release")
}

fn budget_since(ratio: f64, interval: Interval, allowed: f64, release: &str) -> Budget {
    let limit = 1.0 + allowed;
    let finding = if interval.high < limit {
        Finding::Pass
    } else if interval.low > 1.0 && ratio >= limit {
        Finding::Suspect
    } else {
        Finding::Inconclusive
    };
    let said = match finding {
        Finding::Pass => "proved to be within",
        Finding::Suspect => "beyond",
        _ => "not proved to be within",
    };
    let margin = words::margin(allowed);
    Budget {
        allowed,
        interval,
        finding,
        words: format!(
            "{} since {release}, {said} the budget of {}",
            words::percent(ratio - 1.0),
            margin.trim_start_matches('±')
        ),
    }
}

/// Finds change points as Apache Otava 0.8 does, on plain values: windows, p as given, spreads with divisor n, no
/// calibration, no least number of values. To compare with it; [`follow`] is what Tollgate goes by.
#[must_use]
pub fn as_otava(series: &[f64], window: usize, p: f64, magnitude: f64) -> Vec<usize> {
    let settings = Settings {
        window,
        p,
        magnitude,
        flavour: Flavour::Otava,
    };
    let changes = change_points::detect(series, &settings);
    changes.iter().map(|change| change.index).collect()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
