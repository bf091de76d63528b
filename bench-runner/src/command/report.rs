//! `tollgate report`: rebuilds every report of a campaign from its folder.

use std::path::Path;

use anyhow::ensure;
use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::{Html, Json, Markdown, Terminal};
use tollgate_results::run::Campaign;
use tollgate_store::CampaignDir;

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::output;

/// Rebuilds the reports and prints one.
pub(super) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let (folder, campaign) = open(&args.dir)?;
    let analysis = write(&folder, &campaign)?;
    print(&folder, &analysis, args.json)?;
    Ok(ended(&analysis))
}

/// Opens a campaign that is whole but for what a killed writer may have left unfinished.
///
/// # Errors
///
/// When it is no campaign, or histograms are missing: then nothing may be written over it.
pub(super) fn open(dir: &Path) -> anyhow::Result<(CampaignDir, Campaign)> {
    let (folder, campaign) = CampaignDir::open(dir)?;
    let missing = folder.dropped_slices();
    // Histograms are written before their slice, so a killed writer loses those of one slice at most.
    ensure!(
        missing <= 1,
        "`{}` is damaged: histograms.hlog lacks the histograms of {missing} slices; restore it from a copy",
        dir.display()
    );
    Ok((folder, campaign))
}

/// Returns how a campaign ended: one that is invalid as a whole says nothing about the arms.
pub(super) fn ended(analysis: &Analysis) -> Exit {
    if analysis.conduct.invalid.is_some() {
        Exit::Environment
    } else {
        Exit::Done
    }
}

/// Writes `report.html`, `report.md` and `report.json` into a campaign's folder.
pub(super) fn write(folder: &CampaignDir, campaign: &Campaign) -> anyhow::Result<Analysis> {
    let analysis = analyse(campaign);
    let renderers: [(&str, &dyn Renderer); 3] = [
        ("report.html", &Html),
        ("report.md", &Markdown),
        ("report.json", &Json),
    ];
    for (name, renderer) in renderers {
        folder.write_report(name, &renderer.render(&analysis))?;
    }
    Ok(analysis)
}

/// Prints the table, or the JSON, and where the rest lies.
pub(super) fn print(folder: &CampaignDir, analysis: &Analysis, json: bool) -> anyhow::Result<()> {
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
    output::result(
        format!(
            "\nReport: {}\n",
            folder.path().join("report.html").display()
        )
        .as_bytes(),
    )?;
    Ok(())
}
