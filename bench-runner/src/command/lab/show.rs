//! `tollgate lab show`: labs as they are now, as text, picture or JSON.

use std::fs;

use anyhow::{Context as _, bail};
use tollgate_lab::kept;
use tollgate_reports::render::lab::{picture, text};
use tollgate_results::arm::Name;
use tollgate_results::lab_state::LabState;

use crate::cli::LabShowArgs;
use crate::exit::Exit;
use crate::output;

/// Shows the labs that are asked for.
pub(super) fn show(args: &LabShowArgs) -> anyhow::Result<Exit> {
    let labs = read(args)?;
    if let Some(file) = &args.svg {
        if labs.is_empty() {
            bail!("no lab is up that could be drawn; start one with `tollgate lab up`");
        }
        fs::write(file, picture(&labs))
            .with_context(|| format!("failed to write the picture `{}`", file.display()))?;
        output::note(&format!("Picture: {}", file.display()));
    }
    if args.json {
        output::result(format!("{}\n", serde_json::to_string_pretty(&labs)?).as_bytes())?;
    } else if args.svg.is_none() {
        output::result(text(&labs).as_bytes())?;
    }
    let missing: usize = labs.iter().map(LabState::missing).sum();
    if missing > 0 && args.svg.is_some() {
        output::note(&format!(
            "{missing} of the devices that the lab made are not there now."
        ));
    }
    Ok(Exit::Done)
}

/// Reads the labs back. Of all labs one may end meanwhile: that is said, and the others are shown.
fn read(args: &LabShowArgs) -> anyhow::Result<Vec<LabState>> {
    let mut labs = Vec::new();
    for name in names(args)? {
        match kept::connect(&name).and_then(|lab| lab.state(&name)) {
            Ok(lab) => labs.push(lab),
            Err(error) if args.all => {
                output::note(&format!("Lab {name} is not shown: {}.", error.chain()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(labs)
}

fn names(args: &LabShowArgs) -> anyhow::Result<Vec<Name>> {
    if let Some(name) = &args.name {
        return Ok(vec![name.clone()]);
    }
    let names: Vec<Name> = kept::list()?.into_iter().map(|lab| lab.name).collect();
    if args.all || names.len() == 1 {
        return Ok(names);
    }
    match names.as_slice() {
        [] => bail!("{}", kept::none_is_up()?),
        several => {
            let several: Vec<&str> = several.iter().map(Name::as_str).collect();
            bail!(
                "several labs are up: {}; name one of them, or write --all",
                several.join(", ")
            )
        }
    }
}
