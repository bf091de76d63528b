//! `tollgate cluster`: what a cluster's network is, and whether a run can stand in it.

mod gateway;
mod mesh;
mod nodes;
mod paths;
mod results;
mod split;
mod stand;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use tollgate_cluster::api::Cluster;
use tollgate_cluster::inspect;
use tollgate_cluster::snapshot::Snapshot;
use tollgate_results::arm::Name;
use tollgate_results::cluster::{Aspect, Basis, ClusterFacts, Finding};
use tollgate_results::plan::Plan;
use tollgate_results::run::{ClusterRun, GatewayRun};
use tollgate_scenarios::Scenario;

pub(super) use self::gateway::{StoodSplit, reach as reach_split};
pub(super) use self::stand::{Stood, reach, reach_again};
use super::hosts::runtime;
use super::plan::table;
use crate::cli::{ClusterArgs, ClusterCommand, InspectArgs};
use crate::exit::Exit;
use crate::output;

/// Most bytes of a dump: a cluster of a thousand nodes has some 100 MiB of pods.
const MOST_BYTES: u64 = 512 << 20;

/// Puts the paths of a cluster in the place of a scenario's arms: those between its probes, or those to backends behind a
/// gateway.
pub(super) fn over(
    scenario: Scenario,
    args: &ClusterArgs,
    reference: Option<&Name>,
) -> anyhow::Result<(Scenario, ClusterArgs)> {
    if scenario.split.is_empty() {
        paths::over(scenario, args, reference)
    } else {
        let split = gateway::over(scenario, args, reference)?;
        Ok((split, args.clone()))
    }
}

/// Sets up again what a campaign that splits requests and goes on stood on.
pub(super) fn reach_split_again(
    run: &ClusterRun,
    gateway: &GatewayRun,
    plan: &Plan,
) -> anyhow::Result<StoodSplit> {
    gateway::reach_again(&stand::again(run), gateway, plan)
}

/// Does one of the cluster's commands.
pub(super) fn cluster(command: &ClusterCommand) -> anyhow::Result<Exit> {
    match command {
        ClusterCommand::Inspect(args) => inspected(args),
        ClusterCommand::Check(args) => check(&args.cluster),
        ClusterCommand::Clean(args) => clean(args),
        ClusterCommand::Split(args) => split::split(args),
        ClusterCommand::Results(args) => results::results(args),
        ClusterCommand::Mesh(args) => mesh::mesh(args),
    }
}

fn inspected(args: &InspectArgs) -> anyhow::Result<Exit> {
    let facts = match &args.from {
        Some(file) => {
            let context = || format!("failed to read `{}`", file.display());
            inspect(&Snapshot::read(&read(file)?).with_context(context)?)
        }
        None => runtime()?.block_on(async {
            let found = Cluster::connect(args.context.as_deref(), None).await;
            let cluster = found.map_err(|error| stand::unwell(&error))?;
            stand::network(&cluster).await
        })?,
    };
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&facts)?)
    } else {
        told(&facts)
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Says everything that stands against a run.
fn check(args: &ClusterArgs) -> anyhow::Result<Exit> {
    let found = runtime()?.block_on(async {
        let cluster = stand::connect(args).await?;
        let settings = stand::wanted(args);
        let found = cluster.preflight(&settings).await;
        found.map_err(|error| stand::unwell(&error))
    })?;
    for note in &found.notes {
        output::note(&format!("note: {note}"));
    }
    stand::refused(&found)?;
    let text = format!(
        "Kubernetes {}: a run can stand in namespace {}.\n",
        found.version, args.namespace
    );
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Removes what runs left behind.
fn clean(args: &ClusterArgs) -> anyhow::Result<Exit> {
    let cleaned = runtime()?.block_on(async {
        let cluster = stand::connect(args).await?;
        let cleaned = cluster.clean(None).await;
        cleaned.map_err(|error| stand::unwell(&error))
    })?;
    let text = match (cleaned.runs.as_slice(), cleaned.still_going()) {
        ([], None) => format!("No run stands in namespace {}.\n", args.namespace),
        ([], Some(left)) => format!("No run stands in namespace {}; {left}.\n", args.namespace),
        (runs, None) => format!("Removed {}.\n", runs.join(", ")),
        (runs, Some(left)) => format!("Removed {}; {left}.\n", runs.join(", ")),
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Reads a file, or standard input for `-`.
fn read(path: &Path) -> anyhow::Result<String> {
    let context = || format!("failed to read `{}`", path.display());
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(context)?)
    };
    let mut bytes = Vec::new();
    let mut bounded = input.take(MOST_BYTES + 1);
    bounded.read_to_end(&mut bytes).with_context(context)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!(
            "failed to read `{}`: it has more than 512 MiB",
            path.display()
        );
    }
    let not_text = |_| {
        anyhow!(
            "failed to read `{}`: it is not text in UTF-8",
            path.display()
        )
    };
    String::from_utf8(bytes).map_err(not_text)
}

/// Tells the findings in a table, and what contradicts itself below it.
fn told(facts: &ClusterFacts) -> String {
    let mut table = table(&["", "found", "by"]);
    for &aspect in Aspect::ALL {
        if let Some(finding) = facts.findings.get(&aspect) {
            table.add_row([
                aspect.label().to_owned(),
                value(finding),
                finding.evidence.join("\n"),
            ]);
        }
    }
    let mut text = format!("{table}\n");
    if facts
        .findings
        .values()
        .any(|finding| finding.basis == Basis::Implied)
    {
        text.push_str("* follows from a default or from what else is there; no object says so\n");
    }
    for (node, seen) in &facts.nodes {
        let _ = writeln!(text, "{}", nodes::line(node, seen));
    }
    for remark in &facts.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    text
}

fn value(finding: &Finding) -> String {
    match (&finding.value, finding.basis) {
        (Some(value), Basis::Implied) => format!("{value} *"),
        (Some(value), _) => value.clone(),
        (None, _) => "unknown".to_owned(),
    }
}
