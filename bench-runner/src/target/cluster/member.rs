//! One cluster of a campaign: the probes in it, and the addresses of its paths.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::{sleep, timeout};
use tollgate_cluster::api::{Cluster, Gathered, Made, Placed};
use tollgate_cluster::inspect::{inspect, with_nodes};
use tollgate_cluster::objects::pods::Role;
use tollgate_cluster::objects::seats::{Seat, service_of};
use tollgate_cluster::objects::{Settings, load_balancer, policy};
use tollgate_cluster::paths::{To, Way};
use tollgate_results::arm::Family;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::cluster_path::ClusterPath;
use tollgate_results::door::Secret;
use tollgate_results::node::NodeFacts;

use super::{Hold, PodAgent};
use crate::target::hosts::{Host, ask, drawn};

/// How long probes may take to come up: an image of 10 MB over a slow line, on nodes that are busy.
pub(crate) const COME_UP: Duration = Duration::from_secs(180);

/// How long a load balancer may take to have an address: clouds take half a minute.
const BALANCED: Duration = Duration::from_secs(60);

/// How long probes that stopped being ready may take to be so again: a container is started anew within seconds.
pub(super) const COME_BACK: Duration = Duration::from_secs(60);

/// How often a probe that is silent is asked, and the inspector's next look is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How long the inspector may take to look anew: once a minute it does.
const LOOKED: Duration = Duration::from_secs(90);

/// The moment of a look by node, by the node's own clock.
type Looks = BTreeMap<String, Option<u64>>;

/// One cluster of a campaign.
#[derive(Debug)]
pub(super) struct Member {
    hold: Hold,
    settings: Settings,
    /// The machine outside the cluster that answers, where there is one.
    outside: Option<IpAddr>,
    stand: Option<Stand>,
    /// When the inspector last looked at each node, as far as was read.
    looked: Looks,
    /// When it had looked as the cluster was switched: what it saw then holds no more.
    stale: Looks,
}

/// Probes that run.
#[derive(Debug)]
struct Stand {
    made: Made,
    placed: BTreeMap<String, Placed>,
    token: Secret,
    /// What the cluster's network was as they were made.
    network: ClusterFacts,
    /// What of it may not be read.
    refused: Vec<String>,
    /// Zones of the nodes that have one.
    zones: BTreeMap<String, String>,
    /// The address that a load balancer gave.
    balanced: Option<IpAddr>,
}

fn looks(nodes: &BTreeMap<String, NodeFacts>) -> impl Iterator<Item = (String, Option<u64>)> {
    nodes
        .iter()
        .map(|(node, facts)| (node.clone(), facts.looked_unix_ms))
}

impl Member {
    /// Takes a cluster; nothing is made yet.
    pub(super) const fn new(cluster: Cluster, settings: Settings, outside: Option<IpAddr>) -> Self {
        Self {
            hold: Hold::new(cluster),
            settings,
            outside,
            stand: None,
            looked: Looks::new(),
            stale: Looks::new(),
        }
    }

    /// Connects anew: connections end with the runtime in which they were made.
    pub(super) fn reconnect(&mut self) -> anyhow::Result<()> {
        self.hold.reconnect()
    }

    /// Says that the cluster was switched to another configuration: what was seen on its nodes until now holds no more.
    pub(super) async fn switched(&mut self) -> anyhow::Result<()> {
        // A node whose log can't be read at this moment has its last look all the same.
        let (nodes, _) = self.hold.cluster().look_at_nodes().await?;
        self.looked.extend(looks(&nodes));
        self.stale = self.looked.clone();
        Ok(())
    }

    /// Makes the run's objects where they don't stand, and waits for the probes. What was made is removed on an error.
    pub(super) async fn stand_up(&mut self) -> anyhow::Result<()> {
        if self.stand.is_some() {
            return Ok(());
        }
        match self.make().await {
            Ok(stand) => {
                self.looked.extend(looks(&stand.network.nodes));
                self.stale.clear();
                self.stand = Some(stand);
                Ok(())
            }
            Err(error) => Err(self.hold.undo(error).await),
        }
    }

