//! Whole campaigns in memory: a target whose agents speak the real protocol over pipes in this process, and a
//! clock that the test owns.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::DuplexStream;
use tollgate_reports::analyse;
use tollgate_reports::model::Renderer as _;
use tollgate_reports::render::{Html, Terminal};
use tollgate_reports::standing::standing;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::arm::{Arm, Datapath, Wire};
use tollgate_results::change::Change;
use tollgate_results::evidence::{DatapathCounters, RuleGeneration, Translation};
use tollgate_results::facts::{ArmFacts, Facts};
use tollgate_results::outcome::Flow;
use tollgate_results::plan::Rounds;
use tollgate_results::run::TargetKind;
use tollgate_results::units::{Bytes, Nanoseconds, Share};
use tollgate_results::workload::{Close, Cpu, Load, Traffic, Workload};

use super::*;
use crate::exit::{self, Exit};
use crate::target::{Deployment, End, Endpoints, Site};

mod agent;
mod blocks;
mod clients;
mod falls;

/// Two workloads on three arms.
pub(crate) fn plan() -> Plan {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let workload = |text: &str, traffic| Workload {
        name: name(text),
        traffic,
        load: Load::Closed,
        timestamps: false,
        ports: None,
        cpu: Cpu::Shared,
        beside: None,
    };
    let workloads = vec![
        workload("rr", Traffic::TcpRr { payload: Bytes(64) }),
        workload(
            "crr",
            Traffic::TcpCrr {
                payload: Bytes(64),
                close: Close::Rst,
            },
        ),
    ];
    let arm = |text: &str, reference: Option<&str>, wire| Arm {
        name: name(text),
        reference: reference.map(name),
        datapath: Datapath {
            wire,
            ..Datapath::default()
        },
        workloads: workloads
            .iter()
            .map(|workload| workload.name.clone())
            .collect(),
        sweep: None,
        change: Change::default(),
    };
    Plan {
        scenario: name("in-memory"),
        about: "A campaign in memory".to_owned(),
        scenario_hash: "0".repeat(64),
        seed: 7,
        rounds: Rounds {
            count: 6,
            slice: Nanoseconds(1_000_000_000),
            warmup: Nanoseconds(0),
            margin: Share(0.05),
            installs: 1,
        },
        reference: name("native"),
        arms: vec![
            arm("native", None, Wire::Native),
            arm("again", Some("native"), Wire::Native),
            arm("vxlan", Some("native"), Wire::Vxlan),
        ],
        workloads,
        skipped: Vec::new(),
        claims: Vec::new(),
    }
}

/// A target in memory. Each deployment has the datapath that `real` makes of the declared one.
pub(crate) struct MemoryTarget {
    broken: Vec<&'static str>,
    dying: Option<&'static str>,
    /// An arm that takes a tenth longer than its datapath does.
    pub(crate) slow: Option<&'static str>,
    disturbed: fn(u32) -> bool,
    real: fn(&Datapath) -> Datapath,
    /// An arm whose rules somebody changes between two readings, and after which one.
    meddled: Option<(&'static str, u64)>,
    /// How often the arms have fallen when a slice failed.
    falls: u32,
}

impl MemoryTarget {
    pub(crate) fn honest() -> Self {
        Self {
            broken: Vec::new(),
            dying: None,
            slow: None,
            disturbed: |_| false,
            real: Datapath::clone,
            meddled: None,
            falls: 0,
        }
    }
}

pub(crate) struct MemoryDeployment {
    name: Name,
    real: Datapath,
    site: Site,
    packets: u64,
    dies: bool,
    slow: bool,
    disturbed: fn(u32) -> bool,
    readings: u64,
    /// After this reading the rules are others.
    meddled: Option<u64>,
}

impl Target for MemoryTarget {
    type Deployment = MemoryDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<MemoryDeployment> {
        anyhow::ensure!(!self.broken.contains(&arm.name.as_str()), "no such device");
        let server = IpAddr::V4(Ipv4Addr::new(10, 244, 1, 2));
        Ok(MemoryDeployment {
            name: arm.name.clone(),
            real: (self.real)(&arm.datapath),
            site: Site {
                facts: ArmFacts {
                    deploy_ns: 1_000_000,
                    ..ArmFacts::default()
                },
                endpoints: Endpoints {
                    bind: server,
                    port: 8080,
                    target: SocketAddr::new(server, 8080),
                },
                clients: arm.datapath.cluster.as_ref().map_or(1, |path| path.clients),
                shares_kernel: true,
                key: None,
            },
            packets: 0,
            dies: self.dying == Some(arm.name.as_str()),
            slow: self.slow == Some(arm.name.as_str()),
            disturbed: self.disturbed,
            readings: 0,
            meddled: self
                .meddled
                .filter(|(name, _)| *name == arm.name.as_str())
                .map(|(_, reading)| reading),
        })
    }

