//! Chores of the repository: `cargo xtask schema` writes the JSON Schemas and `cargo xtask manifests` the generated
//! part of `k8s-manifests/`, `--check` says whether they are up to date; `cargo xtask image` packs static programs
//! as an OCI archive.

mod image;
mod manifests;
mod schema;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask schema [--check]
       cargo xtask manifests [--check]
       cargo xtask image PROGRAM[,PROGRAM...] ARCHIVE.tar [NAME:TAG]";

/// Says what was done.
fn say(line: &str) {
    // Nobody is left to tell where even this fails.
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = match arguments.as_slice() {
        ["schema"] => schema::write(&root).map_err(|error| error.to_string()),
        ["schema", "--check"] => schema::check(&root),
        ["manifests"] => manifests::write(&root).map_err(|error| error.to_string()),
        ["manifests", "--check"] => manifests::check(&root),
        ["image", programs, archive, name @ ..] if name.len() < 2 => {
            let programs: Vec<&Path> = programs.split(',').map(Path::new).collect();
            image::pack(&programs, archive.as_ref(), name.first().copied())
                .map(|packed| say(&packed))
                .map_err(|error| error.to_string())
        }
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody is left to tell where even this fails.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(2)
        }
    }
}
