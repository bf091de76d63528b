//! `tollgate compare --pairs`: the verdict for paired numbers of any tool.

use std::path::Path;

use anyhow::bail;
use tollgate_reports::model::Direction;
use tollgate_reports::pairs;

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::output;

/// Compares the two arms of a CSV file.
pub(super) fn compare(file: &Path, args: &CompareArgs) -> anyhow::Result<Exit> {
    let text = super::read(file)?;
    let pairs = match pairs::parse_csv(&text) {
        Ok(pairs) => pairs,
        Err(faults) => {
            let lines: Vec<String> = faults
                .lines()
                .map(|line| format!("{}: {line}", file.display()))
                .collect();
            bail!("{}", lines.join("\n"));
        }
    };
    let direction = if args.higher_is_better {
        Direction::SmallerIsWorse
    } else {
        Direction::LargerIsWorse
    };
    let margin = args.margin.map_or(super::MARGIN, |margin| margin.0);
    let comparison = pairs::compare(&pairs, direction, margin);
    let text = if args.json {
        serde_json::to_string_pretty(&comparison)?
    } else {
        comparison.words
    };
    output::result(format!("{text}\n").as_bytes())?;
    Ok(Exit::Done)
}
