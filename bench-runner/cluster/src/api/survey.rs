//! Which nodes there are, in which zones, and which of them take pods.

use k8s_openapi::api::core::v1::Node;

use super::{Cluster, ClusterError, ClusterErrorKind, status_code};
use crate::snapshot::zone_of;

/// A node as a run sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Surveyed {
    /// Its name.
    pub name: String,
    /// Its zone, where it says so.
    pub zone: Option<String>,
    /// Why no probe can stand on it, in one line; `None` where one can.
    pub unable: Option<String>,
}

impl Cluster {
    /// Lists the nodes, by their names. `None` where they may not be read.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub async fn survey(&self) -> Result<Option<Vec<Surveyed>>, ClusterError> {
        let action = "list the nodes";
        let listed = match self.list("/api/v1/nodes", "").await {
            Ok(listed) => listed,
            Err(error) if matches!(status_code(&error), Some(401 | 403)) => return Ok(None),
            Err(error) => return Err(self.failed(action, &error)),
        };
        let mut nodes = Vec::new();
        for value in listed {
            let node: Node = serde_json::from_value(value).map_err(|error| {
                ClusterError::new(action, ClusterErrorKind::Answer(error.to_string()))
            })?;
            nodes.push(Surveyed {
                unable: unable(&node),
                zone: zone_of(&node).cloned(),
                name: node.metadata.name.unwrap_or_default(),
            });
        }
        nodes.sort_unstable();
        Ok(Some(nodes))
    }
}

/// Says why a node takes no probe; `None` where it does.
pub(super) fn unable(node: &Node) -> Option<String> {
    let spec = node.spec.as_ref();
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if !ready {
        return Some("it is not ready".to_owned());
    }
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        return Some("it is cordoned".to_owned());
    }
    let mut taints = spec
        .into_iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    if let Some(taint) = taints.find(|taint| taint.effect != "PreferNoSchedule") {
        return Some(format!("it is tainted ({}:{})", taint.key, taint.effect));
    }
    let system = status
        .and_then(|status| status.node_info.as_ref())
        .map(|info| info.operating_system.as_str());
    match system {
        Some(system) if !system.is_empty() && system != "linux" => {
            Some(format!("its operating system is {system}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(spec: &Value, status: &Value) -> Node {
        let object = json!({"metadata": {"name": "n"}, "spec": spec, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_node_that_takes_no_probe_says_why() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(unable(&node(&json!({}), &ready)), None);
        let prefer = json!({"taints": [{"key": "a", "effect": "PreferNoSchedule"}]});
        assert_eq!(unable(&node(&prefer, &ready)), None);
        let tainted = json!({"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]});
        let windows = json!({
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "windows",
                "osImage": "", "systemUUID": "",
            },
        });
        for (spec, status, part) in [
            (json!({}), json!({}), "not ready"),
            (json!({"unschedulable": true}), ready.clone(), "cordoned"),
            (tainted, ready, "tainted (gpu:NoSchedule)"),
            (json!({}), windows, "windows"),
        ] {
            let told = unable(&node(&spec, &status)).unwrap();
            assert!(told.contains(part), "{told}");
        }
    }
}
