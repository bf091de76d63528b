//! The history as one HTML page: changes, budgets, a picture and a table for each cell, and an index of campaigns.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, html};

use super::super::figures::{self, Figure};
use super::super::history::{day, short, state};
use super::super::palette::{Mark, Shape};
use super::super::{number, svg, words as shown};
use super::{head, parts};
use crate::gate::Finding;
use crate::history::{CampaignSummary, History, Series};
use crate::words;

/// Most pictures of a page: those of main metrics first, then those with changes.
const MOST_FIGURES: usize = 48;

/// Writes a history as one page that needs nothing else. `links` has the address of each campaign's report, where there
/// is one.
#[must_use]
pub fn history_page(history: &History, links: &BTreeMap<i64, String>) -> Vec<u8> {
    page(history, links).into_string().into_bytes()
}

/// The series of one cell: on each machine and in each set-up one.
type Cell<'a> = Vec<&'a Series>;

fn page(history: &History, links: &BTreeMap<i64, String>) -> Markup {
    let scenarios = scenarios(history);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("Tollgate history"))
            body {
                a.skip href="#changes" { "Skip to the changes" }
                header {
                    p.eyebrow { b { "Tollgate" } " history · " (span(&history.campaigns)) }
                    h1 { (title(history)) }
                }
                main {
                    (changes(history))
                    (budgets(history))
                    (contents(&scenarios))
                    @for (scenario, cells) in &scenarios { (section(scenario, cells)) }
                    (index(history, links))
                    (machines(history))
                    (method(history))
                }
                footer {
                    p { "Written by Tollgate from a history. The campaigns' folders stay the record." }
                }
            }
        }
    }
}

fn title(history: &History) -> String {
    let campaigns = words::plural(history.campaigns.len(), "campaign");
    let changes: usize = main(history)
        .map(|series| series.stretch.changes.len())
        .sum();
    match changes {
        0 => format!("{campaigns}, no change found"),
        _ => format!("{campaigns}, {} found", words::plural(changes, "change")),
    }
}

fn main(history: &History) -> impl Iterator<Item = &Series> {
    history.series.iter().filter(|series| series.main)
}

fn span(campaigns: &[CampaignSummary]) -> String {
    let ends = campaigns.first().zip(campaigns.last());
    ends.map_or_else(
        || "no campaign yet".to_owned(),
        |(first, last)| {
            format!(
                "{} to {}",
                day(first.started_unix_ms),
                day(last.started_unix_ms)
            )
        },
    )
}

/// Cells by scenario, in the history's order.
fn scenarios(history: &History) -> Vec<(&str, Vec<Cell<'_>>)> {
    let mut scenarios: Vec<(&str, Vec<Cell<'_>>)> = Vec::new();
    for series in &history.series {
        let name = series.scenario.as_str();
        if scenarios.last().is_none_or(|(last, _)| *last != name) {
            scenarios.push((name, Vec::new()));
        }
        let Some((_, cells)) = scenarios.last_mut() else {
            continue;
        };
        let same = |cell: &&mut Cell<'_>| {
            cell.first().is_some_and(|first| {
                (&first.workload, first.metric, &first.arm, &first.reference)
                    == (
                        &series.workload,
                        series.metric,
                        &series.arm,
                        &series.reference,
                    )
            })
        };
        match cells.iter_mut().find(same) {
            Some(cell) => cell.push(series),
            None => cells.push(vec![series]),
        }
    }
    scenarios
}

