//! What was compared, on which machine, and which rounds count.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::{Datapath, Name, SweepPoint};
use tollgate_results::change::Change;
use tollgate_results::facts::Facts;
use tollgate_results::path_mtu::ArmMtus;
use tollgate_results::plan::{Rounds, Skipped};
use tollgate_results::run::TargetKind;

/// What was compared, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The scenario's name.
    pub scenario: Name,
    /// One sentence: what the scenario compares.
    pub about: String,
    /// SHA-256 of the scenario file's text, in hexadecimal.
    pub scenario_hash: String,
    /// Where it ran.
    pub target: TargetKind,
    /// Version of Tollgate that measured.
    pub tool_version: String,
    /// Wall clock at the start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Time from the first slice to the last, in seconds, by the records' wall clock.
    pub elapsed_seconds: f64,
    /// Source of every random choice.
    pub seed: u64,
    /// The plan's rounds, slice, warm-up and margin.
    pub rounds: Rounds,
    /// The arm with which others are compared unless they name another.
    pub reference: Name,
    /// What the machine is.
    pub facts: Facts,
    /// 12 hexadecimal digits, equal for machines whose figures may be compared.
    pub fingerprint: String,
    /// How often the arms were deployed.
    pub installs: u32,
    /// Arms that could not run here.
    pub skipped: Vec<Skipped>,
}

/// How the campaign went: which rounds count and why others don't.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conduct {
    /// Rounds planned after round 0.
    pub planned: u32,
    /// Rounds kept: the most that any cell rests on.
    pub kept: u32,
    /// Rounds dropped for noise.
    pub dropped: u32,
    /// Every round that was started, in order.
    pub rounds: Vec<RoundFate>,
    /// Whether all planned rounds were measured.
    pub complete: bool,
    /// Why the whole campaign is invalid, where it is.
    pub invalid: Option<String>,
    /// What can be said of CPU time that the hypervisor gave to others.
    pub steal: Steal,
    /// Slices that failed.
    pub failures: Vec<SliceFailure>,
    /// What a reader should know, one line each.
    pub notes: Vec<String>,
}

impl Conduct {
    /// Returns how many rounds could count: those planned, and more where another round stood in for slices that failed while
    /// the rest of theirs counts.
    #[must_use]
    pub fn could_count(&self) -> u32 {
        self.planned.max(self.kept)
    }
}

/// What became of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundFate {
    /// The round.
    pub round: u32,
    /// The install on which it was measured.
    pub install: u32,
    /// What became of it.
    pub fate: Fate,
    /// Why, where it doesn't count: one line.
    pub reason: Option<String>,
}

/// Whether a round counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It counts.
    Kept,
    /// First round of an install: discarded by design.
    Warmup,
    /// Cut short by an interruption: it doesn't count.
    Partial,
    /// Dropped for noise, all arms of it.
    Dropped,
}

/// What can be said of steal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Steal {
    /// It was read and moved: the largest share of any slice on a CPU.
    Observed {
        /// Largest share of one slice on one CPU.
        largest_share: f64,
    },
    /// Not readable, or it never moved: the hypervisor may hide it. That isn't "none".
    Unobservable,
}

/// A slice that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SliceFailure {
    /// The round.
    pub round: u32,
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// One line.
    pub reason: String,
}

/// One arm: what it is and what proves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmSummary {
    /// The arm's name.
    pub name: Name,
    /// Its dimensions in one line: `bridge, vxlan, iptables-legacy × 1000 (last)`.
    pub datapath: String,
    /// The dimensions themselves, for renderers that say them in sentences.
    pub dimensions: Datapath,
    /// What is done to it beyond them.
    #[serde(default, skip_serializing_if = "Change::is_none")]
    pub change: Change,
    /// The arm that it is compared with.
    pub reference: Option<Name>,
    /// Its place in a sweep.
    pub sweep: Option<SweepPoint>,
    /// Proof that the declared datapath carried the packets.
    pub evidence: EvidenceSummary,
    /// Time to program the services.
    pub programming: Option<Programming>,
    /// MTU of the client pod's device.
    pub pod_mtu: Option<u32>,
    /// MTU of the device between the nodes.
    pub wire_mtu: Option<u32>,
    /// What gets through in one piece between its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<ArmMtus>,
    /// What the deployment said of it, one line each.
    pub notes: Vec<String>,
}

/// Time to program an arm's services: measured once for each install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Programming {
    /// Services programmed.
    pub services: u32,
    /// Rules, map entries or elements.
    pub entries: Option<u64>,
    /// Time of each install, in nanoseconds.
    pub times_ns: Vec<u64>,
    /// Median of the times, in nanoseconds.
    pub median_ns: f64,
}

/// Proof that the declared datapath carried the packets of an arm, over all its slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSummary {
    /// The worst judgement of its checks.
    pub judgement: Judgement,
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// Slices that were judged.
    pub slices: u32,
    /// Requests sent in them (writes for a stream), warm-up excluded.
    pub requests: u64,
    /// Packets over devices that wrap them (VXLAN and others), both nodes and both directions.
    pub encapsulated_packets: Option<u64>,
    /// Packets that met the service's rules.
    pub rule_packets: Option<u64>,
    /// Translations at the socket.
    pub socket_translations: Option<u64>,
    /// Packets that were translated one by one, those of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_translations: Option<u64>,
    /// What came to each endpoint of the service; empty where the server has one address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointShare>,
    /// What connection tracking said of the connections, in words.
    pub translation: String,
}

/// What came to one endpoint of a service in an arm's windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointShare {
    /// Its address.
    pub address: IpAddr,
    /// TCP connections.
    pub connections: u64,
    /// Datagrams.
    pub datagrams: u64,
}

/// Whether evidence agrees with the declaration. Ordered: the later one wins in a summary.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It agrees.
    Ok,
    /// It could not be told.
    Unknown,
    /// It contradicts: the arm isn't what it declares, and all its cells are `invalid`.
    Contradicts,
}

/// One thing that was looked at, over all slices of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at, in two or three words: `encapsulation`, `service rules`, `translation`.
    pub about: String,
    /// Whether it agrees.
    pub judgement: Judgement,
    /// What was seen, in one line.
    pub text: String,
}
