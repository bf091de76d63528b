//! What the node inspector has printed on each node: the last whole line of its pods' logs.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_results::node::NodeFacts;

use super::gather::http_get;
use super::{Cluster, ClusterError, status_code};
use crate::objects::ROLE;
use crate::objects::inspector::{INSPECTOR, NAMESPACE};
use crate::snapshot::text_at;

/// Lines of a log that are asked for. Runtimes cut what is printed into lines of 16 KiB, and the last may be half there.
const TAIL: u32 = 64;

/// Most nodes that are read, as of a mesh.
const MOST_NODES: usize = 1_000;

impl Cluster {
    /// Returns what the inspector saw on each node, and what of that may not be read, one line each; nothing where it doesn't
    /// run.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub async fn look_at_nodes(
        &self,
    ) -> Result<(BTreeMap<String, NodeFacts>, Vec<String>), ClusterError> {
        let action = "read what the node inspector has seen";
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let selector = format!("labelSelector={}%3D{INSPECTOR}", ROLE.replace('/', "%2F"));
        let pods = match self.list(&path, &selector).await {
            Ok(pods) => pods,
            Err(error) => {
                return match status_code(&error) {
                    Some(404) => Ok((BTreeMap::new(), Vec::new())),
                    Some(401 | 403) => {
                        let told = "pods of the node inspector may not be read";
                        Ok((BTreeMap::new(), vec![told.to_owned()]))
                    }
                    _ => Err(self.failed(action, &error)),
                };
            }
        };
        let (mut nodes, mut refused) = (BTreeMap::new(), Vec::new());
        for pod in pods.iter().take(MOST_NODES) {
            let name = text_at(pod, "/metadata/name").unwrap_or_default();
            let node = text_at(pod, "/spec/nodeName").unwrap_or(name).to_owned();
            let request = http_get(&format!("{path}/{name}/log?tailLines={TAIL}"));
            let printed = match request {
                Ok(request) => self.client.request_text(request).await,
                Err(error) => Err(error),
            };
            let told = match (printed, is_running(pod)) {
                (Ok(printed), _) => match last(&printed) {
                    Some(facts) => {
                        nodes.insert(node, facts);
                        continue;
                    }
                    None => format!("the inspector on node {node} has printed nothing yet"),
                },
                // A container that waits has no log.
                (Err(error), false) if status_code(&error).is_some() => {
                    format!("the inspector on node {node} doesn't run")
                }
                (Err(error), _) if status_code(&error).is_some() => {
                    format!("the inspector's log on node {node} may not be read (pods/log)")
                }
                (Err(error), _) => return Err(self.failed(action, &error)),
            };
            refused.push(told);
        }
        Ok((nodes, refused))
    }
}

fn is_running(pod: &Value) -> bool {
    text_at(pod, "/status/phase") == Some("Running")
}

/// Returns the last whole line.
fn last(printed: &str) -> Option<NodeFacts> {
    let mut lines = printed.lines().rev();
    lines.find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_counts() {
        let line = |mtu: u32| {
            format!(
                r#"{{"links":[{{"kind":"veth","mtu":{mtu},"up":true,"count":1,"names":["a"]}}]}}"#
            )
        };
        let cut = &line(3)[..20];
        let log = format!("error: something\n{}\n{}\n{cut}", line(1), line(2));
        assert_eq!(last(&log).unwrap().links[0].mtu, 2);
        assert_eq!(last("error: something\n"), None);
        assert_eq!(last(""), None);
    }
}