fn contents(scenarios: &[(&str, Vec<Cell<'_>>)]) -> Markup {
    html! {
        nav aria-label="Sections of this page" {
            ul {
                li { a href="#budget" { "Against the last release" } }
                @for (scenario, _) in scenarios {
                    li { a href={ "#scenario-" (scenario) } { (scenario) } }
                }
                li { a href="#campaigns" { "Campaigns" } }
                li { a href="#machines" { "Machines" } }
                li { a href="#method" { "Method" } }
            }
        }
    }
}

fn changes(history: &History) -> Markup {
    let found: Vec<_> = main(history)
        .flat_map(|series| {
            series
                .stretch
                .changes
                .iter()
                .map(move |change| (series, change))
        })
        .collect();
    html! {
        section.answer #changes aria-labelledby="changes-title" {
            h2 #changes-title { "Changes" }
            @if found.is_empty() {
                p { "No change of a main metric was found. A change needs ten campaigns before it and three after." }
            }
            ul.answers {
                @for (series, change) in found {
                    li {
                        @if change.change > 0.0 { (parts::badge("slower", "▲", "worse")) }
                        @else { (parts::badge("faster", "▼", "better")) }
                        p {
                            (name(series)) ": " (shown::unbroken(&change.words)) " ("
                            (shown::unbroken(&words::percent(change.before_ratio - 1.0))) " before, "
                            (shown::unbroken(&words::percent(change.after_ratio - 1.0))) " since, machine "
                            (short(&series.stretch.fingerprint)) ")."
                        }
                    }
                }
                @for note in &history.notes {
                    li { (parts::badge("warning", "!", "note")) p { (note) } }
                }
            }
        }
    }
}

fn name(series: &Series) -> String {
    format!(
        "{}: {} {}, {} against {}",
        series.scenario, series.workload, series.metric, series.arm, series.reference
    )
}

fn budgets(history: &History) -> Markup {
    let judged: Vec<_> = main(history)
        .filter_map(|series| Some((series, series.budget.as_ref()?)))
        .collect();
    html! {
        section #budget aria-labelledby="budget-title" {
            h2 #budget-title { "Against the last release" }
            @if judged.is_empty() {
                p {
                    "No campaign of a release comes before the latest one on its machine. Mark one: "
                    code { "tollgate history release NAME NUMBER" }
                }
            } @else {
                p.about {
                    "How far the latest campaign is from that of the last release: small steps add up, and no change "
                    "point tells of them. Budget in all: " (number::share(history.budget)) "."
                }
                ul.answers {
                    @for (series, since) in judged {
                        li {
                            @match since.budget.finding {
                                Finding::Pass => (parts::badge("equivalent", "✓", "within")),
                                Finding::Suspect => (parts::badge("slower", "▲", "beyond")),
                                _ => (parts::badge("inconclusive", "?", "not proved")),
                            }
                            p {
                                (name(series)) ": " (shown::unbroken(&since.budget.words)) " (machine "
                                (short(&series.stretch.fingerprint)) ")."
                            }
                        }
                    }
                }
            }
        }
    }
}

fn section(scenario: &str, cells: &[Cell<'_>]) -> Markup {
    let figures = drawn(cells);
    let several = cells.iter().any(|cell| cell.len() > 1);
    let id = format!("scenario-{scenario}");
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (scenario) }
            p.about { (figures::legend_words(several)) }
            (parts::gallery(&figures))
            details {
                summary { "Table of all metrics" }
                (parts::table(&format!("{scenario}: θ - 1 against the reference of the same campaign; + is worse"), &rows(cells)))
            }
        }
    }
}

/// The pictures of a scenario: main metrics, then others with a change.
fn drawn(cells: &[Cell<'_>]) -> Vec<Figure> {
    let is_main = |cell: &&Cell<'_>| cell.iter().any(|series| series.main);
    let changed = |cell: &&Cell<'_>| {
        cell.iter()
            .any(|series| !series.main && !series.stretch.changes.is_empty())
    };
    let wanted = cells
        .iter()
        .filter(is_main)
        .chain(cells.iter().filter(changed));
    wanted
        .take(MOST_FIGURES)
        .filter_map(|cell| figures::history(cell, &marks(cell), caption(cell)))
        .collect()
}

/// Each machine's marker, by when it first measured the cell. A cross is what a gap has.
fn marks<'a>(cell: &Cell<'a>) -> BTreeMap<&'a str, Mark> {
    let mut machines: Vec<(u64, &str)> = cell
        .iter()
        .map(|series| {
            let start = series.points.first().map_or(0, |point| point.at_unix_ms);
            (start, series.stretch.fingerprint.as_str())
        })
        .collect();
    machines.sort_unstable();
    let first = Mark {
        colour: 2,
        ..Mark::REFERENCE
    };
    let distinct = |mark: &Mark| mark.shape != Shape::Cross && mark.colour != first.colour;
    let others = (0..).map(Mark::nth).filter(distinct);
    let mut free = std::iter::once(first).chain(others);
    let mut marks = BTreeMap::new();
    for (_, machine) in machines {
        if !marks.contains_key(machine) {
            marks.extend(free.next().map(|mark| (machine, mark)));
        }
    }
    marks
}

fn caption(cell: &Cell<'_>) -> Markup {
    let marks = marks(cell);
    let Some(first) = cell.first() else {
        return Markup::default();
    };
    let points: usize = cell.iter().map(|series| series.points.len()).sum();
    html! {
        b { (first.workload) ", " (first.arm) } ": " (first.metric) " against " (first.reference) "."
        @for series in cell {
            " "
            @if cell.len() > 1 {
                @let mark = marks.get(series.stretch.fingerprint.as_str()).copied().unwrap_or(Mark::REFERENCE);
                span.arm { (svg::swatch(mark)) (short(&series.stretch.fingerprint)) } ": "
            }
            (shown::unbroken(&series.words)) "."
            @for note in &series.stretch.notes { " " (note) "." }
        }
        @if points > figures::MOST_DRAWN {
            " The latest " (figures::MOST_DRAWN) " of " (points) " campaigns are drawn."
        }
    }
}

