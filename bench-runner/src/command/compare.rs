//! `tollgate compare --pairs`: the verdict for paired numbers of any tool.

use std::fs;

use anyhow::{Context as _, bail};
use tollgate_reports::model::Direction;
use tollgate_reports::pairs;

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::output;

/// Compares the two arms of a CSV file.
pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    let path = args.pairs.display();
    let text =
        fs::read_to_string(&args.pairs).with_context(|| format!("failed to read `{path}`"))?;
    let pairs = match pairs::parse_csv(&text) {
        Ok(pairs) => pairs,
        Err(faults) => {
            let lines: Vec<String> = faults
                .lines()
                .map(|line| format!("{path}: {line}"))
                .collect();
            bail!("{}", lines.join("\n"));
        }
    };
    let direction = if args.higher_is_better {
        Direction::SmallerIsWorse
    } else {
        Direction::LargerIsWorse
    };
    let comparison = pairs::compare(&pairs, direction, args.margin.0);
    let text = if args.json {
        serde_json::to_string_pretty(&comparison)?
    } else {
        comparison.words
    };
    output::result(format!("{text}\n").as_bytes())?;
    Ok(Exit::Done)
}
