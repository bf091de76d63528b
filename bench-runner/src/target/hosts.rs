//! Two machines as a target: an agent on each, and the paths between them as arms.
//!
//! - `host`: this machine, or one that was joined
//! - `dial`: TCP, TLS with a pinned certificate, the door
//! - `invitations`: the hosts that were joined
//!
//! The two have no clock in common, so there is no one-way delay. What translates or tunnels packets between
//! them can't be seen from their ends: the evidence is that the packets crossed the devices that the paths
//! name, and the rest is said to be unobservable.

mod dial;
mod host;
pub mod invitations;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tollgate_results::agent::{HostFacts, Named, PathFacts};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::door::Secret;
use tollgate_results::evidence::{DatapathCounters, DeviceCounters, Translation};
use tollgate_results::facts::ArmFacts;
use tollgate_results::outcome::Flow;

pub use self::dial::{ByteStream, dial};
pub use self::host::Host;
use super::{Deployment, End, Endpoints, Site, Target};
use crate::agent::Agent;

/// How long an agent that doesn't answer is asked again before a slice fails: a service manager starts it anew
/// within a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Two machines and the paths between them.
#[derive(Debug, Clone)]
pub struct HostsTarget {
    client: Host,
    server: Host,
    /// Address of the server that each arm connects to.
    paths: BTreeMap<Name, IpAddr>,
    /// First port of the traffic.
    port: u16,
    /// Tells the agents which connections belong together.
    runner: [u8; 16],
    shares_kernel: bool,
}

/// What two machines are.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The client's machine.
    pub client: HostFacts,
    /// The server's machine.
    pub server: HostFacts,
}

impl HostsTarget {
    /// Sets up a target; nothing is reached yet.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(
        client: Host,
        server: Host,
        paths: BTreeMap<Name, IpAddr>,
        port: u16,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client,
            server,
            paths,
            port,
            runner: drawn()?,
            shares_kernel: false,
        })
    }

    /// Reaches both machines and asks what they are.
    ///
    /// # Errors
    ///
    /// When one of the two can't be reached; it says which.
    pub async fn meet(&mut self) -> anyhow::Result<Pair> {
        let mut facts = Vec::new();
        for (end, host) in [(End::Client(0), &self.client), (End::Server, &self.server)] {
            let mut side = Side::new(host.clone(), self.runner);
            let asked = async { side.agent().await?.facts().await };
            facts.push(asked.await.with_context(|| word(end))?);
        }
        let [client, server] = <[HostFacts; 2]>::try_from(facts)
            .ok()
            .context("both ends were asked")?;
        self.shares_kernel = client.boot_id.is_some() && client.boot_id == server.boot_id;
        Ok(Pair { client, server })
    }

    /// Returns the port of an arm: those with the same address take one each, in the order of their names.
    fn port(&self, arm: &Name, to: IpAddr) -> anyhow::Result<u16> {
        let before = self
            .paths
            .iter()
            .filter(|(name, ip)| *name < arm && **ip == to);
        let offset = u16::try_from(before.count()).ok();
        offset
            .and_then(|offset| self.port.checked_add(offset))
            .context("the ports of the traffic run over 65535; choose a lower --port")
    }
}

/// One path between the machines.
pub struct HostsDeployment {
    pub(super) site: Site,
    clients: Vec<Reached>,
    server: Reached,
}

/// Where the path begins or ends.
struct Reached {
    side: Side,
    /// The device that the path's packets cross there, where it can be told.
    device: Option<String>,
    /// The process of its last agent, where it is ours.
    child: Option<Child>,
}

/// One end, with an agent for questions beside those that measure.
struct Side {
    host: Host,
    runner: [u8; 16],
    asked: Option<(Agent, Option<Child>)>,
}

impl Side {
    const fn new(host: Host, runner: [u8; 16]) -> Self {
        Self {
            host,
            runner,
            asked: None,
        }
    }

    /// Returns the agent for questions; connects anew where the last question had no answer.
    async fn agent(&mut self) -> anyhow::Result<&mut Agent> {
        let asked = match self.asked.take() {
            Some(asked) if asked.0.is_alive() => asked,
            _ => {
                let connection = self.host.connect(self.runner).await?;
                let agent = Agent::connect(connection.stream).await?;
                (agent, connection.child)
            }
        };
        Ok(&mut self.asked.insert(asked).0)
    }
}

