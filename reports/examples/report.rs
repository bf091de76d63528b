//! Renders a report to standard output, for work on renderers and for `scripts/html-check.sh`:
//!
//! ```text
//! report html|markdown|terminal|json|cells|rounds [quickstart|scaling|wide|FILE]
//! report gate|history
//! ```
//!
//! FILE is a `report.json`; the others are synthetic campaigns, made in memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;

use tollgate_reports::gate::{Policy, Stage, rule};
use tollgate_reports::history::{Telling, entry_of, tell};
use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::gate::{GateRenderer as _, Html as GatePage};
use tollgate_reports::render::{
    CellsCsv, Html, Json, Markdown, RoundsCsv, Terminal, history as render,
};
use tollgate_reports::synthetic::Synthetic;
use tollgate_reports::{analyse, analyse_in_full};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().unwrap_or_default();
    let renderer: &dyn Renderer = match format.as_str() {
        "html" => &Html,
        "markdown" => &Markdown,
        "terminal" => &Terminal { colour: false },
        "json" => &Json,
        "cells" => &CellsCsv,
        "rounds" => &RoundsCsv,
        "gate" => return print(&gate()?),
        "history" => return print(&history()),
        _ => {
            return Err(
                "write a format first: html, markdown, terminal, json, cells, rounds, gate or history"
                    .into(),
            );
        }
    };
    let source = arguments.next().unwrap_or_else(|| "quickstart".to_owned());
    let synthetic = |campaign: Synthetic| analyse_in_full(&campaign.campaign());
    let analysis: Analysis = match source.as_str() {
        "quickstart" => synthetic(Synthetic::quickstart()),
        "scaling" => synthetic(Synthetic::scaling()),
        "wide" => synthetic(Synthetic::wide(8, 30)),
        file => serde_json::from_slice(&std::fs::read(file)?)?,
    };
    print(&renderer.render(&analysis))
}

fn print(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::io::stdout().write_all(bytes)?;
    Ok(())
}

/// An overlay that costs this much on each packet, measured on a day.
fn overlay(day: u64, toll: f64, rounds: u32) -> Analysis {
    let mut synthetic = Synthetic::overlay();
    (synthetic.seed, synthetic.rounds) = (day, rounds);
    synthetic.arms[1].per_packet = toll;
    let mut campaign = synthetic.referenced().campaign();
    campaign.run.started_unix_ms += day * 86_400_000;
    analyse(&campaign)
}

/// A gate's page: an overlay that fails.
fn gate() -> Result<Vec<u8>, Box<dyn Error>> {
    let first = Stage::of(&[&overlay(1, 1.2, 10)])?;
    let again: Vec<Analysis> = (2..6).map(|day| overlay(day, 1.2, 5)).collect();
    let second = Stage::of(&again.iter().collect::<Vec<_>>())?;
    let report = rule(&Policy::default(), None, &first, Some(&second))?;
    Ok(GatePage.render(&report))
}

/// A history's page: an overlay that becomes dearer after twenty campaigns, the first a release.
fn history() -> Vec<u8> {
    let campaigns: Vec<_> = (1..=30)
        .map(|number: u32| {
            let toll = if number > 20 { 1.35 } else { 1.25 };
            let mut entry = entry_of(&overlay(number.into(), toll, 10), 1);
            entry.label = Some(format!("commit-{number}"));
            entry.release = (number == 1).then(|| "v1.0".to_owned());
            (number.into(), entry)
        })
        .collect();
    let telling = Telling {
        floor: None,
        calibrations: &[],
        budget: 0.10,
    };
    render::page(&tell(&campaigns, telling), &BTreeMap::new())
}
