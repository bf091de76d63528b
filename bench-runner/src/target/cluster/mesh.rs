//! Probes of a mesh, one on each node, and what two of them do when they meet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};
use tollgate_cluster::objects::mesh::PORT;
use tollgate_results::agent::{HostFacts, Job, Serve};
use tollgate_results::door::Secret;
use tollgate_results::outcome::JobReport;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::Workload;

use super::PodAgent;
use crate::agent::Agent;

/// How long an agent that doesn't answer is asked again: an API server that starts anew, a stream that broke.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Longest that control may take around a meeting's own time, connecting anew included.
const CONTROL_LIMIT: Duration = Duration::from_secs(30);

/// How often a responder is asked to stand: the one of a broken stream may still hold its port, for 100 ms.
const SERVE_TRIES: u32 = 4;

/// A probe of a mesh.
#[derive(Debug)]
pub struct Seat {
    pod: PodAgent,
    address: IpAddr,
    runner: [u8; 16],
    agent: Option<Agent>,
}

/// What is measured when two probes meet.
#[derive(Debug, Clone)]
pub struct Encounter {
    /// What is sent.
    pub workload: Workload,
    /// Traffic before the window.
    pub warmup: Nanoseconds,
    /// The window.
    pub slice: Nanoseconds,
    /// Source of its random choices.
    pub seed: u64,
    /// What the run's probes show each other.
    pub key: Secret,
}

/// Which of two probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that sends.
    Client,
    /// The one that answers.
    Server,
}

/// A meeting of which nothing came.
#[derive(Debug)]
pub struct Failure {
    /// Whose agent didn't answer; `None` where both did.
    pub side: Option<Side>,
    /// Why.
    pub error: anyhow::Error,
}

impl Seat {
    /// Names a probe; nothing is reached yet.
    #[must_use]
    pub const fn new(pod: PodAgent, address: IpAddr, runner: [u8; 16]) -> Self {
        Self {
            pod,
            address,
            runner,
            agent: None,
        }
    }

    /// Asks what its node is.
    ///
    /// # Errors
    ///
    /// When its agent doesn't answer.
    pub async fn facts(&mut self) -> anyhow::Result<HostFacts> {
        let asked = async { self.agent().await?.facts().await };
        timeout(CONTROL_LIMIT, asked)
            .await
            .context("no answer in time")?
    }

    /// Returns its agent; connects where there is none that stands.
    async fn agent(&mut self) -> anyhow::Result<&mut Agent> {
        let agent = match self.agent.take() {
            Some(agent) if agent.is_alive() => agent,
            _ => connect(&self.pod, self.runner).await?,
        };
        Ok(self.agent.insert(agent))
    }

    /// Lets it answer traffic; keeps a responder that does.
    async fn serve(&mut self, key: &Secret) -> anyhow::Result<()> {
        let serve = Serve {
            bind: self.address,
            port: PORT,
            cpu: None,
            name: None,
            planted: None,
            key: Some(key.clone()),
        };
        let agent = self.agent().await?;
        for _ in 1..SERVE_TRIES {
            if agent.serve(&serve).await.is_ok() {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        agent.serve(&serve).await
    }

    fn is_alive(&self) -> bool {
        self.agent.as_ref().is_some_and(Agent::is_alive)
    }
}

/// Connects to the agent in a pod; one that doesn't answer is asked again for a while.
async fn connect(pod: &PodAgent, runner: [u8; 16]) -> anyhow::Result<Agent> {
    let mut last = None;
    let connected = timeout(PATIENCE, async {
        loop {
            let tried = async { Agent::connect(pod.connect(runner).await?).await };
            match tried.await {
                Ok(agent) => return agent,
                Err(error) => last = Some(error),
            }
            sleep(PAUSE).await;
        }
    });
    match connected.await {
        Ok(agent) => Ok(agent),
        Err(_) => Err(last.unwrap_or_else(|| anyhow::anyhow!("the agent doesn't answer"))),
    }
}

/// Measures one meeting, within a bounded time.
///
/// # Errors
///
/// When an agent doesn't answer, or the traffic can't start.
pub async fn meet(
    client: &mut Seat,
    server: &mut Seat,
    encounter: &Encounter,
) -> Result<JobReport, Failure> {
    let limit = encounter.warmup.duration() + encounter.slice.duration() + CONTROL_LIMIT;
    let measured = timeout(limit, exchange(client, server, encounter)).await;
    let failure = match measured {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(failure)) => failure,
        Err(_) => {
            // Which of the two is late isn't known; what was under way can't be gone on with.
            (client.agent, server.agent) = (None, None);
            Failure {
                side: None,
                error: anyhow::anyhow!("no answer from the probes within {} s", limit.as_secs()),
            }
        }
    };
    Err(failure)
}

async fn exchange(
    client: &mut Seat,
    server: &mut Seat,
    encounter: &Encounter,
) -> Result<JobReport, Failure> {
    let by = |side| move |error| Failure { side, error };
    server
        .serve(&encounter.key)
        .await
        .map_err(by(Some(Side::Server)))?;
    let job = Job {
        traffic: encounter.workload.traffic.clone(),
        load: encounter.workload.load,
        timestamps: false,
        ports: None,
        beside: None,
        target: SocketAddr::new(server.address, PORT),
        warmup: encounter.warmup,
        duration: encounter.slice,
        cpu: None,
        seed: encounter.seed,
        key: Some(encounter.key.clone()),
    };
    let agent = client.agent().await.map_err(by(Some(Side::Client)))?;
    let measured = async {
        let armed = agent.arm(&job).await?;
        agent.run(&armed).await
    };
    match measured.await {
        Ok(report) => Ok(report),
        Err(error) => {
            let side = match (client.is_alive(), server.is_alive()) {
                (false, _) => Some(Side::Client),
                (true, false) => Some(Side::Server),
                (true, true) => None,
            };
            Err(Failure { side, error })
        }
    }
}
