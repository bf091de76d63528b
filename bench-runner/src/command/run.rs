//! `tollgate run`: a campaign from its plan to its reports.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_lab::{Lab, LabOptions};
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::plan::Plan;
use tollgate_results::run::{Campaign, RunRecord, TargetKind};
use tollgate_results::slice::SliceKey;
use tollgate_scenarios::estimate;
use tollgate_store::{CampaignDir, Recording};

use super::{interrupt, report, source};
use crate::campaign::{Campaigner, comparable};
use crate::cli::RunArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::{EnvironmentError, Exit};
use crate::facts;
use crate::output;
use crate::placement::Placement;
use crate::progress::{TerminalProgress, minutes};
use crate::target::lab::LabTarget;

/// Runs a new campaign, or goes on with one.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let clock = SystemClock::start();
    let probe = probe(args.probe.as_deref())?;
    let mut open = match &args.resume {
        Some(dir) => resume(dir)?,
        None => start(args, clock)?,
    };
    let ended = measure(&mut open, probe, clock);
    let (_, campaign) = CampaignDir::open(open.recording.folder().path())?;
    if campaign.slices.is_empty() {
        open.recording.discard();
        if matches!(ended, Ok(Exit::Interrupted)) {
            output::note("Interrupted before anything was measured; nothing is kept.");
        }
        return ended;
    }
    let folder = open.recording.finish()?;
    let analysis = report::write(&folder, &campaign)?;
    let ended = ended
        .with_context(|| format!("what was measured is kept in `{}`", folder.path().display()))?;
    report::print(&folder, &analysis, args.json)?;
    if ended == Exit::Interrupted {
        output::note(&format!(
            "Interrupted; what was measured is kept. Go on with: tollgate run --resume {}",
            folder.path().display()
        ));
        return Ok(ended);
    }
    Ok(report::ended(&analysis))
}

/// A campaign whose folder is open for recording.
struct Open {
    recording: Recording,
    run: RunRecord,
    done: Vec<SliceKey>,
}

fn start(args: &RunArgs, clock: SystemClock) -> anyhow::Result<Open> {
    let name = args
        .scenario
        .as_deref()
        .context("name a scenario, for example `tollgate run quickstart`")?;
    let plan = source::plan(name, &args.choices, clock)?;
    comparable(&plan)?;
    announce(&plan);
    let dir = args
        .out
        .clone()
        .unwrap_or_else(|| next_free(Path::new("campaigns"), plan.scenario.as_str()));
    let run = RunRecord {
        schema: RECORD_SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: TargetKind::Lab,
        started_unix_ms: clock.unix_ms(),
        plan,
        facts: facts::read(),
        installs: Vec::new(),
    };
    let recording = CampaignDir::create(&dir, &run)?;
    Ok(Open {
        recording,
        run,
        done: Vec::new(),
    })
}

fn announce(plan: &Plan) {
    for skipped in &plan.skipped {
        output::note(&format!("skipping {}: {}", skipped.arm, skipped.reason));
    }
    output::note(&format!(
        "{}: {} arms, {} workloads, {} rounds, seed {}: about {}",
        plan.scenario,
        plan.arms.len(),
        plan.workloads.len(),
        plan.rounds.count,
        plan.seed,
        minutes(estimate(plan).duration()),
    ));
}

/// Returns the first of NAME-1, NAME-2, … that is free.
fn next_free(parent: &Path, name: &str) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let dir = parent.join(format!("{name}-{number}"));
        if !dir.exists() {
            return dir;
        }
        number += 1;
    }
}

fn resume(dir: &Path) -> anyhow::Result<Open> {
    report::open(dir)?;
    let (recording, Campaign { run, slices }) = CampaignDir::resume(dir)?;
    let (now, then) = (facts::read().fingerprint(), run.facts.fingerprint());
    if now != then {
        return Err(anyhow::Error::new(EnvironmentError(format!(
            "`{}` was measured on another machine or set-up (fingerprint {then}, here {now}); \
             resume it there, or start a new campaign here",
            dir.display()
        ))));
    }
    let done = slices.into_iter().map(|slice| slice.record.key).collect();
    Ok(Open {
        recording,
        run,
        done,
    })
}

fn measure(open: &mut Open, probe: PathBuf, clock: SystemClock) -> anyhow::Result<Exit> {
    let options = LabOptions {
        holder: super::holder()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let placement = Placement::of_this_process().context("failed to read the CPU affinity")?;
    let mut progress = TerminalProgress::start();
    let ended = runtime.block_on(async {
        let lab = Lab::start(&options).map_err(|error| {
            anyhow::Error::new(EnvironmentError(format!("{:#}", anyhow::Error::new(error))))
        })?;
        let mut campaigner = Campaigner {
            target: &mut LabTarget::new(lab, probe, open.run.plan.seed),
            clock: &clock,
            journal: &mut open.recording,
            progress: &mut progress,
            placement: &placement,
        };
        tokio::select! {
            ended = campaigner.run(&mut open.run, &open.done) => ended.map(|()| Exit::Done),
            signal = interrupt::interrupted() => signal.map(|()| Exit::Interrupted),
        }
    });
    progress.finish();
    // A deployment may still run in a blocking thread: the holder ends it with this process.
    runtime.shutdown_background();
    ended
}

/// Finds the probe's binary: as told, beside this program, or in the PATH.
fn probe(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    const NAME: &str = "tollgate-probe";
    if let Some(path) = told {
        return path
            .canonicalize()
            .with_context(|| format!("failed to find the probe `{}`", path.display()));
    }
    let beside = env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join(NAME)));
    let path = env::var_os("PATH").unwrap_or_default();
    let found = beside
        .into_iter()
        .chain(env::split_paths(&path).map(|dir| dir.join(NAME)))
        .find(|candidate| candidate.is_file());
    match found {
        Some(probe) => Ok(probe),
        None => bail!(
            "no `{NAME}` beside this program or in the PATH; build it with `make build`, or name it with --probe"
        ),
    }
}
