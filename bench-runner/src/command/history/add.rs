//! `tollgate history add`: what campaign folders say, into the history. All of them, or none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_reports::analyse;
use tollgate_reports::history::entry_of;
use tollgate_results::history::{CampaignEntry, check_label};
use tollgate_store::{HistoryDb, RUN};

use super::super::report;
use super::links;
use crate::cli::HistoryAddArgs;
use crate::output;

pub(super) fn add(db: &Path, args: &HistoryAddArgs) -> anyhow::Result<()> {
    for label in [&args.label, &args.release].into_iter().flatten() {
        check_label(label).map_err(anyhow::Error::msg)?;
    }
    let folders = campaigns(&args.folders)?;
    if args.label.is_some() || args.release.is_some() {
        let count = folders.len();
        if count > 1 {
            bail!(
                "--label and --release name one campaign, these folders have {count}; add them one by one"
            );
        }
    }
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    for folder in &folders {
        match entry(folder, db, args) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if !faults.is_empty() {
        faults.push("nothing was added".to_owned());
        bail!("{}", faults.join("\n"));
    }
    let mut history = HistoryDb::open_or_create(db)?;
    let added = history.add(&entries)?;
    for ((folder, entry), added) in folders.iter().zip(&entries).zip(added) {
        let what = if added.replaced { "replaced" } else { "added" };
        let invalid = entry.invalid.as_ref();
        let invalid = invalid.map_or_else(String::new, |why| format!(": a gap, since {why}"));
        output::note(&format!(
            "{what} campaign {} of {}, `{}`{invalid}",
            added.id,
            entry.scenario,
            folder.display()
        ));
    }
    Ok(())
}

fn entry(folder: &Path, db: &Path, args: &HistoryAddArgs) -> anyhow::Result<CampaignEntry> {
    let (_, campaign) = report::open(folder)?;
    Ok(CampaignEntry {
        label: args.label.clone(),
        release: args.release.clone(),
        folder: links::from_history(db, folder),
        ..entry_of(&analyse(&campaign), campaign.run.schema)
    })
}

/// Returns the campaigns that folders are or have in them, each once.
fn campaigns(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut faults = Vec::new();
    for folder in folders {
        match inside(folder) {
            Ok(inside) if inside.is_empty() => faults.push(format!(
                "`{}` is no campaign and has none in it; name a folder with `{RUN}`",
                folder.display()
            )),
            Ok(inside) => found.extend(inside),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    Ok(found)
}

fn inside(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(RUN).exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let failed = || format!("failed to read `{}`", folder.display());
    let mut campaigns = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.join(RUN).exists() {
            campaigns.push(path);
        }
    }
    campaigns.sort();
    Ok(campaigns)
}
