//! Waits for a run's probes by watching them, and says why one doesn't come up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::time::timeout;

use super::{Cluster, ClusterError, ClusterErrorKind, one_line};
use crate::objects::RUN;

/// What a kubelet says of a container that won't start by waiting.
const HOPELESS: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CrashLoopBackOff",
];

/// A server ends a watch by itself; then it is started anew.
const WATCH_SECONDS: u32 = 60;

/// A probe that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its node.
    pub node: String,
    /// Its addresses, of each family the first.
    pub addresses: Vec<IpAddr>,
    /// Its node's addresses, of each family the first.
    pub node_addresses: Vec<IpAddr>,
}

/// Probes that run, and those that don't.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Where those are that run, by their pods' names.
    pub placed: BTreeMap<String, Placed>,
    /// Why the others don't.
    pub missing: BTreeMap<String, String>,
}

/// What a pod is at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ready(Placed),
    Waiting(String),
    Failed(String),
}

impl Cluster {
    /// Waits until all pods of a run are ready; returns where they are, by their names.
    ///
    /// # Errors
    ///
    /// When one fails, or isn't ready within the limit: each with its reason, and the last that was said of it.
    pub async fn ready(
        &self,
        run: &str,
        pods: &[String],
        limit: Duration,
    ) -> Result<BTreeMap<String, Placed>, ClusterError> {
        let states = self.states(run, pods, limit, is_decided).await?;
        if let Some(placed) = all_ready(&states) {
            return Ok(placed);
        }
        let reasons = self.reasons(&states, limit).await;
        let reasons = reasons
            .into_iter()
            .map(|(pod, why)| format!("{pod}: {why}"));
        Err(ClusterError::new(
            "start the probes",
            ClusterErrorKind::Probes(reasons.collect()),
        ))
    }

    /// Waits until each pod of a run is ready or has failed; returns those that are ready, and why the others aren't.
    ///
    /// # Errors
    ///
    /// When the server can't be asked.
    pub async fn ready_or_not(
        &self,
        run: &str,
        pods: &[String],
        limit: Duration,
    ) -> Result<Settled, ClusterError> {
        let states = self.states(run, pods, limit, is_settled).await?;
        let missing = self.reasons(&states, limit).await;
        let placed = states.into_iter().filter_map(|(pod, state)| match state {
            State::Ready(placed) => Some((pod, placed)),
            _ => None,
        });
        Ok(Settled {
            placed: placed.collect(),
            missing,
        })
    }

    /// Watches pods until enough is known of them, or the limit is over.
    async fn states(
        &self,
        run: &str,
        pods: &[String],
        limit: Duration,
        enough: fn(&BTreeMap<String, State>) -> bool,
    ) -> Result<BTreeMap<String, State>, ClusterError> {
        let mut states: BTreeMap<String, State> = pods
            .iter()
            .map(|pod| (pod.clone(), State::Waiting("it wasn't made".to_owned())))
            .collect();
        let watched = timeout(limit, self.watch(run, &mut states, enough)).await;
        if let Ok(Err(error)) = watched {
            return Err(self.failed("watch the probes", &error));
        }
        Ok(states)
    }

    /// Says why pods aren't ready, with the last that was said of each.
    async fn reasons(
        &self,
        states: &BTreeMap<String, State>,
        limit: Duration,
    ) -> BTreeMap<String, String> {
        let mut reasons = BTreeMap::new();
        for (pod, state) in states {
            let why = match state {
                State::Ready(_) => continue,
                State::Failed(why) => why.clone(),
                State::Waiting(why) => format!("not ready after {} s: {why}", limit.as_secs()),
            };
            let why = match self.last_event(pod).await {
                Some(event) if !why.contains(&event) => format!("{why} ({event})"),
                _ => why,
            };
            reasons.insert(pod.clone(), why);
        }
        reasons
    }

