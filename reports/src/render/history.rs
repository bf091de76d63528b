//! A history as text and as a page.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr as _;

use super::layout::{Column, Side, WIDTH, hanging};
use super::{layout, number};
use crate::history::{CampaignSummary, History, Series};
use crate::words;

pub use super::html::history_page as page;

/// Writes a history for a terminal: for each scenario a table of its series, then changes and budgets. In brief, only
/// the main metric of each workload stands in the table.
#[must_use]
pub fn text(history: &History, in_full: bool) -> String {
    let mut lines = Vec::new();
    let mut scenarios: Vec<&str> = Vec::new();
    for campaign in &history.campaigns {
        let name = campaign.scenario.as_str();
        if !scenarios.contains(&name) {
            scenarios.push(name);
        }
    }
    for scenario in scenarios {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(one(history, scenario, in_full));
    }
    for note in &history.notes {
        lines.extend(hanging("note: ", note));
    }
    if lines.is_empty() {
        lines.push("The history has no campaign yet: tollgate history add FOLDER".to_owned());
    }
    joined(lines)
}

/// Lists campaigns, the latest first.
#[must_use]
pub fn campaigns(history: &History) -> String {
    let mut rows = vec![
        [
            "no", "start", "campaign", "scenario", "rounds", "machine", "state",
        ]
        .map(str::to_owned),
    ];
    rows.extend(history.campaigns.iter().rev().map(|campaign| {
        [
            campaign.id.to_string(),
            day(campaign.started_unix_ms),
            shown(campaign),
            campaign.scenario.to_string(),
            campaign.rounds.to_string(),
            short(&campaign.fingerprint),
            state(campaign).to_owned(),
        ]
    }));
    joined(columns(&rows, &[0, 4]))
}

fn joined(lines: Vec<String>) -> String {
    lines
        .into_iter()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// What a campaign says of itself in one word.
pub(super) const fn state(campaign: &CampaignSummary) -> &'static str {
    if campaign.invalid.is_some() {
        "invalid"
    } else {
        "ok"
    }
}

/// A campaign's title with its release.
fn shown(campaign: &CampaignSummary) -> String {
    match &campaign.release {
        Some(release) => format!("{} (release {release})", campaign.title),
        None => campaign.title.clone(),
    }
}

/// The day of a stamp, UTC.
pub(super) fn day(unix_ms: u64) -> String {
    number::date(unix_ms)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Enough of a fingerprint to tell machines apart.
pub(super) fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(6).collect()
}

fn one(history: &History, scenario: &str, in_full: bool) -> Vec<String> {
    let campaigns: Vec<&CampaignSummary> = history
        .campaigns
        .iter()
        .filter(|campaign| campaign.scenario.as_str() == scenario)
        .collect();
    let mut machines: BTreeMap<&str, &str> = BTreeMap::new();
    for campaign in &campaigns {
        machines.insert(&campaign.fingerprint, &campaign.machine);
    }
    let ends = campaigns.first().zip(campaigns.last());
    let span = ends.map_or_else(String::new, |(first, last)| {
        let (first, last) = (day(first.started_unix_ms), day(last.started_unix_ms));
        if first == last {
            first
        } else {
            format!("{first} to {last}")
        }
    });
    let mut lines = hanging(
        &format!("{scenario}: "),
        &format!(
            "{}, {span}, on {}",
            words::plural(campaigns.len(), "campaign"),
            words::plural(machines.len(), "machine")
        ),
    );
    for (fingerprint, machine) in &machines {
        lines.extend(hanging(&format!("  {}  ", short(fingerprint)), machine));
    }
    let all: Vec<&Series> = history
        .series
        .iter()
        .filter(|series| series.scenario.as_str() == scenario)
        .collect();
    let series: Vec<&Series> = all
        .iter()
        .copied()
        .filter(|series| in_full || series.main)
        .collect();
    lines.push(String::new());
    lines.extend(table(&series));
    lines.extend(told(&series, "Changes", |series| {
        series
            .stretch
            .changes
            .iter()
            .map(|change| change.words.clone())
            .collect()
    }));
    lines.extend(told(&series, "Against the last release", |series| {
        series
            .budget
            .iter()
            .map(|since| since.budget.words.clone())
            .collect()
    }));
    let hidden = |series: &&&Series| !series.main && !series.stretch.changes.is_empty();
    let hidden = all.iter().filter(hidden).count();
    if !in_full && hidden > 0 {
        lines.push(String::new());
        lines.extend(hanging(
            "",
            &format!("{hidden} more with changes among other metrics: --all shows them."),
        ));
    }
    lines
}

/// One line for each series; θ - 1 in percent, more is worse.
fn table(series: &[&Series]) -> Vec<String> {
    let mut rows = vec![
        [
            "workload",
            "metric",
            "arm / reference",
            "machine",
            "n",
            "now",
            "lowest",
            "highest",
        ]
        .map(str::to_owned),
    ];
    rows.extend(series.iter().map(|series| {
        let percent = |ratio: Option<f64>| {
            ratio.map_or_else(
                || number::UNKNOWN.to_owned(),
                |ratio| words::percent(ratio - 1.0),
            )
        };
        let now = series.points.iter().rev().find_map(|point| point.ratio);
        [
            series.workload.to_string(),
            series.metric.to_string(),
            format!("{} / {}", series.arm, series.reference),
            short(&series.stretch.fingerprint),
            series.stretch.values.to_string(),
            percent(now),
            percent(series.range.map(|range| range.low)),
            percent(series.range.map(|range| range.high)),
        ]
    }));
    columns(&rows, &[4, 5, 6, 7])
}

/// Sentences on those series that have any, under a heading.
fn told(
    series: &[&Series],
    heading: &str,
    sentences: impl Fn(&Series) -> Vec<String>,
) -> Vec<String> {
    let first = series.first().map(|series| &series.stretch.fingerprint);
    let several = series
        .iter()
        .any(|series| Some(&series.stretch.fingerprint) != first);
    let mut lines = Vec::new();
    for series in series {
        for sentence in sentences(series) {
            let machine = short(&series.stretch.fingerprint);
            let machine = if several {
                format!(" ({machine})")
            } else {
                String::new()
            };
            let name = format!(
                "{} {}, {}{machine}",
                series.workload, series.metric, series.arm
            );
            lines.extend(hanging("  ", &format!("{name}: {sentence}")));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, heading.to_owned());
        lines.insert(0, String::new());
    }
    lines
}

/// Sets rows in columns as wide as they need; the third gives way where a terminal is too narrow.
fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    const GIVING_WAY: usize = 2;
    const NARROWEST: usize = 12;
    let mut columns: [Column; N] = std::array::from_fn(|place| Column {
        width: rows.iter().map(|row| row[place].width()).max().unwrap_or(0),
        side: if right.contains(&place) {
            Side::Right
        } else {
            Side::Left
        },
    });
    let taken: usize = columns.iter().map(|column| column.width + 2).sum();
    let beyond = taken.saturating_sub(WIDTH + 2);
    if let Some(column) = columns.get_mut(GIVING_WAY) {
        column.width = column
            .width
            .saturating_sub(beyond)
            .max(NARROWEST.min(column.width));
    }
    rows.iter()
        .flat_map(|row| layout::row(&columns, row, |_, text| text.to_owned()))
        .collect()
}
