//! Resolves a scenario for this machine.

use anyhow::{Context as _, bail, ensure};
use tollgate_lab::Capabilities;
use tollgate_results::arm::Datapath;
use tollgate_results::plan::Plan;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::Workload;
use tollgate_scenarios::{Overrides, Scenario, estimate, resolve};

use crate::cli::Choices;
use crate::clock::{Clock as _, SystemClock};
use crate::placement::Placement;

/// Reads a scenario by its name or file and lays the command line over it.
///
/// # Errors
///
/// When the scenario has faults, or a choice fits neither it nor this machine: all faults, one line each.
pub(super) fn plan(name: &str, choices: &Choices, clock: SystemClock) -> anyhow::Result<Plan> {
    let scenario = scenario(name)?;
    let capabilities = Capabilities::detect(&super::holder()?);
    let missing = |datapath: &Datapath| match &datapath.cluster {
        Some(_) => Some("it is a path through a cluster; run it with --target cluster".to_owned()),
        None => capabilities.missing(datapath),
    };
    let plan = resolved(&scenario, choices, clock, &missing)?;
    let placement = Placement::of_this_process().context("failed to read the CPU affinity")?;
    let fault = |workload: &Workload| {
        let fault = placement.missing(workload.cpu)?;
        Some(format!("workload `{}`: {fault}", workload.name))
    };
    let faults: Vec<String> = plan.workloads.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(plan)
}

/// Reads a scenario for a lab or for two hosts, by its name or file.
///
/// # Errors
///
/// When it has faults, or is for a cluster alone.
pub(super) fn scenario(name: &str) -> anyhow::Result<Scenario> {
    let scenario = Scenario::load(name)?;
    ensure!(
        scenario.split.is_empty(),
        "`{}` splits requests over backends behind a gateway, which only a cluster has: \
         tollgate run {name} --target cluster",
        scenario.name
    );
    Ok(scenario)
}

/// Lays the command line over a scenario.
///
/// # Errors
///
/// All faults of the command line.
pub(super) fn resolved(
    scenario: &Scenario,
    choices: &Choices,
    clock: SystemClock,
    missing: &dyn Fn(&Datapath) -> Option<String>,
) -> anyhow::Result<Plan> {
    let overrides = Overrides {
        rounds: choices.rounds,
        slice: choices.slice,
        warmup: choices.warmup,
        installs: choices.installs,
        seed: choices.seed.unwrap_or_else(|| drawn_seed(clock)),
        arms: choices.arms.clone(),
    };
    let mut plan = resolve(scenario, &overrides, missing)?;
    if let Some(time) = choices.time {
        plan.rounds.count = rounds_in(&plan, time)?;
    }
    Ok(plan)
}

/// Returns how many rounds fit into a time, with the discarded one of each install.
fn rounds_in(plan: &Plan, time: Nanoseconds) -> anyhow::Result<u32> {
    let mut one = plan.clone();
    one.rounds.count = 1;
    let discarded = u64::from(plan.rounds.installs);
    let round = (estimate(&one).0 / (discarded + 1)).max(1);
    let rounds = (time.0 / round).saturating_sub(discarded);
    ensure!(
        (1..=1_000).contains(&rounds),
        "--for: {rounds} rounds of {} fit into {time}, and a campaign has 1 to 1000; choose another --slice \
         or another time",
        Nanoseconds(round)
    );
    Ok(u32::try_from(rounds).unwrap_or(u32::MAX))
}

/// Draws a seed short enough to type again.
pub(super) fn drawn_seed(clock: SystemClock) -> u64 {
    (clock.unix_ms() ^ u64::from(std::process::id()) << 20) % 1_000_000_000
}
