//! A cluster on which a campaign stands: found, looked at, and with probes in it.

use std::collections::BTreeMap;

use anyhow::ensure;
use tollgate_cluster::api::{Cluster, ClusterError, ClusterErrorKind, Preflight};
use tollgate_cluster::inspect;
use tollgate_cluster::objects::{Run, Settings};
use tollgate_cluster::paths::Path;
use tollgate_results::arm::{Arm, Datapath, Family, Name, Pods};
use tollgate_results::change::Change;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::facts::Facts;
use tollgate_results::plan::Plan;
use tollgate_results::run::ClusterRun;
use tollgate_results::workload::Cpu;
use tollgate_scenarios::{Scenario, estimate};

use crate::cli::ClusterArgs;
use crate::command::hosts::{environment, runtime};
use crate::exit::EnvironmentError;
use crate::output;
use crate::placement::Placement;
use crate::target::cluster::{ClusterTarget, Ends};

/// What a campaign may take beyond its plan until its probes end by themselves, in seconds: dropped rounds that are
/// replaced, and a runner that is slow.
const BEYOND: i64 = 1_800;

/// A cluster with the probes of a campaign.
pub(in crate::command) struct Stood {
    pub(in crate::command) target: ClusterTarget,
    pub(in crate::command) ends: Ends,
    pub(in crate::command) cluster: ClusterRun,
}

impl Stood {
    /// Returns the CPUs of both nodes.
    pub(in crate::command) fn placement(&self) -> Placement {
        Placement::between(self.ends.client.cpus.clone(), self.ends.server.cpus.clone())
    }
}

impl Drop for Stood {
    /// Removes the run's objects, however the campaign ended. What can't be removed is told, and ends by itself.
    fn drop(&mut self) {
        let removed = runtime().and_then(|runtime| {
            runtime.block_on(async {
                self.target.reconnect()?;
                self.target.remove().await
            })
        });
        if let Err(error) = removed {
            output::note(&format!(
                "note: the run's objects are left behind ({error:#}); remove them with `tollgate cluster clean`"
            ));
        }
    }
}

