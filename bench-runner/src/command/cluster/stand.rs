//! Clusters on which a campaign stands: found, looked at, and with probes in them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use tollgate_cluster::api::{Cluster, ClusterError, ClusterErrorKind, Preflight};
use tollgate_cluster::inspect::{inspect, with_nodes};
use tollgate_cluster::objects::seats::Pair;
use tollgate_cluster::objects::{Run, Settings};
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::cluster_path::{ClusterPath, Path};
use tollgate_results::plan::Plan;
use tollgate_results::run::ClusterRun;
use tollgate_scenarios::estimate;

use crate::cli::ClusterArgs;
use crate::command::hosts::{environment, resolve, runtime};
use crate::command::interrupt::unless_interrupted;
use crate::exit::{EnvironmentError, InterruptedError};
use crate::output;
use crate::placement::Placement;
use crate::target::cluster::{ClusterTarget, Ends, Met, Outside};
use crate::target::hosts::invitations;

/// What a campaign may take beyond its plan until its probes end by themselves, in seconds: dropped rounds that are
/// replaced, and a runner that is slow.
const BEYOND: i64 = 1_800;

/// The clusters of a campaign, with its probes.
pub(in crate::command) struct Stood {
    pub(in crate::command) target: ClusterTarget,
    pub(in crate::command) ends: Ends,
    pub(in crate::command) cluster: ClusterRun,
}

/// Clusters by the contexts that arms name; `None` is the campaign's own.
type Clusters = BTreeMap<Option<String>, (Cluster, Settings)>;

impl Stood {
    /// Returns the CPUs of both nodes.
    pub(in crate::command) fn placement(&self) -> Placement {
        Placement::between(self.ends.client.cpus.clone(), self.ends.server.cpus.clone())
    }
}

impl Drop for Stood {
    /// Removes the run's objects, however the campaign ended. What can't be removed is told, and ends by itself.
    fn drop(&mut self) {
        put_away(async {
            self.target.reconnect()?;
            self.target.remove().await
        });
    }
}

/// Removes a run's objects; says where they are left behind.
pub(super) fn put_away(removal: impl Future<Output = anyhow::Result<()>>) {
    let removed = runtime().and_then(|runtime| runtime.block_on(removal));
    if let Err(error) = removed {
        output::note(&format!(
            "note: the run's objects are left behind ({error:#}); remove them with `tollgate cluster clean`"
        ));
    }
}

/// Looks for all that stands against a new campaign, and sets its probes up.
pub(in crate::command) fn reach(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Stood> {
    let outside = outside(args, plan)?;
    runtime()?.block_on(async {
        let clusters = clusters(args, plan).await?;
        let mut all = Preflight::default();
        for (context, (cluster, settings)) in &clusters {
            let of = |line: &String| match context {
                Some(context) => format!("context {context}: {line}"),
                None => line.clone(),
            };
            let found = cluster.preflight(settings).await;
            let found = found.map_err(|error| unwell(&error))?;
            for note in found.notes.iter().map(of) {
                output::note(&format!("note: {note}"));
            }
            all.problems.extend(found.problems.iter().map(of));
        }
        refused(&all)?;
        stand(args, clusters, outside, plan).await
    })
}

/// Sets the probes of a campaign up that goes on: they are new ones.
pub(in crate::command) fn reach_again(run: &ClusterRun, plan: &Plan) -> anyhow::Result<Stood> {
    reach(&again(run), plan)
}

/// Returns what the command line said of a campaign's cluster.
pub(in crate::command) fn again(run: &ClusterRun) -> ClusterArgs {
    ClusterArgs {
        context: run.context.clone(),
        namespace: run.namespace.clone(),
        image: Some(run.image.clone()),
        pull_secrets: run.pull_secrets.clone(),
        nodes: run.nodes.clone().map(Into::into),
        // The plan says which are needed.
        host_network: false,
        load_balancer: false,
        external: run.external.clone(),
        gateway_class: None,
    }
}

/// Finds the cluster.
pub(super) async fn connect(args: &ClusterArgs) -> anyhow::Result<Cluster> {
    let found = Cluster::connect(args.context.as_deref(), Some(&args.namespace)).await;
    found.map_err(|error| unwell(&error))
}

/// Reads what the cluster's network is, as far as it may be read.
pub(super) async fn network(cluster: &Cluster) -> anyhow::Result<ClusterFacts> {
    let gathered = cluster.gather().await.map_err(|error| unwell(&error))?;
    unread(&gathered.refused);
    Ok(with_nodes(inspect(&gathered.snapshot), gathered.nodes))
}

/// Tells what may not be read: without rights over the cluster that is every kind of object, in one line.
fn unread(refused: &[String]) {
    const SUFFIX: &str = " may not be read";
    let (kinds, others): (Vec<&String>, Vec<&String>) =
        refused.iter().partition(|line| line.ends_with(SUFFIX));
    let kinds: Vec<&str> = kinds
        .into_iter()
        .filter_map(|line| line.strip_suffix(SUFFIX))
        .collect();
    let together = (!kinds.is_empty()).then(|| format!("{}{SUFFIX}", kinds.join(", ")));
    for line in together.iter().chain(others) {
        output::note(&format!("note: {line}: what it would tell is unknown"));
    }
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
        load_balancer: args.load_balancer,
        ..Settings::default()
    }
}

