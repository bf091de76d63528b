//! The agent over memory pipes and Unix sockets, with real traffic on loopback.

mod bad_input;
pub(crate) mod client;
mod descriptor;
mod lifecycle;
mod log;
mod slices;

use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tollgate_probes::agent::Agent;
use tollgate_probes::error::ProbeError;

use self::client::Client;

/// Long enough for the slowest machine; what takes it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a connection to an agent in this process. The task ends when the agent ends the connection.
fn connect(agent: &Agent) -> (Client<DuplexStream>, JoinHandle<Result<(), ProbeError>>) {
    let (ours, theirs) = duplex(64 * 1024);
    let agent = agent.clone();
    let served = tokio::spawn(async move { agent.connection(theirs).await });
    (Client::new(ours), served)
}

/// Fails loudly where a test would hang.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("hangs")
}
