//! One slice: arm the job, read the counters of both ends, run, read them again, take the evidence.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::counters::Counters;
use tollgate_results::evidence::{DatapathCounters, Evidence, RuleGeneration, Translation};
use tollgate_results::outcome::{Histograms, JobReport};
use tollgate_results::plan::Plan;
use tollgate_results::slice::{Measured, Pinned, Slice, SliceKey, SliceRecord, SliceResult};
use tollgate_results::together::Together;

use crate::agent::Agent;
use crate::placement::Placement;
use crate::target::{Deployment, End, Target};

/// Longest that control may take around a slice's own time before the slice has failed.
const CONTROL_LIMIT: Duration = Duration::from_secs(15);

/// A deployed arm and the agents in it.
pub(super) struct LiveArm<T: Target> {
    pub(super) deployment: T::Deployment,
    agents: Option<Agents>,
    /// The rules of its nodes as they were before its first slice.
    rules: Option<Vec<RuleGeneration>>,
}

struct Agents {
    /// Those that send, at once.
    clients: Vec<Agent>,
    server: Agent,
}

impl<T: Target> LiveArm<T> {
    pub(super) const fn new(deployment: T::Deployment) -> Self {
        Self {
            deployment,
            agents: None,
            rules: None,
        }
    }

    /// Drops the agents, which ends them and their traffic.
    pub(super) fn forget_agents(&mut self) {
        self.agents = None;
    }
}

/// What is known of a slice before it is measured.
pub(super) struct Stamp {
    pub(super) install: usize,
    pub(super) position: usize,
    pub(super) started_unix_ms: u64,
    /// Time beyond warm-up and window.
    pub(super) control_ns: Option<u64>,
}

impl Stamp {
    /// Makes the slice's record of what was measured, or of why it was not.
    pub(super) fn slice(
        self,
        key: SliceKey,
        result: anyhow::Result<(Measured, Histograms)>,
    ) -> Slice {
        let (result, histograms) = match result {
            Ok((measured, histograms)) => (SliceResult::Measured(Box::new(measured)), histograms),
            Err(error) => (
                SliceResult::Failed {
                    reason: format!("{error:#}"),
                },
                Histograms::new(),
            ),
        };
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let record = SliceRecord {
            key,
            install: small(self.install),
            position: small(self.position),
            started_unix_ms: self.started_unix_ms,
            control_ns: self.control_ns,
            result,
        };
        Slice { record, histograms }
    }
}

/// Measures one slice within a bounded time.
pub(super) async fn measure<T: Target>(
    arm: &mut LiveArm<T>,
    plan: &Plan,
    placement: &Placement,
    key: &SliceKey,
) -> anyhow::Result<(Measured, Histograms)> {
    let workload = plan
        .workload(&key.workload)
        .context("the slice's workload is in the plan")?;
    let pinned = placement.pinned(workload.cpu);
    let endpoints = arm.deployment.site().endpoints;
    let job = Job {
        traffic: workload.traffic.clone(),
        load: workload.load,
        timestamps: workload.timestamps,
        ports: workload.ports,
        beside: workload.beside,
        target: endpoints.target,
        warmup: plan.rounds.warmup,
        duration: plan.rounds.slice,
        cpu: pinned.client,
        seed: plan.seed ^ u64::from(key.round) << 32,
        key: arm.deployment.site().key.clone(),
    };
    let limit = job.warmup.duration() + job.duration.duration() + CONTROL_LIMIT;
    let agents = match arm.agents.take() {
        Some(agents) => agents,
        None => start_agents(&mut arm.deployment).await?,
    };
    let agents = arm.agents.insert(agents);
    let serve = Serve {
        bind: endpoints.bind,
        port: endpoints.port,
        cpu: pinned.server,
        name: None,
        planted: plan.arm(&key.arm).and_then(|arm| arm.change.planted),
        key: job.key.clone(),
    };
    // What a user's own commands have started may change rules as it likes.
    let own = plan
        .arm(&key.arm)
        .is_some_and(|arm| arm.change.apply.is_empty());
    let rules = own.then_some(&mut arm.rules);
    let measuring = exchange(&mut arm.deployment, agents, rules, &serve, &job);
    tokio::time::timeout(limit, measuring)
        .await
        .with_context(|| format!("no answer from the probes within {} s", limit.as_secs()))?
}

async fn start_agents<D: Deployment>(deployment: &mut D) -> anyhow::Result<Agents> {
    let server = start_agent(deployment, End::Server)
        .await
        .context("server")?;
    let mut clients = Vec::new();
    for number in 0..deployment.site().clients {
        let client = start_agent(deployment, End::Client(number)).await;
        clients.push(client.context("client")?);
    }
    Ok(Agents { clients, server })
}

/// Starts the probe of an end and connects to it; one that ended says why.
pub(crate) async fn start_agent<D: Deployment>(
    deployment: &mut D,
    end: End,
) -> anyhow::Result<Agent> {
    let stream = deployment.agent(end).await?;
    match Agent::connect(stream).await {
        Ok(agent) => Ok(agent),
        // Why it ended says more than that it has gone.
        Err(error) => Err(match deployment.agent_end(end).await {
            Some(why) => anyhow::anyhow!("the probe agent ended: {why}"),
            None => error,
        }),
    }
}

