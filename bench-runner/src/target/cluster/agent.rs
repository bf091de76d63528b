//! A probe's agent in a pod, reached by port-forward.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::{sleep, timeout};
use tollgate_cluster::api::{Cluster, Forward};
use tollgate_results::door::{Knock, Secret};

use crate::agent::door;
use crate::target::hosts::ByteStream;

/// From the request to the welcome: through the API server and a kubelet, each perhaps busy.
const LIMIT: Duration = Duration::from_secs(10);

/// A container runs a moment before its program listens: it is tried so often, 3 s in all.
const TRIES: u32 = 15;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// An agent in a pod.
#[derive(Debug, Clone)]
pub struct PodAgent {
    cluster: Cluster,
    pod: String,
    port: u16,
    token: Secret,
}

/// How trying to get in ended.
enum Entered {
    In(Box<dyn ByteStream>),
    Refused(String),
}

impl PodAgent {
    /// Names an agent, by its pod and the port that it listens on there; nothing is reached yet.
    #[must_use]
    pub const fn new(cluster: Cluster, pod: String, port: u16, token: Secret) -> Self {
        Self {
            cluster,
            pod,
            port,
            token,
        }
    }

    /// Opens a way to it and is let in.
    ///
    /// # Errors
    ///
    /// When the pod is gone, nobody listens in it, or the agent doesn't let us in.
    pub async fn connect(&self, runner: [u8; 16]) -> anyhow::Result<Box<dyn ByteStream>> {
        let context = || format!("agent in {}", self.pod);
        let mut tries = 1;
        loop {
            let entered = timeout(LIMIT, self.enter(runner)).await;
            let entered = entered
                .with_context(|| format!("no answer within {} s", LIMIT.as_secs()))
                .flatten()
                .with_context(context)?;
            match entered {
                Entered::In(stream) => return Ok(stream),
                Entered::Refused(why) if tries == TRIES => {
                    return Err(anyhow!(why)).with_context(context);
                }
                Entered::Refused(_) => tries += 1,
            }
            sleep(PAUSE).await;
        }
    }

    async fn enter(&self, runner: [u8; 16]) -> anyhow::Result<Entered> {
        let Forward {
            mut stream,
            mut refusal,
        } = self.cluster.forward(&self.pod, self.port).await?;
        let knock = Knock::new(runner, self.token.clone());
        tokio::select! {
            Some(why) = &mut refusal => return Ok(Entered::Refused(why)),
            entered = door::enter(&mut stream, &knock) => if let Err(error) = entered {
                // The stream may end before its reason is there.
                return match timeout(PAUSE, refusal).await {
                    Ok(Some(why)) => Ok(Entered::Refused(why)),
                    _ => Err(error),
                };
            },
        }
        Ok(Entered::In(Box::new(stream)))
    }
}
