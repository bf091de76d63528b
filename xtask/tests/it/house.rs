//! The house of DESIGN §3: which crate may know which, and how large a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Most lines of a file.
const MOST_LINES: usize = 600;

/// The crates that know nothing but the ground.
const ON_THE_GROUND: [&str; 6] = [
    "tollgate-store",
    "tollgate-scenarios",
    "tollgate-probes",
    "tollgate-reports",
    "tollgate-lab",
    "tollgate-cluster",
];

fn workspace() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = MetadataCommand::new();
    command
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("cargo reads its own workspace")
}

/// Returns which crates of the workspace a package depends on, for tests and builds too; a package's
/// dependence on itself, to switch a feature on in its tests, is none.
fn edges<'a>(package: &'a Package, ours: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let names = package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str());
    names
        .filter(|name| ours.contains(name) && *name != package.name.as_str())
        .collect()
}

#[test]
fn crates_know_only_what_the_design_says() {
    let metadata = workspace();
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let found: BTreeMap<&str, BTreeSet<&str>> = metadata
        .packages
        .iter()
        .map(|package| (package.name.as_str(), edges(package, &ours)))
        .collect();
    for (&name, edges) in &found {
        let ground = BTreeSet::from(["tollgate-results"]);
        match name {
            "tollgate-results" => assert_eq!(*edges, BTreeSet::new(), "{name}"),
            "tollgate" => {
                let all = ON_THE_GROUND.into_iter().chain(ground).collect();
                assert!(edges.is_subset(&all), "{name} → {edges:?}");
            }
            "xtask" => {}
            _ => {
                assert!(
                    ON_THE_GROUND.contains(&name),
                    "{name} has no place in DESIGN §3"
                );
                assert_eq!(*edges, ground, "{name}");
            }
        }
        for nobodys in ["xtask", "fuzz", "tollgate"] {
            assert!(
                name == "xtask" || !edges.contains(nobodys),
                "{name} → {nobodys}"
            );
        }
    }
    assert!(found.len() >= 8, "{found:?}");
}

#[test]
fn only_the_command_line_erases_its_errors() {
    let metadata = workspace();
    let erasing: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            package
                .dependencies
                .iter()
                .any(|dependency| dependency.name == "anyhow")
        })
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(erasing, ["tollgate"]);
}

#[test]
fn files_are_short_and_modules_stand_beside_their_folder() {
    let metadata = workspace();
    let mut files = BTreeSet::new();
    for package in &metadata.packages {
        let folder = package
            .manifest_path
            .parent()
            .expect("a manifest lies in a folder");
        sources(folder.as_std_path(), &mut files);
    }
    assert!(files.len() > 50, "{files:?}");
    let mut faults = Vec::new();
    for file in files {
        let name = file.display();
        let lines = fs::read_to_string(&file)
            .expect("sources are text")
            .lines()
            .count();
        if lines > MOST_LINES {
            faults.push(format!(
                "{name}: {lines} lines; split it, {MOST_LINES} is the ceiling"
            ));
        }
        if file.ends_with("mod.rs") {
            faults.push(format!("{name}: name it after its folder, beside it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Collects the sources below a folder that people wrote.
fn sources(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, files);
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "c" || kind == "h")
        {
            files.insert(path);
        }
    }
}
