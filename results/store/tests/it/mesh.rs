//! The folder of a mesh: appended meeting by meeting, resumed, damaged.

use std::fs;
use std::path::Path;

use tollgate_results::RECORD_SCHEMA;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::mesh::{Meeting, MeshCluster, MeshNode, MeshRecord, Met, Times};
use tollgate_results::units::{Bytes, Nanoseconds, Share};
use tollgate_results::workload::{Cpu, Load, Traffic, Workload};
use tollgate_store::{MESH, MeshDir, PAIRS};

use crate::name;

fn record() -> MeshRecord {
    let node = |place: u32| MeshNode {
        name: format!("node{place}"),
        zone: None,
        kernel: None,
    };
    MeshRecord {
        schema: RECORD_SCHEMA,
        version: "0.1.0".to_owned(),
        started_unix_ms: 0,
        cluster: MeshCluster {
            context: None,
            server: "http://127.0.0.1".to_owned(),
            namespace: "tollgate".to_owned(),
            image: "x".to_owned(),
            pull_secrets: Vec::new(),
            host_network: false,
            network: ClusterFacts::default(),
        },
        nodes: (0..4).map(node).collect(),
        skipped: Vec::new(),
        machines: 4,
        scenario: name("quickstart"),
        workload: Workload {
            name: name("rr"),
            traffic: Traffic::TcpRr { payload: Bytes(64) },
            load: Load::Closed,
            timestamps: false,
            ports: None,
            cpu: Cpu::Free,
            beside: None,
        },
        slice: Nanoseconds(1_000_000_000),
        warmup: Nanoseconds(0),
        seed: 7,
        passes: 2,
        both_ways: false,
        at_once: 2,
        margin: Share(0.05),
        installs: 1,
    }
}

fn meeting(pass: u32, client: u32, server: u32) -> Meeting {
    let outcome = if client == 3 {
        Met::Failed {
            reason: "the probe is gone".to_owned(),
            node: Some(3),
        }
    } else {
        times()
    };
    Meeting {
        pass,
        round: 1,
        client,
        server,
        started_unix_ms: 5,
        outcome,
    }
}

fn times() -> Met {
    Met::Measured(Times {
        sent: 1_000,
        lost: 1,
        min_ns: Some(10_000),
        p50_ns: Some(20_000),
        p90_ns: Some(30_000),
        p99_ns: None,
    })
}

fn meetings() -> Vec<Meeting> {
    vec![meeting(0, 0, 1), meeting(0, 3, 2), meeting(1, 1, 0)]
}

fn recorded(path: &Path) {
    let mut recording = MeshDir::create(path, &record()).unwrap();
    for meeting in meetings() {
        recording.append(&meeting).unwrap();
    }
    recording.finish().unwrap();
}

fn told(path: &Path) -> String {
    let error = MeshDir::open(path).unwrap_err();
    format!("{error}: {}", error.kind())
}

#[test]
fn what_is_appended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let (_, mesh) = MeshDir::open(folder.path()).unwrap();
    assert_eq!(mesh.record, record());
    assert_eq!(mesh.meetings, meetings());
    let again = MeshDir::create(folder.path(), &record()).unwrap_err();
    assert!(again.kind().to_string().contains("not empty"), "{again}");
}

#[test]
fn a_mesh_goes_on_where_a_killed_writer_ended() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let lines = folder.path().join(PAIRS);
    let whole = fs::read_to_string(&lines).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&lines, &whole[..cut]).unwrap();
        let complete = whole[..cut].matches('\n').count();
        let (mut recording, mesh) = MeshDir::resume(folder.path()).unwrap();
        assert_eq!(mesh.meetings, meetings()[..complete], "{cut}");
        for meeting in meetings() {
            let there = mesh.meetings.contains(&meeting);
            let measured = matches!(meeting.outcome, Met::Measured(_));
            assert_eq!(recording.has(&meeting.key()), there && measured);
            if !there {
                recording.append(&meeting).unwrap();
            }
        }
        drop(recording);
        assert_eq!(fs::read_to_string(&lines).unwrap(), whole, "{cut}");
    }
}

