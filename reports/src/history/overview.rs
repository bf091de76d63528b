//! A history told: the series of every cell on every machine, with changes, ranges and budgets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::history::{CampaignEntry, CellEntry, RatioEntry};

use super::entry::{key, metric};
use super::{Budget, Point, Stretch, budget_since, follow};
use crate::calibration::Calibration;
use crate::model::{Interval, Metric};
use crate::verdict::Scale;
use crate::words;

/// Version of [`History`] as JSON: raised when the meaning of a field changes.
pub const HISTORY_SCHEMA: u32 = 1;

/// What campaigns said, one after the other. It fails nothing: a change asks a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// [`HISTORY_SCHEMA`] of the writer.
    pub schema: u32,
    /// How much worse than the last release is allowed in all (θ - 1).
    pub budget: f64,
    /// Every campaign, by its start.
    pub campaigns: Vec<CampaignSummary>,
    /// One for each cell, machine and set-up: scenarios by name, then in the order of the latest plan.
    pub series: Vec<Series>,
    /// What a reader should know, one line each.
    pub notes: Vec<String>,
}

/// One campaign in the list of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignSummary {
    /// Its number in the history.
    pub id: i64,
    /// What it is called: its label, else its folder's name, else its number.
    pub title: String,
    /// The scenario.
    pub scenario: Name,
    /// Name of the release that was measured, where it was one.
    pub release: Option<String>,
    /// Wall clock at the start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Fingerprint of the machine.
    pub fingerprint: String,
    /// The machine in one line.
    pub machine: String,
    /// Version of Tollgate that measured.
    pub version: String,
    /// Rounds that count.
    pub rounds: u32,
    /// Why the campaign says nothing, where it does not.
    pub invalid: Option<String>,
    /// Its folder.
    pub folder: Option<String>,
    /// How many of its cells have each verdict.
    pub verdicts: BTreeMap<String, u32>,
}

/// One cell from campaign to campaign, on one machine and in one set-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The scenario.
    pub scenario: Name,
    /// The workload.
    pub workload: Name,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: Name,
    /// The pinned reference, measured in each of the campaigns.
    pub reference: Name,
    /// What is compared, in 12 hexadecimal digits: a changed workload or datapath begins a new series.
    pub setup: String,
    /// The machine in one line.
    pub machine: String,
    /// Whether it is the main metric of its workload.
    pub main: bool,
    /// The campaigns, by their start.
    pub points: Vec<SeriesPoint>,
    /// Smallest and largest ratio.
    pub range: Option<Range>,
    /// Changes, at indexes of `points`.
    pub stretch: Stretch,
    /// The latest campaign against the last release, where there is one before it on this machine.
    pub budget: Option<SinceRelease>,
    /// The state in words.
    pub words: String,
}

/// One campaign of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPoint {
    /// Number of the campaign in the history.
    pub campaign: i64,
    /// What it is called.
    pub title: String,
    /// Name of the release that it measured.
    pub release: Option<String>,
    /// Wall clock at the start, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// θ against the reference; above 1 is worse. `None` is a gap.
    pub ratio: Option<f64>,
    /// Its exact interval; a bound that is infinite is absent.
    pub low: Option<f64>,
    /// The upper bound.
    pub high: Option<f64>,
    /// Confidence of the interval.
    pub confidence: Option<f64>,
    /// Standard deviation of ln θ from round to round.
    pub spread: Option<f64>,
    /// Rounds compared.
    pub rounds: u32,
    /// Typical value of the arm in the metric's unit: shown, never tested.
    pub arm_value: Option<f64>,
    /// Typical value of the reference.
    pub reference_value: Option<f64>,
    /// Why it is a gap.
    pub gap: Option<String>,
}

/// From the smallest ratio to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// The latest campaign against the last release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinceRelease {
    /// Name of the release.
    pub release: String,
    /// Index of its campaign in `points`.
    pub at: u32,
    /// θ of now against the release, each against the pinned reference of its own campaign.
    pub ratio: f64,
    /// How much of the budget is used.
    pub budget: Budget,
}

