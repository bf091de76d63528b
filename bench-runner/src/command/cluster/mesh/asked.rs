//! Which workload of which scenario is measured, and between which nodes.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use tollgate_cluster::api::{Cluster, Surveyed};
use tollgate_results::arm::Name;
use tollgate_results::mesh::{MOST_NODES, MeshNode, MeshRecord, SkippedNode};
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::{Cpu, Load, Traffic, Workload};
use tollgate_scenarios::Scenario;

use crate::cli::{ClusterArgs, MeshArgs};
use crate::command::cluster::stand::unwell;
use crate::exit::EnvironmentError;
use crate::output;

/// What a meeting takes beside its traffic, through an API server that is near.
const CONTROL: Nanoseconds = Nanoseconds(300_000_000);

/// What is measured in each meeting.
pub(super) struct Asked {
    pub(super) scenario: Name,
    pub(super) workload: Workload,
    pub(super) slice: Nanoseconds,
    pub(super) warmup: Nanoseconds,
}

impl Asked {
    /// Takes a workload out of a scenario.
    pub(super) fn of(args: &MeshArgs) -> anyhow::Result<Self> {
        let scenario = Scenario::load(&args.scenario)?;
        let names = || {
            let names = scenario.workloads.iter().map(|it| it.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let found = match &args.workload {
            Some(name) => scenario.workloads.iter().find(|it| it.name == *name),
            None => scenario.workloads.first(),
        };
        let workload = found.with_context(|| match &args.workload {
            Some(name) => format!("--workload: there is no `{name}`; there are {}", names()),
            None => "the scenario has no workload".to_owned(),
        })?;
        if let Some(why) = unfit(workload) {
            bail!(
                "--workload: `{}` {why}; choose a tcp-rr, tcp-crr or udp-rr in closed loop among {}",
                workload.name,
                names()
            );
        }
        Ok(Self {
            workload: Workload {
                // Whose CPUs they are is the cluster's to say.
                cpu: Cpu::Free,
                timestamps: false,
                ..workload.clone()
            },
            slice: args.slice.unwrap_or(scenario.rounds.slice),
            warmup: args.warmup.unwrap_or(scenario.rounds.warmup),
            scenario: scenario.name,
        })
    }

    /// Returns what a meeting takes.
    pub(super) const fn each(&self) -> Nanoseconds {
        time(self.slice, self.warmup)
    }
}

/// Returns what a meeting of a record takes.
pub(super) const fn each(record: &MeshRecord) -> Nanoseconds {
    time(record.slice, record.warmup)
}

const fn time(slice: Nanoseconds, warmup: Nanoseconds) -> Nanoseconds {
    Nanoseconds(slice.0.saturating_add(warmup.0).saturating_add(CONTROL.0))
}

/// Says why a workload has no latency that pairs could be compared by.
fn unfit(workload: &Workload) -> Option<&'static str> {
    if workload.load != Load::Closed {
        return Some("sends on a schedule");
    }
    if workload.beside.is_some() {
        return Some("has bulk data beside it");
    }
    if workload.ports.is_some() {
        return Some("sweeps over source ports");
    }
    match workload.traffic {
        Traffic::TcpRr { .. } | Traffic::TcpCrr { .. } | Traffic::UdpRr { .. } => None,
        _ => Some("is no request and response between probes"),
    }
}

/// Returns the nodes that take part, and those that don't.
pub(super) async fn nodes(
    cluster: &Cluster,
    wanted: &[String],
) -> anyhow::Result<(Vec<MeshNode>, Vec<SkippedNode>)> {
    let surveyed = cluster.survey().await.map_err(|error| unwell(&error))?;
    let surveyed = if let Some(surveyed) = surveyed {
        surveyed
    } else if wanted.is_empty() {
        bail!(
            "nodes may not be read; name them with --node, or bind a cluster role that may list nodes"
        );
    } else {
        output::note("note: nodes may not be read: their zones are unknown");
        unseen(wanted)
    };
    chosen(surveyed, wanted)
}

/// Makes nodes of names, about which nothing else is known.
fn unseen(names: &[String]) -> Vec<Surveyed> {
    let names: BTreeSet<&String> = names.iter().collect();
    let node = |name: &String| Surveyed {
        name: name.clone(),
        zone: None,
        unable: None,
    };
    names.into_iter().map(node).collect()
}

/// Sorts nodes into those that take part and those that can't; of those that were asked for all have to be there.
fn chosen(
    surveyed: Vec<Surveyed>,
    wanted: &[String],
) -> anyhow::Result<(Vec<MeshNode>, Vec<SkippedNode>)> {
    let strangers: Vec<&str> = wanted
        .iter()
        .filter(|name| surveyed.iter().all(|node| node.name != **name))
        .map(String::as_str)
        .collect();
    ensure!(
        strangers.is_empty(),
        "--node: there is no {}; `kubectl get nodes` lists them",
        strangers.join(", ")
    );
    let (mut nodes, mut skipped) = (Vec::new(), Vec::new());
    for node in surveyed {
        if !wanted.is_empty() && !wanted.contains(&node.name) {
            continue;
        }
        match node.unable {
            Some(reason) => skipped.push(SkippedNode {
                node: node.name,
                reason,
            }),
            None => nodes.push(MeshNode {
                name: node.name,
                zone: node.zone,
                kernel: None,
            }),
        }
    }
    if !(2..=MOST_NODES).contains(&nodes.len()) {
        return Err(wrong_number(nodes.len(), &skipped));
    }
    Ok((nodes, skipped))
}

/// Says that there are too few nodes, and what became of the others; or too many.
pub(super) fn wrong_number(nodes: usize, skipped: &[SkippedNode]) -> anyhow::Error {
    let mut said =
        format!("a mesh wants 2 to {MOST_NODES} nodes that take a probe, and there are {nodes}");
    if nodes > MOST_NODES {
        said.push_str("; choose some with --node");
    }
    for node in skipped.iter().take(10) {
        said.push_str("\nskipped ");
        said.push_str(&node.node);
        said.push_str(": ");
        said.push_str(&node.reason);
    }
    anyhow::Error::new(EnvironmentError(said))
}

/// Returns the cluster of a mesh that goes on.
pub(super) fn again(record: &MeshRecord) -> ClusterArgs {
    let cluster = &record.cluster;
    ClusterArgs {
        context: cluster.context.clone(),
        namespace: cluster.namespace.clone(),
        image: Some(cluster.image.clone()),
        pull_secrets: cluster.pull_secrets.clone(),
        nodes: None,
        host_network: cluster.host_network,
        load_balancer: false,
        external: None,
        gateway_class: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, unable: Option<&str>) -> Surveyed {
        Surveyed {
            name: name.to_owned(),
            zone: Some("a".to_owned()),
            unable: unable.map(str::to_owned),
        }
    }

    #[test]
    fn nodes_that_take_no_probe_are_left_out_with_the_reason() {
        let surveyed = || {
            vec![
                node("n1", None),
                node("n2", Some("it is cordoned")),
                node("n3", None),
                node("n4", None),
            ]
        };
        let (nodes, skipped) = chosen(surveyed(), &[]).unwrap();
        assert_eq!(names(&nodes), ["n1", "n3", "n4"]);
        assert_eq!(skipped[0].reason, "it is cordoned");
        let wanted = ["n3", "n1"].map(str::to_owned);
        let (nodes, skipped) = chosen(surveyed(), &wanted).unwrap();
        assert_eq!(names(&nodes), ["n1", "n3"]);
        assert_eq!(skipped, []);
        let error = chosen(surveyed(), &["n9".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("there is no n9"), "{error}");
        let error = chosen(surveyed(), &["n1".to_owned(), "n2".to_owned()]).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("there are 1") && told.contains("n2: it is cordoned"),
            "{told}"
        );
    }

    fn names(nodes: &[MeshNode]) -> Vec<&str> {
        nodes.iter().map(|node| node.name.as_str()).collect()
    }
}
