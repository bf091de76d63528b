//! `tollgate compare DIR DIR`: two campaigns, offline and unpaired.

use std::path::Path;

use anyhow::bail;
use tollgate_reports::unpaired::{self, ComparisonError};
use tollgate_reports::{analyse, render};

use crate::cli::CompareArgs;
use crate::command::report;
use crate::exit::Exit;
use crate::output;

/// Judges the second campaign against the first.
pub(super) fn compare(before: &Path, after: &Path, args: &CompareArgs) -> anyhow::Result<Exit> {
    let (first, second) = match (report::open(before), report::open(after)) {
        (Ok((_, first)), Ok((_, second))) => (analyse(&first), analyse(&second)),
        (Err(one), Err(other)) => bail!("{one:#}\n{other:#}"),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let margin = args.margin.map(|margin| margin.0);
    let comparison = unpaired::compare(&first, &second, margin, args.anyway);
    let comparison = match comparison {
        Ok(comparison) => comparison,
        Err(differ @ ComparisonError::Differ(_)) => bail!(
            "`{}` and `{}` can't be compared as they are; --anyway does, and says what that costs\n{differ}",
            before.display(),
            after.display()
        ),
        Err(error) => bail!(
            "failed to compare `{}` and `{}`: {error}",
            before.display(),
            after.display()
        ),
    };
    if args.json {
        let text = serde_json::to_string_pretty(&comparison)?;
        output::result(format!("{text}\n").as_bytes())?;
    } else {
        output::result(&render::comparison(&comparison, output::is_terminal()))?;
    }
    let invalid = comparison.before.invalid.is_some() || comparison.after.invalid.is_some();
    Ok(if invalid {
        Exit::Environment
    } else {
        Exit::Done
    })
}
