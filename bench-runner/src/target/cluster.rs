//! A Kubernetes cluster as a target: probes in pods, and the paths between them as arms.
//!
//! - `agent`: a probe's agent, reached through the API server
//!
//! The objects of a run are made before the first arm is deployed, and removed with the target; where the runner is
//! killed, the pods end at their deadline and `tollgate cluster clean` removes the rest. What a deployment does with
//! two agents is the same as between two hosts.

mod agent;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tollgate_cluster::api::{Cluster, Made, Placed};
use tollgate_cluster::objects::pods::Role;
use tollgate_cluster::objects::{Settings, policy};
use tollgate_cluster::paths::{Path, To};
use tollgate_results::agent::HostFacts;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::door::Secret;

pub use self::agent::PodAgent;
use super::Target;
use super::hosts::{Between, Host, HostsDeployment, ask, drawn};

/// How long probes may take to come up: an image of 10 MB over a slow line, on nodes that are busy.
const COME_UP: Duration = Duration::from_secs(180);

/// A cluster with the probes of one run.
#[derive(Debug)]
pub struct ClusterTarget {
    cluster: Cluster,
    settings: Settings,
    stand: Option<Stand>,
    /// Whether an arm was deployed on what stands.
    used: bool,
    /// Tells the agents which connections belong together.
    runner: [u8; 16],
}

