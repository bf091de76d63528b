//! Files that people write in TOML: read with all their faults at once.

use std::fs::File;
use std::io::Read as _;

use serde::de::DeserializeOwned;

use crate::document::Document;
use crate::fault::{Fault, Faults};

/// Largest file that people write, in bytes: a hundred times the longest that is shipped.
const MOST_BYTES: u64 = 256 << 10;

/// Reads a TOML file as `T`, whose keys must all be optional.
///
/// `check` says what the types don't, each fault as `KEY: what and how to mend it`, with `a.b` for a key in a table.
///
/// # Errors
///
/// All faults, in the order of the file.
pub fn read_toml<T: DeserializeOwned>(
    file: &str,
    text: &str,
    check: impl FnOnce(&T) -> Vec<String>,
) -> Result<T, Faults> {
    let mut document = Document::parse(file, text)?;
    let Some(value) = document.read::<T>() else {
        return document.finish(None);
    };
    for fault in check(&value) {
        let (key, message) = fault.split_once(": ").unwrap_or(("", &fault));
        let path: Vec<&str> = key.split('.').filter(|part| !part.is_empty()).collect();
        // What could not be read is at its default now, of which nothing is to be said.
        if !document.is_broken(&path) {
            document.fault(&path, message);
        }
    }
    document.finish(Some(value))
}

/// Reads a text file that a person wrote.
///
/// # Errors
///
/// Where it cannot be read, is larger than 256 KiB, or no UTF-8.
pub fn read_text(file: &str) -> Result<String, Faults> {
    text_of(file).map_err(|reason| Fault::new(file, reason).into())
}

fn text_of(file: &str) -> Result<String, String> {
    let problem = |error: std::io::Error| format!("failed to read the file: {error}");
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(problem)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!(
            "larger than {} KiB: nobody wrote that by hand",
            MOST_BYTES >> 10
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "not UTF-8 text from byte {} on",
            error.utf8_error().valid_up_to() + 1
        )
    })
}
