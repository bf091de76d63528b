//! A mesh as renderers show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::mesh::SkippedNode;
use tollgate_results::workload::Workload;

use crate::model::{Interval, Verdict};

/// All pairs of a cluster's nodes: which nodes differ from the others, how zones do, and what didn't answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeshReport {
    /// What was measured.
    pub subject: MeshSubject,
    /// What verdicts rest on.
    pub basis: Basis,
    /// Median latencies of all pairs; `None` where nothing was measured.
    pub pairs: Option<Spread>,
    /// Every node, in the order of the record.
    pub nodes: Vec<NodeReport>,
    /// Pairs of zones, each zone with itself first.
    pub zones: Vec<ZonePair>,
    /// Pairs that are slower than their nodes and zones explain, the slowest first; a description without a verdict.
    pub slow_pairs: Vec<SlowPair>,
    /// Pairs that gave nothing, as far as they fit.
    pub failed_pairs: Vec<FailedPair>,
    /// The latencies of all pairs, nodes in groups where there are many.
    pub heat: Heat,
}

/// What was measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeshSubject {
    /// Version of the program that measured.
    pub tool_version: String,
    /// Start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// What the cluster's network was found to be, in a few words.
    pub network: String,
    /// Whether the probes were in the nodes' own network.
    pub host_network: bool,
    /// Machines that the nodes run on.
    pub machines: u32,
    /// The scenario that the workload is of.
    pub scenario: Name,
    /// The workload.
    pub workload: Workload,
    /// Length of a meeting in nanoseconds.
    pub slice_ns: u64,
    /// Source of the order of meetings.
    pub seed: u64,
    /// Passes over all pairs.
    pub passes: u32,
    /// Whether each of two nodes sent when they met.
    pub both_ways: bool,
    /// Pairs that met at the same time, at most.
    pub at_once: u32,
    /// How often probes were set up.
    pub installs: u32,
    /// Differences below this are of no interest.
    pub margin: f64,
    /// Meetings that were planned.
    pub planned: u64,
    /// Those that were measured.
    pub measured: u64,
    /// Those that gave nothing.
    pub failed: u64,
    /// Nodes that took no part.
    pub skipped: Vec<SkippedNode>,
}

/// What the rounds are that verdicts rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Passes over all pairs: what is said holds for these nodes, however few.
    Passes,
    /// A node's pairs with all others: each other node is one observation.
    Peers,
    /// There are too few of both.
    Nothing,
}

/// A median with its quartiles, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The lower quartile.
    pub low_ns: f64,
    /// The median.
    pub median_ns: f64,
    /// The upper quartile.
    pub high_ns: f64,
}

/// A ratio with its interval, and what is made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// What is made of it: `slower` and `faster` are proved among all that are looked at together, and beyond the margin.
    pub verdict: Verdict,
    /// The ratio, above 1 is slower; `None` where nothing tells.
    pub ratio: Option<f64>,
    /// Its 95 % interval, for itself alone; `None` where there are too few observations.
    pub interval95: Option<Interval>,
    /// The p of the signed-rank test against a ratio of 1.
    pub p: Option<f64>,
    /// The same after Holm's adjustment over all that are looked at together.
    pub p_holm: Option<f64>,
    /// Observations.
    pub observations: u32,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Its kernel.
    pub kernel: Option<String>,
    /// Other nodes with which it was measured.
    pub peers: u32,
    /// Other nodes with which every meeting failed.
    pub failed: u32,
    /// Meetings that failed because its own probe didn't answer.
    pub absent: u32,
    /// Share of requests that were lost in its meetings.
    pub lost: f64,
    /// Median of its pairs' medians, in nanoseconds.
    pub p50_ns: Option<f64>,
    /// Median of its pairs' 99th percentiles.
    pub p99_ns: Option<f64>,
    /// Its latencies against those of its zone's other nodes to the same peers.
    pub effect: Effect,
    /// Its latencies as the sender against those as the responder, to the same peers; `None` where no pair was measured both
    /// ways.
    pub sending: Option<Effect>,
}

/// Two zones, or one with itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ZonePair {
    /// A zone.
    pub zone: String,
    /// Another, or the same.
    pub other: String,
    /// Pairs measured.
    pub pairs: u32,
    /// Their medians.
    pub spread: Option<Spread>,
    /// What it costs to cross from one to the other, against staying in either; `None` for a zone with itself.
    pub crossing: Option<Effect>,
}

/// A pair that is slower than its nodes and zones explain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowPair {
    /// One node, by its place.
    pub one: u32,
    /// The other.
    pub other: u32,
    /// Its median, in nanoseconds.
    pub p50_ns: f64,
    /// The median against what its nodes and zones explain.
    pub ratio: f64,
}

/// A pair whose meetings all failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedPair {
    /// One node, by its place.
    pub one: u32,
    /// The other.
    pub other: u32,
    /// Why the last one failed.
    pub reason: String,
}

/// Latencies of groups of nodes: the client's group is the row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heat {
    /// The groups, zone by zone.
    pub groups: Vec<HeatGroup>,
    /// For each client's group, by each server's: the median over their pairs, against the median of all pairs.
    pub cells: Vec<Vec<HeatCell>>,
}

/// Nodes that share a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeatGroup {
    /// Their zone.
    pub zone: Option<String>,
    /// Their places.
    pub nodes: Vec<u32>,
    /// Whether it is one node that was told from the others.
    pub told: bool,
}

/// What the pairs of two groups gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeatCell {
    /// No pair was measured, or there is none.
    Empty,
    /// At least half of those that met failed.
    Failed,
    /// Their median against that of all pairs.
    Ratio(f64),
}