#[test]
fn one_writer_at_a_time_and_each_meeting_once() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let (mut recording, _) = MeshDir::resume(folder.path()).unwrap();
    let second = MeshDir::resume(folder.path()).unwrap_err();
    assert!(second.kind().to_string().contains("another"), "{second}");
    let twice = recording.append(&meeting(0, 0, 1)).unwrap_err();
    assert!(twice.kind().to_string().contains("0/0/1"), "{twice}");
    assert_eq!(recording.measured(), 2);
}

#[test]
fn a_meeting_that_failed_is_replaced_by_what_came_of_it_later() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let (mut recording, _) = MeshDir::resume(folder.path()).unwrap();
    let failed = meeting(0, 3, 2);
    let again = Meeting {
        started_unix_ms: 9,
        ..failed.clone()
    };
    let measured = Meeting {
        outcome: times(),
        ..failed
    };
    for later in [&again, &measured] {
        assert!(!recording.has(&later.key()));
        recording.append(later).unwrap();
        let (_, mesh) = MeshDir::open(folder.path()).unwrap();
        assert_eq!(mesh.meetings.len(), 3);
        assert_eq!(&mesh.meetings[1], later);
    }
    assert_eq!(recording.measured(), 3);
    let twice = recording.append(&again).unwrap_err();
    assert!(twice.kind().to_string().contains("0/3/2"), "{twice}");
}

#[test]
fn a_recording_of_nothing_but_failures_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh");
    let mut recording = MeshDir::create(&path, &record()).unwrap();
    assert!(recording.is_empty());
    recording.append(&meeting(0, 3, 2)).unwrap();
    drop(recording);
    let (recording, _) = MeshDir::resume(&path).unwrap();
    assert!(!recording.is_empty());
    recording.discard();
    assert_eq!(MeshDir::open(&path).unwrap().1.meetings.len(), 1);
}

#[test]
fn damage_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let lines = folder.path().join(PAIRS);
    let whole = fs::read_to_string(&lines).unwrap();
    let first = whole.lines().next().unwrap();
    for (text, part) in [
        (
            whole.replacen("\"client\":3", "\"client\":4", 1),
            "line 2: nodes 4 and 2 of 4",
        ),
        (
            whole.replacen("\"pass\":1", "\"pass\":2", 1),
            "line 3: pass 2 of 2",
        ),
        (
            format!("{whole}{first}\n"),
            "line 4: meeting 0/0/1 is there twice",
        ),
        (whole.replacen('{', "[", 1), "line 1: not a meeting"),
        (format!("\n{whole}"), "line 1: not a meeting"),
    ] {
        fs::write(&lines, text).unwrap();
        assert!(
            told(folder.path()).contains(part),
            "{}",
            told(folder.path())
        );
    }
    fs::write(&lines, &whole).unwrap();
    let file = folder.path().join(MESH);
    let good = fs::read_to_string(&file).unwrap();
    for (from, to, part) in [
        ("\"schema\": 1", "\"schema\": 2", "record format 2"),
        ("\"passes\": 2", "\"passes\": 101", "101 passes"),
        (
            "\"passes\": 2",
            "\"passes\": 4000000000",
            "4000000000 passes",
        ),
        ("\"margin\": \"5%\"", "\"margin\": \"0%\"", "a margin of 0%"),
        ("\"seed\"", "\"sneed\"", "not a mesh's record"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        fs::write(&file, text).unwrap();
        assert!(
            told(folder.path()).contains(part),
            "{}",
            told(folder.path())
        );
    }
    fs::remove_file(&file).unwrap();
    assert!(told(folder.path()).contains("there is no such file"));
}

#[test]
fn a_recording_of_nothing_leaves_nothing_and_reports_stay_in_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("mesh");
    MeshDir::create(&path, &record()).unwrap().discard();
    assert!(!path.exists());
    recorded(&path);
    let (recording, _) = MeshDir::resume(&path).unwrap();
    recording
        .folder()
        .write_report("report.html", b"x")
        .unwrap();
    for name in ["../x", MESH, PAIRS, ".x", ""] {
        assert!(
            recording.folder().write_report(name, b"x").is_err(),
            "{name}"
        );
    }
    recording.discard();
    assert_eq!(MeshDir::open(&path).unwrap().1.meetings, meetings());
}