    /// Watches until enough is known.
    async fn watch(
        &self,
        run: &str,
        states: &mut BTreeMap<String, State>,
        enough: fn(&BTreeMap<String, State>) -> bool,
    ) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = format!("{RUN}={run}");
        loop {
            let listed = api.list(&ListParams::default().labels(&selector)).await?;
            let version = listed.metadata.resource_version.unwrap_or_default();
            for pod in &listed.items {
                note(states, pod);
            }
            if enough(states) {
                return Ok(());
            }
            let params = WatchParams::default()
                .labels(&selector)
                .timeout(WATCH_SECONDS);
            let mut events = pin!(api.watch(&params, &version).await?);
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => note(states, &pod),
                    WatchEvent::Deleted(pod) => {
                        let name = pod.metadata.name.unwrap_or_default();
                        states.insert(name, State::Failed("somebody deleted it".to_owned()));
                    }
                    WatchEvent::Bookmark(_) => {}
                    // The version is too old: list anew.
                    WatchEvent::Error(_) => break,
                }
                if enough(states) {
                    return Ok(());
                }
            }
        }
    }

    /// Returns the last that was said of a pod; `None` where events may not be read.
    async fn last_event(&self, pod: &str) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/events", self.namespace);
        let query = format!("fieldSelector=involvedObject.name%3D{pod}");
        let events = self.list(&path, &query).await.ok()?;
        let event = |event: Value| serde_json::from_value::<Event>(event).ok();
        let warnings = events.into_iter().filter_map(event).filter(|event| {
            event.type_.as_deref() == Some("Warning")
                && event.involved_object.name.as_deref() == Some(pod)
        });
        let last = warnings.max_by_key(|event| event.last_timestamp.clone().map(|time| time.0))?;
        Some(one_line(&last.message.unwrap_or_default()))
    }
}

fn note(states: &mut BTreeMap<String, State>, pod: &Pod) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if let Some(known) = states.get_mut(&name) {
        *known = state(pod);
    }
}

/// Returns whether each pod is ready or has failed.
fn is_settled(states: &BTreeMap<String, State>) -> bool {
    let waits = |state: &State| matches!(state, State::Waiting(_));
    !states.values().any(waits)
}

/// Returns whether there is nothing more to wait for.
fn is_decided(states: &BTreeMap<String, State>) -> bool {
    let failed = states
        .values()
        .any(|state| matches!(state, State::Failed(_)));
    failed || all_ready(states).is_some()
}

fn all_ready(states: &BTreeMap<String, State>) -> Option<BTreeMap<String, Placed>> {
    let placed = states.iter().map(|(name, state)| match state {
        State::Ready(placed) => Some((name.clone(), placed.clone())),
        _ => None,
    });
    placed.collect()
}

/// Says what a pod is at.
fn state(pod: &Pod) -> State {
    if pod.metadata.deletion_timestamp.is_some() {
        return State::Failed("somebody deleted it".to_owned());
    }
    let Some(status) = &pod.status else {
        return State::Waiting("the scheduler hasn't seen it".to_owned());
    };
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if matches!(phase, "Failed" | "Succeeded") {
        let reason = status.reason.as_deref().unwrap_or(phase);
        let message = status.message.as_deref().unwrap_or("it ended");
        return State::Failed(format!("{reason}: {}", one_line(message)));
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    if let Some(state) = containers.iter().find_map(stuck) {
        return state;
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.as_deref().unwrap_or("no node takes it");
        return State::Waiting(one_line(message));
    }
    let ready = conditions.iter().find(|known| known.type_ == "Ready");
    let addresses: Vec<IpAddr> = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|address| address.ip.parse().ok())
        .collect();
    if addresses.is_empty() || ready.is_none_or(|condition| condition.status != "True") {
        let said = ready.and_then(|condition| condition.message.as_deref());
        return State::Waiting(match said {
            Some(said) => format!("its phase is {phase}, {}", one_line(said)),
            None => format!("its phase is {phase}"),
        });
    }
    let of_node = status.host_ips.iter().flatten().map(|address| &address.ip);
    let mut node_addresses: Vec<IpAddr> = Vec::new();
    // Servers before 1.28 tell one address of the node only.
    for address in of_node.chain(&status.host_ip) {
        if let Ok(address) = address.parse()
            && !node_addresses.contains(&address)
        {
            node_addresses.push(address);
        }
    }
    State::Ready(Placed {
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        addresses,
        node_addresses,
    })
}

/// Says why a container doesn't run, where it doesn't.
fn stuck(container: &ContainerStatus) -> Option<State> {
    let now = container.state.as_ref()?;
    if let Some(waiting) = &now.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        let mut why = match &waiting.message {
            Some(message) => format!("{reason}: {}", one_line(message)),
            None => reason.to_owned(),
        };
        let before = container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        if let Some(before) = before {
            let said = before.message.as_deref().map(one_line).unwrap_or_default();
            why = format!("{why}; it ended with exit code {} {said}", before.exit_code);
        }
        let why = why.trim_end().to_owned();
        return Some(if HOPELESS.contains(&reason) {
            State::Failed(why)
        } else {
            State::Waiting(why)
        });
    }
    let ended = now.terminated.as_ref()?;
    Some(State::Waiting(format!(
        "it ended with exit code {}",
        ended.exit_code
    )))
}

#[cfg(test)]
mod tests;
