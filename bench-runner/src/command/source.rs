//! Resolves a scenario for this machine.

use anyhow::{Context as _, bail};
use tollgate_lab::Capabilities;
use tollgate_results::plan::Plan;
use tollgate_results::workload::Workload;
use tollgate_scenarios::{Overrides, Scenario, resolve};

use crate::cli::Choices;
use crate::clock::{Clock as _, SystemClock};
use crate::placement::Placement;

/// Reads a scenario by its name or file and lays the command line over it.
///
/// # Errors
///
/// When the scenario has faults, or a choice fits neither it nor this machine: all faults, one line each.
pub(super) fn plan(name: &str, choices: &Choices, clock: SystemClock) -> anyhow::Result<Plan> {
    let scenario = Scenario::load(name)?;
    let overrides = Overrides {
        rounds: choices.rounds,
        slice: choices.slice,
        warmup: choices.warmup,
        installs: choices.installs,
        seed: choices.seed.unwrap_or_else(|| drawn_seed(clock)),
        arms: choices.arms.clone(),
    };
    let capabilities = Capabilities::detect(&super::holder()?);
    let plan = resolve(&scenario, &overrides, &|datapath| {
        capabilities.missing(datapath)
    })?;
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

/// Draws a seed short enough to type again.
fn drawn_seed(clock: SystemClock) -> u64 {
    (clock.unix_ms() ^ u64::from(std::process::id()) << 20) % 1_000_000_000
}
