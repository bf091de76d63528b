//! The format of a history: its tables, how it is recognised, and how an older one is brought up to date.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::failure;
use crate::error::{StoreError, StoreErrorKind};

/// Marks a `SQLite` file as a history of Tollgate: "toll".
const APPLICATION: i64 = 0x746F_6C6C;

/// What brings a history from each format to the next; the first makes a new one. Entries are never changed once a
/// version with them was released: others are appended.
const STEPS: &[&str] = &["
    CREATE TABLE campaign (
        id INTEGER PRIMARY KEY,
        scenario TEXT NOT NULL,
        scenario_hash TEXT NOT NULL,
        -- As text, since SQLite's integers end at 2^63 - 1.
        seed TEXT NOT NULL,
        started_unix_ms INTEGER NOT NULL,
        label TEXT,
        release TEXT,
        fingerprint TEXT NOT NULL,
        machine TEXT NOT NULL,
        schema INTEGER NOT NULL,
        version TEXT NOT NULL,
        target TEXT NOT NULL,
        rounds INTEGER NOT NULL,
        invalid TEXT,
        folder TEXT,
        UNIQUE (scenario, scenario_hash, seed, started_unix_ms, fingerprint)
    ) STRICT;
    CREATE TABLE cell (
        campaign INTEGER NOT NULL REFERENCES campaign (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        workload TEXT NOT NULL,
        metric TEXT NOT NULL,
        arm TEXT NOT NULL,
        reference TEXT NOT NULL,
        setup TEXT NOT NULL,
        verdict TEXT NOT NULL,
        ratio REAL,
        low REAL,
        high REAL,
        confidence REAL,
        spread REAL,
        rounds INTEGER NOT NULL,
        arm_value REAL,
        reference_value REAL,
        PRIMARY KEY (campaign, place)
    ) STRICT, WITHOUT ROWID;
"];

/// The format that this version writes.
#[expect(clippy::cast_possible_wrap, reason = "there is a handful of formats")]
const LATEST: i64 = STEPS.len() as i64;

/// Sets a connection up so that a file from elsewhere can run nothing, and everything is checked.
pub(super) fn guard(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Refuses what is no history or of a later format, checks it, and makes or mends its tables.
pub(super) fn bring_up_to_date(
    action: &'static str,
    path: &Path,
    connection: &mut Connection,
) -> Result<(), StoreError> {
    let failed = |error| failure(action, path, error);
    if recognise(action, path, connection)? == LATEST {
        return check(connection).map_err(failed).and_then(|told| {
            let kind = |told| StoreErrorKind::DamagedHistory(told);
            told.map_or(Ok(()), |told| {
                Err(StoreError::new(action, path, kind(told)))
            })
        });
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have done it in the meantime.
    let found = recognise(action, path, &transaction)?;
    let steps = usize::try_from(found).map_or(STEPS, |done| &STEPS[done.min(STEPS.len())..]);
    climb(transaction, steps).map_err(failed)
}

fn climb(transaction: Transaction<'_>, steps: &[&str]) -> rusqlite::Result<()> {
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", LATEST)?;
    transaction.commit()
}

/// Returns the format of a file: 0 for an empty one.
fn recognise(
    action: &'static str,
    path: &Path,
    connection: &Connection,
) -> Result<i64, StoreError> {
    let failed = |error| failure(action, path, error);
    let number = |name| {
        let read = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        read.map_err(failed)
    };
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection
        .query_row(count, [], |row| row.get(0))
        .map_err(failed)?;
    let (application, found) = (number("application_id")?, number("user_version")?);
    let is_empty = application == 0 && found == 0 && tables == 0;
    let error = |kind| Err(StoreError::new(action, path, kind));
    if application != APPLICATION && !is_empty {
        return error(StoreErrorKind::NotHistory);
    }
    if found > LATEST {
        let known = LATEST;
        return error(StoreErrorKind::NewerHistory { found, known });
    }
    if !is_empty && found < 1 {
        let reason = format!("format {found}");
        return error(StoreErrorKind::DamagedHistory(reason));
    }
    Ok(found)
}

/// Returns what is wrong with the file's pages, in one line.
fn check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let told: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let first = told.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(first.filter(|line| *line != "ok").map(str::to_owned))
}
