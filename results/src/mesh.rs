//! The record of a mesh: what was asked of a cluster's nodes, and what each pair of them gave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RECORD_SCHEMA;
use crate::arm::Name;
use crate::cluster::ClusterFacts;
use crate::units::{Nanoseconds, Share};
use crate::workload::Workload;

/// Most nodes of a mesh: half a million pairs in 999 rounds, 17 minutes at a second each.
pub const MOST_NODES: usize = 1_000;

/// Most passes over all pairs.
pub const MOST_PASSES: u32 = 100;

/// Most meetings of a mesh: ten passes of a thousand nodes. Their lines have less than a gigabyte.
pub const MOST_MEETINGS: u64 = 5_000_000;

/// `mesh.json`: everything about a mesh but its meetings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeshRecord {
    /// [`crate::RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of Tollgate that wrote it.
    pub version: String,
    /// Wall clock at the start, for stamping only.
    pub started_unix_ms: u64,
    /// The cluster, and how its probes are made.
    pub cluster: MeshCluster,
    /// The nodes that meet; meetings name them by their place here, from 0.
    pub nodes: Vec<MeshNode>,
    /// Nodes of the cluster that don't take part, each with the reason.
    pub skipped: Vec<SkippedNode>,
    /// How many kernels the nodes run on: fewer than nodes where some share a machine.
    pub machines: u32,
    /// The scenario that the workload is of.
    pub scenario: Name,
    /// What is sent in each meeting.
    pub workload: Workload,
    /// Measured length of a meeting.
    pub slice: Nanoseconds,
    /// Traffic before it.
    pub warmup: Nanoseconds,
    /// Source of the order in which nodes meet.
    pub seed: u64,
    /// How often every pair meets: 1 to [`MOST_PASSES`].
    pub passes: u32,
    /// Whether each of the two sends when a pair meets; else they take turns from pass to pass.
    pub both_ways: bool,
    /// How many pairs meet at the same time, at most.
    pub at_once: u32,
    /// Differences below this are of no interest.
    pub margin: Share,
    /// How often probes were set up: once, and once more for each resume.
    pub installs: u32,
}

/// The cluster of a mesh; no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeshCluster {
    /// Context of the kubeconfig; `None` for the current one.
    pub context: Option<String>,
    /// Address of the API server.
    pub server: String,
    /// Namespace that the probes stand in.
    pub namespace: String,
    /// Their image.
    pub image: String,
    /// Secrets with which it is pulled, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
    /// Whether the probes are in the nodes' own network.
    pub host_network: bool,
    /// What the cluster's network was found to be.
    pub network: ClusterFacts,
}

/// A node of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeshNode {
    /// Its name.
    pub name: String,
    /// Its zone, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its kernel, as its probe sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// A node that doesn't take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedNode {
    /// Its name.
    pub node: String,
    /// Why, in one line.
    pub reason: String,
}

/// One line of `pairs.jsonl`: two nodes that met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meeting {
    /// The pass, from 0.
    pub pass: u32,
    /// The round of the tournament, from 0.
    pub round: u32,
    /// The node that sent, by its place in [`MeshRecord::nodes`].
    pub client: u32,
    /// The node that answered.
    pub server: u32,
    /// Wall clock at the start, for stamping only.
    pub started_unix_ms: u64,
    /// What came of it.
    pub outcome: Met,
}

/// What came of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// Requests were sent.
    Measured(Times),
    /// Nothing was measured.
    Failed {
        /// Why, in one line.
        reason: String,
        /// The node whose probe didn't answer; `None` where both did, and the way between them is to blame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<u32>,
    },
}

/// What a pair took: percentiles are over sent requests, and absent where they fall among the lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Requests sent.
    pub sent: u64,
    /// Those without a reply in time.
    pub lost: u64,
    /// Smallest latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ns: Option<u64>,
    /// Median latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
}

/// What tells meetings apart: pass, client, server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeetingKey {
    /// The pass.
    pub pass: u32,
    /// The node that sends.
    pub client: u32,
    /// The node that answers.
    pub server: u32,
}

impl Meeting {
    /// Returns what tells it from others.
    #[must_use]
    pub const fn key(&self) -> MeetingKey {
        MeetingKey {
            pass: self.pass,
            client: self.client,
            server: self.server,
        }
    }
}

impl MeshRecord {
    /// Returns how many meetings a mesh of so many nodes has.
    #[must_use]
    pub const fn meetings(nodes: usize, passes: u32, both_ways: bool) -> u64 {
        let nodes = nodes as u64;
        let pairs = nodes * nodes.saturating_sub(1) / 2;
        let ways = if both_ways { 2 } else { 1 };
        pairs.saturating_mul(passes as u64).saturating_mul(ways)
    }

    /// Returns how many meetings this one has.
    #[must_use]
    pub const fn planned(&self) -> u64 {
        Self::meetings(self.nodes.len(), self.passes, self.both_ways)
    }

    /// Says what in a record that was read is out of bounds.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.schema != RECORD_SCHEMA {
            return Some(format!(
                "record format {}, and this version of Tollgate reads {RECORD_SCHEMA}",
                self.schema
            ));
        }
        if !(2..=MOST_NODES).contains(&self.nodes.len()) {
            return Some(format!(
                "{} nodes, and a mesh has 2 to {MOST_NODES}",
                self.nodes.len()
            ));
        }
        if !(1..=MOST_PASSES).contains(&self.passes) || self.planned() > MOST_MEETINGS {
            return Some(format!(
                "{} passes over {} nodes, and a mesh has 1 to {MOST_PASSES}, and up to {MOST_MEETINGS} meetings",
                self.passes,
                self.nodes.len()
            ));
        }
        if !(0.001..=0.5).contains(&self.margin.0) {
            return Some(format!("a margin of {}", self.margin));
        }
        None
    }

    /// Says what in a meeting doesn't belong to this mesh.
    #[must_use]
    pub fn foreign(&self, meeting: &Meeting) -> Option<String> {
        let known = |node: u32| (node as usize) < self.nodes.len();
        if meeting.pass >= self.passes {
            return Some(format!("pass {} of {}", meeting.pass, self.passes));
        }
        if !known(meeting.client) || !known(meeting.server) || meeting.client == meeting.server {
            return Some(format!(
                "nodes {} and {} of {}",
                meeting.client,
                meeting.server,
                self.nodes.len()
            ));
        }
        None
    }
}