/// Puts the paths in the place of a scenario's arms.
pub(in crate::command) fn over(
    mut scenario: Scenario,
    args: &ClusterArgs,
    reference: Option<&Name>,
) -> anyhow::Result<Scenario> {
    let paths = Path::ALL
        .into_iter()
        .filter(|path| args.host_network || *path != Path::Host);
    let names: Vec<Name> = paths
        .map(|path| path.as_str().parse())
        .collect::<Result<_, _>>()?;
    let reference = match reference {
        Some(reference) => reference.clone(),
        None => Path::PodIp.as_str().parse()?,
    };
    ensure!(
        names.contains(&reference),
        "--reference: no path is named `{reference}`; there are {}",
        names
            .iter()
            .map(Name::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let workloads: Vec<Name> = scenario
        .workloads
        .iter()
        .map(|workload| workload.name.clone())
        .collect();
    let arm = |name: Name| Arm {
        reference: (name != reference).then(|| reference.clone()),
        name,
        datapath: Datapath {
            pods: Pods::Host,
            family: Family::Ipv4,
            ..Datapath::default()
        },
        change: Change::default(),
        workloads: workloads.clone(),
        sweep: None,
    };
    scenario.arms = names.into_iter().map(arm).collect();
    for workload in &mut scenario.workloads {
        // Whose CPUs they are is the cluster's to say.
        workload.cpu = Cpu::Free;
    }
    scenario.reference = reference;
    Ok(scenario)
}

/// Looks for all that stands against a new campaign, and sets its probes up.
pub(in crate::command) fn reach(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Stood> {
    let settings = settings(args, plan)?;
    runtime()?.block_on(async {
        let cluster = connect(args).await?;
        let found = cluster
            .preflight(&settings)
            .await
            .map_err(|error| unwell(&error))?;
        for note in &found.notes {
            output::note(&format!("note: {note}"));
        }
        refused(&found)?;
        let network = network(&cluster).await?;
        stand(cluster, settings, args.context.clone(), network, plan).await
    })
}

/// Sets the probes of a campaign up that goes on: they are new ones.
pub(in crate::command) fn reach_again(run: &ClusterRun, plan: &Plan) -> anyhow::Result<Stood> {
    let args = ClusterArgs {
        context: run.context.clone(),
        namespace: run.namespace.clone(),
        image: Some(run.image.clone()),
        pull_secrets: run.pull_secrets.clone(),
        nodes: run.nodes.clone().map(Into::into),
        host_network: run
            .paths
            .keys()
            .any(|name| name.as_str() == Path::Host.as_str()),
    };
    reach(&args, plan)
}

/// Finds the cluster.
pub(super) async fn connect(args: &ClusterArgs) -> anyhow::Result<Cluster> {
    let found = Cluster::connect(args.context.as_deref(), Some(&args.namespace)).await;
    found.map_err(|error| unwell(&error))
}

/// Reads what the cluster's network is, as far as it may be read.
pub(super) async fn network(cluster: &Cluster) -> anyhow::Result<ClusterFacts> {
    let gathered = cluster.gather().await.map_err(|error| unwell(&error))?;
    for refused in &gathered.refused {
        output::note(&format!("note: {refused}: what it would tell is unknown"));
    }
    Ok(inspect(&gathered.snapshot))
}

/// Turns all problems into one error, a line each.
pub(super) fn refused(found: &Preflight) -> anyhow::Result<()> {
    if found.problems.is_empty() {
        return Ok(());
    }
    Err(anyhow::Error::new(EnvironmentError(
        found.problems.join("\n"),
    )))
}

/// Says what a run's objects would be like, whatever its plan.
pub(super) fn wanted(args: &ClusterArgs) -> Settings {
    let default = Settings::default();
    Settings {
        namespace: args.namespace.clone(),
        image: args.image.clone().unwrap_or(default.image),
        pull_secrets: args.pull_secrets.clone(),
        nodes: args.nodes.clone().map(Into::into),
        host_network: args.host_network,
        deadline_seconds: default.deadline_seconds,
        run: None,
        node_addresses: Vec::new(),
    }
}

/// Says what a run's objects are like.
fn settings(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Settings> {
    let seconds = estimate(plan).duration().as_secs();
    let deadline_seconds = i64::try_from(seconds)?
        .saturating_mul(2)
        .saturating_add(BEYOND);
    Ok(Settings {
        deadline_seconds,
        run: Some(Run {
            name: format!("{}-{}", label(plan.scenario.as_str()), plan.seed),
            owner: None,
        }),
        ..wanted(args)
    })
}

/// Makes a name fit for a label: 63 characters of letters, digits, `-`, `.` and `_`, the seed's digits among them.
fn label(name: &str) -> String {
    let fit = |c: char| if c == '@' { '-' } else { c };
    name.chars().take(40).map(fit).collect()
}

async fn stand(
    cluster: Cluster,
    settings: Settings,
    context: Option<String>,
    network: ClusterFacts,
    plan: &Plan,
) -> anyhow::Result<Stood> {
    let record = ClusterRun {
        context,
        server: cluster.server().to_owned(),
        namespace: cluster.namespace().to_owned(),
        image: settings.image.clone(),
        pull_secrets: settings.pull_secrets.clone(),
        nodes: settings.nodes.clone(),
        placed: BTreeMap::new(),
        paths: BTreeMap::new(),
        network,
        server_facts: Facts::default(),
    };
    let mut target = ClusterTarget::new(cluster, settings)?;
    output::note(&format!(
        "Setting probes up in namespace {}",
        record.namespace
    ));
    let met = async {
        let ends = target.meet().await?;
        let cluster = ClusterRun {
            placed: target.nodes(),
            paths: target.paths(plan.arms.iter().map(|arm| &arm.name))?,
            server_facts: ends.server.facts.clone(),
            ..record
        };
        anyhow::Ok((ends, cluster))
    };
    match met.await {
        Ok((ends, cluster)) => Ok(Stood {
            target,
            ends,
            cluster,
        }),
        Err(error) => {
            if let Err(left) = target.remove().await {
                output::note(&format!(
                    "note: {left:#}; remove it with `tollgate cluster clean`"
                ));
            }
            Err(environment(&error))
        }
    }
}

/// What a cluster doesn't do is the environment's fault; a way that isn't known is the caller's.
pub(super) fn unwell(error: &ClusterError) -> anyhow::Error {
    let said = format!("{error}: {}", error.kind());
    match error.kind() {
        ClusterErrorKind::Config(_) => anyhow::Error::msg(said),
        _ => anyhow::Error::new(EnvironmentError(said)),
    }
}
