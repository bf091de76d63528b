//! Gates in memory: whole campaigns under the virtual clock, interrupted and resumed.

use tokio::runtime::Builder;
use tollgate_reports::analyse;
use tollgate_reports::gate::{Exit, OnInconclusive, Ruling};
use tollgate_reports::model::Metric;
use tollgate_results::run::{Campaign, RunRecord};
use tollgate_results::units::Share;

use super::*;
use crate::campaign::tests::{MemoryJournal, MemoryTarget, plan, record, run};

/// Stages in memory, which outlive an interruption.
#[derive(Default)]
struct MemoryBench {
    stages: Vec<(RunRecord, MemoryJournal)>,
    /// After so many slices of a stage the gate is interrupted, once.
    interrupt: Option<(u32, usize)>,
    /// From this stage on, this arm takes a tenth longer than its datapath does.
    slow: Option<(u32, &'static str)>,
}

impl Bench for MemoryBench {
    fn measure(&mut self, stage: u32, plan: Plan) -> anyhow::Result<Option<Staged>> {
        let index = stage as usize - 1;
        if self.stages.len() <= index {
            let mut begun = record();
            begun.started_unix_ms += u64::from(stage);
            begun.plan = plan;
            self.stages.push((begun, MemoryJournal::default()));
        }
        let stop = self.interrupt.filter(|(at, _)| *at == stage);
        let (record, journal) = &mut self.stages[index];
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()?;
        let slow = self.slow.filter(|(from, _)| *from <= stage);
        let mut target = MemoryTarget::honest();
        target.slow = slow.map(|(_, arm)| arm);
        let left = stop.map(|(_, slices)| slices);
        let (ended, _) = runtime.block_on(run(&mut target, record, journal, left));
        if stop.is_some() {
            assert!(ended.is_err(), "it was interrupted");
            self.interrupt = None;
            return Ok(None);
        }
        ended?;
        let campaign = Campaign {
            run: record.clone(),
            slices: journal.slices.clone(),
        };
        Ok(Some(Staged {
            analysis: analyse(&campaign),
            plan: campaign.run.plan,
        }))
    }
}

fn policy() -> Policy {
    Policy {
        margins: [(Metric::P50, Share(0.05))].into(),
        on_inconclusive: OnInconclusive::Fail,
        ..Policy::default()
    }
}

fn gate(bench: &mut MemoryBench, policy: &Policy) -> Option<GateReport> {
    judge(bench, first_plan(plan(), policy).unwrap(), policy, None).unwrap()
}

/// The policy with a control beside the arms.
fn with_control() -> Policy {
    Policy {
        control: true,
        ..policy()
    }
}

#[test]
fn a_control_is_measured_beside_the_arms_and_not_gated_itself() {
    let mut bench = MemoryBench::default();
    let report = gate(&mut bench, &with_control()).unwrap();
    assert_eq!(report.exit, Exit::Failed);
    let gated: BTreeSet<&str> = report.cells.iter().map(|cell| cell.arm.as_str()).collect();
    assert_eq!(gated, ["again", "vxlan"].into());
    for (run, _) in &bench.stages {
        let control = run.plan.arm(&"native-again".parse().unwrap()).unwrap();
        assert_eq!(control.reference.as_ref(), Some(&run.plan.reference));
    }
    // Once for each stage.
    let notes = report.notes.iter();
    let notes: Vec<_> = notes
        .filter(|note| note.contains("native-again, a second install of native, differs by"))
        .collect();
    assert_eq!(notes.len(), 2, "{:?}", report.notes);
}

#[test]
fn a_control_that_differs_makes_the_gate_invalid() {
    for (from, stages) in [(1, 1), (2, 2)] {
        let mut bench = MemoryBench {
            slow: Some((from, "native-again")),
            ..MemoryBench::default()
        };
        let report = gate(&mut bench, &with_control()).unwrap();
        assert_eq!(report.exit, Exit::Invalid, "{}", report.words);
        assert_eq!(bench.stages.len(), stages);
        let vxlan = report
            .cells
            .iter()
            .find(|cell| cell.arm.as_str() == "vxlan")
            .unwrap();
        assert_eq!(vxlan.ruling, Ruling::Invalid);
        assert!(
            vxlan.words.contains("differs by") && vxlan.words.contains("and the margin is 5 %"),
            "{}",
            vxlan.words
        );
    }
}

#[test]
fn a_control_takes_a_name_that_is_free() {
    let mut taken = plan();
    taken.arms[1].name = "native-again".parse().unwrap();
    let error = first_plan(taken, &with_control()).unwrap_err().to_string();
    assert!(
        error.contains("rename it, or leave `control` out"),
        "{error}"
    );
}

#[test]
fn only_what_did_not_pass_is_measured_again_on_fresh_installs() {
    let mut bench = MemoryBench::default();
    let report = gate(&mut bench, &policy()).unwrap();
    assert_eq!(report.exit, Exit::Failed);
    for cell in &report.cells {
        let expected = match cell.arm.as_str() {
            "vxlan" => Ruling::Fail,
            _ => Ruling::Pass,
        };
        assert_eq!(cell.ruling, expected, "{}", cell.words);
    }
    let plans: Vec<&Plan> = bench.stages.iter().map(|(run, _)| &run.plan).collect();
    let arms =
        |plan: &Plan| -> Vec<String> { plan.arms.iter().map(|arm| arm.name.to_string()).collect() };
    assert_eq!(arms(plans[0]), ["native", "again", "vxlan"]);
    assert_eq!(arms(plans[1]), ["native", "vxlan"]);
    assert_ne!(plans[0].seed, plans[1].seed);
    let installs: Vec<usize> = bench
        .stages
        .iter()
        .map(|(run, _)| run.installs.len())
        .collect();
    assert_eq!(installs, [1, 4]);
    assert_eq!(report.stages.len(), 2);
}

#[test]
fn a_gate_that_passes_needs_one_stage() {
    let mut bench = MemoryBench::default();
    let wide = Policy {
        margins: [(Metric::P50, Share(0.4))].into(),
        ..policy()
    };
    let report = gate(&mut bench, &wide).unwrap();
    assert_eq!((report.exit, bench.stages.len()), (Exit::Done, 1));
}

#[test]
fn an_interrupted_gate_goes_on_where_it_was() {
    let whole = gate(&mut MemoryBench::default(), &policy()).unwrap();
    for interrupt in [(1, 20), (2, 31)] {
        let mut bench = MemoryBench {
            interrupt: Some(interrupt),
            ..MemoryBench::default()
        };
        assert!(gate(&mut bench, &policy()).is_none());
        let kept = bench.stages[0].1.slices.len();
        let resumed = gate(&mut bench, &policy()).unwrap();
        assert_eq!(resumed.exit, whole.exit);
        // What was measured is there still, and an install more.
        assert!(bench.stages[0].1.slices.len() >= kept);
        let installs: Vec<usize> = bench
            .stages
            .iter()
            .map(|(run, _)| run.installs.len())
            .collect();
        assert!(installs[0] + installs[1] >= 6, "{installs:?}");
    }
}
