//! The record of an anatomy campaign.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Followed, Hook};
use crate::arm::{Arm, Name};
use crate::facts::Facts;
use crate::histogram::Histogram;
use crate::plan::Skipped;
use crate::units::Nanoseconds;
use crate::workload::Cpu;

/// An anatomy campaign: what was asked, and every slice. Reports are made from it alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnatomyRecord {
    /// [`crate::RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The scenario's name.
    pub scenario: Name,
    /// One sentence: what the scenario compares.
    pub about: String,
    /// Source of the order of slices.
    pub seed: u64,
    /// The machine.
    pub facts: Facts,
    /// The arm that the others are compared with unless they name another.
    pub reference: Name,
    /// Arms that were measured, in the scenario's order.
    pub arms: Vec<Arm>,
    /// Arms that cannot run here.
    pub skipped: Vec<Skipped>,
    /// What was followed.
    pub followed: Vec<Followed>,
    /// Parts of netfilter that had stamps of their own.
    pub netfilter: Vec<Hook>,
    /// Where client and server ran.
    pub cpu: Cpu,
    /// Rounds after round 0, which is discarded.
    pub rounds: u32,
    /// Length of a slice.
    pub slice: Nanoseconds,
    /// Traffic before each slice.
    pub warmup: Nanoseconds,
    /// What the clock costs for each event, as stated: it is taken off the hops.
    pub event_cost: Nanoseconds,
    /// What the clock costs for each packet beside its events, as stated.
    pub packet_cost: Nanoseconds,
    /// Whether arms with eBPF programs have slices in which the kernel counts their runs.
    #[serde(default)]
    pub programs: bool,
    /// Slices in the order in which they were measured.
    pub slices: Vec<AnatomySlice>,
}

/// One arm measured once: with the clock, without, or while the runs of eBPF programs are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnatomySlice {
    /// 0 is discarded.
    pub round: u32,
    /// The arm.
    pub arm: Name,
    /// What was followed, or would have been.
    pub followed: Followed,
    /// Runs of the arm's own eBPF programs that the kernel counted meanwhile: none but in slices for that. `None` for an arm
    /// that has no programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_runs: Option<u64>,
    /// What came of it.
    pub outcome: SliceOutcome,
}

/// What came of a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SliceOutcome {
    /// Measured without the clock: the headline.
    Plain {
        /// Round trips.
        latency: Histogram,
    },
    /// Measured with it.
    Clocked(Box<Clocked>),
    /// Measured without it, while the kernel counted and timed the runs of eBPF programs, which slows them down.
    Counted {
        /// Round trips, the price of counting among them.
        latency: Histogram,
        /// The arm's own programs.
        programs: Vec<ProgramCost>,
    },
    /// Not measured.
    Failed {
        /// Why, in one line.
        reason: String,
    },
}

/// What one eBPF program did in a slice, its warm-up among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramCost {
    /// Where it is: `node a`, `node b` or `client`.
    pub place: String,
    /// Its function's name.
    pub program: String,
    /// Times that it ran.
    pub runs: u64,
    /// Nanoseconds that it ran in all, the reading of the clock among them.
    pub time_ns: u64,
}

/// What the clock saw in a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clocked {
    /// Round trips, the clock's own cost among them.
    pub latency: Histogram,
    /// Exchanges whose start and end the client kept.
    pub exchanges: u64,
    /// Those of them whose two packets and whose turn at the server were found.
    pub joined: u64,
    /// Records that the ring, or the memory behind it, had no room for.
    pub lost: u64,
    /// Packets that were given up because the next one came before they had arrived, or had too many events.
    pub given_up: u64,
    /// The request's packet.
    pub request: ClockedWay,
    /// The reply's packet.
    pub reply: ClockedWay,
}

/// What the clock saw of one way. Trips with the most frequent sequence of events are taken apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClockedWay {
    /// Joined trips.
    pub trips: u64,
    /// Those of them that have the most frequent sequence of events.
    pub common: u64,
    /// Different sequences of events.
    pub shapes: u64,
    /// Events of the most frequent one.
    pub events: u32,
    /// Places that it leads through, both ends among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// From end to end, user space included: of the trips with the most frequent sequence.
    pub whole: Histogram,
    /// Its hops, in order. Their times are the clock's: its cost is in them.
    pub hops: Vec<Hop>,
}

/// One part of a way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// What it is, by which arms are compared.
    pub key: HopKey,
    /// What it is in words.
    pub words: String,
    /// Events after which the clock's cost falls into this hop.
    pub events: u32,
    /// Its times.
    pub times: Histogram,
}

/// What a hop is: two arms' hops of one key are compared.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct HopKey {
    /// What happens.
    pub kind: HopKind,
    /// Where: a place of the lab, or two for what lies between them.
    pub place: String,
}

/// What happens in a hop.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// System call, socket, transport, IP, to the first device.
    Send,
    /// A pair of devices, or a line, between two places.
    Link,
    /// From a device to the softirq that takes the packet on.
    Backlog,
    /// From a bridge's port into the bridge, with what netfilter does there.
    BridgeIn,
    /// Routing and netfilter, or an eBPF program that stands in for them.
    Forward,
    /// Wrapping into an outer packet, and that one's output.
    Encapsulation,
    /// The outer packet's reception, and unwrapping.
    Decapsulation,
    /// From the softirq of a tunnel's device to the next.
    TunnelBacklog,
    /// From a bridge to one of its ports.
    BridgeOut,
    /// A part of netfilter with stamps of its own.
    Netfilter(Hook),
    /// IP, transport, up to the socket.
    Deliver,
    /// Waking the receiver up, switching to it, returning from its system call.
    WakeUp,
    /// The far end's kernel answers by itself.
    Answer,
    /// Anything else.
    Other,
}