/// How a history is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Telling<'a> {
    /// Changes below this share are not told, whatever calibrations say; never less than 2 %.
    pub floor: Option<f64>,
    /// What is known of machines' noise: where `floor` says nothing, changes below φ of a series' machine, scenario,
    /// workload and metric are not told.
    pub calibrations: &'a [Calibration],
    /// How much worse than the last release is allowed in all (θ - 1).
    pub budget: f64,
}

/// Tells a history. Campaigns carry their number and may come in any order.
#[must_use]
pub fn tell(campaigns: &[(i64, CampaignEntry)], telling: Telling<'_>) -> History {
    let mut ordered: Vec<&(i64, CampaignEntry)> = campaigns.iter().collect();
    ordered.sort_by_key(|(id, entry)| (entry.started_unix_ms, *id));
    let mut series: Vec<Series> = grouped(&ordered)
        .into_values()
        .filter_map(|cells| one(&cells, telling))
        .collect();
    sort(&mut series, &ordered);
    mark_main(&mut series);
    History {
        schema: HISTORY_SCHEMA,
        budget: telling.budget,
        notes: notes(&ordered, &series),
        campaigns: ordered.into_iter().map(summary).collect(),
        series,
    }
}

/// What a campaign is called.
fn title(id: i64, entry: &CampaignEntry) -> String {
    let folder = entry.folder.as_deref().map(|folder| {
        let parts = folder.rsplit('/').find(|part| !part.is_empty());
        parts.unwrap_or(folder).to_owned()
    });
    let label = entry.label.clone().or(folder);
    label.unwrap_or_else(|| format!("campaign {id}"))
}

fn summary((id, entry): &(i64, CampaignEntry)) -> CampaignSummary {
    let mut verdicts = BTreeMap::new();
    for cell in &entry.cells {
        *verdicts.entry(cell.verdict.clone()).or_insert(0) += 1;
    }
    CampaignSummary {
        id: *id,
        title: title(*id, entry),
        scenario: entry.scenario.clone(),
        release: entry.release.clone(),
        started_unix_ms: entry.started_unix_ms,
        fingerprint: entry.fingerprint.clone(),
        machine: entry.machine.clone(),
        version: entry.version.clone(),
        rounds: entry.rounds,
        invalid: entry.invalid.clone(),
        folder: entry.folder.clone(),
        verdicts,
    }
}

/// A cell in its campaign.
type Placed<'a> = (i64, &'a CampaignEntry, &'a CellEntry);

/// What has to be equal for values to stand in one series.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    scenario: &'a Name,
    workload: &'a Name,
    metric: &'a str,
    arm: &'a Name,
    reference: &'a Name,
    setup: &'a str,
    fingerprint: &'a str,
    schema: u32,
}

fn grouped<'a>(ordered: &[&'a (i64, CampaignEntry)]) -> BTreeMap<Key<'a>, Vec<Placed<'a>>> {
    let mut groups: BTreeMap<Key<'a>, Vec<Placed<'a>>> = BTreeMap::new();
    for (id, entry) in ordered {
        for cell in &entry.cells {
            let key = Key {
                scenario: &entry.scenario,
                workload: &cell.workload,
                metric: &cell.metric,
                arm: &cell.arm,
                reference: &cell.reference,
                setup: &cell.setup,
                fingerprint: &entry.fingerprint,
                schema: entry.schema,
            };
            groups.entry(key).or_default().push((*id, entry, cell));
        }
    }
    groups
}