    async fn make(&mut self) -> anyhow::Result<Stand> {
        let mut gathered = self.hold.cluster().gather().await?;
        self.look_anew(&mut gathered).await?;
        let zones = gathered.snapshot.zones();
        let several = zones.values().collect::<BTreeSet<_>>().len() > 1;
        let settings = Settings {
            other_zone: self.settings.other_zone && several,
            ..self.settings.clone()
        };
        let token = Secret::new(drawn()?);
        let settings = self.hold.begin(settings).await?;
        let cluster = self.hold.cluster();
        let made = cluster.make(settings, &token.reveal()).await?;
        let pods: Vec<String> = made.settings.seats().into_iter().map(Seat::pod).collect();
        let placed = cluster.ready(self.run()?, &pods, COME_UP).await?;
        let balanced = self.balanced(&made.settings).await?;
        // Through a node port packets come from a node's address: only now it is known which nodes these are.
        let nodes = placed.values().flat_map(|placed| &placed.node_addresses);
        let beyond = self.outside.iter().chain(&balanced);
        let admitted: BTreeSet<IpAddr> = nodes.chain(beyond).copied().collect();
        let admitting = Settings {
            node_addresses: admitted.iter().map(IpAddr::to_string).collect(),
            ..made.settings.clone()
        };
        cluster.apply(&policy(&admitting)).await?;
        Ok(Stand {
            made,
            placed,
            token,
            network: with_nodes(inspect(&gathered.snapshot), gathered.nodes),
            refused: gathered.refused,
            zones,
            balanced,
        })
    }

    /// Waits for a look at every node since the cluster was switched. What is older is taken away, and what lacks is said.
    async fn look_anew(&self, gathered: &mut Gathered) -> anyhow::Result<()> {
        let lacks = |nodes: &BTreeMap<String, NodeFacts>, node: &str| {
            let seen = nodes.get(node).map(|facts| facts.looked_unix_ms);
            seen.is_none() || seen.as_ref() == self.stale.get(node)
        };
        let anew = timeout(LOOKED, async {
            while self.stale.keys().any(|node| lacks(&gathered.nodes, node)) {
                sleep(LOOK).await;
                gathered.nodes = self.hold.cluster().look_at_nodes().await?.0;
            }
            anyhow::Ok(())
        });
        if let Ok(looked) = anew.await {
            return looked;
        }
        for node in self.stale.keys() {
            if lacks(&gathered.nodes, node) {
                gathered.nodes.remove(node);
                gathered.refused.push(format!(
                    "the inspector on node {node} has not looked since the cluster was switched"
                ));
            }
        }
        Ok(())
    }

    /// Waits for a load balancer's address, where one is wanted.
    async fn balanced(&self, settings: &Settings) -> anyhow::Result<Option<IpAddr>> {
        if !settings.load_balancer {
            return Ok(None);
        }
        let service = load_balancer(settings);
        let Some(given) = self.hold.cluster().balanced(&service, BALANCED).await? else {
            return Ok(None);
        };
        if let Ok(address) = given.parse() {
            return Ok(Some(address));
        }
        // Some give a name; what can't be resolved is no address.
        let found = tokio::net::lookup_host((given.as_str(), 0)).await.ok();
        Ok(found
            .and_then(|mut all| all.next())
            .map(|address| address.ip()))
    }

    /// Removes the run's objects. Returns when its pods are gone.
    pub(super) async fn remove(&mut self) -> anyhow::Result<()> {
        self.stand = None;
        self.hold.remove().await
    }

    /// Removes the probes where they stand.
    pub(super) async fn clear(&mut self) -> anyhow::Result<()> {
        match self.stand {
            Some(_) => self.remove().await,
            None => Ok(()),
        }
    }

    /// Says why the probes don't stand any more; `None` where they do. Waits for a server that is gone.
    pub(super) async fn fallen(&self, runner: [u8; 16]) -> Option<String> {
        let stand = self.stand.as_ref()?;
        match self.hold.fallen(self.run().ok()?, &stand.placed).await {
            None => self.silent(runner).await,
            why => why,
        }
    }

    /// Says which probe doesn't answer though its pod counts as running, as that of a node that went away does for a while;
    /// `None` where all answer within the time that a container takes to start anew.
    async fn silent(&self, runner: [u8; 16]) -> Option<String> {
        let seats = self.stand.as_ref()?.made.settings.seats();
        let mut why = String::new();
        let answered = timeout(COME_BACK, async {
            for seat in seats {
                let silent = format!(
                    "{} on {} doesn't answer",
                    seat.pod(),
                    self.place(Some(seat))
                );
                why.clone_from(&silent);
                while let Err(error) = self.answers(seat, runner).await {
                    why = format!("{silent}: {error:#}");
                    sleep(LOOK).await;
                }
            }
        });
        answered.await.is_err().then_some(why)
    }

    async fn answers(&self, seat: Seat, runner: [u8; 16]) -> anyhow::Result<()> {
        ask(&self.host(seat)?, runner).await.map(drop)
    }

