//! Lists the objects that tell what a cluster's network is.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_results::node::NodeFacts;

use super::{Cluster, ClusterError, ClusterErrorKind, one_line, status_code};
use crate::snapshot::Snapshot;

/// Objects of one answer; the server goes on where the last one ended.
const PAGE: u32 = 500;

/// Most pages of one kind: half a million objects.
const MOST_PAGES: usize = 1_000;

/// Lists that are asked for: path, what is asked for, and the kind of its items.
const LISTS: [(&str, &str, (&str, &str)); 13] = [
    ("/api/v1/nodes", "", ("v1", "Node")),
    ("/apis/apps/v1/daemonsets", "", ("apps/v1", "DaemonSet")),
    ("/api/v1/services", "", ("v1", "Service")),
    (
        "/api/v1/namespaces/kube-system/pods",
        "labelSelector=k8s-app%3Dkube-proxy",
        ("v1", "Pod"),
    ),
    (
        "/api/v1/namespaces/kube-system/pods",
        "labelSelector=component%3Dkube-proxy",
        ("v1", "Pod"),
    ),
    (
        "/apis/networking.k8s.io/v1/networkpolicies",
        "",
        ("networking.k8s.io/v1", "NetworkPolicy"),
    ),
    (
        "/apis/cilium.io/v2/ciliumnetworkpolicies",
        "",
        ("cilium.io/v2", "CiliumNetworkPolicy"),
    ),
    (
        "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies",
        "",
        ("cilium.io/v2", "CiliumClusterwideNetworkPolicy"),
    ),
    (
        "/apis/crd.projectcalico.org/v1/globalnetworkpolicies",
        "",
        ("crd.projectcalico.org/v1", "GlobalNetworkPolicy"),
    ),
    (
        "/apis/crd.projectcalico.org/v1/ippools",
        "",
        ("crd.projectcalico.org/v1", "IPPool"),
    ),
    (
        "/apis/crd.projectcalico.org/v1/felixconfigurations",
        "",
        ("crd.projectcalico.org/v1", "FelixConfiguration"),
    ),
    (
        "/apis/operator.tigera.io/v1/installations",
        "",
        ("operator.tigera.io/v1", "Installation"),
    ),
    (
        "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
        "",
        ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ),
];

/// Config maps that are asked for by their names: no other is read.
const CONFIG_MAPS: [(&str, &str); 6] = [
    ("kube-system", "cilium-config"),
    ("kube-system", "kube-proxy"),
    ("kube-system", "calico-config"),
    ("kube-system", "canal-config"),
    ("kube-system", "kube-flannel-cfg"),
    ("kube-flannel", "kube-flannel-cfg"),
];

/// What could be read, and what couldn't.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// The objects.
    pub snapshot: Snapshot,
    /// What the inspector saw on each node, where it runs.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// What the server refused, one line each.
    pub refused: Vec<String>,
}

impl Cluster {
    /// Reads what tells of the cluster's network. What isn't installed, or may not be read, is left out.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or doesn't answer with lists of objects.
    pub async fn gather(&self) -> Result<Gathered, ClusterError> {
        let mut gathered = Gathered::default();
        for (path, query, (version, kind)) in LISTS {
            match self.list(path, query).await {
                Ok(items) => {
                    match kind {
                        "Service" => drop(gathered.snapshot.services.get_or_insert_default()),
                        "NetworkPolicy" => drop(gathered.snapshot.policies.get_or_insert_default()),
                        _ => {}
                    }
                    for item in items {
                        gathered.add(item, version, kind)?;
                    }
                }
                Err(error) => gathered.pass(self, &error, path)?,
            }
        }
        for (namespace, name) in CONFIG_MAPS {
            let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
            match self.get(&path).await {
                Ok(object) => gathered.add(object, "v1", "ConfigMap")?,
                Err(error) => gathered.pass(self, &error, &path)?,
            }
        }
        let (nodes, refused) = self.look_at_nodes().await?;
        gathered.nodes = nodes;
        gathered.refused.extend(refused);
        gathered.refused.dedup();
        Ok(gathered)
    }

    /// Lists the objects at a path, page by page.
    pub(super) async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, kube::Error> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let mut page = self
                .get(&format!("{path}?limit={PAGE}&{query}&continue={next}"))
                .await?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            let token = page.pointer("/metadata/continue").and_then(Value::as_str);
            match token {
                Some(token) if !token.is_empty() => next = escaped(token),
                _ => break,
            }
        }
        Ok(items)
    }

    /// Gets what is at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        let request = http_get(path)?;
        self.client.request(request).await
    }
}

impl Gathered {
    fn add(&mut self, mut item: Value, version: &str, kind: &str) -> Result<(), ClusterError> {
        // The API leaves kind and version out of a list's items.
        if let Value::Object(fields) = &mut item {
            fields.entry("kind").or_insert_with(|| kind.into());
            fields.entry("apiVersion").or_insert_with(|| version.into());
        }
        self.snapshot.add(item).map_err(|error| {
            ClusterError::new(
                "read the cluster's objects",
                ClusterErrorKind::Answer(one_line(&error)),
            )
        })
    }

    /// Goes on where something isn't installed or may not be read.
    fn pass(
        &mut self,
        cluster: &Cluster,
        error: &kube::Error,
        path: &str,
    ) -> Result<(), ClusterError> {
        match status_code(error) {
            Some(404) => Ok(()),
            Some(401 | 403) => {
                let what = path.rsplit('/').next().unwrap_or(path);
                self.refused.push(format!("{what} may not be read"));
                Ok(())
            }
            _ => Err(cluster.failed("read the cluster's objects", error)),
        }
    }
}

/// Returns a GET request.
pub(super) fn http_get(path: &str) -> Result<http::Request<Vec<u8>>, kube::Error> {
    http::Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)
}

/// Escapes what a query may not hold; the server's tokens are base64.
fn escaped(token: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    token.bytes().map(byte).collect()
}
