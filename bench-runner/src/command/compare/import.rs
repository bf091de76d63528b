//! `tollgate compare --import`: results of other tools, run against run.

use std::path::Path;

use anyhow::{Context as _, bail};
use tollgate_reports::import::{self, Run};
use tollgate_reports::render;

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::output;

/// Most files of one comparison: each is a run, and an interval takes at most as many.
const MOST_FILES: usize = 2_000;

/// Compares the arms that the files are of.
pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    if args.import.len() > MOST_FILES {
        bail!(
            "{} files are more than 2,000; import fewer",
            args.import.len()
        );
    }
    let (mut runs, mut faults) = (Vec::new(), Vec::new());
    for named in &args.import {
        match run(named) {
            Ok(run) => runs.push(run),
            Err(fault) => faults.push(format!("{fault:#}")),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let margin = args.margin.map_or(super::MARGIN, |margin| margin.0);
    let comparison = import::compare(&runs, margin)?;
    if args.json {
        let text = serde_json::to_string_pretty(&comparison)?;
        output::result(format!("{text}\n").as_bytes())?;
    } else {
        output::result(&render::imported(&comparison, output::is_terminal()))?;
    }
    Ok(Exit::Done)
}

/// Reads one file with the arm that it is of.
fn run(named: &str) -> anyhow::Result<Run> {
    let (arm, file) = arm(named);
    let text = super::read(Path::new(file))?;
    let imported = import::read(&text).with_context(|| format!("failed to import `{file}`"))?;
    Ok(Run {
        arm: arm.to_owned(),
        file: file.to_owned(),
        imported,
    })
}

/// Splits `ARM=FILE`; without an arm it is the file's folder. A path that holds a `=` is a path where it exists.
fn arm(named: &str) -> (&str, &str) {
    match named.split_once('=') {
        Some((arm, file)) if !arm.is_empty() && !Path::new(named).exists() => (arm, file),
        _ => {
            let folder = Path::new(named).parent().and_then(Path::file_name);
            let folder = folder.and_then(|folder| folder.to_str());
            (folder.unwrap_or("."), named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::arm;

    #[test]
    fn an_arm_is_named_or_is_the_folder() {
        assert_eq!(arm("native=runs/1.json"), ("native", "runs/1.json"));
        assert_eq!(arm("runs/native/1.json"), ("native", "runs/native/1.json"));
        assert_eq!(arm("1.json"), (".", "1.json"));
        assert_eq!(arm("=1.json"), (".", "=1.json"));
    }
}