fn rows(cells: &[Cell<'_>]) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { "Workload" } th scope="col" { "Metric" } th scope="col" { "Arm" }
                th scope="col" { "Reference" } th scope="col" { "Machine" } th.n scope="col" { "n" }
                th.n scope="col" { "Now" } th.n scope="col" { "Lowest" } th.n scope="col" { "Highest" }
                th scope="col" { "Changes" }
            }
        }
        tbody {
            @for series in cells.iter().flatten() {
                tr {
                    th scope="row" { (series.workload) } td { (series.metric) } td { (series.arm) }
                    td { (series.reference) } td { (short(&series.stretch.fingerprint)) }
                    td.n { (series.stretch.values) }
                    @let now = series.points.iter().rev().find_map(|point| point.ratio);
                    td.n { (percent(now)) }
                    td.n { (percent(series.range.map(|range| range.low))) }
                    td.n { (percent(series.range.map(|range| range.high))) }
                    td {
                        @for change in &series.stretch.changes { (shown::unbroken(&change.words)) "; " }
                        @if series.stretch.changes.is_empty() { "none" }
                    }
                }
            }
        }
    }
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(
        || number::UNKNOWN.to_owned(),
        |ratio| shown::unbroken(&words::percent(ratio - 1.0)),
    )
}

fn index(history: &History, links: &BTreeMap<i64, String>) -> Markup {
    let rows = html! {
        thead {
            tr {
                th.n scope="col" { "No." } th scope="col" { "Start" } th scope="col" { "Campaign" }
                th scope="col" { "Scenario" } th scope="col" { "Release" } th.n scope="col" { "Rounds" }
                th scope="col" { "Machine" } th scope="col" { "Verdicts" }
            }
        }
        tbody {
            @for campaign in history.campaigns.iter().rev() {
                tr {
                    td.n { (campaign.id) }
                    td { (shown::unbroken(&number::date(campaign.started_unix_ms)).replace(' ', "\u{a0}")) }
                    th scope="row" {
                        @match links.get(&campaign.id) {
                            Some(link) => a href=(link) { (campaign.title) },
                            None => (campaign.title),
                        }
                    }
                    td { (campaign.scenario) }
                    td { (campaign.release.as_deref().unwrap_or("")) }
                    td.n { (campaign.rounds) }
                    td { (short(&campaign.fingerprint)) }
                    td { (verdicts(campaign)) }
                }
            }
        }
    };
    html! {
        section #campaigns aria-labelledby="campaigns-title" {
            h2 #campaigns-title { "Campaigns" }
            p.about { "The latest first; each leads to its report, where its folder is still there." }
            (parts::table("Campaigns of this history", &rows))
        }
    }
}

fn verdicts(campaign: &CampaignSummary) -> Markup {
    if let Some(invalid) = &campaign.invalid {
        return html! { (parts::badge("invalid", "✕", state(campaign))) " " (invalid) };
    }
    let counts: Vec<String> = campaign
        .verdicts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    html! { (counts.join(", ")) }
}

fn machines(history: &History) -> Markup {
    let mut machines: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for campaign in &history.campaigns {
        let machine = machines.entry(&campaign.fingerprint);
        machine.or_insert((&campaign.machine, 0)).1 += 1;
    }
    html! {
        section #machines aria-labelledby="machines-title" {
            h2 #machines-title { "Machines" }
            p.about { "Values of different machines are never compared: each has its own series." }
            dl.pairs {
                @for (fingerprint, (machine, campaigns)) in machines {
                    dt { (short(fingerprint)) }
                    dd { (machine) ", " (words::plural(campaigns, "campaign")) }
                }
            }
        }
    }
}

fn method(history: &History) -> Markup {
    html! {
        section #method aria-labelledby="method-title" {
            h2 #method-title { "Method" }
            div.columns {
                div {
                    h3 { "What is followed" }
                    p {
                        "The ratio of each arm to its reference in the same campaign (Hodges-Lehmann, exact signed-rank "
                        "interval): what both share cancels. A series ends where the machine's fingerprint, the record's "
                        "format, the workload or a datapath changes. A campaign that is invalid or has no ratio is a gap."
                    }
                }
                div {
                    h3 { "Changes" }
                    p {
                        "E-divisive in windows of 50 (Hunter, arXiv 2301.03034), on logarithms, with at least ten values "
                        "before and three from the change on. The p at which a change counts is lowered until simulated "
                        "series that remember as much as this one show 0.13 false changes in 100 values. Changes below "
                        "2 % or the machine's noise floor are not told. A change fails nothing: it names the campaigns "
                        "between which to look, for a gate to decide."
                    }
                }
                div {
                    h3 { "Budget" }
                    p {
                        "θ of the latest campaign over θ of the release's, with the interval of a difference of "
                        "independent estimates (Zou and Donner, 2008). Within: the whole interval lies below "
                        (number::share(history.budget)) ". Beyond: the interval lies above 0 and the estimate beyond the "
                        "budget. What differs from one deployment of the arms to another is not in the interval."
                    }
                }
            }
        }
    }
}
