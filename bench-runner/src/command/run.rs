//! `tollgate run`: a campaign from its plan to its reports.

use std::path::Path;

use anyhow::Context as _;
use tollgate_results::plan::Plan;
use tollgate_results::units::Nanoseconds;
use tollgate_scenarios::{Scenario, estimate};

use super::measure::{self, Ground, Measured, Meter, Open};
use super::{cluster, hosts, interrupt, report, source};
use crate::campaign::comparable;
use crate::cli::{RunArgs, TargetName};
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::output;
use crate::progress::{self, minutes};

/// Runs a new campaign, or goes on with one.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let ended = campaign(args);
    let interrupted = matches!(ended, Ok(Exit::Interrupted));
    if let Some(time) = args.hold.filter(|_| !interrupted) {
        if let Err(error) = &ended {
            output::error(error);
        }
        hold(time)?;
    }
    ended
}

/// Stays, so that results can be copied out of the pod in which this runs. An interrupt ends it.
fn hold(time: Nanoseconds) -> anyhow::Result<()> {
    output::note(&format!(
        "Staying for {}, so that the results can be copied out; Ctrl-C or SIGTERM ends it.",
        time.words()
    ));
    hosts::runtime()?.block_on(async {
        tokio::select! {
            interrupted = interrupt::interrupted() => interrupted,
            () = tokio::time::sleep(time.duration()) => Ok(()),
        }
    })
}

fn campaign(args: &RunArgs) -> anyhow::Result<Exit> {
    let clock = SystemClock::start();
    let open = match &args.resume {
        Some(dir) => Open::resume(dir, args.probe.as_deref())?,
        None => start(args, clock)?,
    };
    let mut meter = Meter {
        clock,
        progress: progress::of(args.progress),
    };
    match meter.measure(open)? {
        Measured::Whole(folder, analysis) => {
            report::print(&folder, &analysis, args.json)?;
            Ok(report::ended(&analysis))
        }
        Measured::Interrupted(folder, analysis) => {
            report::print(&folder, &analysis, args.json)?;
            output::note(&format!(
                "Interrupted; what was measured is kept. Go on with: tollgate run --resume {}",
                folder.path().display()
            ));
            Ok(Exit::Interrupted)
        }
        Measured::Nothing => {
            output::note("Interrupted before anything was measured; nothing is kept.");
            Ok(Exit::Interrupted)
        }
    }
}

fn start(args: &RunArgs, clock: SystemClock) -> anyhow::Result<Open> {
    let name = args
        .scenario
        .as_deref()
        .context("name a scenario, for example `tollgate run quickstart`")?;
    let probe = args.probe.as_deref();
    let (plan, ground) = match args.target {
        TargetName::Lab => {
            let ground = Ground::Lab(measure::probe(probe)?);
            (source::plan(name, &args.choices, clock)?, ground)
        }
        TargetName::Hosts => {
            let (scenario, paths) = hosts::over(source::scenario(name)?, &args.hosts)?;
            let plan = source::resolved(&scenario, &args.choices, clock, &|_| None)?;
            let reached = hosts::reach(&args.hosts, paths, probe)?;
            (plan, Ground::Hosts(Box::new(reached)))
        }
        TargetName::Cluster => {
            let reference = args.hosts.reference.as_ref();
            let loaded = Scenario::load(name)?;
            let weights = loaded.split.clone();
            let (scenario, found) = cluster::over(loaded, &args.cluster, reference)?;
            let plan = source::resolved(&scenario, &args.choices, clock, &|_| None)?;
            // What can't be compared is told before anything is made.
            comparable(&plan)?;
            let ground = if weights.is_empty() {
                Ground::Cluster(Box::new(cluster::reach(&found, &plan)?))
            } else {
                Ground::Split(Box::new(cluster::reach_split(&found, weights, &plan)?))
            };
            (plan, ground)
        }
    };
    comparable(&plan)?;
    announce(&plan);
    let dir = args
        .out
        .clone()
        .unwrap_or_else(|| measure::next_free(Path::new("campaigns"), plan.scenario.as_str()));
    Open::create(&dir, plan, ground, clock)
}

fn announce(plan: &Plan) {
    measure::announce_skipped(plan);
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