    async fn clear(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn fallen(&mut self) -> Option<String> {
        self.falls = self.falls.checked_sub(1)?;
        Some("a probe is gone".to_owned())
    }
}

impl Deployment for MemoryDeployment {
    type Stream = DuplexStream;

    fn site(&self) -> &Site {
        &self.site
    }

    async fn agent(&mut self, end: End) -> anyhow::Result<DuplexStream> {
        let (here, there) = tokio::io::duplex(1 << 16);
        let toll = if self.real.wire == Wire::Vxlan {
            1.25
        } else {
            1.0
        };
        let dies = self.dies && end == End::Client(0);
        self.dies &= end != End::Client(0);
        tokio::spawn(agent::serve(
            there,
            agent::Model {
                base_ns: 20_000.0 * toll * if self.slow { 1.1 } else { 1.0 },
                dies,
                disturbed: self.disturbed,
            },
        ));
        Ok(here)
    }

    async fn agent_end(&mut self, _: End) -> Option<String> {
        None
    }

    async fn counters(&mut self) -> anyhow::Result<DatapathCounters> {
        self.packets += 10 * agent::REQUESTS;
        self.readings += 1;
        let changed = self.meddled.is_some_and(|last| self.readings > last);
        Ok(DatapathCounters {
            rule_generations: vec![RuleGeneration {
                node: "a".to_owned(),
                generation: 7 + u64::from(changed),
                legacy_bytes: None,
            }],
            ..agent::path(&self.real, self.packets)
        })
    }

    async fn translation(&mut self, _: &Flow) -> Translation {
        assert!(!self.name.as_str().is_empty());
        Translation::Untouched
    }
}

/// A clock that moves one millisecond at each look.
struct SteppingClock(Cell<u64>);

impl Clock for SteppingClock {
    fn now_ns(&self) -> u64 {
        self.0.set(self.0.get() + 1_000_000);
        self.0.get()
    }

    fn unix_ms(&self) -> u64 {
        1_764_000_000_000 + self.now_ns() / 1_000_000
    }
}

#[derive(Default)]
pub(crate) struct MemoryJournal {
    pub(crate) run: Option<RunRecord>,
    pub(crate) slices: Vec<Slice>,
}

impl Journal for MemoryJournal {
    fn append(&mut self, slice: &Slice) -> anyhow::Result<()> {
        self.slices.push(slice.clone());
        Ok(())
    }

