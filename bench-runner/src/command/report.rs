//! `tollgate report`: rebuilds every report of a campaign from its folder.

use std::path::Path;

use tollgate_reports::render::{Html, Json, Markdown, Terminal};
use tollgate_reports::{Analysis, Renderer, analyse};
use tollgate_results::run::Campaign;
use tollgate_store::CampaignDir;

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::output;

/// Rebuilds the reports and prints one.
pub(super) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let campaign = CampaignDir::read(&args.dir)?;
    let analysis = write(&args.dir, &campaign)?;
    print(&args.dir, &analysis, args.json)?;
    Ok(Exit::Done)
}

/// Writes `report.html`, `report.md` and `report.json` into a campaign's folder.
pub(super) fn write(dir: &Path, campaign: &Campaign) -> anyhow::Result<Analysis> {
    let analysis = analyse(campaign);
    let renderers: [(&str, &dyn Renderer); 3] = [
        ("report.html", &Html),
        ("report.md", &Markdown),
        ("report.json", &Json),
    ];
    for (name, renderer) in renderers {
        CampaignDir::write_report(dir, name, &renderer.render(&analysis))?;
    }
    Ok(analysis)
}

/// Prints the table, or the JSON, and where the rest lies.
pub(super) fn print(dir: &Path, analysis: &Analysis, json: bool) -> anyhow::Result<()> {
    if json {
        output::result(&Json.render(analysis))?;
        return Ok(());
    }
    output::result(
        &Terminal {
            colour: output::is_terminal(),
        }
        .render(analysis),
    )?;
    output::result(format!("\nReport: {}\n", dir.join("report.html").display()).as_bytes())?;
    Ok(())
}
