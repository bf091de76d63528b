//! A gateway with backends on which a campaign stands: whether requests are split as weights say, and at what toll.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use tollgate_cluster::api::GatewayClass;
use tollgate_cluster::objects::Settings;
use tollgate_reports::split::{Weighted, needed};
use tollgate_results::agent::HostFacts;
use tollgate_results::arm::{Arm, Datapath, Family, Name, Pods};
use tollgate_results::change::Change;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::plan::Plan;
use tollgate_results::run::{ClusterRun, GatewayRun};
use tollgate_results::workload::{Cpu, HttpVersion, Traffic, Workload};
use tollgate_scenarios::Scenario;

use super::stand::{connect, given_up, network, put_away, refused, settings, unwell};
use crate::cli::ClusterArgs;
use crate::command::hosts::runtime;
use crate::command::interrupt::unless_interrupted;
use crate::output;
use crate::placement::Placement;
use crate::target::split::{DIRECT, GATEWAY, SplitTarget};

/// How far a share may be off unseen, as in datapaths §7.
const TOLERANCE: f64 = 0.01;

/// A cluster with the gateway of a campaign.
pub(in crate::command) struct StoodSplit {
    pub(in crate::command) target: SplitTarget,
    pub(in crate::command) client: HostFacts,
    pub(in crate::command) cluster: ClusterRun,
}

impl StoodSplit {
    /// Returns the CPUs of the client's node: nothing else is pinned.
    pub(in crate::command) fn placement(&self) -> Placement {
        Placement::between(self.client.cpus.clone(), self.client.cpus.clone())
    }
}

impl Drop for StoodSplit {
    /// Removes the run's objects, however the campaign ended. What can't be removed is told, and ends by itself.
    fn drop(&mut self) {
        put_away(async {
            self.target.reconnect()?;
            self.target.remove().await
        });
    }
}