    fn write_run(&mut self, run: &RunRecord) -> anyhow::Result<()> {
        self.run = Some(run.clone());
        Ok(())
    }
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Progress for Notes {
    fn deploying(&mut self, _: &Name, _: usize, _: usize) {}

    fn measuring(&mut self, _: &SliceKey, _: usize, _: usize, _: Duration) {}

    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

pub(crate) fn record() -> RunRecord {
    RunRecord {
        schema: RECORD_SCHEMA,
        version: "0.0.0".to_owned(),
        target: TargetKind::Lab,
        started_unix_ms: 1_764_000_000_000,
        plan: plan(),
        facts: Facts {
            kernel: "6.18".to_owned(),
            cpus: 2,
            ..Facts::default()
        },
        hosts: None,
        cluster: None,
        installs: Vec::new(),
    }
}

/// Runs (or goes on with) a campaign; stops it after a number of slices, if one is given.
pub(crate) async fn run(
    target: &mut MemoryTarget,
    run: &mut RunRecord,
    journal: &mut MemoryJournal,
    stop_after: Option<usize>,
) -> (anyhow::Result<()>, Vec<String>) {
    let mut campaign = Campaign {
        run: run.clone(),
        slices: journal.slices.clone(),
    };
    let mut progress = Notes::default();
    let mut bounded = BoundedJournal {
        inner: journal,
        left: stop_after,
    };
    let result = Campaigner {
        target,
        clock: &SteppingClock(Cell::new(0)),
        journal: &mut bounded,
        progress: &mut progress,
        placement: &Placement::new(vec![0, 1]),
    }
    .run(&mut campaign)
    .await;
    *run = campaign.run;
    (result, progress.0)
}

/// A journal that refuses after a number of slices, as a full disk or an interruption would.
struct BoundedJournal<'a> {
    inner: &'a mut MemoryJournal,
    left: Option<usize>,
}

impl Journal for BoundedJournal<'_> {
    fn append(&mut self, slice: &Slice) -> anyhow::Result<()> {
        if let Some(left) = &mut self.left {
            anyhow::ensure!(*left > 0, "interrupted");
            *left -= 1;
        }
        self.inner.append(slice)
    }

