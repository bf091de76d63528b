//! The record of a campaign.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
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
}

/// A whole campaign in memory: what analysis and reports read.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// The run record.
    pub run: RunRecord,
    /// All slices, in the order in which they were measured.
    pub slices: Vec<Slice>,
}