/// Makes the two ways to the backends the arms of a scenario that splits, and has latency kept for each backend.
pub(in crate::command) fn over(
    mut scenario: Scenario,
    args: &ClusterArgs,
    reference: Option<&Name>,
) -> anyhow::Result<Scenario> {
    ensure!(
        reference.is_none(),
        "--reference: a split is compared with the direct path; leave it out"
    );
    ensure!(
        !args.host_network,
        "--host-network: a split has no path between the nodes' networks; leave it out"
    );
    let faults: Vec<String> = scenario.workloads.iter_mut().filter_map(timed).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let workloads: Vec<Name> = scenario
        .workloads
        .iter()
        .map(|workload| workload.name.clone())
        .collect();
    let direct: Name = DIRECT.parse()?;
    let arm = |name: Name| Arm {
        reference: (name != direct).then(|| direct.clone()),
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
    scenario.arms = vec![arm(direct.clone()), arm(GATEWAY.parse()?)];
    scenario.reference = direct;
    Ok(scenario)
}

/// Has a workload keep latency for each backend; says why it can't.
fn timed(workload: &mut Workload) -> Option<String> {
    // Whose CPUs they are is the cluster's to say.
    workload.cpu = Cpu::Free;
    match &mut workload.traffic {
        Traffic::Http(http)
            if http.version == HttpVersion::Http1 && http.parallel == 1 && http.tls.is_none() =>
        {
            http.by_backend = true;
            None
        }
        _ => Some(format!(
            "workload `{}`: requests are split over HTTP/1.1 in plain text, one at a time; write [workload.{0}.http] \
             without version, parallel and tls",
            workload.name
        )),
    }
}

/// Looks for all that stands against a new campaign, and sets gateway and backends up.
pub(in crate::command) fn reach(
    args: &ClusterArgs,
    weights: BTreeMap<Name, u32>,
    plan: &Plan,
) -> anyhow::Result<StoodSplit> {
    announce(&weights)?;
    let settings = settings(args, plan)?;
    runtime()?.block_on(async {
        let cluster = connect(args).await?;
        let looked = cluster
            .preflight_gateway(&settings, weights.len(), args.gateway_class.as_deref())
            .await;
        let (found, class) = looked.map_err(|error| unwell(&error))?;
        for note in &found.notes {
            output::note(&format!("note: {note}"));
        }
        refused(&found)?;
        let Some(class) = class else {
            bail!("no class of gateways was chosen");
        };
        let network = network(&cluster).await?;
        let record = record(args, &settings, &class, &weights, network, cluster.server());
        output::note(&format!(
            "Setting a gateway of class {} and its backends up in namespace {}",
            class.name, record.namespace
        ));
        let target = SplitTarget::new(cluster, settings, class, weights)?;
        stand(target, record, plan).await
    })
}

/// Sets up again what a campaign that goes on stood on.
pub(in crate::command) fn reach_again(
    args: &ClusterArgs,
    gateway: &GatewayRun,
    plan: &Plan,
) -> anyhow::Result<StoodSplit> {
    let args = ClusterArgs {
        gateway_class: Some(gateway.class.clone()),
        ..args.clone()
    };
    reach(&args, gateway.weights.clone(), plan)
}

/// Says how many requests the verdict wants.
fn announce(weights: &BTreeMap<Name, u32>) -> anyhow::Result<()> {
    let backends: Vec<Weighted> = weights
        .iter()
        .map(|(name, weight)| Weighted {
            name: name.to_string(),
            weight: u64::from(*weight),
        })
        .collect();
    let wanted = needed(&backends, TOLERANCE)?;
    output::note(&format!(
        "±1 percentage point at 95 % wants {wanted} requests on new connections, all rounds together"
    ));
    Ok(())
}

fn record(
    args: &ClusterArgs,
    settings: &Settings,
    class: &GatewayClass,
    weights: &BTreeMap<Name, u32>,
    network: ClusterFacts,
    server: &str,
) -> ClusterRun {
    ClusterRun {
        context: args.context.clone(),
        server: server.to_owned(),
        namespace: settings.namespace.clone(),
        image: settings.image.clone(),
        pull_secrets: settings.pull_secrets.clone(),
        nodes: settings.nodes.clone(),
        network,
        gateway: GATEWAY.parse().ok().map(|arm| GatewayRun {
            class: class.name.clone(),
            controller: class.controller.clone(),
            arm,
            weights: weights.clone(),
        }),
        ..ClusterRun::default()
    }
}

async fn stand(
    mut target: SplitTarget,
    record: ClusterRun,
    plan: &Plan,
) -> anyhow::Result<StoodSplit> {
    let met = async {
        let client = target.meet().await?;
        let mut paths = BTreeMap::new();
        for arm in &plan.arms {
            paths.insert(arm.name.clone(), target.path(&arm.name)?);
        }
        let cluster = ClusterRun {
            placed: target.nodes(),
            paths,
            server_facts: client.facts.clone(),
            ..record
        };
        anyhow::Ok((client, cluster))
    };
    match unless_interrupted(met).await {
        Ok((client, cluster)) => Ok(StoodSplit {
            target,
            client,
            cluster,
        }),
        Err(error) => Err(given_up(target.remove(), error).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_has_two_ways_and_latency_for_each_backend() {
        let scenario = Scenario::load("gateway-split").unwrap();
        let scenario = over(scenario, &ClusterArgs::defaults(), None).unwrap();
        let arms: Vec<&str> = scenario.arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(arms, [DIRECT, GATEWAY]);
        assert_eq!(
            scenario.arms[1].reference.as_ref(),
            Some(&scenario.reference)
        );
        for workload in &scenario.workloads {
            assert!(matches!(&workload.traffic, Traffic::Http(http) if http.by_backend));
            assert_eq!(workload.cpu, Cpu::Free);
        }
    }

    #[test]
    fn what_doesn_t_split_is_refused_before_anything_is_made() {
        let load = || Scenario::load("gateway-split").unwrap();
        let told = over(
            load(),
            &ClusterArgs::defaults(),
            Some(&"gateway".parse().unwrap()),
        )
        .unwrap_err();
        assert!(told.to_string().contains("compared with the direct path"));
        let mut other = load();
        other.workloads = Scenario::load("quickstart").unwrap().workloads;
        let told = over(other, &ClusterArgs::defaults(), None)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("workload `tcp-rr`: requests are split over HTTP/1.1"),
            "{told}"
        );
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}
