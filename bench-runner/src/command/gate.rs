//! `tollgate gate`: proves that a change costs no more than a margin, or that it does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tollgate_probes::facts;
use tollgate_reports::analyse;
use tollgate_reports::gate::{self as rules, GateReport, Policy, StoredReference};
use tollgate_reports::model::Analysis;
use tollgate_reports::render::gate::{self as render, GateRenderer};
use tollgate_results::plan::Plan;
use tollgate_results::run::Campaign;
use tollgate_scenarios::estimate;
use tollgate_store::CampaignDir;

use super::measure::{self, Ground, Measured, Meter, Open};
use super::{report, source};
use crate::calibration;
use crate::campaign::{self, comparable};
use crate::cli::GateArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::Exit;
use crate::gate::{self, Bench, Staged};
use crate::output;
use crate::progress::{self, minutes};

mod folder;

pub(super) use folder::is_gate;
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
    let stored = request.against.as_deref().map(stored).transpose()?;
    let mut bench = FolderBench {
        dir: &dir,
        stored: stored.as_ref(),
        probe,
        meter: Meter {
            clock,
            progress: progress::of(args.progress),
        },
    };
    let judged = gate::judge(
        &mut bench,
        request.plan.clone(),
        &request.policy,
        request.calibration.as_ref(),
    );
    let judged = judged.with_context(|| dir.kept());
    if judged.is_err() {
        dir.forget_empty();
    }
    let Some(mut report) = judged? else {
        output::note(&format!(
            "Interrupted; what was measured is kept. Go on with: tollgate gate --resume {}",
            dir.path().display()
        ));
        return Ok(Exit::Interrupted);
    };
    report.earlier = dir.earlier()?;
    report.against = stored.as_ref().map(told);
    write(&dir, &report)?;
    print(args, &dir, &report)?;
    Ok(Exit::Gate(report.exit))
}

/// Rebuilds the reports of every run in a gate's folder from its stages, and those of the stages; prints the last.
///
/// # Errors
///
/// When a run is damaged, or the last was never finished.
pub(super) fn rebuild(path: &Path, json: bool) -> anyhow::Result<Exit> {
    let mut last = None;
    for dir in GateDir::runs(path)? {
        last = rebuilt(&dir)?.map(|report| (dir, report));
    }
    let (dir, report) = last.with_context(|| {
        format!(
            "the last run in `{0}` was never finished; go on with it by `tollgate gate --resume {0}`",
            path.display()
        )
    })?;
    show(&dir, &report, json)?;
    Ok(Exit::Gate(report.exit))
}

/// Rebuilds the report of one run; `None` where it was never finished.
fn rebuilt(dir: &GateDir) -> anyhow::Result<Option<GateReport>> {
    let request = dir.request();
    let stored = request.against.as_deref().map(stored).transpose()?;
    let mut bench = Shelf {
        dir,
        stored: stored.as_ref(),
    };
    let judged = gate::judge(
        &mut bench,
        request.plan.clone(),
        &request.policy,
        request.calibration.as_ref(),
    );
    let Some(mut report) = judged.with_context(|| dir.kept())? else {
        return Ok(None);
    };
    report.earlier = dir.earlier()?;
    report.against = stored.as_ref().map(told);
    write(dir, &report)?;
    Ok(Some(report))
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
    let plan = gate::first_plan(source::plan(name, &args.choices(), clock)?, &policy)?;
    comparable(&plan)?;
    announce(&plan, &policy);
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| measure::next_free(Path::new("gates"), plan.scenario.as_str()));
    let fingerprint = facts::read().fingerprint();
    let request = Request {
        against: args.against.as_deref().map(absolute).transpose()?,
        policy_file: args.policy.as_ref().map(|file| file.display().to_string()),
        calibration: calibration::load(&fingerprint, &plan)?,
        ..Request::new(policy, plan, clock.unix_ms())
    };
    // What can't be compared is better told before anything is measured.
    if let Some(dir) = &request.against {
        ensure!(
            !request.policy.control,
            "a stored campaign has no control that this one's could be compared with; leave `control` out of the policy"
        );
        rules::comparable(&stored(dir)?, &fingerprint, &request.plan)?;
    }
    GateDir::begin(&path, request)
}

/// Reads the campaign that a gate compares with.
fn stored(dir: &Path) -> anyhow::Result<Analysis> {
    let (_, campaign) = report::open(dir)?;
    Ok(analyse(&campaign))
}