async fn exchange<D: Deployment>(
    deployment: &mut D,
    agents: &mut Agents,
    mut rules: Option<&mut Option<Vec<RuleGeneration>>>,
    serve: &Serve,
    job: &Job,
) -> anyhow::Result<(Measured, Histograms)> {
    let Agents { clients, server } = agents;
    server.serve(serve).await?;
    let path_before = deployment.counters().await?;
    if let Some(rules) = rules.as_mut() {
        unchanged(rules, &path_before)?;
    }
    let arming = (0..).zip(clients.iter_mut()).map(|(number, client)| {
        // No two clients draw the same.
        let seed = job.seed.wrapping_add(number);
        let job = Job {
            seed,
            ..job.clone()
        };
        async move { client.arm(&job).await }
    });
    let armed = try_join_all(arming).await?;
    let server_before = server.counters().await?;
    let clients_before = try_join_all(clients.iter_mut().map(Agent::counters)).await?;
    let running = clients.iter_mut().zip(&armed);
    let ran = try_join_all(running.map(|(client, armed)| client.run(armed))).await?;
    let clients_after = try_join_all(clients.iter_mut().map(Agent::counters)).await?;
    let server_after = server.counters().await?;
    let (report, together) = one(ran)?;
    let JobReport {
        outcome,
        histograms,
        started_ns: _,
    } = report;
    let translation = match &outcome.flow {
        Some(flow) => deployment.translation(flow).await,
        None => Translation::Unknown {
            reason: "the slice had no connection".to_owned(),
        },
    };
    let path_after = deployment.counters().await?;
    if let Some(rules) = rules.as_mut() {
        unchanged(rules, &path_after)?;
    }
    let path = path_after.since(&path_before);
    let mut server = server_after.since(&server_before);
    if deployment.site().shares_kernel {
        forget_kernel(&mut server);
    }
    let measured = Measured {
        outcome,
        pinned: Pinned {
            client: job.cpu,
            server: serve.cpu,
        },
        client: since(&clients_after, &clients_before),
        server,
        evidence: Evidence {
            counters: path,
            translation,
        },
        together,
    };
    Ok((measured, histograms))
}

/// Returns what was counted at the clients' end. They stand on one kernel, which is counted once.
fn since(after: &[Counters], before: &[Counters]) -> Counters {
    let mut each = after.iter().zip(before).map(|(a, b)| a.since(b));
    let mut all = each.next().unwrap_or_default();
    each.for_each(|more| all.join(&more));
    all
}

/// Makes one report of those of all clients.
fn one(mut reports: Vec<JobReport>) -> anyhow::Result<(JobReport, Option<Together>)> {
    if reports.len() > 1 {
        let joined = Together::join(reports).context("a client doesn't say when it began");
        return joined.map(|(report, together)| (report, Some(together)));
    }
    let report = reports.pop().context("nobody sent")?;
    Ok((report, None))
}

/// How to go on once somebody has changed the rules of an arm.
const MEND: &str = "deploy the arm anew, and keep others away from its namespaces";

/// Fails where somebody has changed the rules of a node since the arm's first slice: it is another arm then.
fn unchanged(
    rules: &mut Option<Vec<RuleGeneration>>,
    now: &DatapathCounters,
) -> anyhow::Result<()> {
    let first = rules.get_or_insert_with(|| now.rule_generations.clone());
    for node in &now.rule_generations {
        let before = first.iter().find(|before| before.node == node.node);
        let Some(before) = before else {
            continue;
        };
        anyhow::ensure!(
            before.generation == node.generation,
            "somebody changed the rules of node {} (generation {} of nf_tables, {} when the arm was first measured); \
             {MEND}",
            node.node,
            node.generation,
            before.generation
        );
        anyhow::ensure!(
            before.legacy_bytes == node.legacy_bytes,
            "somebody changed the rules of node {} (iptables-legacy has {} bytes of them, {} when the arm was first \
             measured); {MEND}",
            node.node,
            node.legacy_bytes.unwrap_or(0),
            before.legacy_bytes.unwrap_or(0)
        );
    }
    Ok(())
}

/// Removes what the client's end has counted already: one kernel is counted once.
fn forget_kernel(counters: &mut Counters) {
    counters.cpus.clear();
    counters.context_switches = None;
    counters.pressure = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(generation: u64, legacy_bytes: Option<u64>) -> DatapathCounters {
        DatapathCounters {
            rule_generations: vec![RuleGeneration {
                node: "a".to_owned(),
                generation,
                legacy_bytes,
            }],
            ..DatapathCounters::default()
        }
    }

    #[test]
    fn rules_of_either_kind_that_change_are_told_and_others_pass() {
        let mut first = None;
        unchanged(&mut first, &rules(7, Some(800))).unwrap();
        unchanged(&mut first, &rules(7, Some(800))).unwrap();
        for (changed, told) in [
            (rules(8, Some(800)), "generation 8 of nf_tables, 7 when"),
            (rules(7, Some(640)), "has 640 bytes of them, 800 when"),
            (rules(7, None), "has 0 bytes of them, 800 when"),
        ] {
            let error = unchanged(&mut first, &changed).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
        // Between two hosts there are no nodes of ours.
        unchanged(&mut first, &DatapathCounters::default()).unwrap();
    }
}
