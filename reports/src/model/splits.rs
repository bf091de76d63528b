//! Whether a gateway splits requests as its weights say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

use crate::split::Split;

/// The split of one workload's requests, over the rounds that count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Splits {
    /// The workload.
    pub workload: Name,
    /// The arm whose requests go through the gateway.
    pub arm: Name,
    /// Whether each request has a connection of its own, and so is a draw of its own.
    pub independent: bool,
    /// Shares of the backends with their intervals, and the verdict.
    pub split: Split,
    /// Latency of each backend, in the order of the shares; none where it wasn't kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<BackendLatency>,
}

/// How long the replies of one backend took: from the request to the end of the response, on a connection that stands.
/// Percentiles are of all replies of the rounds that count, together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendLatency {
    /// Its name.
    pub name: String,
    /// Replies that were timed.
    pub replies: u64,
    /// Median, in nanoseconds.
    pub p50_ns: u64,
    /// 99th percentile, in nanoseconds.
    pub p99_ns: u64,
}
