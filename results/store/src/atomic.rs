//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::StoreError;

/// Writes a file whole or not at all: beside its place, synced, renamed over.
///
/// # Errors
///
/// Where it cannot be written; then the old one stands.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = |beside: &Path| -> io::Result<()> {
        let mut file = File::create(beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        // The new name must survive a power cut too.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    // Two processes may each render a report: neither must see the other's half.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    write(&beside).map_err(|error| {
        let _ = fs::remove_file(&beside);
        StoreError::io("write", path)(error)
    })
}
