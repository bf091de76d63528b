//! Chores of the repository: `cargo xtask schema` writes the JSON Schemas, `--check` says whether they are up
//! to date.

mod schema;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask schema [--check]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = match arguments.as_slice() {
        ["schema"] => schema::write(&root).map_err(|error| error.to_string()),
        ["schema", "--check"] => schema::check(&root),
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
