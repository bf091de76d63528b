//! The table of an arm that is a path through a Kubernetes cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::cluster::Aspect;
use tollgate_results::cluster_path::Path;

/// A path through a Kubernetes cluster, for `--target cluster`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct ClusterTable {
    /// The path: between which ends, and to which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub(crate) path: Option<Path>,
    /// Context of the kubeconfig that leads to the cluster; the campaign's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) context: Option<String>,
    /// Nodes of client and server by their names, or one name for both: for `pod-ip`, `headless`, `cluster-ip`, `node-port`
    /// and `node-port-far`. Where it is left out, `--nodes` or the scheduler chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    pub(crate) nodes: Option<Vec<String>>,
    /// Client pods that send at once, on one node; 1 where it is left out. In a closed loop, and not on the paths `host` and
    /// `hairpin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub(crate) clients: Option<i64>,
    /// What the cluster's datapath is to be, in the words of `tollgate cluster inspect --json`: where it is found to be
    /// something else, the arm is invalid.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) declares: BTreeMap<Aspect, String>,
}
