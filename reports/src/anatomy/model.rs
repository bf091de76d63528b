//! The anatomy of a scenario's arms, as renderers show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::anatomy::{Followed, Hook, HopKey, Way};
use tollgate_results::arm::Name;
use tollgate_results::plan::Skipped;
use tollgate_results::workload::Cpu;

use crate::model::{Estimate, Interval, Typical};

/// Where packets spend their time, arm by arm, and what makes the difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Anatomy {
    /// What was measured.
    pub subject: Subject,
    /// Each arm with each kind of traffic.
    pub arms: Vec<ArmAnatomy>,
    /// Each arm against its reference, with each kind of traffic.
    pub differences: Vec<Difference>,
}

/// What was measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The scenario's name.
    pub scenario: Name,
    /// What it compares.
    pub about: String,
    /// Version of the program that measured.
    pub tool_version: String,
    /// Start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Kernel and CPU of the machine.
    pub machine: String,
    /// Where client and server ran.
    pub cpu: Cpu,
    /// Rounds that count.
    pub rounds: u32,
    /// Length of a slice in nanoseconds.
    pub slice_ns: u64,
    /// Source of the order of slices.
    pub seed: u64,
    /// Parts of netfilter with stamps of their own.
    pub netfilter: Vec<Hook>,
    /// Stated cost of the clock for each event, in nanoseconds.
    pub event_cost_ns: u64,
    /// Stated cost of the clock for each packet beside its events, in nanoseconds.
    pub packet_cost_ns: u64,
    /// Arms that could not be measured here, and why.
    pub skipped: Vec<Skipped>,
}

/// Whether the hops of an arm may be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// The sums agree with what was measured without the clock.
    Agrees,
    /// They don't, or packets are missing: each reason in one line.
    Invalid(Vec<String>),
}

/// One arm with one kind of traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmAnatomy {
    /// The arm.
    pub arm: Name,
    /// What it is made of.
    pub description: String,
    /// What was followed.
    pub followed: Followed,
    /// Rounds that count.
    pub rounds: u32,
    /// Median round trip without the clock, in nanoseconds: the headline.
    pub plain_ns: Option<f64>,
    /// Median round trip with it.
    pub clocked_ns: Option<f64>,
    /// Round trips with the clock by those without, over rounds: the probe effect.
    pub effect: Option<Estimate>,
    /// Sum of the medians of all hops, both ways, as they were seen.
    pub sum_ns: Option<f64>,
    /// Stated cost of the clock in it.
    pub cost_ns: f64,
    /// How far the sum less the cost is off the round trips without the clock: 0.01 is 1 % more.
    pub off: Option<f64>,
    /// Whether the hops may be believed.
    pub judged: Judged,
    /// Exchanges that the client kept.
    pub exchanges: u64,
    /// Those of them whose packets were found.
    pub joined: u64,
    /// Packets whose record was lost.
    pub lost: u64,
    /// Packets that were given up.
    pub given_up: u64,
    /// Slices that failed.
    pub failed: u64,
    /// Request and reply.
    pub ways: Vec<WayAnatomy>,
    /// What its eBPF programs cost, measured in slices of their own; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programs: Option<CountedPrograms>,
}

/// The eBPF programs of an arm, as the kernel counted and timed their runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CountedPrograms {
    /// Round trips meanwhile by those that nobody watched, over rounds: what counting costs.
    pub effect: Option<Estimate>,
    /// Each program.
    pub programs: Vec<ProgramAnatomy>,
}

/// One eBPF program of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramAnatomy {
    /// Where it is: `node a`, `node b` or `client`.
    pub place: String,
    /// Its function's name.
    pub program: String,
    /// Runs in all rounds, warm-ups among them.
    pub runs: u64,
    /// Nanoseconds of a run, the kernel's own reading of the clock among them: median over rounds. `None` where it never ran.
    pub ns: Option<Typical>,
}

/// One way of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WayAnatomy {
    /// Which.
    pub way: Way,
    /// Packets.
    pub trips: u64,
    /// Share of them that took the most frequent path, from which the hops are.
    pub alike: f64,
    /// Points of the kernel on that path.
    pub events: u32,
    /// Places that it leads through, both ends among them: a hop saved is a place less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Median from end to end, user space included, as it was seen.
    pub seen_ns: f64,
    /// The same less the stated cost.
    pub ns: f64,
    /// Its hops, in order.
    pub hops: Vec<HopAnatomy>,
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopAnatomy {
    /// What it is, by which arms are compared.
    pub key: HopKey,
    /// What it is in words.
    pub words: String,
    /// Median as it was seen, in nanoseconds.
    pub seen_ns: f64,
    /// The same less the stated cost; never below 0.
    pub ns: f64,
    /// As they were seen: the 10th percentile,
    pub p10_ns: f64,
    /// the 90th,
    pub p90_ns: f64,
    /// and the 99th.
    pub p99_ns: f64,
}

/// One arm against its reference, with one kind of traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The arm.
    pub arm: Name,
    /// What it is compared with.
    pub reference: Name,
    /// What was followed.
    pub followed: Followed,
    /// Rounds in which both were measured, with and without the clock.
    pub rounds: u32,
    /// Difference of the median round trips without the clock, in nanoseconds.
    pub plain_ns: f64,
    /// Its interval; `None` with fewer than 6 rounds.
    pub plain_interval95: Option<Interval>,
    /// Request and reply.
    pub ways: Vec<WayDifference>,
    /// What makes it up, in one sentence for each way.
    pub sentences: Vec<String>,
}

/// The difference of one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WayDifference {
    /// Which.
    pub way: Way,
    /// Difference of the medians from end to end less the stated cost, in nanoseconds: Hodges-Lehmann over rounds.
    pub ns: f64,
    /// Its interval; `None` with fewer than 6 rounds.
    pub interval95: Option<Interval>,
    /// By hop, in the order of the path.
    pub hops: Vec<HopDifference>,
}

/// The difference of one hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopDifference {
    /// What it is.
    pub key: HopKey,
    /// What it is in the arm's words; in the reference's where the arm has none.
    pub words: String,
    /// Median on the arm less the stated cost; `None` where it has no such hop.
    pub arm_ns: Option<f64>,
    /// The same on the reference.
    pub reference_ns: Option<f64>,
    /// The difference, in nanoseconds: Hodges-Lehmann over rounds. A hop that one arm lacks counts as 0 there.
    pub ns: f64,
    /// Its interval; `None` with fewer than 6 rounds.
    pub interval95: Option<Interval>,
}
