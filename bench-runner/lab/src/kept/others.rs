//! Labs of other users: theirs alone, but who looks for one in vain is told whose it may be.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tollgate_results::arm::Name;

/// Most directories that are looked into: a machine with more users has no room for their labs.
const MOST: usize = 256;

/// Says whose lab it may be that was looked for, by name or at all; `None` where nobody else seems to have one. `own` is this
/// user's directory.
pub(super) fn hint(name: Option<&Name>, own: &Path) -> Option<String> {
    of(&directories(), name, own)
}

fn of(directories: &[PathBuf], name: Option<&Name>, own: &Path) -> Option<String> {
    let mut closed = None;
    for directory in directories.iter().filter(|directory| *directory != own) {
        let Ok(found) = fs::symlink_metadata(directory) else {
            continue;
        };
        let owner = user(found.uid());
        match sockets(directory, name) {
            Ok(true) => return Some(told(name, &owner)),
            Ok(false) => {}
            Err(_) => closed = Some(owner),
        }
    }
    closed.map(|owner| format!("those of {owner}, if there are any, only {owner} can use"))
}

fn told(name: Option<&Name>, owner: &str) -> String {
    match name {
        Some(_) => format!("{owner} has one of this name: only {owner} can use it"),
        None => format!("{owner} has some: only {owner} can use them"),
    }
}

/// Says whether there is a lab's socket in a directory: of this name, or of any.
fn sockets(directory: &Path, name: Option<&Name>) -> io::Result<bool> {
    if let Some(name) = name {
        return match fs::symlink_metadata(directory.join(format!("{name}.sock"))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
    }
    let is_socket = |path: &Path| path.extension().is_some_and(|ending| ending == "sock");
    let mut entries = fs::read_dir(directory)?.flatten();
    Ok(entries.any(|entry| is_socket(&entry.path())))
}

/// Lists the directories in which users keep their labs: see [`super::directory`].
fn directories() -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from("/run/tollgate")];
    let below = |place: &str| fs::read_dir(place).into_iter().flatten().flatten();
    directories.extend(below("/run/user").map(|user| user.path().join("tollgate")));
    let temporary = below("/tmp").filter(|entry| {
        let name = entry.file_name();
        let user = name
            .to_str()
            .and_then(|name| name.strip_prefix("tollgate-"));
        user.is_some_and(|user| user.parse::<u32>().is_ok())
    });
    directories.extend(temporary.map(|entry| entry.path()).take(MOST));
    directories.truncate(MOST);
    directories
}

fn user(id: u32) -> String {
    match id {
        0 => "root".to_owned(),
        id => format!("the user with the number {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lab_of_somebody_else_is_hinted_at() {
        let base = tempfile::tempdir().unwrap();
        let (own, other) = (base.path().join("own"), base.path().join("other"));
        for directory in [&own, &other] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(own.join("mine.sock"), "").unwrap();
        fs::write(other.join("theirs.sock"), "").unwrap();
        let both = || vec![base.path().join("none"), own.clone(), other.clone()];
        let name = |name: &str| name.parse::<Name>().unwrap();
        assert_eq!(of(&both(), Some(&name("mine")), &own), None);
        let hint = of(&both(), Some(&name("theirs")), &own).unwrap();
        assert!(hint.contains("has one of this name"), "{hint}");
        assert!(of(&both(), None, &own).unwrap().contains("has some"));
        assert_eq!(of(std::slice::from_ref(&own), None, &own), None);
        assert_eq!(user(0), "root");
    }
}
