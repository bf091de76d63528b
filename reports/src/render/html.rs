//! The report as one HTML page that needs nothing else: no network, no script, no font.

mod anatomy;
mod basis;
mod claims;
mod first;
mod gate;
mod history;
mod matrix;
mod mesh;
mod method;
mod parts;
mod pictures;
mod tails;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::legend::Legend;
use super::number;
use crate::model::{Analysis, Renderer, SlicePoint};

pub use anatomy::anatomy_page;
pub use gate::GatePage;
pub use history::history_page;
pub use mesh::mesh_page;

/// Renders one self-contained HTML page: light and dark, for a desk, a phone and paper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Html;

/// The style sheet, in the page.
pub(super) const STYLE: &str = include_str!("html/style.css");

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
                    (claims::section(analysis, &legend))
                    (matrix::section(analysis, &legend))
                    div.pair {
                        (first::compared(analysis, &legend))
                        (first::rests(analysis))
                    }
                    (contents(analysis))
                    (pictures::scaling(analysis, &legend))
                    (verdicts::section(analysis, &legend))
                    (tails::installs(analysis, &legend))
                    (tails::section(analysis, &legend))
                    (pictures::spectra(analysis, &legend))
                    (pictures::rounds(analysis, &legend))
                    (pictures::timeline(analysis, &legend))
                    (pictures::programming(analysis, &legend))
                    (basis::evidence(analysis, &legend))
                    (basis::skipped(analysis))
                    (basis::rounds(analysis))
                    (basis::facts(analysis, &legend))
                    (method::section(analysis))
                    (method::glossary())
                }
                footer {
                    p {
                        "Written by Tollgate " (subject.tool_version) " from the records of a campaign of "
                        (number::date(subject.started_unix_ms)) ". The report can be rebuilt from the "
                        "campaign's folder, byte for byte: " code { "tollgate report FOLDER" } ". With " code { "--pictures" }
                        " it writes every picture as SVG and PNG too; the figures stand in " code { "cells.csv" } " and " code { "rounds.csv" } " beside this page."
                    }
                }
            }
        }
    }
}

/// Links to the sections below the first screen.
fn contents(analysis: &Analysis) -> Markup {
    let has_programming = analysis.arms.iter().any(|arm| arm.programming.is_some());
    let described = analysis.description.as_ref();
    let has_curves = described.is_some_and(|it| !it.curves.is_empty() || !it.pooled.is_empty());
    let has_installs = described.is_some_and(|it| !it.installs.is_empty());
    let has_skipped = !analysis.subject.skipped.is_empty();
    let has_slices = |slice: &SlicePoint| slice.p50_ns.is_some() || slice.throughput.is_some();
    let has_timeline = analysis.timeline.iter().any(has_slices);
    let has_scalings = !analysis.scalings.is_empty();
    let has_cells = !analysis.cells.is_empty();
    let sections = [
        ("claims", "Claims", !analysis.claims.is_empty()),
        ("scaling", "With the number of services", has_scalings),
        ("verdicts", "Verdicts", has_cells),
        ("installs", "Over installs", has_installs),
        ("tails", "Typical request or tail", has_curves),
        ("spectra", "Percentiles", !analysis.spectra.is_empty()),
        ("rounds", "Round by round", has_cells),
        ("timeline", "Over time", has_timeline),
        ("programming", "Programming time", has_programming),
        ("evidence", "Evidence", true),
        ("skipped", "Skipped arms", has_skipped),
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
