//! A weighted split through a gateway as a target: a client, backends, and two ways to them.
//!
//! The backends are plain servers, as those of anybody's: they answer by themselves, and nothing is read at them. So
//! the client's agent plays both parts of a deployment, and what is known of the path is what the client's node sees.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tollgate_cluster::api::{Cluster, GatewayClass, Placed};
use tollgate_cluster::objects::Settings;
use tollgate_cluster::objects::pods::Role;
use tollgate_cluster::objects::route::{self, BACKEND_PORT, Weights};
use tollgate_results::agent::HostFacts;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::door::Secret;

use super::Target;
use super::cluster::{COME_UP, Hold, PodAgent};
use super::hosts::{Between, Host, HostsDeployment, ask, drawn};

/// The arm whose requests go to the own address of the backend with the largest weight.
pub const DIRECT: &str = "direct";

/// The arm whose requests go through the gateway.
pub const GATEWAY: &str = "gateway";

/// How long a gateway may take: clouds make load balancers in minutes.
const PROGRAMMED: Duration = Duration::from_secs(300);

/// Where the client's agent would answer, which nobody asks it to: on any free port, of each arm another one.
const IDLE_PORT: u16 = 0;

/// A cluster with a gateway and backends of one run.
#[derive(Debug)]
pub struct SplitTarget {
    hold: Hold,
    settings: Settings,
    class: GatewayClass,
    weights: Weights,
    stand: Option<Stand>,
    /// Whether an arm was deployed on what stands.
    used: bool,
    /// Tells the agent which connections belong together.
    runner: [u8; 16],
}

/// What stands.
#[derive(Debug)]
struct Stand {
    placed: BTreeMap<String, Placed>,
    gateway: SocketAddr,
    token: Secret,
}

