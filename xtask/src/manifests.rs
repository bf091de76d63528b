//! The generated part of `k8s-manifests/`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tollgate_cluster::manifests::{File, files};

/// Folders in which every file is generated.
const GENERATED: [&str; 2] = ["base", "overlays"];

fn path(root: &Path, file: &File) -> PathBuf {
    root.join("k8s-manifests").join(&file.path)
}

/// Writes all manifests, and removes what is none any more.
pub(crate) fn write(root: &Path) -> io::Result<()> {
    for file in files() {
        let path = path(root, &file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, file.text)?;
    }
    for stale in strangers(root) {
        fs::remove_file(stale)?;
    }
    Ok(())
}

/// Says which manifests are not those of the types.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut faults: Vec<String> = files()
        .iter()
        .filter(|file| fs::read_to_string(path(root, file)).ok().as_ref() != Some(&file.text))
        .map(|file| format!("k8s-manifests/{}: not what the types say", file.path))
        .collect();
    let left = strangers(root);
    faults.extend(
        left.iter()
            .map(|path| format!("{}: not generated any more", path.display())),
    );
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{}\nrun `cargo xtask manifests`",
            faults.join("\n")
        ))
    }
}

/// Returns files in the generated folders that aren't generated.
fn strangers(root: &Path) -> Vec<PathBuf> {
    let ours: BTreeSet<PathBuf> = files().iter().map(|file| path(root, file)).collect();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = GENERATED
        .iter()
        .map(|folder| root.join("k8s-manifests").join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !ours.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_up_to_date_until_it_is_changed() {
        let root = tempfile::tempdir().unwrap();
        assert!(check(root.path()).is_err());
        write(root.path()).unwrap();
        assert_eq!(check(root.path()), Ok(()));
        let base = root.path().join("k8s-manifests/base");
        fs::write(base.join("old.yaml"), "").unwrap();
        assert!(
            check(root.path())
                .unwrap_err()
                .contains("not generated any more")
        );
        fs::write(base.join("pod.yaml"), "").unwrap();
        assert!(
            check(root.path())
                .unwrap_err()
                .contains("base/pod.yaml: not what")
        );
        write(root.path()).unwrap();
        assert_eq!(check(root.path()), Ok(()));
    }

    #[test]
    fn the_committed_manifests_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(check(&root), Ok(()));
    }
}