    fn write_run(&mut self, run: &RunRecord) -> anyhow::Result<()> {
        self.inner.write_run(run)
    }
}

fn good_rounds(run: &RunRecord, journal: &MemoryJournal) -> u32 {
    let campaign = Campaign {
        run: run.clone(),
        slices: journal.slices.clone(),
    };
    u32::try_from(standing(&campaign).good.len()).unwrap()
}

fn rendered(run: &RunRecord, journal: &MemoryJournal) -> String {
    let campaign = Campaign {
        run: run.clone(),
        slices: journal.slices.clone(),
    };
    let analysis = analyse(&campaign);
    assert!(!Html.render(&analysis).is_empty());
    String::from_utf8(Terminal { colour: false }.render(&analysis)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_whole_campaign_runs_in_memory() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let (result, notes) = run(&mut MemoryTarget::honest(), &mut record, &mut journal, None).await;
    result.unwrap();
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(journal.slices.len(), slices(&record.plan));
    assert_eq!(journal.run.as_ref(), Some(&record));
    assert_eq!(good_rounds(&record, &journal), record.plan.rounds.count);
    insta::assert_snapshot!(rendered(&record, &journal));
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_is_not_what_it_declares_is_invalid() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        real: |declared| Datapath {
            wire: Wire::Native,
            ..declared.clone()
        },
        ..MemoryTarget::honest()
    };
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    let report = rendered(&record, &journal);
    assert!(report.contains("invalid"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn without_the_reference_nothing_runs() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        broken: vec!["native"],
        ..MemoryTarget::honest()
    };
    let error = run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap_err();
    assert_eq!(exit::of(&error), Exit::Environment);
    assert!(error.to_string().contains("no such device"), "{error:#}");
    assert!(journal.slices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_cannot_stand_is_skipped_loudly() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        broken: vec!["vxlan"],
        ..MemoryTarget::honest()
    };
    let (result, notes) = run(&mut target, &mut record, &mut journal, None).await;
    result.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(rendered(&record, &journal).contains("no such device"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_costs_one_slice() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        dying: Some("again"),
        ..MemoryTarget::honest()
    };
    let (result, notes) = run(&mut target, &mut record, &mut journal, None).await;
    result.unwrap();
    let failed = |slice: &&Slice| matches!(slice.record.result, SliceResult::Failed { .. });
    assert_eq!(journal.slices.iter().filter(failed).count(), 1);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn rules_that_somebody_changes_cost_the_arms_slices_and_no_others() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    // Two readings to a slice: somebody meddles within the seventh.
    let mut target = MemoryTarget {
        meddled: Some(("again", 13)),
        ..MemoryTarget::honest()
    };
    let (result, notes) = run(&mut target, &mut record, &mut journal, None).await;
    result.unwrap();
    let of_arm = journal
        .slices
        .iter()
        .filter(|slice| slice.record.key.arm.as_str() == "again");
    for (number, slice) in of_arm.enumerate() {
        match &slice.record.result {
            SliceResult::Measured(_) => assert!(number < 6, "slice {number} has other rules"),
            SliceResult::Failed { reason } => {
                assert!(number >= 6, "slice {number}: {reason}");
                assert!(
                    reason.contains("somebody changed the rules of node a"),
                    "{reason}"
                );
            }
        }
    }
    let others = journal
        .slices
        .iter()
        .filter(|slice| slice.record.key.arm.as_str() != "again");
    assert!(others.clone().count() > 6);
    for slice in others {
        assert!(matches!(slice.record.result, SliceResult::Measured(_)));
    }
    assert!(
        notes
            .iter()
            .all(|note| note.contains("on again: somebody changed")),
        "{notes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resumed_campaign_discards_a_fresh_round_and_is_completed() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget::honest();
    let per_round = record.plan.slices_per_round();
    run(
        &mut target,
        &mut record,
        &mut journal,
        Some(3 * per_round + 2),
    )
    .await
    .0
    .unwrap_err();
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert_eq!(record.installs.len(), 2);
    // Rounds 0 to 2 and a part of round 3 were measured before.
    assert_eq!(record.installs[1].first_round, 4);
    let keys: BTreeSet<SliceKey> = journal
        .slices
        .iter()
        .map(|slice| slice.record.key.clone())
        .collect();
    assert_eq!(keys.len(), journal.slices.len(), "no slice stands twice");
    assert_eq!(good_rounds(&record, &journal), record.plan.rounds.count);
    let slices = journal.slices.len();
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert_eq!(journal.slices.len(), slices, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn dropped_rounds_are_replaced_and_the_order_stays_balanced() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    record.plan.rounds.count = 10;
    let mut target = MemoryTarget {
        disturbed: |round| [2, 5].contains(&round),
        ..MemoryTarget::honest()
    };
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    let campaign = Campaign {
        run: record,
        slices: journal.slices,
    };
    let found = standing(&campaign);
    assert_eq!((found.whole.len(), found.good.len()), (12, 10));
    assert!(!found.good.contains(&2) && !found.good.contains(&5));
    assert!(schedule::is_even(
        &campaign.run.plan,
        &campaign.slices,
        &found.good
    ));
    assert_eq!(found.invalid, None);
    assert_eq!(analyse(&campaign).conduct.dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_noise_makes_invalid_is_not_prolonged() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        disturbed: |round| round % 2 == 1,
        ..MemoryTarget::honest()
    };
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert_eq!(journal.slices.len(), slices(&record.plan));
    assert!(rendered(&record, &journal).contains("invalid"));
}

#[tokio::test(start_paused = true)]
async fn rounds_are_spread_over_installs_that_are_deployed_anew() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    record.plan.rounds.count = 10;
    record.plan.rounds.installs = 4;
    run(&mut MemoryTarget::honest(), &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    let first: Vec<u32> = record.installs.iter().map(|i| i.first_round).collect();
    // 3 + 3 + 2 + 2 rounds, each install with one before them that is discarded.
    assert_eq!(first, [0, 4, 8, 11]);
    let campaign = Campaign {
        run: record,
        slices: journal.slices,
    };
    let found = standing(&campaign);
    assert_eq!(found.good.len(), 10);
    let (plan, slices) = (&campaign.run.plan, &campaign.slices);
    assert!(schedule::is_even(plan, slices, &found.good));
}

#[tokio::test(start_paused = true)]
async fn a_resumed_campaign_still_gets_its_installs() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    record.plan.rounds.installs = 2;
    let mut target = MemoryTarget::honest();
    let stop = Some(5 * record.plan.slices_per_round() + 1);
    run(&mut target, &mut record, &mut journal, stop)
        .await
        .0
        .unwrap_err();
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert!(record.installs.len() >= 2);
    assert_eq!(good_rounds(&record, &journal), record.plan.rounds.count);
}
