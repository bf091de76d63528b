//! `tollgate compare`: two campaigns, paired numbers of any tool, or other tools' results.

mod campaigns;
mod import;
mod pairs;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::cli::CompareArgs;
use crate::exit::Exit;

/// Most bytes that are read of a file that another tool wrote: a day of iperf3's intervals is a tenth of it.
const MOST_BYTES: u64 = 64 << 20;

/// Margin where neither the user nor a campaign says one.
const MARGIN: f64 = 0.05;

/// Compares what the command line names.
pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    match (args.campaigns.as_slice(), &args.pairs) {
        ([before, after], _) => campaigns::compare(before, after, args),
        (_, Some(file)) => pairs::compare(file, args),
        _ => import::compare(args),
    }
}

/// Reads a text file of bounded size.
fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let failed = || format!("failed to read `{shown}`");
    let file = File::open(path).with_context(failed)?;
    ensure!(
        file.metadata().with_context(failed)?.is_file(),
        "failed to read `{shown}`: it is not a file"
    );
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("failed to read `{shown}`: it has more than 64 MiB");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => bail!("failed to read `{shown}`: it is not text in UTF-8"),
    }
}
