//! Campaign folders: what is written is read back, whatever a killed writer left; damage is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod damage;
mod folder;
mod history;
mod mesh;
mod torn;

use std::collections::BTreeMap;
use std::path::Path;

use tollgate_results::RECORD_SCHEMA;
use tollgate_results::arm::{Arm, Datapath, Name};
use tollgate_results::change::Change;
use tollgate_results::counters::Counters;
use tollgate_results::evidence::{DatapathCounters, Evidence, Translation};
use tollgate_results::facts::Facts;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Failure, Outcome, Timed};
use tollgate_results::plan::{Plan, Rounds};
use tollgate_results::run::{Install, RunRecord, TargetKind};
use tollgate_results::slice::{Measured, Pinned, Slice, SliceKey, SliceRecord, SliceResult};
use tollgate_results::units::{Bytes, Nanoseconds, Share};
use tollgate_results::workload::{Cpu, Load, Traffic, Workload};
use tollgate_store::StoreError;

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

/// A run of two arms and one workload.
fn run() -> RunRecord {
    let arm = |text, reference| Arm {
        name: name(text),
        reference,
        datapath: Datapath {
            ..Datapath::default()
        },
        workloads: vec![name("rr")],
        sweep: None,
        change: Change::default(),
    };
    RunRecord {
        schema: RECORD_SCHEMA,
        version: "0.1.0".to_owned(),
        target: TargetKind::Lab,
        started_unix_ms: 1_700_000_000_000,
        plan: Plan {
            scenario: name("small"),
            about: "A small one".to_owned(),
            scenario_hash: "00".to_owned(),
            seed: u64::MAX,
            rounds: Rounds {
                count: 10,
                slice: Nanoseconds(1_000_000_000),
                warmup: Nanoseconds(0),
                margin: Share(0.05),
                installs: 1,
            },
            reference: name("native"),
            arms: vec![arm("native", None), arm("vxlan", Some(name("native")))],
            workloads: vec![Workload {
                name: name("rr"),
                traffic: Traffic::TcpRr { payload: Bytes(64) },
                load: Load::Closed,
                timestamps: false,
                ports: None,
                cpu: Cpu::Shared,
                beside: None,
            }],
            skipped: Vec::new(),
            claims: Vec::new(),
        },
        facts: Facts::default(),
        hosts: None,
        cluster: None,
        installs: vec![Install {
            started_unix_ms: 1_700_000_000_000,
            first_round: 0,
            order: vec![name("vxlan"), name("native")],
            arms: BTreeMap::new(),
            reason: None,
        }],
    }
}

/// The `n`th slice of the run. Every seventh failed; every third has a second histogram.
fn slice(n: u32) -> Slice {
    let failed = n % 7 == 6;
    let mut histograms = BTreeMap::new();
    let mut add = |timed, from: u64| {
        let mut histogram = Histogram::new();
        for value in 0..40 {
            histogram.record(from + value * value * 997);
        }
        histograms.insert(timed, histogram);
    };
    if !failed {
        add(Timed::Latency, 10_000 + u64::from(n));
    }
    if !failed && n.is_multiple_of(3) {
        add(Timed::Connect, 5_000 + u64::from(n));
    }
    let measured = Measured {
        outcome: Outcome {
            window_ns: 1_000_000_123,
            sent: u64::MAX - u64::from(n),
            replied: 40,
            lost: 2,
            failures: BTreeMap::from([(Failure::TimedOut, 2)]),
            ..Outcome::default()
        },
        pinned: Pinned::default(),
        together: None,
        client: Counters {
            at_ns: u64::MAX,
            ..Counters::default()
        },
        server: Counters::default(),
        evidence: Evidence {
            counters: DatapathCounters::default(),
            translation: Translation::Untouched,
        },
    };
    let result = if failed {
        SliceResult::Failed {
            reason: "the peer was gone".to_owned(),
        }
    } else {
        SliceResult::Measured(Box::new(measured))
    };
    Slice {
        record: SliceRecord {
            key: SliceKey {
                round: n / 2,
                workload: name("rr"),
                arm: name(if n.is_multiple_of(2) {
                    "native"
                } else {
                    "vxlan"
                }),
            },
            install: 0,
            position: n % 2,
            started_unix_ms: 1_700_000_000_000 + u64::from(n) * 1_234,
            control_ns: None,
            result,
        },
        histograms,
    }
}

fn slices(count: u32) -> Vec<Slice> {
    (0..count).map(slice).collect()
}

/// Records the first slices into a folder.
fn record(path: &Path, count: u32) {
    let mut recording = tollgate_store::CampaignDir::create(path, &run()).expect("a new folder");
    for slice in slices(count) {
        recording.append(&slice).expect("there is room");
    }
    recording.finish().expect("there is room");
}

/// Returns an error as the command line prints it: in one line.
fn line(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).expect("every error has a cause");
    let line = format!("{error}: {cause}");
    assert!(!line.contains('\n'), "{line}");
    line
}
