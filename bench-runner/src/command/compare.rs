//! `tollgate compare --pairs`: the verdict for paired numbers of any tool.

use std::fs;

use anyhow::Context as _;
use tollgate_reports::pairs;

use crate::cli::CompareArgs;
use crate::exit::Exit;
use crate::output;

/// Compares the arms of a CSV file.
pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    let path = args.pairs.display();
    let text =
        fs::read_to_string(&args.pairs).with_context(|| format!("failed to read `{path}`"))?;
    let table = pairs::parse_csv(&text).with_context(|| format!("failed to use `{path}`"))?;
    let comparisons = pairs::compare(&table, args.higher_is_better, args.margin);
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&comparisons)?)
    } else {
        comparisons
            .iter()
            .map(|comparison| format!("{comparison}\n"))
            .collect()
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}