    fn run(&self) -> anyhow::Result<&str> {
        let run = self.settings.run.as_ref();
        Ok(&run.context("the settings name the run")?.name)
    }

    fn stand(&self) -> anyhow::Result<&Stand> {
        self.stand.as_ref().context("the probes don't stand")
    }

    /// Returns which probe of a path's this one is.
    pub(super) fn seat(&self, path: &ClusterPath, role: Role) -> anyhow::Result<Seat> {
        let pair = self.settings.pair(path.ends(), path.clients);
        let pair = pair.context("no probes stand on the nodes that the arm names")?;
        Ok(Seat::of(role, pair))
    }

    fn placed(&self, seat: Seat) -> anyhow::Result<&Placed> {
        let placed = self.stand()?.placed.get(&seat.pod());
        placed.with_context(|| match seat.role {
            Role::Zone => {
                "the nodes don't stand in two zones or more (label topology.kubernetes.io/zone)"
                    .to_owned()
            }
            _ => format!("there is no pod {}", seat.pod()),
        })
    }

    /// Returns a probe as a host.
    pub(super) fn host(&self, seat: Seat) -> anyhow::Result<Host> {
        self.placed(seat)?;
        Ok(Host::Pod(Box::new(PodAgent::new(
            self.hold.cluster().clone(),
            seat.pod(),
            seat.role.agent_port(),
            self.stand()?.token.clone(),
        ))))
    }

    /// Returns the node of each probe.
    pub(super) fn nodes(&self) -> BTreeMap<String, String> {
        let placed = self.stand.iter().flat_map(|stand| &stand.placed);
        placed
            .map(|(pod, placed)| (pod.clone(), placed.node.clone()))
            .collect()
    }

    /// Says where a probe is: its node, with its zone where that has one.
    pub(super) fn place(&self, seat: Option<Seat>) -> String {
        let Some(seat) = seat else {
            return "a machine outside the cluster".to_owned();
        };
        let Ok(placed) = self.placed(seat) else {
            return "no node".to_owned();
        };
        let stand = self.stand.as_ref();
        match stand.and_then(|stand| stand.zones.get(&placed.node)) {
            Some(zone) => format!("{} (zone {zone})", placed.node),
            None => placed.node.clone(),
        }
    }

    /// Returns what the cluster's network was as the probes were made, and what of it may not be read.
    pub(super) fn network(&self) -> (ClusterFacts, Vec<String>) {
        let known = self.stand.as_ref();
        let known = known.map(|stand| (stand.network.clone(), stand.refused.clone()));
        known.unwrap_or_default()
    }

    /// Returns where a path's client connects to.
    pub(super) fn target(&self, path: &ClusterPath, family: Family) -> anyhow::Result<SocketAddr> {
        let way = Way::of(path.path);
        let port = way.port(family);
        let stand = self.stand()?;
        let placed = |role: Role| self.placed(self.seat(path, role)?);
        let service = |name: &str| anyhow::Ok(service_of(name, self.seat(path, way.client)?.pair));
        let (addresses, port, what) = match (way.to, way.server) {
            // A headless service has no address: its name has to lead to the pod's own.
            (To::Server | To::Name(_), Some(role)) => {
                (placed(role)?.addresses.clone(), port, "the pod")
            }
            (To::Server | To::Name(_), None) => {
                let outside: Vec<IpAddr> = self.outside.into_iter().collect();
                (outside, port, "the machine outside the cluster")
            }
            (To::Service(name), _) => {
                let addresses = stand.made.service_addresses(&service(name)?);
                (addresses, port, "the service")
            }
            (To::NodePort(name, on), _) => {
                let drawn = stand.made.node_port(&service(name)?, port);
                let drawn = drawn.context("the service has no node port")?;
                (placed(on)?.node_addresses.clone(), drawn, "the node")
            }
            (To::LoadBalancer(_), _) => {
                let address = stand.balanced.with_context(|| {
                    format!(
                        "no load balancer gave the service an address within {} s; is there a controller for services of \
                         type LoadBalancer?",
                        BALANCED.as_secs()
                    )
                })?;
                (vec![address], port, "the load balancer")
            }
        };
        let fits = |address: &IpAddr| match family {
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        };
        let address = addresses.into_iter().find(fits);
        let address = address.ok_or_else(|| match family {
            Family::Ipv4 => anyhow!("{what} has no IPv4 address"),
            Family::Ipv6 => anyhow!("{what} has no IPv6 address; is the cluster dual-stack?"),
        })?;
        Ok(SocketAddr::new(address, port))
    }
}
