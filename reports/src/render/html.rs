//! The report as one HTML page that needs nothing else: no network, no script, no font.

mod basis;
mod first;
mod history;
mod method;
mod parts;
mod pictures;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::legend::Legend;
use super::number;
use crate::model::{Analysis, Renderer};

pub use history::history_page;

/// Renders one self-contained HTML page: light and dark, for a desk, a phone and paper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Html;

/// The style sheet, in the page.
const STYLE: &str = include_str!("html/style.css");

/// Forbids the page everything that it doesn't need: whatever slipped in, a browser would load nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

impl Renderer for Html {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        page(analysis).into_string().into_bytes()
    }
}

/// What stands in the head of every page.
fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            link rel="icon" href="data:,";
            title { (title) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

fn page(analysis: &Analysis) -> Markup {
    let legend = Legend::of(analysis);
    let subject = &analysis.subject;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} – Tollgate report", subject.scenario)))
            body {
                a.skip href="#answer" { "Skip to the answer" }
                (first::header(analysis))
                main {
                    (first::answer(analysis))
                    div.pair {
                        (first::compared(analysis, &legend))
                        (first::rests(analysis))
                    }
                    (contents(analysis))
                    (pictures::scaling(analysis, &legend))
                    (verdicts::section(analysis, &legend))
                    (pictures::spectra(analysis, &legend))
                    (pictures::rounds(analysis, &legend))
                    (pictures::processors(analysis, &legend))
                    (pictures::programming(analysis, &legend))
                    (basis::evidence(analysis, &legend))
                    (basis::skipped(analysis))
                    (basis::rounds(analysis))
                    (basis::facts(analysis))
                    (method::section(analysis))
                    (method::glossary())
                }
                footer {
                    p {
                        "Written by Tollgate " (subject.tool_version) " from the records of a campaign of "
                        (number::date(subject.started_unix_ms)) ". The report can be rebuilt from the "
                        "campaign's folder, byte for byte."
                    }
                }
            }
        }
    }
}

/// Links to the sections below the first screen.
fn contents(analysis: &Analysis) -> Markup {
    let has_programming = analysis.arms.iter().any(|arm| arm.programming.is_some());
    let sections = [
        (
            "scaling",
            "With the number of services",
            !analysis.scalings.is_empty(),
        ),
        ("verdicts", "Verdicts", !analysis.cells.is_empty()),
        ("spectra", "Percentiles", !analysis.spectra.is_empty()),
        ("rounds", "Round by round", !analysis.cells.is_empty()),
        ("processors", "Processors", !analysis.timeline.is_empty()),
        ("programming", "Programming time", has_programming),
        ("evidence", "Evidence", true),
        (
            "skipped",
            "Skipped arms",
            !analysis.subject.skipped.is_empty(),
        ),
        ("conduct", "Rounds that count", true),
        ("facts", "Facts", true),
        ("method", "Method", true),
        ("glossary", "Glossary", true),
    ];
    html! {
        nav aria-label="Sections of this report" {
            ul {
                @for (id, title, _) in sections.iter().filter(|(_, _, shown)| *shown) {
                    li { a href={ "#" (id) } { (title) } }
                }
            }
        }
    }
}
