//! Renders a report to standard output, for work on renderers and for `scripts/html-check.sh`:
//!
//! ```text
//! report html|markdown|terminal|json|cells|rounds [quickstart|scaling|wide|FILE]
//! ```
//!
//! FILE is a `report.json`; the others are synthetic campaigns, made in memory.

use std::error::Error;
use std::io::Write as _;

use tollgate_reports::analyse_in_full;
use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::{CellsCsv, Html, Json, Markdown, RoundsCsv, Terminal};
use tollgate_reports::synthetic::Synthetic;

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
        _ => {
            return Err(
                "write a format first: html, markdown, terminal, json, cells or rounds".into(),
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
    std::io::stdout().write_all(&renderer.render(&analysis))?;
    Ok(())
}
