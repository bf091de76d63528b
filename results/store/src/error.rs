//! What went wrong with a campaign folder.

use std::io;
use std::path::{Path, PathBuf};

/// A campaign folder, or a file in it, that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} `{}`", path.display())]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    #[source]
    kind: StoreErrorKind,
}

/// Why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The system said no.
    #[error("{0}")]
    Io(io::Error),
    /// The system lets nobody write there.
    #[error("{0}; name a folder that can be written to")]
    Unwritable(io::Error),
    /// A new campaign needs a folder of its own.
    #[error("the folder is not empty; name a new one, or resume the campaign in it")]
    NotEmpty,
    /// Something that every campaign folder has is not there.
    #[error("there is no such file; name the folder of a campaign")]
    Missing,
    /// Another process is writing to it.
    #[error("another campaign is writing to this folder; wait for its end, or name another folder")]
    InUse,
    /// It is not what it should be.
    #[error("{0}; it was edited or damaged: restore it from a copy")]
    Damaged(String),
    /// A line is not what it should be.
    #[error("line {line}: {reason}; the file was edited or damaged: restore it from a copy")]
    DamagedLine {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written by another version of Tollgate.
    #[error(
        "record format {found}, and this version of Tollgate reads {}; use the version that wrote it",
        tollgate_results::RECORD_SCHEMA
    )]
    OtherSchema {
        /// The format that was found.
        found: u32,
    },
    /// A slice that is there already.
    #[error("slice {0} is there already; each is measured once")]
    Duplicate(String),
    /// There is no history yet.
    #[error("there is no history; make one with `tollgate history add FOLDER`")]
    NoHistory,
    /// A file that is something else.
    #[error("it is not a history of Tollgate; name another file")]
    NotHistory,
    /// It was written by a later version of Tollgate.
    #[error(
        "history format {found}, and this version of Tollgate reads up to {known}; use the version that wrote it"
    )]
    NewerHistory {
        /// The format that was found.
        found: i64,
        /// The latest that this version knows.
        known: i64,
    },
    /// Its pages or values are not what they should be.
    #[error(
        "the history is damaged ({0}); restore it from a copy, or remove it and add the campaigns again"
    )]
    DamagedHistory(String),
    /// Another process holds it.
    #[error("another process has been writing to it for {0} seconds; try again later")]
    Busy(u64),
    /// A campaign that is not in the history.
    #[error("there is no campaign {0} in it; `tollgate history --campaigns` lists them")]
    NoCampaign(i64),
    /// What `SQLite` says of anything else.
    #[error("{0}")]
    Sqlite(String),
    /// A report's name that would not stay in the folder, or that is a record's.
    #[error("`{0}` is no name for a report; write a plain file name, for example report.html")]
    ReportName(String),
}

impl StoreError {
    pub(crate) fn new(action: &'static str, path: &Path, kind: StoreErrorKind) -> Self {
        Self {
            action,
            path: path.to_owned(),
            kind,
        }
    }

    /// Returns a function that turns what the system says into an error.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound if action == "read" => StoreErrorKind::Missing,
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists
                    if action != "read" =>
                {
                    StoreErrorKind::Unwritable(error)
                }
                _ => StoreErrorKind::Io(error),
            };
            Self::new(action, path, kind)
        }
    }

    /// Returns why it failed.
    #[must_use]
    pub const fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }
}
