//! The history's file: what is added is read back, whoever writes beside it or is killed; everything else is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use proptest::prelude::*;
use rusqlite::Connection;
use tollgate_results::history::{CampaignEntry, CellEntry, RatioEntry};
use tollgate_results::run::TargetKind;
use tollgate_store::HistoryDb;

use crate::{line, name};

fn entry(number: u32) -> CampaignEntry {
    let cell = |arm: &str, value: f64| CellEntry {
        workload: name("rr"),
        metric: "p99.9".to_owned(),
        arm: name(arm),
        reference: name("native"),
        setup: "0123456789ab".to_owned(),
        verdict: "slower".to_owned(),
        ratio: Some(RatioEntry {
            value,
            low: value * 0.99,
            high: f64::INFINITY,
            confidence: 0.951,
        }),
        spread: Some(0.02),
        rounds: 10,
        arm_value: Some(f64::INFINITY),
        reference_value: None,
    };
    CampaignEntry {
        scenario: name("small"),
        scenario_hash: "ab".repeat(32),
        seed: u64::MAX - u64::from(number),
        started_unix_ms: 1_700_000_000_000 + u64::from(number) * 86_400_000,
        label: number.is_multiple_of(2).then(|| format!("commit {number}")),
        release: None,
        fingerprint: "0123456789ab".to_owned(),
        machine: "a CPU, kernel 6.18".to_owned(),
        schema: 1,
        version: "0.1.0".to_owned(),
        target: TargetKind::Lab,
        rounds: 10,
        invalid: None,
        folder: Some(format!("small-{number}")),
        cells: vec![
            cell("vxlan", 1.25),
            cell("ipt@1000", 1.0 + f64::from(number) / 3.0),
        ],
    }
}

fn entries(history: &HistoryDb) -> Vec<CampaignEntry> {
    let kept = history.campaigns(None).expect("it can be read");
    kept.into_iter().map(|kept| kept.entry).collect()
}

/// Makes a history of three campaigns.
fn three(path: &Path) -> HistoryDb {
    let mut history = HistoryDb::open_or_create(path).expect("a new file");
    history
        .add(&[entry(2), entry(0), entry(1)])
        .expect("there is room");
    history
}

#[test]
fn what_is_added_is_read_back_by_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/history.sqlite");
    drop(three(&path));
    let history = HistoryDb::open(&path).unwrap();
    assert_eq!(entries(&history), [entry(0), entry(1), entry(2)]);
    assert_eq!(history.campaigns(Some("small")).unwrap().len(), 3);
    assert_eq!(history.campaigns(Some("other")).unwrap().len(), 0);
    let left: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().collect();
    assert_eq!(left.len(), 1, "no journal stays: {left:?}");
}

#[test]
fn a_campaign_added_again_is_replaced_and_keeps_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = three(&folder.path().join("history.sqlite"));
    let id = history.campaigns(None).unwrap()[0].id;
    history.mark_release(id, Some("v1")).unwrap();
    let mut resumed = entry(0);
    resumed.label = None;
    resumed.rounds = 20;
    resumed.cells.pop();
    let added = history.add(&[resumed.clone()]).unwrap();
    assert_eq!((added[0].id, added[0].replaced), (id, true));
    resumed.label = entry(0).label;
    resumed.release = Some("v1".to_owned());
    assert_eq!(entries(&history), [resumed, entry(1), entry(2)]);
    history.mark_release(id, None).unwrap();
    assert_eq!(entries(&history)[0].release, None);
}

#[test]
fn campaigns_are_removed_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let mut history = three(&path);
    let ids: Vec<i64> = history
        .campaigns(None)
        .unwrap()
        .iter()
        .map(|kept| kept.id)
        .collect();
    let told = line(&history.remove(&[ids[0], 99]).unwrap_err());
    assert!(told.contains("no campaign 99"), "{told}");
    assert_eq!(entries(&history).len(), 3);
    assert!(history.mark_release(99, Some("v1")).is_err());
    history.remove(&ids[..2]).unwrap();
    assert_eq!(entries(&history), [entry(2)]);
    drop(history);
    let cells = "SELECT count(*) FROM cell";
    let left: i64 = Connection::open(&path)
        .unwrap()
        .query_row(cells, [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 2, "cells go with their campaign");
}

#[test]
fn writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..10 {
                    // Each makes the file where no other has yet.
                    let mut history = HistoryDb::open_or_create(path).unwrap();
                    history.add(&[entry(100 * writer + number)]).unwrap();
                }
            });
        }
    });
    assert_eq!(entries(&HistoryDb::open(&path).unwrap()).len(), 40);
}

/// The process that is killed: adds campaigns for ever.
const WRITER: &str = "TOLLGATE_TEST_HISTORY_WRITER";