/// Says what a run's objects are like.
pub(super) fn settings(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Settings> {
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

/// Adds what the paths through one cluster need.
fn with_paths(settings: Settings, plan: &Plan, context: Option<&String>) -> Settings {
    let paths = plan
        .arms
        .iter()
        .filter_map(|arm| arm.datapath.cluster.as_ref());
    let own: Vec<&ClusterPath> = paths
        .filter(|path| path.context.as_ref() == context)
        .collect();
    let leads = |wanted: Path| own.iter().any(|path| path.path == wanted);
    let mut settings = Settings {
        host_network: leads(Path::Host),
        other_zone: leads(Path::OtherZone),
        load_balancer: leads(Path::LoadBalancer),
        ..settings
    };
    for path in own {
        let Some((client, server)) = path.ends() else {
            settings.clients = settings.clients.max(path.clients);
            continue;
        };
        // Arms that differ in their clients alone have a server each: its ports are its paths'.
        let pair = Pair {
            client: client.to_owned(),
            server: server.to_owned(),
            clients: path.clients,
        };
        if !settings.pairs.contains(&pair) {
            settings.pairs.push(pair);
        }
    }
    settings
}

/// Makes a name fit for a label: 63 characters of letters, digits, `-`, `.` and `_`, the seed's digits among them.
fn label(name: &str) -> String {
    let fit = |c: char| if c == '@' { '-' } else { c };
    name.chars().take(40).map(fit).collect()
}

/// Finds the clusters of a plan's arms.
async fn clusters(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Clusters> {
    let paths = plan
        .arms
        .iter()
        .filter_map(|arm| arm.datapath.cluster.as_ref());
    let named = paths.filter_map(|path| path.context.clone()).map(Some);
    let contexts: BTreeSet<Option<String>> = std::iter::once(None).chain(named).collect();
    if contexts.len() > 1 && args.nodes.is_some() {
        bail!("--nodes: names nodes of one cluster, and the arms are of several; leave it out");
    }
    let mut clusters = Clusters::new();
    for context in contexts {
        let leads = ClusterArgs {
            context: context.clone().or_else(|| args.context.clone()),
            ..args.clone()
        };
        let cluster = connect(&leads).await?;
        let mut others = clusters.values();
        if others.any(|(other, _)| other.server() == cluster.server()) {
            bail!(
                "context {} leads to the cluster of another arm's ({}), where one namespace holds one run; arms of one \
                 cluster name one context",
                leads.context.as_deref().unwrap_or("(the current one)"),
                cluster.server()
            );
        }
        let settings = with_paths(settings(args, plan)?, plan, context.as_ref());
        clusters.insert(context, (cluster, settings));
    }
    Ok(clusters)
}

/// Finds the machine outside the cluster, where an arm leads to one.
fn outside(args: &ClusterArgs, plan: &Plan) -> anyhow::Result<Option<Outside>> {
    let leads_there = |path: &ClusterPath| path.path == Path::External;
    let mut arms = plan.arms.iter();
    let arm = arms.find(|arm| arm.datapath.cluster.as_ref().is_some_and(leads_there));
    let Some(arm) = arm else { return Ok(None) };
    let name = args.external.as_deref().with_context(|| {
        format!(
            "arm `{}` leads to a machine outside the cluster; name a joined one with --external (`tollgate join` makes it \
             known)",
            arm.name
        )
    })?;
    let invitation = invitations::find(name)?;
    let address = resolve(&invitation.address)?;
    Ok(Some(Outside {
        invitation: Box::new(invitation),
        address,
    }))
}

async fn stand(
    args: &ClusterArgs,
    clusters: Clusters,
    outside: Option<Outside>,
    plan: &Plan,
) -> anyhow::Result<Stood> {
    let mut records: BTreeMap<Option<String>, ClusterRun> = BTreeMap::new();
    for (context, (cluster, settings)) in &clusters {
        let leads = context.as_ref().or(args.context.as_ref());
        let record = ClusterRun {
            context: leads.cloned(),
            server: cluster.server().to_owned(),
            namespace: cluster.namespace().to_owned(),
            image: settings.image.clone(),
            pull_secrets: settings.pull_secrets.clone(),
            nodes: settings.nodes.clone(),
            external: outside.as_ref().and(args.external.clone()),
            ..ClusterRun::default()
        };
        output::note(&match context {
            Some(context) => format!(
                "Setting probes up in namespace {}, context {context}",
                record.namespace
            ),
            None => format!("Setting probes up in namespace {}", record.namespace),
        });
        records.insert(context.clone(), record);
    }
    let mut target = ClusterTarget::new(clusters, outside)?;
    let met = async {
        let met = target.meet().await?;
        recorded(&target, records, met, plan)
    };
    match unless_interrupted(met).await {
        Ok((ends, cluster)) => Ok(Stood {
            target,
            ends,
            cluster,
        }),
        Err(error) => Err(given_up(target.remove(), error).await),
    }
}

/// Removes what was made of a run that doesn't come to be; returns why it doesn't.
pub(super) async fn given_up(
    removal: impl Future<Output = anyhow::Result<()>>,
    error: anyhow::Error,
) -> anyhow::Error {
    if let Err(left) = removal.await {
        output::note(&format!(
            "note: {left:#}; remove it with `tollgate cluster clean`"
        ));
    }
    if error.is::<InterruptedError>() {
        return error;
    }
    environment(&error)
}

/// Writes down what was met: the campaign's own cluster, with the others beside it.
fn recorded(
    target: &ClusterTarget,
    mut records: BTreeMap<Option<String>, ClusterRun>,
    met: BTreeMap<Option<String>, Met>,
    plan: &Plan,
) -> anyhow::Result<(Ends, ClusterRun)> {
    let mut own = None;
    let mut beside = Vec::new();
    for (context, met) in met {
        let record = records.remove(&context);
        let record = record.context("every cluster has a record")?;
        unread(&met.refused);
        let arms = plan.arms.iter().filter(|arm| {
            let path = arm.datapath.cluster.as_ref();
            path.is_some_and(|path| path.context == context)
        });
        let record = ClusterRun {
            placed: met.placed,
            paths: target.paths(arms),
            network: met.network,
            server_facts: met.ends.server.facts.clone(),
            client_facts: context.is_some().then(|| met.ends.client.facts.clone()),
            ..record
        };
        match context {
            None => own = Some((met.ends, record)),
            Some(_) => beside.push(record),
        }
    }
    let (ends, record) = own.context("the campaign has a cluster of its own")?;
    Ok((ends, ClusterRun { beside, ..record }))
}

/// What a cluster doesn't do is the environment's fault; a way that isn't known is the caller's.
pub(super) fn unwell(error: &ClusterError) -> anyhow::Error {
    let said = format!("{error}: {}", error.kind());
    match error.kind() {
        ClusterErrorKind::Config(_) => anyhow::Error::msg(said),
        _ => anyhow::Error::new(EnvironmentError(said)),
    }
}
