//! Whether 5-tuples differ, where slices sweep over source ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::sweep::FlowDifference;

/// How far the source ports of one arm and workload differ, over the rounds that count; each slice has ports of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flows {
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// Source ports of each slice.
    pub ports: u32,
    /// Rounds with blocks enough to compare ports.
    pub rounds: u32,
    /// How far they differ; `None` where no round has blocks enough.
    pub difference: Option<FlowDifference>,
}

impl Flows {
    /// Ports are told apart from here on: as often as this, equal ones are, too.
    pub const LEVEL: f64 = 0.01;
}