/// Probes that run.
#[derive(Debug)]
struct Stand {
    made: Made,
    placed: BTreeMap<String, Placed>,
    token: Secret,
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
    pub fn new(cluster: Cluster, settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            cluster,
            settings,
            stand: None,
            used: false,
            runner: drawn()?,
        })
    }

    /// Connects anew: connections end with the runtime in which they were made.
    ///
    /// # Errors
    ///
    /// When the way to the cluster can't be used any more.
    pub fn reconnect(&mut self) -> anyhow::Result<()> {
        self.cluster = self.cluster.again()?;
        Ok(())
    }

    /// Makes the run's objects where they don't stand, waits for the probes, and asks both ends what they are.
    ///
    /// # Errors
    ///
    /// When the cluster refuses, or a probe doesn't come up: with the reason. What was made is removed.
    pub async fn meet(&mut self) -> anyhow::Result<Ends> {
        self.stand_up().await?;
        let mut facts = Vec::new();
        for role in [Role::Client, Role::Far] {
            let asked = ask(&self.host(role)?, self.runner).await;
            facts.push(asked.with_context(|| role.pod())?);
        }
        let ends = <[HostFacts; 2]>::try_from(facts).ok();
        let [client, server] = ends.context("both ends were asked")?;
        Ok(Ends { client, server })
    }

    /// Returns the node of each probe.
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<String, String> {
        let placed = self.stand.iter().flat_map(|stand| &stand.placed);
        placed
            .map(|(pod, placed)| (pod.clone(), placed.node.clone()))
            .collect()
    }

    /// Says what each arm's path is, with its addresses.
    ///
    /// # Errors
    ///
    /// When a path has no address, or an arm is no path.
    pub fn paths<'a>(
        &self,
        arms: impl Iterator<Item = &'a Name>,
    ) -> anyhow::Result<BTreeMap<Name, String>> {
        let mut paths = BTreeMap::new();
        for arm in arms {
            let path: Path = arm.as_str().parse()?;
            paths.insert(
                arm.clone(),
                format!("{}: {}", path.words(), self.target(path)?),
            );
        }
        Ok(paths)
    }

    /// Removes the run's objects. Returns when its pods are gone.
    ///
    /// # Errors
    ///
    /// When the cluster refuses, or can't be reached.
    pub async fn remove(&mut self) -> anyhow::Result<()> {
        self.stand = None;
        let cleaned = self.cluster.clean().await?;
        if cleaned.left > 0 {
            return Err(anyhow!(
                "{} pods of the run are still going; look with `kubectl -n {} get pods`",
                cleaned.left,
                self.cluster.namespace()
            ));
        }
        Ok(())
    }

    async fn stand_up(&mut self) -> anyhow::Result<()> {
        if self.stand.is_some() {
            return Ok(());
        }
        let token = Secret::new(drawn()?);
        match self.make(&token).await {
            Ok((made, placed)) => {
                self.stand = Some(Stand {
                    made,
                    placed,
                    token,
                });
                Ok(())
            }
            Err(error) => match self.remove().await {
                Ok(()) => Err(error),
                Err(left) => Err(error.context(format!("its objects are left behind: {left:#}"))),
            },
        }
    }

    async fn make(&self, token: &Secret) -> anyhow::Result<(Made, BTreeMap<String, Placed>)> {
        let made = self
            .cluster
            .make(self.settings.clone(), &token.reveal())
            .await?;
        let run = self
            .settings
            .run
            .as_ref()
            .context("the settings name the run")?;
        let roles = Role::ALL.into_iter();
        let roles = roles.filter(|role| self.settings.host_network || !role.is_host());
        let pods: Vec<String> = roles.map(Role::pod).collect();
        let placed = self.cluster.ready(&run.name, &pods, COME_UP).await?;
        // Through a node port packets come from a node's address: only now it is known which nodes these are.
        let nodes: BTreeSet<IpAddr> = placed
            .values()
            .filter_map(|placed| placed.node_address)
            .collect();
        let admitting = Settings {
            node_addresses: nodes.iter().map(IpAddr::to_string).collect(),
            ..made.settings.clone()
        };
        self.cluster.apply(&policy(&admitting)).await?;
        Ok((made, placed))
    }

    fn stand(&self) -> anyhow::Result<&Stand> {
        self.stand.as_ref().context("the probes don't stand")
    }

    fn placed(&self, role: Role) -> anyhow::Result<&Placed> {
        let placed = self.stand()?.placed.get(&role.pod());
        placed.with_context(|| format!("there is no pod {}", role.pod()))
    }

    /// Returns a probe as a host.
    fn host(&self, role: Role) -> anyhow::Result<Host> {
        Ok(Host::Pod(Box::new(PodAgent::new(
            self.cluster.clone(),
            role,
            self.stand()?.token.clone(),
        ))))
    }

    /// Returns where a path's client connects to.
    fn target(&self, path: Path) -> anyhow::Result<SocketAddr> {
        let (_, server) = path.ends();
        let first = |addresses: &[IpAddr], what: &str| {
            let first = addresses.first().copied();
            first.with_context(|| format!("{what} has no address"))
        };
        Ok(match path.to() {
            To::Pod => SocketAddr::new(
                first(&self.placed(server)?.addresses, "the pod")?,
                path.port(),
            ),
            To::Service(name) => {
                let addresses = self.stand()?.made.service_addresses(name);
                SocketAddr::new(first(&addresses, "the service")?, path.port())
            }
            To::NodePort(name, on) => {
                let node = self.placed(on)?.node_address;
                let port = self.stand()?.made.node_port(name, path.port());
                SocketAddr::new(
                    node.context("the node has no address")?,
                    port.context("the service has no node port")?,
                )
            }
        })
    }
}

impl Target for ClusterTarget {
    type Deployment = HostsDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<HostsDeployment> {
        self.stand_up().await?;
        self.used = true;
        let path: Path = arm.name.as_str().parse()?;
        let (client, server) = path.ends();
        let (near, far) = (self.host(client)?, self.host(server)?);
        let boots = [
            ask(&near, self.runner)
                .await
                .with_context(|| client.pod())?
                .boot_id,
            ask(&far, self.runner)
                .await
                .with_context(|| server.pod())?
                .boot_id,
        ];
        let between = Between {
            client: near,
            server: far,
            runner: self.runner,
            target: self.target(path)?,
            port: path.port(),
            shares_kernel: boots[0].is_some() && boots[0] == boots[1],
        };
        let mut deployment = between.deploy().await?;
        let node = |role| self.placed(role).map_or("", |placed| placed.node.as_str());
        let ends = format!(
            "{}; client on {}, server on {}",
            path.words(),
            node(client),
            node(server)
        );
        deployment.site.facts.notes.insert(0, ends);
        Ok(deployment)
    }

    /// New installs are new pods.
    async fn clear(&mut self) -> anyhow::Result<()> {
        if !self.used {
            return Ok(());
        }
        self.used = false;
        self.remove().await
    }
}