impl SplitTarget {
    /// Sets up a target; nothing is made yet.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(
        cluster: Cluster,
        settings: Settings,
        class: GatewayClass,
        weights: Weights,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            hold: Hold::new(cluster),
            settings,
            class,
            weights,
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
        self.hold.reconnect()
    }

    /// Makes the run's objects where they don't stand, waits for pods and gateway, and asks the client what it is.
    ///
    /// # Errors
    ///
    /// When the cluster refuses, or something doesn't come up: with the reason. What was made is removed.
    pub async fn meet(&mut self) -> anyhow::Result<HostFacts> {
        self.stand_up().await?;
        ask(&self.client()?, self.runner)
            .await
            .with_context(|| Role::Client.pod())
    }

    /// Returns the node of each pod.
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<String, String> {
        let placed = self.stand.iter().flat_map(|stand| &stand.placed);
        placed
            .map(|(pod, placed)| (pod.clone(), placed.node.clone()))
            .collect()
    }

    /// Says what an arm's path is, with its address.
    ///
    /// # Errors
    ///
    /// When nothing stands, or there is no such arm.
    pub fn path(&self, arm: &Name) -> anyhow::Result<String> {
        let to = self.target(arm)?;
        Ok(match arm.as_str() {
            DIRECT => format!(
                "pod to backend {}, without the gateway: {to}",
                self.heaviest()?
            ),
            _ => format!("pod through a gateway of class {}: {to}", self.class.name),
        })
    }

    /// Removes the run's objects. Returns when its pods are gone.
    ///
    /// # Errors
    ///
    /// When the cluster refuses, or can't be reached.
    pub async fn remove(&mut self) -> anyhow::Result<()> {
        self.stand = None;
        self.hold.remove().await
    }

    async fn stand_up(&mut self) -> anyhow::Result<()> {
        if self.stand.is_some() {
            return Ok(());
        }
        match self.make().await {
            Ok(stand) => {
                self.stand = Some(stand);
                Ok(())
            }
            Err(error) => Err(self.hold.undo(error).await),
        }
    }

    async fn make(&mut self) -> anyhow::Result<Stand> {
        let token = Secret::new(drawn()?);
        let (class, weights) = (self.class.name.as_str(), &self.weights);
        let objects = |settings: &Settings| route::of_run(settings, class, weights);
        let settings = self.hold.begin(self.settings.clone()).await?;
        let cluster = self.hold.cluster();
        cluster.make_of(settings, &token.reveal(), &objects).await?;
        let backends = self.weights.keys().map(route::pod_of);
        let pods: Vec<String> = backends.chain([Role::Client.pod()]).collect();
        let placed = cluster.ready(self.run()?, &pods, COME_UP).await?;
        let gateway = cluster.gateway(PROGRAMMED).await?;
        Ok(Stand {
            placed,
            gateway,
            token,
        })
    }

    fn run(&self) -> anyhow::Result<&str> {
        let run = self.settings.run.as_ref();
        Ok(&run.context("the settings name the run")?.name)
    }

    fn stand(&self) -> anyhow::Result<&Stand> {
        self.stand.as_ref().context("the gateway doesn't stand")
    }

    /// Returns the client as a host.
    fn client(&self) -> anyhow::Result<Host> {
        Ok(Host::Pod(Box::new(PodAgent::new(
            self.hold.cluster().clone(),
            Role::Client.pod(),
            Role::Client.agent_port(),
            self.stand()?.token.clone(),
        ))))
    }

    /// Returns the backend with the largest weight, of several the first by name: the direct path leads there.
    fn heaviest(&self) -> anyhow::Result<&Name> {
        // Of equals the last is the largest.
        let heaviest = self.weights.iter().rev().max_by_key(|(_, weight)| **weight);
        let (name, _) = heaviest.context("a split has backends")?;
        Ok(name)
    }

    /// Returns where an arm's client connects to.
    fn target(&self, arm: &Name) -> anyhow::Result<SocketAddr> {
        let stand = self.stand()?;
        match arm.as_str() {
            GATEWAY => Ok(stand.gateway),
            DIRECT => {
                let pod = route::pod_of(self.heaviest()?);
                let placed = stand.placed.get(&pod);
                let addresses: Option<&[IpAddr]> = placed.map(|placed| placed.addresses.as_slice());
                // The arms are of IPv4: there the backends listen.
                let mut addresses = addresses.into_iter().flatten();
                let address = addresses.find(|address| address.is_ipv4());
                let address = address.with_context(|| format!("{pod} has no IPv4 address"))?;
                Ok(SocketAddr::new(*address, BACKEND_PORT))
            }
            other => Err(anyhow!(
                "`{other}` is no way to the backends; there are {DIRECT}, {GATEWAY}"
            )),
        }
    }

    /// Says where everything stands.
    fn note(&self) -> anyhow::Result<String> {
        let stand = self.stand()?;
        let on = |pod: &str| {
            stand
                .placed
                .get(pod)
                .map_or("?", |placed| placed.node.as_str())
        };
        let backends: Vec<String> = self
            .weights
            .iter()
            .map(|(name, weight)| {
                format!("{name} (weight {weight}) on {}", on(&route::pod_of(name)))
            })
            .collect();
        Ok(format!(
            "client on {}; backends {}; nothing is read at the backends",
            on(&Role::Client.pod()),
            backends.join(", ")
        ))
    }
}

impl Target for SplitTarget {
    type Deployment = HostsDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<HostsDeployment> {
        self.stand_up().await?;
        self.used = true;
        let target = self.target(&arm.name)?;
        let between = Between {
            clients: vec![self.client()?],
            server: self.client()?,
            runner: self.runner,
            target,
            port: IDLE_PORT,
            shares_kernel: true,
        };
        let mut deployment = between.deploy().await?;
        // Backends know no key: anybody's requests come through a gateway.
        deployment.site.key = None;
        deployment.site.facts.notes = vec![self.note()?];
        Ok(deployment)
    }

    /// New installs are new pods, and a new gateway.
    async fn clear(&mut self) -> anyhow::Result<()> {
        if !self.used {
            return Ok(());
        }
        self.used = false;
        self.remove().await
    }

    async fn fallen(&mut self) -> Option<String> {
        let stand = self.stand.as_ref()?;
        self.hold.fallen(self.run().ok()?, &stand.placed).await
    }
}