#[test]
fn a_killed_writer_leaves_whole_campaigns() {
    if let Some(path) = std::env::var_os(WRITER) {
        let mut history = HistoryDb::open_or_create(Path::new(&path)).unwrap();
        for number in 0.. {
            history
                .add(&[entry(2 * number), entry(2 * number + 1)])
                .unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let mut before = 0;
    for _ in 0..5 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "history::a_killed_writer_leaves_whole_campaigns"])
            .env(WRITER, &path)
            .spawn()
            .unwrap();
        let grown = || fs::metadata(&path).map_or(0, |file| file.len());
        let start = grown();
        while grown() < start + 8_192 {
            assert_eq!(
                writer.try_wait().unwrap(),
                None,
                "the writer ended by itself"
            );
            thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let found = entries(&HistoryDb::open(&path).unwrap());
        // Two at a time, and every cell of each.
        assert!(
            found.len() >= before && found.len().is_multiple_of(2),
            "{}",
            found.len()
        );
        for (number, found) in (0..).zip(&found) {
            assert_eq!(*found, entry(number));
        }
        before = found.len();
    }
    assert!(before > 0);
}

/// Changes the file of a history and returns the line with which it is refused, to read as to write.
#[track_caller]
fn refused(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    drop(three(&path));
    change(&path);
    let before = fs::read(&path).ok();
    let read = line(
        &HistoryDb::open(&path)
            .and_then(|history| history.campaigns(None))
            .unwrap_err(),
    );
    let at = format!("failed to read `{}`: ", path.display());
    assert!(read.starts_with(&at), "{read}");
    assert_eq!(
        fs::read(&path).ok(),
        before,
        "what is refused is not touched"
    );
    read[at.len()..].to_owned()
}

fn sql(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

const OTHER: &str = "it is not a history of Tollgate; name another file";

#[test]
fn what_is_no_history_is_refused_in_one_line() {
    assert_eq!(
        refused(|path| fs::remove_file(path).unwrap()),
        "there is no history; make one with `tollgate history add FOLDER`"
    );
    assert_eq!(
        refused(|path| fs::write(path, "scenario,ratio\n".repeat(400)).unwrap()),
        OTHER
    );
    assert_eq!(
        refused(|path| sql(path, "PRAGMA application_id = 7")),
        OTHER
    );
    assert_eq!(
        refused(|path| {
            fs::remove_file(path).unwrap();
            sql(path, "CREATE TABLE mine (a)");
        }),
        OTHER
    );
    assert_eq!(
        refused(|path| sql(path, "PRAGMA user_version = 7")),
        "history format 7, and this version of Tollgate reads up to 1; use the version that wrote it"
    );
    let folder = refused(|path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
    assert!(folder.contains("unable to open"), "{folder}");
}

#[test]
fn a_damaged_history_is_refused() {
    const RESTORE: &str = "restore it from a copy, or remove it and add the campaigns again";
    for damage in [
        "UPDATE campaign SET scenario = 'Not A Name'",
        "UPDATE campaign SET seed = '-1'",
        "UPDATE campaign SET target = 'moon'",
        "UPDATE campaign SET rounds = -3",
        "UPDATE cell SET arm = ''",
        "PRAGMA user_version = -1",
        "DROP TABLE cell",
    ] {
        let told = refused(|path| sql(path, damage));
        let by_sqlite = damage.starts_with("DROP") && told.contains("no such table");
        assert!(told.ends_with(RESTORE) || by_sqlite, "{damage}: {told}");
    }
    let torn = refused(|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 4_096]).unwrap();
    });
    assert!(torn.ends_with(RESTORE), "{torn}");
}

#[test]
fn an_empty_file_is_a_new_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    fs::write(&path, "").unwrap();
    assert!(entries(&HistoryDb::open(&path).unwrap()).is_empty());
}

#[test]
fn where_nothing_can_be_written_one_line_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let told = line(&HistoryDb::open_or_create(&file.join("history.sqlite")).unwrap_err());
    assert!(
        told.contains("name a folder that can be written to"),
        "{told}"
    );
    let path = folder.path().join("history.sqlite");
    drop(three(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let mut history = HistoryDb::open_or_create(&path).unwrap();
    assert_eq!(entries(&history).len(), 3, "what can be read is read");
    // Root may write to it all the same.
    if let Err(error) = history.add(&[entry(3)]) {
        let told = line(&error);
        assert!(
            told.contains("name a folder that can be written to"),
            "{told}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.sqlite");
        drop(three(&path));
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        match HistoryDb::open(&path).and_then(|history| history.campaigns(None)) {
            Ok(campaigns) => prop_assert!(campaigns.len() <= 1_000),
            Err(error) => {
                line(&error);
            }
        }
    }
}
