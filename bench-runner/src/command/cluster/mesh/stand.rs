//! The probes of a mesh: made, waited for, and asked what their nodes are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tollgate_cluster::objects::Settings;
use tollgate_cluster::objects::mesh::{pod_name, port_of_agent};
use tollgate_results::agent::HostFacts;
use tollgate_results::door::Secret;
use tollgate_results::mesh::{MeshNode, SkippedNode};

use super::{asked, names};
use crate::command::cluster::stand::unwell;
use crate::command::hosts::environment;
use crate::output;
use crate::target::cluster::{COME_UP, Hold, PodAgent, mesh::Seat};
use crate::target::hosts::drawn;

/// Agents that are asked at the same time.
const AT_ONCE: usize = 50;

/// From so many nodes on, the agents' connections are more than a process may have by default.
const MANY: usize = 200;

/// Probes, by the places of their nodes.
pub(super) struct Standing {
    /// `None` where a node has none that answers.
    pub(super) seats: Vec<Option<Seat>>,
    /// The kernel of each node.
    kernels: Vec<Option<String>>,
    /// Why nodes have none.
    reasons: BTreeMap<usize, String>,
    /// How many kernels there are.
    pub(super) machines: u32,
    /// What the run's probes show each other.
    pub(super) key: Secret,
}

impl Standing {
    /// Puts a probe on each node. A node that takes none is no error.
    pub(super) async fn up(
        hold: &mut Hold,
        settings: &Settings,
        nodes: &[MeshNode],
    ) -> anyhow::Result<Self> {
        if nodes.len() > MANY {
            may_open(nodes.len())?;
        }
        output::note(&format!(
            "Setting {} probes up in namespace {}",
            nodes.len(),
            hold.cluster().namespace()
        ));
        let (token, nodes) = (Secret::new(drawn()?), names(nodes));
        let begun = hold.begin(settings.clone()).await;
        let settings = &begun.map_err(|error| environment(&error))?;
        let cluster = hold.cluster();
        let made = cluster.make_mesh(settings, &token.reveal(), &nodes).await;
        made.map_err(|error| unwell(&error))?;
        let run = settings.run.as_ref().context("the settings name the run")?;
        let pods: Vec<String> = (0..nodes.len()).map(pod_name).collect();
        let settled = cluster.ready_or_not(&run.name, &pods, COME_UP).await;
        let settled = settled.map_err(|error| unwell(&error))?;
        let runner = drawn()?;
        let mut stood = Self {
            seats: Vec::new(),
            kernels: vec![None; nodes.len()],
            reasons: BTreeMap::new(),
            machines: 0,
            key: Secret::new(drawn()?),
        };
        for (place, pod) in pods.into_iter().enumerate() {
            let address = settled
                .placed
                .get(&pod)
                .and_then(|placed| placed.addresses.first());
            let seat = address.map(|address: &IpAddr| {
                let port = port_of_agent(settings);
                let agent = PodAgent::new(cluster.clone(), pod.clone(), port, token.clone());
                Seat::new(agent, *address, runner)
            });
            if seat.is_none() {
                let why = settled.missing.get(&pod);
                let why = why.map_or("its probe has no address", String::as_str);
                stood.reasons.insert(place, why.to_owned());
            }
            stood.seats.push(seat);
        }
        stood.ask().await?;
        Ok(stood)
    }

    /// Asks every probe what its node is; one that doesn't answer has no seat.
    async fn ask(&mut self) -> anyhow::Result<()> {
        let mut boots = BTreeSet::new();
        let mut asking = JoinSet::new();
        let mut places = 0..self.seats.len();
        loop {
            while asking.len() < AT_ONCE {
                let Some(place) = places.next() else { break };
                if let Some(mut seat) = self.seats[place].take() {
                    asking.spawn(async move {
                        let facts = seat.facts().await;
                        (place, seat, facts)
                    });
                }
            }
            let Some(asked) = asking.join_next().await else {
                break;
            };
            let (place, seat, facts) = asked.context("a question fell over")?;
            match facts {
                Ok(HostFacts { facts, boot_id, .. }) => {
                    self.kernels[place] = Some(facts.kernel).filter(|kernel| !kernel.is_empty());
                    self.seats[place] = Some(seat);
                    // Without a mark of its boot a node counts for itself.
                    boots.insert(boot_id.unwrap_or_else(|| format!("of place {place}")));
                }
                Err(error) => {
                    self.reasons.insert(place, format!("{error:#}"));
                }
            }
        }
        self.machines = u32::try_from(boots.len()).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Returns the nodes without a probe that answers, each with the reason.
    pub(super) fn missing(&self, nodes: &[MeshNode]) -> Vec<SkippedNode> {
        let missing = self.reasons.iter().map(|(place, reason)| SkippedNode {
            node: nodes
                .get(*place)
                .map_or_else(String::new, |node| node.name.clone()),
            reason: reason.lines().collect::<Vec<_>>().join(" "),
        });
        missing.collect()
    }

    /// Leaves out the nodes without a probe that answers.
    ///
    /// # Errors
    ///
    /// When fewer than two are left.
    pub(super) fn of_those_that_stand(
        mut self,
        nodes: Vec<MeshNode>,
    ) -> anyhow::Result<(Vec<MeshNode>, Self)> {
        let missing = self.missing(&nodes);
        let mut kept = Vec::new();
        let (mut seats, mut kernels) = (Vec::new(), Vec::new());
        let both = self.seats.into_iter().zip(self.kernels);
        for (node, (seat, kernel)) in nodes.into_iter().zip(both) {
            if seat.is_some() {
                kept.push(MeshNode {
                    kernel: kernel.clone(),
                    ..node
                });
                seats.push(seat);
                kernels.push(kernel);
            }
        }
        if kept.len() < 2 {
            return Err(asked::wrong_number(kept.len(), &missing));
        }
        (self.seats, self.kernels) = (seats, kernels);
        Ok((kept, self))
    }
}

/// Lets this process open a connection for each node.
fn may_open(nodes: usize) -> anyhow::Result<()> {
    // Besides the connections: the record, the runtime, the three standard streams.
    let wanted = nodes as u64 + 64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("failed to read limits")?;
    if soft >= wanted {
        return Ok(());
    }
    ensure!(
        hard >= wanted,
        "{nodes} nodes want {wanted} open files, and this process may have {hard}; raise the limit (ulimit -Hn)"
    );
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
        .context("failed to raise the limit on open files")
}
