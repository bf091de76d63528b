//! Kubernetes as a target: probes in pods, and the paths between them as arms.
//!
//! - `member`: one cluster, its probes and addresses
//! - `hold`: a run's hold of a namespace, which goes with all that it made
//! - `agent`: a probe's agent, reached through the API server
//! - `mesh`: one probe on each node, which meet in pairs
//! - `name`: where the name of a headless service leads
//!
//! The objects of a run are made before the first arm is deployed, and removed with the target; where the runner is
//! killed, the pods end at their deadline and `tollgate cluster clean` removes the rest. What a deployment does with
//! two agents is the same as between two hosts. Arms may be of several clusters, and may have a command that switches
//! theirs to another configuration: then its probes are made anew behind it.

mod agent;
mod hold;
mod member;
pub mod mesh;
mod name;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use tollgate_cluster::api::Cluster;
use tollgate_cluster::objects::Settings;
use tollgate_cluster::objects::pods::Role;
use tollgate_cluster::objects::seats::{Seat, service_of};
use tollgate_cluster::paths::{To, Way};
use tollgate_results::agent::HostFacts;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::door::Invitation;

pub use self::agent::PodAgent;
pub(crate) use self::hold::Hold;
pub(crate) use self::member::COME_UP;
use self::member::Member;
use super::hosts::{Between, Host, HostsDeployment, ask, drawn};
use super::{Target, change, runner};

/// The clusters of a campaign, with the probes of one run in each.
#[derive(Debug)]
pub struct ClusterTarget {
    /// By the contexts that arms name; `None` is the campaign's own.
    members: BTreeMap<Option<String>, Member>,
    outside: Option<Host>,
    /// Whether an arm was deployed on what stands.
    used: bool,
    /// Tells the agents which connections belong together.
    runner: [u8; 16],
}

/// A joined machine that answers from outside the clusters.
#[derive(Debug, Clone)]
pub struct Outside {
    /// The way to its agent.
    pub invitation: Box<Invitation>,
    /// Its address.
    pub address: IpAddr,
}

/// What was found when the probes of a cluster were met.
#[derive(Debug, Clone)]
pub struct Met {
    /// What the two ends of the usual path are.
    pub ends: Ends,
    /// The node of each probe, by the pods' names.
    pub placed: BTreeMap<String, String>,
    /// What the cluster's network is.
    pub network: ClusterFacts,
    /// What of that may not be read, one line each.
    pub refused: Vec<String>,
}

/// What the two ends of the usual path are.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The client's node, as its pod sees it.
    pub client: HostFacts,
    /// The other node.
    pub server: HostFacts,
}

impl ClusterTarget {
    /// Sets up a target; nothing is made yet.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(
        clusters: BTreeMap<Option<String>, (Cluster, Settings)>,
        outside: Option<Outside>,
    ) -> anyhow::Result<Self> {
        let address = outside.as_ref().map(|outside| outside.address);
        let members = clusters.into_iter().map(|(context, (cluster, settings))| {
            let member = Member::new(cluster, settings, address);
            (context, member)
        });
        Ok(Self {
            members: members.collect(),
            outside: outside.map(|outside| Host::Joined(outside.invitation)),
            used: false,
            runner: drawn()?,
        })
    }

    /// Connects anew: connections end with the runtime in which they were made.
    ///
    /// # Errors
    ///
    /// When the way to a cluster can't be used any more.
    pub fn reconnect(&mut self) -> anyhow::Result<()> {
        self.members.values_mut().try_for_each(Member::reconnect)
    }

    /// Makes the run's objects in every cluster, waits for the probes, and asks both ends of the usual path what they are.
    ///
    /// # Errors
    ///
    /// When a cluster refuses, or a probe doesn't come up: with the reason.
    pub async fn meet(&mut self) -> anyhow::Result<BTreeMap<Option<String>, Met>> {
        let mut met = BTreeMap::new();
        for (context, member) in &mut self.members {
            let of_member = meet(member, self.runner).await;
            let of_member = match context {
                Some(context) => of_member.with_context(|| format!("context {context}"))?,
                None => of_member?,
            };
            met.insert(context.clone(), of_member);
        }
        Ok(met)
    }

    /// Says what the paths of arms are, with their addresses; without those that have none.
    #[must_use]
    pub fn paths<'a>(&self, arms: impl Iterator<Item = &'a Arm>) -> BTreeMap<Name, String> {
        let path = |arm: &Arm| {
            let path = arm.datapath.cluster.as_ref()?;
            let member = self.members.get(&path.context)?;
            let target = member.target(path, arm.datapath.family).ok()?;
            Some((arm.name.clone(), format!("{}: {target}", path.words())))
        };
        arms.filter_map(path).collect()
    }

    /// Removes the run's objects from every cluster. Returns when its pods are gone.
    ///
    /// # Errors
    ///
    /// When a cluster refuses, or can't be reached; the others are cleaned all the same.
    pub async fn remove(&mut self) -> anyhow::Result<()> {
        let mut failed = None;
        for member in self.members.values_mut() {
            failed = failed.or(member.remove().await.err());
        }
        failed.map_or(Ok(()), Err)
    }
}

