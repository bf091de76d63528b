//! One arm measured once with one workload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
use crate::counters::Counters;
use crate::evidence::Evidence;
use crate::outcome::{Histograms, Outcome};
use crate::together::Together;

/// One line of `slices.jsonl`. The slice's histograms lie in `histograms.hlog`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliceRecord {
    /// Which slice this is.
    pub key: SliceKey,
    /// Install of the arms in which it was measured, from 0.
    pub install: u32,
    /// Place in the order of the round, from 0.
    pub position: u32,
    /// Wall clock when the slice was armed, for stamping only.
    pub started_unix_ms: u64,
    /// Time that the slice took beyond its warm-up and window: starting, stopping, collecting. The first slice of an arm
    /// has its agents' start in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_ns: Option<u64>,
    /// What was measured, or why it could not be.
    pub result: SliceResult,
}

/// Names a slice within a campaign: unique.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct SliceKey {
    /// Round; 0 is discarded.
    pub round: u32,
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
}

/// What a slice gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SliceResult {
    /// It was measured.
    Measured(Box<Measured>),
    /// It could not be measured: one line that says why.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// What was measured in a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// Counts of the window.
    pub outcome: Outcome,
    /// Where the two ends ran. Records before this was kept have neither CPU.
    #[serde(default)]
    pub pinned: Pinned,
    /// Counted at the client's end over the window, the kernel's own counters included.
    pub client: Counters,
    /// Counted at the server's end over the window; without the kernel's counters where the client's end
    /// is the same kernel.
    pub server: Counters,
    /// Proof of the datapath.
    pub evidence: Evidence,
    /// How several clients sent at once, whose counts are all in this slice; `None` where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
}

/// The CPUs that the two ends of a slice were pinned to; `None` leaves an end to the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Pinned {
    /// The client's, a number of the kernel that it runs on.
    pub client: Option<u32>,
    /// The server's, a number of the kernel that it runs on.
    pub server: Option<u32>,
}

/// A slice with its histograms, as it is in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// What is kept in `slices.jsonl`.
    pub record: SliceRecord,
    /// What is kept in `histograms.hlog`.
    pub histograms: Histograms,
}
