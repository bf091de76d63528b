//! `tollgate history`: campaigns one after the other, from a file that only `history add` writes to.

mod add;
mod links;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use tollgate_reports::calibration::Calibration;
use tollgate_reports::history::{self as told, History, Telling};
use tollgate_reports::render::history as render;
use tollgate_results::arm::Name;
use tollgate_results::history::{CampaignEntry, check_label};
use tollgate_store::HistoryDb;

use crate::calibration;
use crate::cli::{HistoryArgs, HistoryCommand};
use crate::exit::Exit;
use crate::output;

/// Tells a history, or changes one.
pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<Exit> {
    let telling = args.scenario.is_some() || args.html.is_some();
    let telling = telling || args.json || args.campaigns || args.all;
    ensure!(
        args.command.is_none() || !telling,
        "a scenario, --html, --json, --campaigns and --all are for `tollgate history` alone, which tells it; leave them out here"
    );
    match &args.command {
        None => tell(args)?,
        Some(HistoryCommand::Add(add)) => add::add(&args.db, add)?,
        Some(HistoryCommand::Release { name, campaign }) => release(&args.db, name, *campaign)?,
        Some(HistoryCommand::Remove { campaigns }) => {
            HistoryDb::open(&args.db)?.remove(campaigns)?;
            output::note(&format!(
                "removed from `{}`; the folders stay",
                args.db.display()
            ));
        }
    }
    Ok(Exit::Done)
}

fn tell(args: &HistoryArgs) -> anyhow::Result<()> {
    let scenario = args.scenario.as_ref().map(Name::as_str);
    let kept = HistoryDb::open(&args.db)?.campaigns(scenario)?;
    if let Some(scenario) = scenario {
        ensure!(
            !kept.is_empty(),
            "`{}` has no campaign of scenario `{scenario}`; `tollgate history --campaigns` lists what it has",
            args.db.display()
        );
    }
    let campaigns: Vec<_> = kept.into_iter().map(|kept| (kept.id, kept.entry)).collect();
    let telling = Telling {
        floor: args.floor.map(|floor| floor.0),
        calibrations: &calibrations(&campaigns)?,
        budget: args.budget.0,
    };
    let history = told::tell(&campaigns, telling);
    if let Some(path) = &args.html {
        page(&history, &args.db, path)?;
    }
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&history)?)
    } else if args.campaigns {
        render::campaigns(&history)
    } else {
        render::text(&history, args.all)
    };
    output::result(text.as_bytes())?;
    Ok(())
}

/// Reads the calibrations that this user has of the campaigns' machines and scenarios.
fn calibrations(campaigns: &[(i64, CampaignEntry)]) -> anyhow::Result<Vec<Calibration>> {
    let known = campaigns.iter();
    let known: BTreeSet<(&str, &str)> = known
        .map(|(_, entry)| (entry.fingerprint.as_str(), entry.scenario.as_str()))
        .collect();
    let mut found = Vec::new();
    for (fingerprint, scenario) in known {
        found.extend(calibration::of_scenario(fingerprint, scenario)?);
    }
    Ok(found)
}

/// Writes the page, whole or not at all.
fn page(history: &History, db: &Path, path: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to write `{}`", path.display());
    let place = links::folder_of(path).with_context(failed)?;
    let page = render::page(history, &links::links(history, db, &place));
    let name = path.file_name().with_context(failed)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, page).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Where it was not made there is nothing to remove.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(failed)?;
    output::note(&format!("Page: {}", path.display()));
    Ok(())
}

fn release(db: &Path, name: &str, campaign: i64) -> anyhow::Result<()> {
    let name = (name != "none").then_some(name);
    if let Some(name) = name {
        check_label(name).map_err(anyhow::Error::msg)?;
    }
    HistoryDb::open(db)?.mark_release(campaign, name)?;
    output::note(&match name {
        Some(name) => format!("campaign {campaign} is release {name}"),
        None => format!("campaign {campaign} is no release"),
    });
    Ok(())
}
