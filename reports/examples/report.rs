//! Renders the analysis in a `report.json` to standard output: `report html|markdown|terminal|json FILE`.
//!
//! For work on renderers: `cargo run -p tollgate-reports --example report -- html report.json > r.html`.

use std::error::Error;
use std::io::Write as _;

use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::{Html, Json, Markdown, Terminal};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(format), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: report html|markdown|terminal|json FILE".into());
    };
    let analysis: Analysis = serde_json::from_slice(&std::fs::read(file)?)?;
    let renderer: &dyn Renderer = match format.as_str() {
        "html" => &Html,
        "markdown" => &Markdown,
        "terminal" => &Terminal { colour: false },
        "json" => &Json,
        other => {
            return Err(format!("`{other}` is no format: html, markdown, terminal, json").into());
        }
    };
    std::io::stdout().write_all(&renderer.render(&analysis))?;
    Ok(())
}
