//! A gate's report as one HTML page: the result, each cell with its reason, and what both stages found.

use maud::{DOCTYPE, Markup, html};

use super::super::gate::{GateRenderer, words};
use super::super::{number, words as shown};
use super::{head, parts};
use crate::gate::{Exit, Finding, GateReport, GatedCell, Judged, Ruling};
use crate::words::percent;

/// Renders one self-contained HTML page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatePage;

impl GateRenderer for GatePage {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        page(report).into_string().into_bytes()
    }
}

fn page(report: &GateReport) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} – Tollgate gate", report.scenario)))
            body {
                a.skip href="#answer" { "Skip to the answer" }
                header {
                    p.eyebrow { b { "Tollgate" } " gate · " (report.scenario) " · " (measured(report)) }
                    h1 { (report.words) }
                }
                main {
                    (answer(report))
                    (cells(report))
                    (stages(report))
                    (rests(report))
                }
                footer {
                    p {
                        "Written by Tollgate from the records of this gate. It can be rebuilt from the gate's folder, byte for "
                        "byte: " code { "tollgate report FOLDER" } ". Each stage is a campaign with a report of its own, in "
                        code { "run-N/stage-1" } " and " code { "run-N/stage-2" } "."
                    }
                }
            }
        }
    }
}

fn measured(report: &GateReport) -> String {
    let first = report.stages.first();
    first.map_or_else(String::new, |stage| number::date(stage.started_unix_ms))
}

/// Every cell that doesn't pass with its reason, and what must be known beside.
fn answer(report: &GateReport) -> Markup {
    let open = words::by_gravity(report);
    let open = open.into_iter().filter(|cell| cell.ruling != Ruling::Pass);
    html! {
        section.answer #answer aria-labelledby="answer-title" {
            h2 #answer-title { "What it says" }
            ul.answers {
                @for cell in open {
                    li {
                        (ruling(cell.ruling))
                        p { b { (words::cell(cell)) } ": " (shown::unbroken(words::why(cell))) }
                    }
                }
                @if report.exit == Exit::Done {
                    li { (parts::badge("equivalent", "✓", "no FAIL")) p { "The exit code is 0." } }
                } @else {
                    li {
                        (parts::badge("warning", "!", words::result(report)))
                        p { "The exit code is " (report.exit.code()) ". On running again: " (words::again(report.exit)) "." }
                    }
                }
                @for remark in words::remarks(report) {
                    li { (parts::badge("warning", "!", "note")) p { (remark) } }
                }
            }
        }
    }
}

fn cells(report: &GateReport) -> Markup {
    let title = "Gated cells, the gravest first: how much worse, with the exact 95 % interval";
    let inner = html! {
        thead {
            tr {
                th scope="col" { "Ruling" }
                th scope="col" { "Workload" }
                th scope="col" { "Metric" }
                th scope="col" { "Arm" }
                th.n scope="col" { "Worse by" }
                th.n scope="col" { "Margin" }
                th.n scope="col" { "Noise floor" }
            }
        }
        tbody {
            @for cell in words::by_gravity(report) {
                tr {
                    td { (ruling(cell.ruling)) }
                    th scope="row" { (cell.workload) }
                    td { (shown::short_metric(cell.metric)) }
                    td { (cell.arm) " against " (cell.reference) }
                    td.n { (words::effect(cell)) }
                    td.n { (words::short_margin(cell)) }
                    td.n { (floor(cell)) }
                }
            }
        }
    };
    html! {
        section #cells aria-labelledby="cells-title" {
            h2 #cells-title { "Cells" }
            (parts::table(title, &inner))
        }
    }
}

fn floor(cell: &GatedCell) -> String {
    let floor = cell.floor.map(percent);
    floor.map_or_else(
        || number::UNKNOWN.to_owned(),
        |floor| floor.trim_start_matches('+').to_owned(),
    )
}

fn stages(report: &GateReport) -> Markup {
    let inner = html! {
        thead {
            tr {
                th scope="col" { "Cell" }
                th scope="col" { "Stage" }
                th scope="col" { "Finding" }
                th.n scope="col" { "Rounds" }
                th.n scope="col" { "Installs" }
                th.n scope="col" { "Spread per round" }
            }
        }
        @for cell in &report.cells {
            tbody {
                (found(&words::cell(cell), "first", &cell.first))
                @if let Some(second) = &cell.second { (found("", "second", second)) }
            }
        }
    };
    html! {
        section #stages aria-labelledby="stages-title" {
            h2 #stages-title { "What each stage found" }
            (parts::table("Findings of each stage, judged on its own rounds alone", &inner))
        }
    }
}

fn found(cell: &str, stage: &str, judged: &Judged) -> Markup {
    html! {
        tr {
            th scope="row" { (cell) }
            td { (stage) }
            td {
                (finding(judged.finding))
                @if let Some(reason) = &judged.reason { ": " (reason) }
            }
            td.n { (judged.rounds) }
            td.n { (judged.installs) }
            td.n { (judged.spread.map_or_else(|| number::UNKNOWN.to_owned(), |spread| percent(spread).trim_start_matches('+').to_owned())) }
        }
    }
}

fn finding(finding: Finding) -> String {
    format!("{finding:?}").to_lowercase()
}

fn rests(report: &GateReport) -> Markup {
    let [alarm, miss] = words::errors(report);
    let facts = [
        ("False FAIL", alarm),
        ("False PASS", miss),
        ("Worse by", words::EFFECTS.to_owned()),
        ("Stages", words::stages(report)),
        ("Noise floor", words::calibration(report)),
        (
            "Inconclusive",
            words::inconclusive(report.policy.on_inconclusive).to_owned(),
        ),
        ("Machine", format!("fingerprint {}", report.fingerprint)),
    ];
    html! {
        section #rests aria-labelledby="rests-title" {
            h2 #rests-title { "What this rests on" }
            dl.pairs {
                @for (heading, fact) in facts {
                    dt { (heading) }
                    dd { (fact) }
                }
            }
        }
    }
}

fn ruling(ruling: Ruling) -> Markup {
    let class = match ruling {
        Ruling::Pass => "equivalent",
        Ruling::Fail => "slower",
        Ruling::Invalid => "invalid",
        Ruling::Suspect | Ruling::Inconclusive | Ruling::NotGateable => "inconclusive",
    };
    parts::badge(class, words::symbol(ruling), ruling.as_str())
}