async fn meet(member: &mut Member, runner: [u8; 16]) -> anyhow::Result<Met> {
    member.stand_up().await?;
    let asked = async |role: Role| {
        let asked = ask(&member.host(Seat::usual(role))?, runner).await;
        asked.with_context(|| role.pod())
    };
    let ends = Ends {
        client: asked(Role::Client).await?,
        server: asked(Role::Far).await?,
    };
    let (network, refused) = member.network();
    Ok(Met {
        ends,
        placed: member.nodes(),
        network,
        refused,
    })
}

/// Reaches so many clients from this one on; returns them with the boot of the kernel that they share.
async fn senders(
    member: &Member,
    first: Seat,
    clients: u8,
    runner: [u8; 16],
) -> anyhow::Result<(Vec<Host>, Option<String>)> {
    let (mut hosts, mut boot) = (Vec::new(), None);
    for seat in std::iter::once(first).chain(first.further(clients)) {
        let host = member.host(seat)?;
        let asked = ask(&host, runner).await;
        let its_own = asked.with_context(|| seat.pod())?.boot_id;
        ensure!(
            hosts.is_empty() || (its_own.is_some() && its_own == boot),
            "{} isn't on the node of the other clients, so that they have no clock in common",
            seat.pod()
        );
        boot = its_own;
        hosts.push(host);
    }
    Ok((hosts, boot))
}

impl Target for ClusterTarget {
    type Deployment = HostsDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<HostsDeployment> {
        let path = arm.datapath.cluster.as_ref();
        let path = path.context("the arm is no path through a cluster")?;
        let way = Way::of(path.path);
        let member = self.members.get_mut(&path.context);
        let member = member.context("the campaign has no cluster of this arm's context")?;
        self.used = true;
        if !arm.change.apply.is_empty() {
            // Pods may not outlive the configuration that connected them.
            member.clear().await?;
        }
        let applied = change::apply(&arm.change, runner::run).await?;
        if !applied.is_empty() {
            member.switched().await?;
        }
        member.stand_up().await?;
        let target = member.target(path, arm.datapath.family)?;
        let client = member.seat(path, way.client)?;
        let server = way.server.map(|role| member.seat(path, role)).transpose()?;
        let near = member.host(client)?;
        let named = match way.to {
            To::Name(name) => {
                let name = service_of(name, client.pair);
                Some(name::leads(&near, self.runner, &name, target).await?)
            }
            _ => None,
        };
        let (far, far_name) = if let Some(server) = server {
            (member.host(server)?, server.pod())
        } else {
            let outside = self.outside.clone();
            let outside = outside.context("no machine outside the cluster was named")?;
            (outside, "the machine outside".to_owned())
        };
        let (clients, near_boot) = senders(member, client, path.clients, self.runner).await?;
        let asked = ask(&far, self.runner).await;
        let far_boot = asked.with_context(|| far_name)?.boot_id;
        let between = Between {
            clients,
            server: far,
            runner: self.runner,
            target,
            port: way.port(arm.datapath.family),
            shares_kernel: near_boot.is_some() && near_boot == far_boot,
        };
        let mut deployment = between.deploy().await?;
        let ends = format!(
            "{}; client on {}, server on {}",
            path.words(),
            member.place(Some(client)),
            member.place(server)
        );
        let facts = &mut deployment.site.facts;
        facts.notes.insert(0, ends);
        facts.applied = applied;
        facts.network = Some(member.network().0);
        facts.named = named;
        Ok(deployment)
    }

    /// New installs are new pods.
    async fn clear(&mut self) -> anyhow::Result<()> {
        if !self.used {
            return Ok(());
        }
        self.used = false;
        for member in self.members.values_mut() {
            member.clear().await?;
        }
        Ok(())
    }

    async fn fallen(&mut self) -> Option<String> {
        for (context, member) in &self.members {
            if let Some(why) = member.fallen(self.runner).await {
                return Some(match context {
                    Some(context) => format!("context {context}: {why}"),
                    None => why,
                });
            }
        }
        None
    }
}
