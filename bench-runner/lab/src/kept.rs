//! Labs that live on without their maker, found by name in the user's runtime directory.

mod others;

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use tollgate_results::arm::{Datapath, Name};
use tollgate_results::facts::ArmFacts;

use crate::clock;
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::lab::{Lab, LabOptions};
use crate::protocol::DeployedArm;

/// What is said where there is no lab.
const NONE: &str = "no lab is up; start one with `tollgate lab up`";

/// How long a lab may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long a kept lab may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A kept lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLab {
    /// Its name.
    pub name: Name,
    /// Its arms.
    pub arms: Vec<DeployedArm>,
}

/// Starts a lab with these arms and leaves it standing under `name`.
///
/// # Errors
/// A lab of this name stands already, the machine forbids namespaces, or an arm cannot be deployed; then
/// nothing is left.
pub fn up(
    name: &Name,
    options: &LabOptions,
    arms: &[(Name, Datapath)],
    seed: u64,
) -> Result<Vec<ArmFacts>, LabError> {
    let path = socket(&directory()?, name);
    let listener = listen(name, &path)?;
    let lab = Lab::start_with(options, Some((listener, &path))).inspect_err(|_| {
        // Its janitor may not have come so far as to remove it.
        let _ = fs::remove_file(&path);
    })?;
    let stood = lab.deploy_all(arms, seed)?.into_iter();
    let facts: Result<Vec<_>, _> = stood.map(|arm| arm.map(|arm| arm.facts)).collect();
    let facts = facts?;
    lab.keep()?;
    Ok(facts)
}

/// Lists the kept labs of this user.
///
/// # Errors
/// The directory of their sockets cannot be read.
pub fn list() -> Result<Vec<KeptLab>, LabError> {
    let directory = directory()?;
    let entries =
        fs::read_dir(&directory).doing(|| format!("list the labs in `{}`", directory.display()))?;
    let mut labs = Vec::new();
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = file
            .strip_suffix(".sock")
            .and_then(|name| name.parse::<Name>().ok());
        let Some(name) = name else { continue };
        if let Some(stream) = reach(&entry.path())? {
            match Lab::connected(stream).arms() {
                Ok(arms) => labs.push(KeptLab { name, arms }),
                // It ended meanwhile, or never came to stand.
                Err(error) if matches!(error.kind(), LabErrorKind::HolderGone) => {}
                Err(error) => return Err(error),
            }
        }
    }
    labs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(labs)
}

/// Connects to a kept lab.
///
/// # Errors
/// There is no lab of this name; the error lists those that there are.
pub fn connect(name: &Name) -> Result<Lab, LabError> {
    let directory = directory()?;
    let stream = reach(&socket(&directory, name))?;
    stream.map(Lab::connected).ok_or_else(|| {
        let known = list().unwrap_or_default();
        let known: Vec<_> = known.iter().map(|lab| lab.name.as_str()).collect();
        let known = match known.as_slice() {
            [] => NONE.to_owned(),
            _ => format!("these are up: {}", known.join(", ")),
        };
        let known = with_hint(known, Some(name), &directory);
        LabError::said(format!("find the lab `{name}`"), known)
    })
}

/// Says that no lab of this user is up and how to start one, and whether others may have some.
///
/// # Errors
/// The directory of this user's labs cannot be used.
pub fn none_is_up() -> Result<String, LabError> {
    Ok(with_hint(NONE.to_owned(), None, &directory()?))
}

/// Adds whose lab it may be that was looked for.
fn with_hint(said: String, name: Option<&Name>, own: &Path) -> String {
    match others::hint(name, own) {
        Some(hint) => format!("{said}; {hint}"),
        None => said,
    }
}

/// Ends a kept lab, and returns when nothing of it is left.
///
/// # Errors
/// There is no lab of this name, or it does not end within 5 s.
pub fn down(name: &Name) -> Result<(), LabError> {
    connect(name)?.end()?;
    let path = socket(&directory()?, name);
    if clock::wait_until(END_LIMIT, Duration::from_millis(5), || !path.exists()) {
        return Ok(());
    }
    Err(LabError::said(
        format!("end the lab `{name}`"),
        format!(
            "`{}` is still there after {} s",
            path.display(),
            END_LIMIT.as_secs()
        ),
    ))
}

/// Binds the socket of a lab to be; what a dead lab left is replaced.
fn listen(name: &Name, path: &Path) -> Result<UnixListener, LabError> {
    if reach(path)?.is_some() {
        return Err(LabError::said(
            format!("start the lab `{name}`"),
            format!("a lab of this name is up already; end it with `tollgate lab down {name}`"),
        ));
    }
    UnixListener::bind(path).doing(|| format!("listen on `{}`", path.display()))
}

/// Connects to a lab's socket; `None` where none lives, and what a dead one left is removed.
fn reach(path: &Path) -> Result<Option<UnixStream>, LabError> {
    match UnixStream::connect(path) {
        Ok(stream) => {
            stream
                .set_read_timeout(Some(ANSWER_LIMIT))
                .doing(|| format!("connect to `{}`", path.display()))?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let is_socket =
                fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
            if is_socket {
                fs::remove_file(path).doing(|| format!("remove `{}`", path.display()))?;
            }
            Ok(None)
        }
        Err(error) => Err(LabError::new(
            format!("connect to `{}`", path.display()),
            error,
        )),
    }
}

fn socket(directory: &Path, name: &Name) -> PathBuf {
    directory.join(format!("{name}.sock"))
}

/// Returns the directory of this user's labs, made if need be, and only this user's.
fn directory() -> Result<PathBuf, LabError> {
    let user = geteuid();
    // `su` and `sudo` may leave the variable of the user that they came from.
    let is_own = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.uid() == user.as_raw());
    let runtime = env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(is_own);
    let path = match runtime {
        Some(runtime) => runtime.join("tollgate"),
        None if user.is_root() => PathBuf::from("/run/tollgate"),
        None => PathBuf::from(format!("/tmp/tollgate-{user}")),
    };
    private(&path, user.as_raw())?;
    Ok(path)
}

/// Makes a directory that only this user can enter, or checks that it is one.
fn private(path: &Path, user: u32) -> Result<(), LabError> {
    let doing = || format!("use the directory `{}`", path.display());
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(LabError::new(doing(), error)),
    }
    let found = fs::symlink_metadata(path).doing(doing)?;
    let others_kept_out = found.mode() & 0o777 == 0o700;
    if found.is_dir() && found.uid() == user && others_kept_out {
        return Ok(());
    }
    Err(LabError::said(
        doing(),
        "others could use it too: it must be a directory of this user with mode 0700",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("tollgate");
        let user = geteuid().as_raw();
        private(&path, user).unwrap();
        private(&path, user).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private(&path, user).unwrap_err().chain().contains("0700"));
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        assert!(private(&link, user).is_err());
    }

    #[test]
    fn what_a_dead_lab_left_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("x.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(reach(&path).unwrap().is_none());
        assert!(!path.exists());
    }
}
