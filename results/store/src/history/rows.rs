//! Rows of a history's tables. What is read is checked: the file may come from anywhere.

use std::collections::BTreeMap;
use std::str::FromStr;

use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, Transaction, named_params};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tollgate_results::arm::Name;
use tollgate_results::history::{CampaignEntry, CellEntry, RatioEntry};
use tollgate_results::run::TargetKind;

use super::{Added, Kept};

/// Most campaigns that are read: a nightly one for 270 years.
const MOST_CAMPAIGNS: i64 = 100_000;

/// Most cells that are read at once: about 600 MB of memory.
const MOST_CELLS: i64 = 2_000_000;

/// Adds a campaign or replaces it.
pub(super) fn add(transaction: &Transaction<'_>, entry: &CampaignEntry) -> rusqlite::Result<Added> {
    let key = (
        entry.scenario.as_str(),
        &entry.scenario_hash,
        entry.seed.to_string(),
        integer(entry.started_unix_ms),
        &entry.fingerprint,
    );
    let known = "SELECT id FROM campaign WHERE scenario = ?1 AND scenario_hash = ?2 AND seed = ?3
        AND started_unix_ms = ?4 AND fingerprint = ?5";
    let known: Option<i64> = transaction
        .query_row(known, key, |row| row.get(0))
        .optional()?;
    let id: i64 = transaction
        .query_row(
            "INSERT INTO campaign (scenario, scenario_hash, seed, started_unix_ms, label, release, fingerprint,
                machine, schema, version, target, rounds, invalid, folder)
             VALUES (:scenario, :scenario_hash, :seed, :started_unix_ms, :label, :release, :fingerprint,
                :machine, :schema, :version, :target, :rounds, :invalid, :folder)
             ON CONFLICT DO UPDATE SET
                label = coalesce(excluded.label, label), release = coalesce(excluded.release, release),
                machine = excluded.machine, schema = excluded.schema, version = excluded.version,
                target = excluded.target, rounds = excluded.rounds, invalid = excluded.invalid,
                folder = excluded.folder
             RETURNING id",
            named_params! {
                ":scenario": entry.scenario.as_str(),
                ":scenario_hash": entry.scenario_hash,
                ":seed": entry.seed.to_string(),
                ":started_unix_ms": integer(entry.started_unix_ms),
                ":label": entry.label,
                ":release": entry.release,
                ":fingerprint": entry.fingerprint,
                ":machine": entry.machine,
                ":schema": entry.schema,
                ":version": entry.version,
                ":target": target_word(entry.target),
                ":rounds": entry.rounds,
                ":invalid": entry.invalid,
                ":folder": entry.folder,
            },
            |row| row.get(0),
        )?;
    transaction.execute("DELETE FROM cell WHERE campaign = ?1", [id])?;
    let mut insert = transaction.prepare(
        "INSERT INTO cell VALUES (:campaign, :place, :workload, :metric, :arm, :reference, :setup, :verdict,
            :ratio, :low, :high, :confidence, :spread, :rounds, :arm_value, :reference_value)",
    )?;
    for (place, cell) in (0_i64..).zip(&entry.cells) {
        add_cell(&mut insert, id, place, cell)?;
    }
    Ok(Added {
        id,
        replaced: known.is_some(),
    })
}

fn add_cell(
    insert: &mut Statement<'_>,
    campaign: i64,
    place: i64,
    cell: &CellEntry,
) -> rusqlite::Result<()> {
    let ratio = cell.ratio.as_ref();
    insert.execute(named_params! {
        ":campaign": campaign,
        ":place": place,
        ":workload": cell.workload.as_str(),
        ":metric": cell.metric,
        ":arm": cell.arm.as_str(),
        ":reference": cell.reference.as_str(),
        ":setup": cell.setup,
        ":verdict": cell.verdict,
        ":ratio": ratio.map(|ratio| ratio.value),
        ":low": ratio.map(|ratio| ratio.low),
        ":high": ratio.map(|ratio| ratio.high),
        ":confidence": ratio.map(|ratio| ratio.confidence),
        ":spread": cell.spread,
        ":rounds": cell.rounds,
        ":arm_value": cell.arm_value,
        ":reference_value": cell.reference_value,
    })?;
    Ok(())
}

