//! The history of campaigns: one `SQLite` file, for any number of readers and writers.
//!
//! Whatever is added is added in one transaction: a writer that is killed leaves the file as it was before. The
//! campaigns' folders stay the record; a history can always be made again from them.

mod format;
mod rows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tollgate_results::history::CampaignEntry;

use crate::error::{StoreError, StoreErrorKind};

/// How long a writer waits for another: each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A history, open.
#[derive(Debug)]
pub struct HistoryDb {
    path: PathBuf,
    connection: Connection,
}

/// A campaign in a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its number in the history.
    pub id: i64,
    /// What is kept of it.
    pub entry: CampaignEntry,
}

/// What became of a campaign that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Its number in the history.
    pub id: i64,
    /// Whether it was there already and was replaced.
    pub replaced: bool,
}

impl HistoryDb {
    /// Opens a history that is there.
    ///
    /// # Errors
    ///
    /// Where there is none, it is no history, of a later format, or damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::new("read", path, StoreErrorKind::NoHistory))
            }
            Err(error) => Err(StoreError::io("read", path)(error)),
            // Writable where the file is, since the journal of a killed writer must be rolled back before reading.
            Ok(_) => Self::connect("read", path, OpenFlags::SQLITE_OPEN_READ_WRITE),
        }
    }

    /// Opens a history to write to it, and makes it with its folder where there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and where nothing can be written.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(StoreError::io("create the folder", folder))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        Self::connect("write to", path, flags)
    }

    fn connect(action: &'static str, path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let failed = |error| failure(action, path, error);
        // One connection is used by one thread at a time, as Rust sees to.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        format::guard(&connection).map_err(failed)?;
        format::bring_up_to_date(action, path, &mut connection)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// Adds campaigns, all or none. One that is there already is replaced, as after a resume; it keeps label and
    /// release unless new ones are given.
    ///
    /// # Errors
    ///
    /// Where nothing can be written; then the history is as before.
    pub fn add(&mut self, entries: &[CampaignEntry]) -> Result<Vec<Added>, StoreError> {
        self.write(|transaction| {
            entries
                .iter()
                .map(|entry| rows::add(transaction, entry))
                .collect()
        })
    }

    /// Says that a campaign measured a release, or with `None` that it didn't.
    ///
    /// # Errors
    ///
    /// Where there is no such campaign, or nothing can be written.
    pub fn mark_release(&mut self, id: i64, release: Option<&str>) -> Result<(), StoreError> {
        let marked = self.write(|transaction| {
            let set = "UPDATE campaign SET release = ?2 WHERE id = ?1";
            transaction.execute(set, (id, release))
        })?;
        self.found(id, marked)
    }

    /// Removes campaigns, all or none. Their folders stay.
    ///
    /// # Errors
    ///
    /// Where one is not there, or nothing can be written.
    pub fn remove(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let missing = self.write(|transaction| {
            for id in ids {
                let remove = "DELETE FROM campaign WHERE id = ?1";
                if transaction.execute(remove, [id])? == 0 {
                    return Ok(Err(*id));
                }
            }
            Ok(Ok(()))
        })?;
        missing.or_else(|id| self.found(id, 0))
    }

    /// Returns all campaigns, or those of one scenario, by their start.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or holds what no campaign has.
    pub fn campaigns(&self, scenario: Option<&str>) -> Result<Vec<Kept>, StoreError> {
        rows::read(&self.connection, scenario).map_err(|error| failure("read", &self.path, error))
    }

    /// Returns the file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn found(&self, id: i64, rows: usize) -> Result<(), StoreError> {
        if rows > 0 {
            return Ok(());
        }
        let kind = StoreErrorKind::NoCampaign(id);
        Err(StoreError::new("find a campaign in", &self.path, kind))
    }

    /// Does all of something or nothing. An inner `Err` undoes it too.
    fn write<T: Outcome>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // Taken at once: a reader that becomes a writer could meet another such.
        let behaviour = TransactionBehavior::Immediate;
        let written = self
            .connection
            .transaction_with_behavior(behaviour)
            .and_then(|transaction| {
                let result = work(&transaction)?;
                if result.is_done() {
                    transaction.commit()?;
                }
                Ok(result)
            });
        written.map_err(|error| failure("write to", &self.path, error))
    }
}

/// Whether what was done in a transaction is to be kept.
trait Outcome {
    fn is_done(&self) -> bool {
        true
    }
}

impl Outcome for usize {}
impl Outcome for Vec<Added> {}
impl Outcome for Result<(), i64> {
    fn is_done(&self) -> bool {
        self.is_ok()
    }
}

/// Turns what `SQLite` says into what to do about it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "made for `map_err`, which hands errors over"
)]
fn failure(action: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let kind = match &error {
        rusqlite::Error::SqliteFailure(code, message) => {
            // SQLite quotes the statement it stumbled over, with its line breaks.
            let message = message.clone().unwrap_or_else(|| code.to_string());
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            match code.code {
                ErrorCode::NotADatabase => StoreErrorKind::NotHistory,
                ErrorCode::DatabaseCorrupt => StoreErrorKind::DamagedHistory(message),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    StoreErrorKind::Busy(PATIENCE.as_secs())
                }
                ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                    let denied = io::Error::new(io::ErrorKind::PermissionDenied, message);
                    return StoreError::io(action, path)(denied);
                }
                _ => StoreErrorKind::Sqlite(message),
            }
        }
        // A value of the wrong kind, or a name that is none.
        other => StoreErrorKind::DamagedHistory(other.to_string()),
    };
    StoreError::new(action, path, kind)
}
