//! `tollgate report`: rebuilds every report of a campaign from its folder.

use std::path::Path;

use anyhow::ensure;
use tollgate_reports::analyse_in_full;
use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::{CellsCsv, Html, Json, Markdown, RoundsCsv, Terminal, pictures};
use tollgate_results::run::Campaign;
use tollgate_store::CampaignDir;

use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::output;

/// Rebuilds the reports and prints one.
pub(super) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let (folder, campaign) = open(&args.dir)?;
    let analysis = write(&folder, &campaign)?;
    if args.pictures {
        draw(&folder, &analysis)?;
    }
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

/// Writes every picture of the report as SVG and as PNG.
fn draw(folder: &CampaignDir, analysis: &Analysis) -> anyhow::Result<()> {
    let pictures = pictures(analysis);
    for picture in &pictures {
        folder.write_picture(&format!("{}.svg", picture.name), picture.svg.as_bytes())?;
        folder.write_picture(&format!("{}.png", picture.name), &picture.png()?)?;
    }
    output::note(&format!(
        "{} pictures, as SVG and PNG: {}",
        pictures.len(),
        folder.path().join("pictures").display()
    ));
    Ok(())
}

/// Writes `report.html`, `report.md`, `report.json`, `cells.csv` and `rounds.csv` into a campaign's folder.
pub(super) fn write(folder: &CampaignDir, campaign: &Campaign) -> anyhow::Result<Analysis> {
    let analysis = analyse_in_full(campaign);
    let renderers: [(&str, &dyn Renderer); 5] = [
        ("report.html", &Html),
        ("report.md", &Markdown),
        ("report.json", &Json),
        ("cells.csv", &CellsCsv),
        ("rounds.csv", &RoundsCsv),
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
