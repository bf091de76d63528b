//! Where a scenario runs. The campaign knows targets only through these two traits.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_results::arm::Arm;
use tollgate_results::door::Secret;
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::facts::ArmFacts;
use tollgate_results::outcome::Flow;

mod change;
pub mod cluster;
pub mod hosts;
pub mod lab;
mod runner;
pub mod split;

/// A place that can deploy arms.
pub trait Target {
    /// A deployed arm of this target.
    type Deployment: Deployment;

    /// Deploys an arm and applies the user's change to it. What was half done is undone on an error.
    fn deploy(&mut self, arm: &Arm) -> impl Future<Output = anyhow::Result<Self::Deployment>>;

    /// Deploys arms, side by side where the target can; `told` hears of each as its turn comes. The answers are in the order of
    /// the arms: one that fails disturbs no other.
    fn deploy_all(
        &mut self,
        arms: &[Arm],
        told: &mut dyn FnMut(usize),
    ) -> impl Future<Output = Vec<anyhow::Result<Self::Deployment>>> {
        let mut all = Vec::with_capacity(arms.len());
        async move {
            for (number, arm) in arms.iter().enumerate() {
                told(number);
                all.push(self.deploy(arm).await);
            }
            all
        }
    }

    /// Takes all arms down, so that they can be deployed anew. Their deployments are of no use any more.
    fn clear(&mut self) -> impl Future<Output = anyhow::Result<()>>;

    /// Says why the arms don't stand any more, asked when a slice failed; `None` where they do. Who keeps them may not
    /// answer for a while, which is waited for.
    fn fallen(&mut self) -> impl Future<Output = Option<String>> {
        std::future::ready(None)
    }
}

/// One deployed arm. It goes when the target goes.
pub trait Deployment {
    /// A byte stream to a probe agent.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Returns what is fixed about the arm.
    fn site(&self) -> &Site;

    /// Starts a probe agent and connects to it. The agent ends with the stream.
    fn agent(&mut self, end: End) -> impl Future<Output = anyhow::Result<Self::Stream>>;

    /// Says how the last agent of an end ended, where it has ended by itself.
    fn agent_end(&mut self, end: End) -> impl Future<Output = Option<String>>;

    /// Reads the counters that the datapath keeps.
    fn counters(&mut self) -> impl Future<Output = anyhow::Result<DatapathCounters>>;

    /// Asks the client's node what it makes of a connection that just carried traffic.
    fn translation(&mut self, flow: &Flow) -> impl Future<Output = Translation>;
}

/// What is fixed about a deployed arm.
#[derive(Debug, Clone)]
pub struct Site {
    /// Facts of the arm.
    pub facts: ArmFacts,
    /// Where the responder listens and where the client connects to.
    pub endpoints: Endpoints,
    /// How many clients send at once: 1 but where an arm has several.
    pub clients: u8,
    /// Whether both ends run on one kernel, whose counters then count once.
    pub shares_kernel: bool,
    /// What the client shows to the responder, where strangers can reach it; `None` where nobody else can.
    pub key: Option<Secret>,
}

/// An end of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// One that sends requests, from 0: below [`Site::clients`].
    Client(u8),
    /// The one that answers.
    Server,
}

/// Addresses of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// Address that the responder binds to.
    pub bind: IpAddr,
    /// Port that the responder binds to.
    pub port: u16,
    /// Address that the client connects to: the service's, or the server's where there is no service.
    pub target: SocketAddr,
}
