//! The record of a campaign.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
use crate::cluster::ClusterFacts;
use crate::facts::{ArmFacts, Facts};
use crate::plan::Plan;
use crate::slice::Slice;

/// `run.json`: everything about a campaign but its slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// [`crate::RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of Tollgate that wrote it.
    pub version: String,
    /// Where it ran.
    pub target: TargetKind,
    /// Wall clock at the start, for stamping only.
    pub started_unix_ms: u64,
    /// The plan as resolved.
    pub plan: Plan,
    /// What the machine is.
    pub facts: Facts,
    /// The two machines of a campaign between hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Hosts>,
    /// The cluster of a campaign on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterRun>,
    /// Each deployment of the arms: one, and one more for each resume.
    pub installs: Vec<Install>,
}

/// What a campaign between two machines needs to go on; no secrets. `facts` of the record are the client's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hosts {
    /// The client's name among the joined hosts, `local`, or the file of its invitation.
    pub client: String,
    /// The same of the server.
    pub server: String,
    /// Address of the server that each arm connects to.
    pub paths: BTreeMap<Name, IpAddr>,
    /// First port of the traffic; arms with the same address take one each from there.
    pub port: u16,
    /// Facts of the server.
    pub server_facts: Facts,
}

/// What a campaign on a cluster needs to go on, and what the cluster is; no secrets. `facts` of the record are those
/// that the client's pod sees of its node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClusterRun {
    /// Context of the kubeconfig; `None` for the current one.
    pub context: Option<String>,
    /// Address of the API server.
    pub server: String,
    /// Namespace that the run stands in.
    pub namespace: String,
    /// The probes' image.
    pub image: String,
    /// Secrets with which it is pulled, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
    /// Nodes of client and server, where they were chosen.
    pub nodes: Option<(String, String)>,
    /// The joined machine that answers from outside the cluster, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// Where the probes stood at the start, by their pods' names.
    pub placed: BTreeMap<String, String>,
    /// What each arm's path is, with its addresses at the start.
    pub paths: BTreeMap<Name, String>,
    /// What the cluster's network was found to be.
    pub network: ClusterFacts,
    /// Facts of the server's node.
    pub server_facts: Facts,
    /// Facts that the client's pod sees of its node, of a cluster beside the first; those of the first are the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_facts: Option<Facts>,
    /// The other clusters of a campaign over several contexts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<ClusterRun>,
    /// The gateway of a campaign that splits requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayRun>,
}

impl ClusterRun {
    /// Returns every cluster of the campaign, this one first.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.beside)
    }
}

/// A gateway that splits requests over backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayRun {
    /// Its class.
    pub class: String,
    /// The class's controller, where the cluster says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The arm whose requests go through it.
    pub arm: Name,
    /// The weight of each backend, by the name that its responses carry.
    pub weights: BTreeMap<Name, u32>,
}

impl RunRecord {
    /// Returns what is known of an arm's path, where the arm is an address and nothing that was built.
    #[must_use]
    pub fn path(&self, arm: &Name) -> Option<String> {
        let between_hosts = || {
            let to = self.hosts.as_ref()?.paths.get(arm)?;
            Some(format!("path to {to}"))
        };
        let on_cluster = || {
            let mut all = self.cluster.as_ref()?.all();
            all.find_map(|one| one.paths.get(arm)).cloned()
        };
        between_hosts().or_else(on_cluster)
    }
}

/// Where a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Namespaces of this machine.
    Lab,
    /// A Kubernetes cluster.
    Cluster,
    /// Two agents on two machines.
    Hosts,
}

/// One deployment of all arms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Install {
    /// Wall clock at the start, for stamping only.
    pub started_unix_ms: u64,
    /// First round measured on it; that round is discarded where it is not round 0 of the campaign.
    pub first_round: u32,
    /// Order in which the arms were deployed.
    pub order: Vec<Name>,
    /// Facts of each arm.
    pub arms: BTreeMap<Name, ArmFacts>,
    /// Why the arms were deployed anew before their time, where they had fallen: one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A whole campaign in memory: what analysis and reports read.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// The run record.
    pub run: RunRecord,
    /// All slices, in the order in which they were measured.
    pub slices: Vec<Slice>,
}
