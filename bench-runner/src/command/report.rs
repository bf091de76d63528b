//! `tollgate report`: rebuilds every report of a campaign from its folder.

use std::path::Path;

use anyhow::{bail, ensure};
use tollgate_reports::analyse_in_full;
use tollgate_reports::calibration::Calibration;
use tollgate_reports::model::{Analysis, Renderer};
use tollgate_reports::render::{CellsCsv, Html, Json, Markdown, RoundsCsv, Terminal, pictures};
use tollgate_results::arm::Name;
use tollgate_results::run::Campaign;
use tollgate_store::CampaignDir;

use super::gate;
use crate::calibration;
use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::output;

/// The calibration that counted when a campaign was measured, in its folder: reports are rebuilt from the folder alone.
const CALIBRATION: &str = "calibration.json";

/// Rebuilds the reports and prints one.
pub(super) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    if gate::is_gate(&args.dir) {
        ensure!(
            !args.pictures && !args.calibration && args.reference.is_none(),
            "--pictures, --calibration and --reference are for a campaign, and `{}` is a gate; name one of its stages, as `{}`",
            args.dir.display(),
            args.dir.join("run-1/stage-1").display()
        );
        return gate::rebuild(&args.dir, args.json);
    }
    let (folder, campaign) = open(&args.dir)?;
    if let Some(reference) = &args.reference {
        return against(&folder, campaign, reference, args.json);
    }
    if args.calibration {
        adopt(&folder, &campaign)?;
    }
    let analysis = write(&folder, &campaign)?;
    if args.pictures {
        draw(&folder, &analysis)?;
    }
    print(&folder, &analysis, args.json)?;
    Ok(ended(&analysis))
}

/// Compares every arm of a campaign with one that it wasn't planned to be compared with. The campaign's own reports
/// stay as they are.
fn against(
    folder: &CampaignDir,
    mut campaign: Campaign,
    reference: &Name,
    json: bool,
) -> anyhow::Result<Exit> {
    let plan = &mut campaign.run.plan;
    if !plan.compare_with(reference) {
        let arms: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
        bail!(
            "`{}` has no arm `{reference}`; it has {}",
            folder.path().display(),
            arms.join(", ")
        );
    }
    let analysis = analyse_in_full(&campaign);
    let page = format!("against-{reference}.html");
    folder.write_report(&page, &Html.render(&analysis))?;
    show(&folder.path().join(page), &analysis, json)?;
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

/// Keeps this machine's calibration in the folder of a campaign that was measured here just now, where there is one that
/// counts for it and none is kept yet.
pub(super) fn keep_calibration(folder: &CampaignDir, campaign: &Campaign) -> anyhow::Result<()> {
    if folder.path().join(CALIBRATION).exists() {
        return Ok(());
    }
    match calibration_for(campaign) {
        Ok(Ok(known)) => keep(folder, &known),
        Ok(Err(_)) => Ok(()),
        // The campaign is measured: what it says doesn't hang on that file.
        Err(error) => {
            output::note(&format!("the report goes without a calibration: {error:#}"));
            Ok(())
        }
    }
}

/// Puts this machine's calibration as it is now into a campaign's folder.
fn adopt(folder: &CampaignDir, campaign: &Campaign) -> anyhow::Result<()> {
    match calibration_for(campaign)? {
        Ok(known) => keep(folder, &known),
        Err(reason) => bail!(
            "no calibration counts for `{}`: {reason}",
            folder.path().display()
        ),
    }
}

fn keep(folder: &CampaignDir, known: &Calibration) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(known)?;
    json.push(b'\n');
    folder.write_report(CALIBRATION, &json)?;
    Ok(())
}

/// Returns the calibration that counts for a campaign, or why there is none.
fn calibration_for(campaign: &Campaign) -> anyhow::Result<Result<Calibration, String>> {
    let run = &campaign.run;
    if run.hosts.is_some() {
        return Ok(Err(
            "calibrations are of paths in a lab, and it was measured between hosts".to_owned(),
        ));
    }
    let fingerprint = run.facts.fingerprint();
    let Some(known) = calibration::load(&fingerprint, &run.plan)? else {
        return Ok(Err(format!(
            "`{}` was never calibrated on machine {fingerprint}; run `tollgate calibrate {}` there",
            run.plan.scenario, run.plan.scenario
        )));
    };
    Ok(match known.unfit(&fingerprint, run.started_unix_ms) {
        Some(reason) => Err(reason),
        None => Ok(known),
    })
}

/// Writes `report.html`, `report.md`, `report.json`, `cells.csv` and `rounds.csv` into a campaign's folder. What its
/// calibration knows of the noise floor counts more than what one campaign tells of itself.
pub(super) fn write(folder: &CampaignDir, campaign: &Campaign) -> anyhow::Result<Analysis> {
    let mut analysis = analyse_in_full(campaign);
    let mend = "remove it, or take this machine's by `tollgate report --calibration`";
    let known = calibration::read(&folder.path().join(CALIBRATION), mend)?;
    if let Some(known) = known.filter(|known| known.fingerprint == analysis.subject.fingerprint) {
        known.apply(&mut analysis.noise_floor);
    }
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
    show(&folder.path().join("report.html"), analysis, json)
}

/// Prints the table and where the page is, or the JSON.
fn show(page: &Path, analysis: &Analysis, json: bool) -> anyhow::Result<()> {
    if json {
        return output::result(&Json.render(analysis)).map_err(Into::into);
    }
    let colour = output::is_terminal();
    output::result(&Terminal { colour }.render(analysis))?;
    output::result(format!("\nReport: {}\n", page.display()).as_bytes())?;
    Ok(())
}