/// Makes one series. `None` for a metric without ratios: loss, or one that a later version knows.
fn one(cells: &[Placed<'_>], telling: Telling<'_>) -> Option<Series> {
    let (_, entry, cell) = cells.last()?;
    let metric = metric(&cell.metric).filter(|metric| Scale::of(*metric) == Scale::Ratio)?;
    let points: Vec<SeriesPoint> = cells.iter().map(point).collect();
    let followed: Vec<Point> = points
        .iter()
        .map(|point| Point {
            label: point.title.clone(),
            at_unix_ms: point.at_unix_ms,
            fingerprint: entry.fingerprint.clone(),
            schema: entry.schema,
            ratio: point.ratio,
        })
        .collect();
    let phi = calibrated(telling.calibrations, entry, &cell.workload, metric);
    let floor = telling.floor.or(phi).unwrap_or(0.0);
    let mut stretch = follow(&followed, floor).into_iter().next()?;
    if telling.floor.is_none() && phi.is_some_and(|phi| phi >= stretch.magnitude) {
        let percent = words::margin((floor * 1e3).ceil() / 1e3);
        stretch.notes.push(format!(
            "changes below {}, the noise floor by this machine's calibration, are not told",
            percent.trim_start_matches('±')
        ));
    }
    let ratios = || points.iter().filter_map(|point| point.ratio);
    let range = ratios().reduce(f64::min).zip(ratios().reduce(f64::max));
    let range = range.map(|(low, high)| Range { low, high });
    let budget = since_release(&points, telling.budget);
    let words = in_words(&points, range, &stretch, budget.as_ref());
    Some(Series {
        scenario: entry.scenario.clone(),
        workload: cell.workload.clone(),
        metric,
        arm: cell.arm.clone(),
        reference: cell.reference.clone(),
        setup: cell.setup.clone(),
        machine: entry.machine.clone(),
        main: false,
        points,
        range,
        stretch,
        budget,
        words,
    })
}

/// Returns φ of a machine's calibration of this scenario.
fn calibrated(
    calibrations: &[Calibration],
    entry: &CampaignEntry,
    workload: &Name,
    metric: Metric,
) -> Option<f64> {
    let known = calibrations.iter().find(|known| {
        (&known.fingerprint, &known.scenario) == (&entry.fingerprint, &entry.scenario)
    })?;
    known.phi(workload, metric)
}

fn point((id, entry, cell): &Placed<'_>) -> SeriesPoint {
    let gap = gap(entry, cell);
    let ratio = cell.ratio.filter(|_| gap.is_none());
    let bound = |bound: fn(&RatioEntry) -> f64| {
        let bound = bound(ratio.as_ref()?);
        (bound.is_finite() && bound > 0.0).then_some(bound)
    };
    SeriesPoint {
        campaign: *id,
        title: title(*id, entry),
        release: entry.release.clone(),
        at_unix_ms: entry.started_unix_ms,
        ratio: ratio.map(|ratio| ratio.value),
        low: bound(|ratio| ratio.low),
        high: bound(|ratio| ratio.high),
        confidence: ratio.map(|ratio| ratio.confidence),
        spread: cell.spread.filter(|spread| spread.is_finite()),
        rounds: cell.rounds,
        arm_value: cell.arm_value.filter(|value| value.is_finite()),
        reference_value: cell.reference_value.filter(|value| value.is_finite()),
        gap,
    }
}

/// Why a campaign has no value in a series. What is no measurement is no point, however close it lies.
fn gap(entry: &CampaignEntry, cell: &CellEntry) -> Option<String> {
    if let Some(invalid) = &entry.invalid {
        return Some(format!("invalid: {invalid}"));
    }
    if cell.verdict == "invalid" || cell.verdict == "insufficient" {
        return Some(cell.verdict.clone());
    }
    match cell.ratio {
        None => Some("no ratio".to_owned()),
        Some(ratio) if !(ratio.value.is_finite() && ratio.value > 0.0) => {
            Some("not finite (lost)".to_owned())
        }
        // An interval that its own estimate lies outside of was not written by Tollgate.
        Some(ratio) if !(ratio.low <= ratio.value && ratio.value <= ratio.high) => {
            Some("damaged".to_owned())
        }
        Some(_) => None,
    }
}

/// Judges the latest value against that of the last release before it.
fn since_release(points: &[SeriesPoint], allowed: f64) -> Option<SinceRelease> {
    let usable = |index: &usize| points[*index].ratio.is_some();
    let now = (0..points.len()).rev().find(usable)?;
    let then = (0..now)
        .rev()
        .filter(usable)
        .find(|&index| points[index].release.is_some())?;
    let release = points[then].release.clone()?;
    let (ratio, interval) = against(&points[now], &points[then])?;
    Some(SinceRelease {
        budget: budget_since(ratio, interval, allowed, &format!("release {release}")),
        release,
        at: u32::try_from(then).unwrap_or(u32::MAX),
        ratio,
    })
}

/// θ of one campaign over θ of another, with the interval of a difference of independent logarithms from those of its
/// parts (Zou and Donner 2008, MOVER). The pinned reference cancels; what differs from install to install does not.
fn against(now: &SeriesPoint, then: &SeriesPoint) -> Option<(f64, Interval)> {
    let parts = |point: &SeriesPoint| -> Option<(f64, f64, f64)> {
        let value = point.ratio?.ln();
        let low = point.low.map_or(f64::NEG_INFINITY, f64::ln);
        let high = point.high.map_or(f64::INFINITY, f64::ln);
        Some((value, value - low, high - value))
    };
    let ((a, a_down, a_up), (b, b_down, b_up)) = parts(now).zip(parts(then))?;
    let difference = a - b;
    let confidence = now.confidence?.min(then.confidence?);
    let interval = Interval {
        low: (difference - a_down.hypot(b_up)).exp(),
        high: (difference + a_up.hypot(b_down)).exp(),
        confidence,
    };
    Some((difference.exp(), interval))
}

fn in_words(
    points: &[SeriesPoint],
    range: Option<Range>,
    stretch: &Stretch,
    budget: Option<&SinceRelease>,
) -> String {
    let Some((range, latest)) = range.zip(points.iter().rev().find_map(|point| point.ratio)) else {
        return "no campaign has a value".to_owned();
    };
    let mut parts = vec![format!(
        "{} now, {} to {} over {}",
        words::percent(latest - 1.0),
        words::percent(range.low - 1.0),
        words::percent(range.high - 1.0),
        words::plural(usize::try_from(stretch.values).unwrap_or(0), "campaign")
    )];
    parts.extend(stretch.changes.iter().map(|change| change.words.clone()));
    parts.extend(budget.map(|since| since.budget.words.clone()));
    parts.join("; ")
}

/// Sorts by scenario, then as cells stand in the latest plan, the latest machine first.
fn sort(series: &mut [Series], ordered: &[&(i64, CampaignEntry)]) {
    type Place = (Name, Name, String, Name, Name);
    let mut places: BTreeMap<Place, usize> = BTreeMap::new();
    for (_, entry) in ordered {
        for (place, cell) in entry.cells.iter().enumerate() {
            let key = (
                entry.scenario.clone(),
                cell.workload.clone(),
                cell.metric.clone(),
                cell.arm.clone(),
                cell.reference.clone(),
            );
            places.insert(key, place);
        }
    }
    series.sort_by_cached_key(|series| {
        let key = (
            series.scenario.clone(),
            series.workload.clone(),
            key(series.metric),
            series.arm.clone(),
            series.reference.clone(),
        );
        let latest = series.points.last().map_or(0, |point| point.at_unix_ms);
        (
            series.scenario.clone(),
            places.get(&key).copied(),
            std::cmp::Reverse(latest),
            series.stretch.fingerprint.clone(),
            series.setup.clone(),
        )
    });
}

/// The main metric of a workload is the first of all metrics that any of its series has.
fn mark_main(series: &mut [Series]) {
    let mut main: BTreeMap<(Name, Name), Metric> = BTreeMap::new();
    for metric in Metric::ALL {
        for series in series.iter().filter(|series| series.metric == metric) {
            let key = (series.scenario.clone(), series.workload.clone());
            main.entry(key).or_insert(metric);
        }
    }
    for series in series {
        let key = (series.scenario.clone(), series.workload.clone());
        series.main = main.get(&key) == Some(&series.metric);
    }
}

fn notes(ordered: &[&(i64, CampaignEntry)], series: &[Series]) -> Vec<String> {
    let mut notes = Vec::new();
    let invalid = ordered
        .iter()
        .filter(|(_, entry)| entry.invalid.is_some())
        .count();
    if invalid > 0 {
        notes.push(format!(
            "{} invalid: gaps in every series",
            words::plural(invalid, "campaign")
        ));
    }
    let mut unjudged: Vec<&str> = Vec::new();
    for (_, entry) in ordered {
        let Some(release) = &entry.release else {
            continue;
        };
        let judged = series.iter().any(|series| {
            series.scenario == entry.scenario
                && series
                    .points
                    .iter()
                    .any(|point| point.release.as_ref() == Some(release) && point.ratio.is_some())
        });
        if !judged && !unjudged.contains(&release.as_str()) {
            unjudged.push(release);
        }
    }
    notes.extend(unjudged.into_iter().map(|release| {
        format!("the campaign of release {release} has no value: nothing is judged against it")
    }));
    notes
}
