//! `tollgate cluster results`: a folder as a tar archive on standard output, out of a pod that has no `tar`.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};

use crate::cli::ResultsArgs;
use crate::exit::Exit;
use crate::output;

/// The folder's name in the archive.
const TOP: &str = "results";

/// Packs the folder.
pub(super) fn results(args: &ResultsArgs) -> anyhow::Result<Exit> {
    ensure!(
        !output::is_terminal(),
        "the archive goes to standard output, which is a terminal; write: tollgate cluster results > results.tar"
    );
    ensure!(
        args.dir.is_dir(),
        "`{}` is no folder; name the one with the results, which the runner was told by --out",
        args.dir.display()
    );
    let context = || format!("failed to pack `{}`", args.dir.display());
    let mut archive = tar::Builder::new(io::stdout().lock());
    // What lies outside of the folder is none of its results.
    archive.follow_symlinks(false);
    archive
        .append_dir_all(TOP, &args.dir)
        .with_context(context)?;
    let ended = archive.into_inner().and_then(|mut out| out.flush());
    ended.with_context(context)?;
    Ok(Exit::Done)
}