/// Says which campaign a gate compares with, and what that costs.
fn told(stored: &Analysis) -> StoredReference {
    StoredReference {
        started_unix_ms: stored.subject.started_unix_ms,
        tool_version: stored.subject.tool_version.clone(),
        words: rules::AGAINST_COSTS.to_owned(),
    }
}

fn absolute(dir: &Path) -> anyhow::Result<PathBuf> {
    dir.canonicalize()
        .with_context(|| format!("failed to find the campaign `{}`", dir.display()))
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
        "{}: {} arms{}, {} workloads, {} rounds, seed {}: about {}; cells that don't pass then take {} more rounds on {} \
         fresh installs",
        plan.scenario,
        plan.arms.len(),
        if policy.control {
            ", the control among them"
        } else {
            ""
        },
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
    /// What everything is compared with, where that was measured before.
    stored: Option<&'a Analysis>,
    /// The probe's binary.
    probe: PathBuf,
    meter: Meter,
}

impl Bench for FolderBench<'_> {
    fn measure(&mut self, stage: u32, plan: Plan) -> anyhow::Result<Option<Staged>> {
        let path = self.dir.stage(stage);
        let open = if path.join(tollgate_store::RUN).exists() {
            Open::resume(&path, Some(&self.probe))?
        } else {
            if stage > 1 {
                output::note(&format!(
                    "Stage {stage}: {} arms, {} workloads on fresh installs: about {}",
                    plan.arms.len(),
                    plan.workloads.len(),
                    minutes(estimate(&plan).duration())
                ));
            }
            Open::create(
                &path,
                plan,
                Ground::Lab(self.probe.clone()),
                self.meter.clock,
            )?
        };
        if !campaign::is_over(&open.campaign) {
            match self.meter.measure(open)? {
                Measured::Whole(..) => {}
                Measured::Interrupted(..) | Measured::Nothing => return Ok(None),
            }
        }
        let (_, campaign) = CampaignDir::open(&path)?;
        staged(campaign, self.stored).map(Some)
    }
}

/// Stages that were measured, in a gate's folder: nothing is measured.
struct Shelf<'a> {
    dir: &'a GateDir,
    stored: Option<&'a Analysis>,
}

impl Bench for Shelf<'_> {
    fn measure(&mut self, stage: u32, _: Plan) -> anyhow::Result<Option<Staged>> {
        let path = self.dir.stage(stage);
        if !path.join(tollgate_store::RUN).exists() {
            return Ok(None);
        }
        let (folder, campaign) = report::open(&path)?;
        if !campaign::is_over(&campaign) {
            return Ok(None);
        }
        report::write(&folder, &campaign)?;
        staged(campaign, self.stored).map(Some)
    }
}

fn staged(campaign: Campaign, stored: Option<&Analysis>) -> anyhow::Result<Staged> {
    let now = analyse(&campaign);
    Ok(Staged {
        analysis: match stored {
            Some(stored) => rules::against(&now, stored)?,
            None => now,
        },
        plan: campaign.run.plan,
    })
}

/// Writes the report in every form.
fn write(dir: &GateDir, report: &GateReport) -> anyhow::Result<()> {
    for (name, renderer) in render::files(dir.request().policy_file.clone()) {
        dir.write(name, &renderer.render(report))?;
    }
    Ok(())
}

/// Prints the report, and writes what else was asked for.
fn print(args: &GateArgs, dir: &GateDir, report: &GateReport) -> anyhow::Result<()> {
    let asked: [(&Option<PathBuf>, &dyn GateRenderer); 2] = [
        (&args.junit, &render::Junit),
        (&args.markdown, &render::Markdown),
    ];
    for (file, renderer) in asked {
        if let Some(file) = file {
            tollgate_store::write_whole(file, &renderer.render(report))?;
        }
    }
    show(dir, report, args.json)?;
    if args.github {
        let file = dir.request().policy_file.clone();
        output::result(&render::Annotations { file }.render(report))?;
    }
    Ok(())
}

/// Prints the table, or the JSON, and where the rest lies.
fn show(dir: &GateDir, report: &GateReport, json: bool) -> anyhow::Result<()> {
    if json {
        output::result(&render::Json.render(report))?;
        return Ok(());
    }
    let terminal = render::Terminal {
        colour: output::is_terminal(),
    };
    output::result(&terminal.render(report))?;
    output::result(format!("\nGate: {}\n", dir.path().display()).as_bytes())?;
    Ok(())
}
