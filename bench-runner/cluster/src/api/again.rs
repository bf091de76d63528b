//! Whether probes that came up still stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{Cluster, ClusterError, ClusterErrorKind, Placed};
use crate::objects::RUN;

impl Cluster {
    /// Looks whether the probes of a run still stand as they were placed, and waits for those that come up again by
    /// themselves.
    ///
    /// # Errors
    ///
    /// With [`ClusterErrorKind::Probes`] when one is gone, came up with another address, or doesn't come up within the
    /// limit; else when the server can't be asked.
    pub async fn stand(
        &self,
        run: &str,
        placed: &BTreeMap<String, Placed>,
        limit: Duration,
    ) -> Result<(), ClusterError> {
        let action = "look at the probes";
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let query = format!("labelSelector={}%3D{run}", RUN.replace('/', "%2F"));
        let pods = self.list(&path, &query).await;
        let pods = pods.map_err(|error| self.failed(action, &error))?;
        let there: BTreeSet<&str> = pods.iter().filter_map(standing).collect();
        let gone = placed.keys().filter(|pod| !there.contains(pod.as_str()));
        let gone: Vec<String> = gone
            .map(|pod| format!("{pod}: it is gone; somebody deleted it, or its node went away"))
            .collect();
        if !gone.is_empty() {
            return Err(ClusterError::new(action, ClusterErrorKind::Probes(gone)));
        }
        let names: Vec<String> = placed.keys().cloned().collect();
        let now = self.ready(run, &names, limit).await?;
        let moved = placed.iter().filter(|(pod, before)| {
            now.get(*pod)
                .is_none_or(|now| now.addresses != before.addresses)
        });
        let moved: Vec<String> = moved
            .map(|(pod, _)| format!("{pod}: it came up again with another address"))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        Err(ClusterError::new(action, ClusterErrorKind::Probes(moved)))
    }
}

/// Returns the name of a pod that isn't being removed.
fn standing(pod: &Value) -> Option<&str> {
    let metadata = pod.get("metadata")?;
    if metadata.get("deletionTimestamp").is_some() {
        return None;
    }
    metadata.get("name")?.as_str()
}
