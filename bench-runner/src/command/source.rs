//! Finds a scenario: a shipped one by its name, or a file.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use tollgate_results::arm::Datapath;
use tollgate_results::plan::Plan;
use tollgate_scenarios::{Overrides, Scenario, resolve, shipped};

use crate::cli::Choices;
use crate::clock::Clock;
use crate::placement::Placement;

/// Reads a scenario by name or file.
///
/// # Errors
///
/// When there is none, or it has faults: all of them, one line each.
pub(super) fn scenario(name: &str) -> anyhow::Result<Scenario> {
    if let Some(shipped) = shipped().iter().find(|shipped| shipped.name == name) {
        return Ok(Scenario::parse(shipped.name, shipped.text)?);
    }
    let path = Path::new(name);
    if path.extension().is_none() && !path.exists() {
        let names: Vec<&str> = shipped().iter().map(|shipped| shipped.name).collect();
        bail!(
            "no shipped scenario is called `{name}`; there are {}, or name a file: {name}.toml",
            names.join(", ")
        );
    }
    let text = fs::read_to_string(path)
        .with_context(|| format!("failed to read the scenario `{name}`"))?;
    Ok(Scenario::parse(name, &text)?)
}

/// Resolves a scenario for this machine.
///
/// # Errors
///
/// When a choice does not fit the scenario or this machine: all faults, one line each.
pub(super) fn plan(
    scenario: &Scenario,
    choices: &Choices,
    missing: &dyn Fn(&Datapath) -> Option<String>,
    clock: &impl Clock,
) -> anyhow::Result<Plan> {
    let overrides = Overrides {
        rounds: choices.rounds,
        slice: choices.slice,
        warmup: choices.warmup,
        seed: choices.seed.unwrap_or_else(|| drawn_seed(clock)),
        arms: choices.arms.clone(),
    };
    let plan = resolve(scenario, &overrides, missing)?;
    let placement = Placement::of_this_process().context("failed to read the CPU affinity")?;
    let faults: Vec<String> = plan
        .workloads
        .iter()
        .filter_map(|workload| {
            placement
                .missing(workload.cpu)
                .map(|fault| format!("workload {}: {fault}", workload.name))
        })
        .collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(plan)
}

/// Draws a seed short enough to type again.
fn drawn_seed(clock: &impl Clock) -> u64 {
    (clock.unix_ms() ^ u64::from(std::process::id()) << 20) % 1_000_000_000
}
