//! Settings of an arm's kernel, and the line between its nodes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::kernel::ConntrackTable;
use tollgate_results::line::Queue;
use tollgate_results::units::{BitRate, Nanoseconds, Share};

use super::value::{quantity, some_quantity};

/// Settings of an arm's kernel beyond the base.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct KernelTable {
    /// Sysctls by their names in quotes, `"net.ipv4.tcp_ecn" = "1"`, set in every namespace of the arm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sysctls: BTreeMap<String, String>,
    /// Congestion control of all TCP connections, such as `"bbr"`; the base's CUBIC where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) congestion: Option<String>,
    /// Queueing discipline of the devices between the nodes, such as `"fq"`; the kernel's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) qdisc: Option<String>,
    /// Whether the devices between the nodes spread received packets over all CPUs.
    pub(crate) rps: bool,
    /// MTU between the nodes; that of pods follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 65535))]
    pub(crate) mtu: Option<i64>,
    /// How full the connection-tracking table of the client's node is.
    pub(crate) conntrack: ConntrackTable,
}

/// A line between the nodes, the same in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct LineTable {
    /// What each packet takes at least, one way: `"0s"` to `"10s"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) delay: Nanoseconds,
    /// What a packet takes more, drawn evenly from nothing to this; packets keep their order.
    #[serde(deserialize_with = "quantity")]
    pub(crate) jitter: Nanoseconds,
    /// Bits per second with Ethernet headers, `"10 kbit/s"` to `"10 Gbit/s"`; as fast as it goes where it is left out.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub(crate) rate: Option<BitRate>,
    /// Room before the bottleneck, as an amount (`"256 KiB"`) or a time (`"50ms"`). Needs a `rate`.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub(crate) queue: Option<Queue>,
    /// Packets lost by chance: `"0%"` to `"50%"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) loss: Share,
    /// Mean number of packets lost in a row; each by itself where it is left out. Needs a `loss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub(crate) burst: Option<i64>,
    /// Source of jitter and loss; the campaign's seed where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(crate) seed: Option<i64>,
}

impl Default for LineTable {
    fn default() -> Self {
        Self {
            delay: Nanoseconds(0),
            jitter: Nanoseconds(0),
            rate: None,
            queue: None,
            loss: Share(0.0),
            burst: None,
            seed: None,
        }
    }
}