impl Target for HostsTarget {
    type Deployment = HostsDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<HostsDeployment> {
        let path = self.paths.get(&arm.name);
        let to = *path.context("no path of this name; give --path NAME=ADDRESS")?;
        let port = self.port(&arm.name, to)?;
        Between {
            clients: vec![self.client.clone()],
            server: self.server.clone(),
            runner: self.runner,
            target: SocketAddr::new(to, port),
            port,
            shares_kernel: self.shares_kernel,
        }
        .deploy()
        .await
    }

    /// An arm stands in its connections alone: it goes with its deployment.
    async fn clear(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A path between two hosts that is to be deployed.
pub(super) struct Between {
    /// Who sends, at once: one or more, on one kernel.
    pub(super) clients: Vec<Host>,
    /// Who answers.
    pub(super) server: Host,
    /// Tells the agents which connections belong together.
    pub(super) runner: [u8; 16],
    /// Where the client connects to.
    pub(super) target: SocketAddr,
    /// The server's port.
    pub(super) port: u16,
    /// Whether both run on one kernel.
    pub(super) shares_kernel: bool,
}

impl Between {
    /// Asks both ends how packets go.
    pub(super) async fn deploy(self) -> anyhow::Result<HostsDeployment> {
        let to = self.target.ip();
        let mut clients = Vec::new();
        let mut first = None;
        for (number, host) in (0..).zip(self.clients) {
            let mut side = Side::new(host, self.runner);
            let asked = async { side.agent().await?.path(to).await };
            let path = asked.await.with_context(|| word(End::Client(number)))?;
            clients.push(Reached {
                side,
                device: path.device.clone(),
                child: None,
            });
            first.get_or_insert(path);
        }
        let near = first.context("nobody sends")?;
        let local = near.local.with_context(|| {
            format!("the client has no route to {to}; check `ip route get {to}` there")
        })?;
        let mut server = Side::new(self.server, self.runner);
        let own = server.agent().await.context("server")?.path(to).await?.own;
        let far = server.agent().await?.path(local).await?;
        let site = Site {
            facts: facts(to, &near, &far, own),
            endpoints: Endpoints {
                bind: if own { to } else { any(to) },
                port: self.port,
                target: self.target,
            },
            clients: u8::try_from(clients.len())?,
            shares_kernel: self.shares_kernel,
            key: Some(Secret::new(drawn()?)),
        };
        Ok(HostsDeployment {
            site,
            clients,
            server: Reached {
                side: server,
                device: far.device,
                child: None,
            },
        })
    }
}

impl HostsDeployment {
    fn at(&mut self, end: End) -> anyhow::Result<&mut Reached> {
        match end {
            End::Client(number) => {
                let client = self.clients.get_mut(usize::from(number));
                client.with_context(|| format!("the path has no {}", word(end)))
            }
            End::Server => Ok(&mut self.server),
        }
    }

    /// Reads the packets over an end's device; `None` where that can't be told.
    async fn crossed(&mut self, end: End) -> anyhow::Result<Option<DeviceCounters>> {
        let reached = self.at(end)?;
        let Some(device) = &reached.device else {
            return Ok(None);
        };
        let asked = async { reached.side.agent().await?.devices().await };
        let all = asked.await.with_context(|| word(end))?;
        Ok(all.into_iter().find(|found| found.device == *device))
    }
}

impl Deployment for HostsDeployment {
    type Stream = Box<dyn ByteStream>;

    fn site(&self) -> &Site {
        &self.site
    }

    async fn agent(&mut self, end: End) -> anyhow::Result<Box<dyn ByteStream>> {
        let reached = self.at(end)?;
        let connection = patiently(&reached.side).await?;
        reached.child = connection.child;
        Ok(connection.stream)
    }

    async fn agent_end(&mut self, end: End) -> Option<String> {
        let reached = self.at(end).ok()?;
        host::last_words(reached.child.as_mut()?).await
    }

    async fn counters(&mut self) -> anyhow::Result<DatapathCounters> {
        let mut sent: Option<DeviceCounters> = None;
        for number in 0..self.site.clients {
            let Some(more) = self.crossed(End::Client(number)).await? else {
                continue;
            };
            sent = Some(match sent {
                Some(all) => all.plus(&more),
                None => more,
            });
        }
        let received = self.crossed(End::Server).await?;
        let named = |device: Option<DeviceCounters>, node: &str| {
            device.map(|device| DeviceCounters {
                node: node.to_owned(),
                ..device
            })
        };
        let devices = [named(sent, "a"), named(received, "b")];
        let devices = devices.into_iter().flatten().collect();
        Ok(DatapathCounters {
            devices,
            ..DatapathCounters::default()
        })
    }

    async fn translation(&mut self, _: &Flow) -> Translation {
        Translation::Unknown {
            reason: "translation is not observable between hosts".to_owned(),
        }
    }
}

/// Connects; an agent that was killed may be started anew by whoever watches over it.
async fn patiently(side: &Side) -> anyhow::Result<host::Connection> {
    let mut last = None;
    let connected = timeout(PATIENCE, async {
        loop {
            match side.host.connect(side.runner).await {
                Ok(connection) => return connection,
                Err(error) => last = Some(error),
            }
            sleep(PAUSE).await;
        }
    });
    match connected.await {
        Ok(connection) => Ok(connection),
        Err(_) => Err(last.unwrap_or_else(|| anyhow!("the agent doesn't answer"))),
    }
}

fn word(end: End) -> String {
    match end {
        End::Client(0) => "client".to_owned(),
        End::Client(number) => format!("client {}", u16::from(number) + 1),
        End::Server => "server".to_owned(),
    }
}

/// Says what is known of a path, and what is not.
fn facts(to: IpAddr, near: &PathFacts, far: &PathFacts, own: bool) -> ArmFacts {
    let device = |path: &PathFacts| {
        path.device
            .clone()
            .unwrap_or_else(|| "an unknown device".to_owned())
    };
    let mut notes = vec![
        format!(
            "path: client {} → {to} → server {}",
            device(near),
            device(far)
        ),
        "what lies between the two devices (tunnels, address translation, hops) is not observable"
            .to_owned(),
    ];
    if !own {
        notes.push(format!(
            "{to} is no address of the server itself: something in between translates it"
        ));
    }
    if near.mtu.is_some() && far.mtu.is_some() && near.mtu != far.mtu {
        notes.push("the two ends have routes of different MTU".to_owned());
    }
    ArmFacts {
        pod_mtu: near.mtu,
        wire_mtu: far.mtu,
        notes,
        ..ArmFacts::default()
    }
}

/// Returns the address that stands for every address of a family.
const fn any(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Asks a host what it is.
pub(super) async fn ask(host: &Host, runner: [u8; 16]) -> anyhow::Result<HostFacts> {
    let mut side = Side::new(host.clone(), runner);
    side.agent().await?.facts().await
}

/// Asks a host where a name leads.
pub(super) async fn look_up(host: &Host, runner: [u8; 16], name: &str) -> anyhow::Result<Named> {
    let mut side = Side::new(host.clone(), runner);
    side.agent().await?.look_up(name).await
}

/// Draws bytes that nobody can guess.
pub(crate) fn drawn<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::from)
        .context("failed to draw random bytes")?;
    ensure!(bytes != [0; N], "the system's random bytes are all 0");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(paths: &[(&str, [u8; 4])], port: u16) -> HostsTarget {
        let host = || Host::Local {
            probe: "tollgate-probe".into(),
        };
        let paths = paths
            .iter()
            .map(|(name, ip)| (name.parse().unwrap(), (*ip).into()));
        HostsTarget::new(host(), host(), paths.collect(), port).unwrap()
    }

    #[test]
    fn arms_share_a_port_unless_they_share_the_address() {
        let paths = [
            ("a", [10, 0, 0, 1]),
            ("b", [192, 0, 2, 1]),
            ("c", [10, 0, 0, 1]),
        ];
        let hosts = target(&paths, 7789);
        let port = |name: &str, ip: [u8; 4]| hosts.port(&name.parse().unwrap(), ip.into());
        assert_eq!(port("a", [10, 0, 0, 1]).unwrap(), 7789);
        assert_eq!(port("b", [192, 0, 2, 1]).unwrap(), 7789);
        assert_eq!(port("c", [10, 0, 0, 1]).unwrap(), 7790);
        assert!(
            target(&paths, 65535)
                .port(&"c".parse().unwrap(), [10, 0, 0, 1].into())
                .is_err()
        );
    }

    #[test]
    fn a_path_says_what_it_is_and_what_is_unknown() {
        let near = PathFacts {
            own: false,
            local: None,
            device: Some("eth0".to_owned()),
            mtu: Some(1500),
        };
        let far = PathFacts {
            mtu: Some(9000),
            device: None,
            ..near.clone()
        };
        let facts = facts([203, 0, 113, 9].into(), &near, &far, false);
        let notes = facts.notes.join("\n");
        for part in [
            "client eth0 → 203.0.113.9",
            "not observable",
            "translates",
            "different MTU",
        ] {
            assert!(notes.contains(part), "{notes}");
        }
        assert_eq!((facts.pod_mtu, facts.wire_mtu), (Some(1500), Some(9000)));
    }
}
