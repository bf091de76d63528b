//! `tollgate gate`: proves that a change costs no more than a margin, or that it does.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tollgate_reports::analyse;
use tollgate_reports::gate::{CalibrationState, GateReport, Policy};
use tollgate_results::plan::Plan;
use tollgate_scenarios::estimate;
use tollgate_store::CampaignDir;

use super::measure::{self, Measured, Meter, Open};
use super::plan::table;
use super::source;
use crate::calibration;
use crate::campaign::{self, comparable};
use crate::cli::GateArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::Exit;
use crate::facts;
use crate::gate::{self, Bench, Staged};
use crate::output;
use crate::progress::{self, minutes};

mod folder;

use folder::{GateDir, Request};

/// Runs a gate, or goes on with one.
pub(super) fn gate(args: &GateArgs) -> anyhow::Result<Exit> {
    let clock = SystemClock::start();
    let probe = measure::probe(args.probe.as_deref())?;
    let dir = match &args.resume {
        Some(dir) => GateDir::resume(dir)?,
        None => start(args, clock)?,
    };
    let request = dir.request();
    let fingerprint = facts::read().fingerprint();
    let calibration = calibration::load(&fingerprint, &request.plan)?;
    let mut bench = FolderBench {
        dir: &dir,
        meter: Meter {
            probe,
            clock,
            progress: progress::of(args.progress),
        },
    };
    let judged = gate::judge(
        &mut bench,
        request.plan.clone(),
        &request.policy,
        calibration.as_ref(),
    );
    let Some(mut report) = judged.with_context(|| dir.kept())? else {
        output::note(&format!(
            "Interrupted; what was measured is kept. Go on with: tollgate gate --resume {}",
            dir.path().display()
        ));
        return Ok(Exit::Interrupted);
    };
    report.earlier = dir.earlier()?;
    write(args, &dir, &report)?;
    Ok(Exit::Gate(report.exit))
}

fn start(args: &GateArgs, clock: SystemClock) -> anyhow::Result<GateDir> {
    let name = args
        .scenario
        .as_deref()
        .context("name a scenario, for example `tollgate gate overlay-tax`")?;
    let mut policy = match &args.policy {
        Some(file) => policy(file)?,
        None => Policy::default(),
    };
    policy.on_inconclusive = args
        .on_inconclusive
        .map_or(policy.on_inconclusive, Into::into);
    let plan = gate::first_plan(source::plan(name, &args.choices(), clock)?, &policy);
    comparable(&plan)?;
    announce(&plan, &policy);
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| measure::next_free(Path::new("gates"), plan.scenario.as_str()));
    GateDir::begin(&path, Request::new(policy, plan, clock.unix_ms()))
}

/// Reads a policy, all faults at once.
fn policy(file: &Path) -> anyhow::Result<Policy> {
    let name = file.display().to_string();
    let text = tollgate_scenarios::read_text(&name)?;
    let policy = tollgate_scenarios::read_toml(&name, &text, |policy: &Policy| {
        policy
            .check()
            .err()
            .map_or_else(Vec::new, |error| error.faults)
    })?;
    Ok(policy)
}

fn announce(plan: &Plan, policy: &Policy) {
    measure::announce_skipped(plan);
    output::note(&format!(
        "{}: {} arms, {} workloads, {} rounds, seed {}: about {}; cells that don't pass then take {} more rounds on {} \
         fresh installs",
        plan.scenario,
        plan.arms.len(),
        plan.workloads.len(),
        plan.rounds.count,
        plan.seed,
        minutes(estimate(plan).duration()),
        policy.second.rounds,
        policy.second.installs,
    ));
}

/// Stages as campaigns in a gate's folder.
struct FolderBench<'a> {
    dir: &'a GateDir,
    meter: Meter,
}

impl Bench for FolderBench<'_> {
    fn measure(&mut self, stage: u32, plan: Plan) -> anyhow::Result<Option<Staged>> {
        let path = self.dir.stage(stage);
        let open = if path.join(tollgate_store::RUN).exists() {
            Open::resume(&path)?
        } else {
            if stage > 1 {
                output::note(&format!(
                    "Stage {stage}: {} arms, {} workloads on fresh installs: about {}",
                    plan.arms.len(),
                    plan.workloads.len(),
                    minutes(estimate(&plan).duration())
                ));
            }
            Open::create(&path, plan, self.meter.clock)?
        };
        if !campaign::is_over(&open.campaign) {
            match self.meter.measure(open)? {
                Measured::Whole(..) => {}
                Measured::Interrupted(..) | Measured::Nothing => return Ok(None),
            }
        }
        let (_, campaign) = CampaignDir::open(&path)?;
        Ok(Some(Staged {
            analysis: analyse(&campaign),
            plan: campaign.run.plan,
        }))
    }
}

/// Writes the report in every form that was asked for, and prints one.
fn write(args: &GateArgs, dir: &GateDir, report: &GateReport) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    dir.write("gate.json", &json)?;
    if args.json {
        output::result(&json)?;
        return Ok(());
    }
    output::result(describe(report).as_bytes())?;
    output::result(format!("\nGate: {}\n", dir.path().display()).as_bytes())?;
    Ok(())
}

fn describe(report: &GateReport) -> String {
    let mut rulings = table(&["ruling", "arm", "workload", "metric", "what was found"]);
    for cell in &report.cells {
        rulings.add_row([
            cell.ruling.as_str(),
            cell.arm.as_str(),
            cell.workload.as_str(),
            &cell.metric.to_string(),
            &cell.words,
        ]);
    }
    let mut text = format!("{rulings}\n\n{}\n", report.words);
    if let CalibrationState::Uncalibrated { reason } = &report.calibration {
        let _ = writeln!(text, "Uncalibrated: {reason}.");
    }
    for note in &report.notes {
        let _ = writeln!(text, "Note: {note}.");
    }
    for earlier in &report.earlier {
        let _ = writeln!(text, "Run before: {}", earlier.words);
    }
    text
}
