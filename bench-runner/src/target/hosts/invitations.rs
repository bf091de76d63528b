//! The hosts that were joined: one file each, readable by its owner alone.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tollgate_results::arm::Name;
use tollgate_results::door::Invitation;

/// Longest invitation that is read, in bytes: an address, a fingerprint and a token are some 400.
const MOST_BYTES: u64 = 4096;

/// Keeps an invitation under a name; replaces an earlier one.
///
/// # Errors
///
/// When the user's state folder can't be found or written.
pub fn keep(name: &Name, invitation: &Invitation) -> anyhow::Result<PathBuf> {
    let dir = dir()?;
    let file = dir.join(name.as_str());
    let context = || format!("failed to keep `{}`", file.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(context)?;
    // `@` stands in no other file's name for long, and the number in no other process's.
    let draft = dir.join(format!("{name}@{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut open = options.open(&draft).with_context(context)?;
    let written = writeln!(open, "{}", invitation.reveal())
        .and_then(|()| open.sync_all())
        .and_then(|()| fs::rename(&draft, &file));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.with_context(context)?;
    Ok(file)
}

/// Finds an invitation by the name under which it was kept, or by its file, which has a `/` in it.
///
/// # Errors
///
/// When there is none, others may read it, or it is none.
pub fn find(name_or_file: &str) -> anyhow::Result<Invitation> {
    let file = if name_or_file.contains('/') {
        PathBuf::from(name_or_file)
    } else {
        let name: Name = name_or_file.parse()?;
        dir()?.join(name.as_str())
    };
    let open = fs::File::open(&file).with_context(|| {
        format!(
            "no host `{name_or_file}` was joined (`{}`); start `tollgate-probe agent --listen` there and \
             paste the line that it prints, or name its file with a `/`",
            file.display()
        )
    })?;
    closed(&file, &open)?;
    let mut text = String::new();
    open.take(MOST_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("failed to read `{}`", file.display()))?;
    text.parse()
        .with_context(|| format!("`{}` holds no invitation", file.display()))
}

/// Checks that nobody else may read a file.
fn closed(file: &Path, open: &fs::File) -> anyhow::Result<()> {
    let mode = open
        .metadata()
        .with_context(|| format!("failed to read `{}`", file.display()))?
        .mode();
    let others = mode & 0o077;
    ensure!(
        others == 0,
        "`{0}` holds a token and others may read it (mode {1:03o}): chmod 600 {0}",
        file.display(),
        mode & 0o777,
    );
    Ok(())
}

/// Returns the folder of all invitations.
fn dir() -> anyhow::Result<PathBuf> {
    let of = |name: &str| {
        let dir = env::var_os(name).map(PathBuf::from);
        dir.filter(|dir| dir.is_absolute())
    };
    let base = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")));
    let base =
        base.context("neither XDG_STATE_HOME nor HOME names a folder to keep hosts in; set one")?;
    Ok(base.join("tollgate/hosts"))
}