/// Reads campaigns by their start, those of one scenario or all.
pub(super) fn read(connection: &Connection, scenario: Option<&str>) -> rusqlite::Result<Vec<Kept>> {
    // One state of the file, whoever writes meanwhile.
    let snapshot = connection.unchecked_transaction()?;
    let mut cells: BTreeMap<i64, Vec<CellEntry>> = BTreeMap::new();
    let mut statement = snapshot.prepare(
        "SELECT cell.* FROM cell JOIN campaign ON campaign.id = cell.campaign
         WHERE ?1 IS NULL OR campaign.scenario = ?1 ORDER BY cell.campaign, cell.place LIMIT ?2",
    )?;
    let mut rows = statement.query((scenario, MOST_CELLS + 1))?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        if read > MOST_CELLS {
            return Err(too_many("cells"));
        }
        cells
            .entry(row.get("campaign")?)
            .or_default()
            .push(cell(row)?);
    }
    let mut statement = snapshot.prepare(
        "SELECT * FROM campaign WHERE ?1 IS NULL OR scenario = ?1 ORDER BY started_unix_ms, id LIMIT ?2",
    )?;
    let mut rows = statement.query((scenario, MOST_CAMPAIGNS + 1))?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        if kept.len() as u64 >= MOST_CAMPAIGNS.unsigned_abs() {
            return Err(too_many("campaigns"));
        }
        let id = row.get("id")?;
        let cells = cells.remove(&id).unwrap_or_default();
        let entry = CampaignEntry {
            cells,
            ..campaign(row)?
        };
        kept.push(Kept { id, entry });
    }
    Ok(kept)
}

fn too_many(what: &str) -> rusqlite::Error {
    let told = format!("more {what} than can be read at once: name a scenario");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, told.into())
}

fn campaign(row: &Row<'_>) -> rusqlite::Result<CampaignEntry> {
    let target: StrDeserializer<'_, ValueError> =
        row.get_ref("target")?.as_str()?.into_deserializer();
    let target = TargetKind::deserialize(target)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))?;
    Ok(CampaignEntry {
        scenario: parsed::<Name>(row, "scenario")?,
        scenario_hash: row.get("scenario_hash")?,
        seed: parsed(row, "seed")?,
        started_unix_ms: row.get::<_, i64>("started_unix_ms")?.max(0).unsigned_abs(),
        label: row.get("label")?,
        release: row.get("release")?,
        fingerprint: row.get("fingerprint")?,
        machine: row.get("machine")?,
        schema: row.get("schema")?,
        version: row.get("version")?,
        target,
        rounds: row.get("rounds")?,
        invalid: row.get("invalid")?,
        folder: row.get("folder")?,
        cells: Vec::new(),
    })
}

fn cell(row: &Row<'_>) -> rusqlite::Result<CellEntry> {
    let number = |name| real(row, name);
    let bounds = number("low")?
        .zip(number("high")?)
        .zip(number("confidence")?);
    let ratio = number("ratio")?.zip(bounds);
    Ok(CellEntry {
        workload: parsed(row, "workload")?,
        metric: row.get("metric")?,
        arm: parsed(row, "arm")?,
        reference: parsed(row, "reference")?,
        setup: row.get("setup")?,
        verdict: row.get("verdict")?,
        ratio: ratio.map(|(value, ((low, high), confidence))| RatioEntry {
            value,
            low,
            high,
            confidence,
        }),
        spread: number("spread")?,
        rounds: row.get("rounds")?,
        arm_value: number("arm_value")?,
        reference_value: number("reference_value")?,
    })
}

fn real(row: &Row<'_>, name: &str) -> rusqlite::Result<Option<f64>> {
    row.get(name)
}

/// Reads text that means something.
fn parsed<T>(row: &Row<'_>, name: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = FromSql::column_result(row.get_ref(name)?)?;
    let error =
        |error: T::Err| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    text.parse().map_err(error)
}

const fn target_word(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Lab => "lab",
        TargetKind::Cluster => "cluster",
        TargetKind::Hosts => "hosts",
    }
}

/// Wall clocks beyond the year 292,000,000 stamp that.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
