//! A run's hold of a namespace: from its owner on, which one run there has at a time, to the end of its pods.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tollgate_cluster::api::{Cluster, ClusterErrorKind, Placed};
use tollgate_cluster::objects::Settings;

use super::member::COME_BACK;
use crate::exit::EnvironmentError;

/// How long an API server may be gone: longer than it takes to replace one.
const OUTAGE: Duration = Duration::from_secs(180);

/// How often a server that is gone is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// A cluster, and what a run has made there.
#[derive(Debug)]
pub(crate) struct Hold {
    cluster: Cluster,
    /// The uid of the run's owner, while it stands.
    owner: Option<String>,
}

impl Hold {
    /// Takes a cluster; nothing is made yet.
    pub(crate) const fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            owner: None,
        }
    }

    pub(crate) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Connects anew: connections end with the runtime in which they were made.
    pub(crate) fn reconnect(&mut self) -> anyhow::Result<()> {
        self.cluster = self.cluster.again()?;
        Ok(())
    }

    /// Makes the run's owner; returns the settings for what it shall own.
    ///
    /// # Errors
    ///
    /// When another run stands there, or the cluster refuses.
    pub(crate) async fn begin(&mut self, settings: Settings) -> anyhow::Result<Settings> {
        let settings = self.cluster.begin(settings).await?;
        self.owner = settings.run.as_ref().and_then(|run| run.owner.clone());
        Ok(settings)
    }

    /// Removes the run's objects, and nobody else's. Returns when its pods are gone.
    ///
    /// # Errors
    ///
    /// When the cluster refuses, can't be reached, or pods are still going.
    pub(crate) async fn remove(&mut self) -> anyhow::Result<()> {
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        let cleaned = self.cluster.clean(Some(owner)).await?;
        self.owner = None;
        cleaned
            .still_going()
            .map_or(Ok(()), |left| Err(EnvironmentError(left).into()))
    }

    /// Removes what was made until an error; returns it, with what is left behind.
    pub(crate) async fn undo(&mut self, error: anyhow::Error) -> anyhow::Error {
        match self.remove().await {
            Ok(()) => error,
            Err(left) => error.context(format!("its objects are left behind: {left:#}")),
        }
    }

    /// Says which pods of a run don't stand any more; `None` where all do. Waits for a server that is gone.
    pub(crate) async fn fallen(
        &self,
        run: &str,
        placed: &BTreeMap<String, Placed>,
    ) -> Option<String> {
        let mut last = String::new();
        let looked = timeout(OUTAGE, async {
            loop {
                let stands = self.cluster.stand(run, placed, COME_BACK).await;
                let Err(error) = stands else { return None };
                if matches!(error.kind(), ClusterErrorKind::Probes(_)) {
                    return Some(error.kind().to_string());
                }
                last = format!("{error}: {}", error.kind());
                sleep(LOOK).await;
            }
        });
        let why = looked.await;
        why.unwrap_or_else(|_| Some(format!("{last} (for {} s)", OUTAGE.as_secs())))
    }
}
