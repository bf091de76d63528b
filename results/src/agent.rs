//! What the runner and a probe agent say to each other: JSON over HTTP/1.1 on any byte stream.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/hello` | | [`Hello`] |
//! | `POST /v1/responder` | [`Serve`] | [`Serving`] |
//! | `DELETE /v1/responder` | | 204 |
//! | `POST /v1/responder/turns` | [`Log`] | the same; keeps the time of each reply from now on |
//! | `GET /v1/responder/turns` | | [`Turns`] since then; no more are kept |
//! | `POST /v1/jobs` | [`Job`] | [`Armed`], once the connections stand and the warm-up is over |
//! | `POST /v1/jobs/{id}/run` | | [`crate::outcome::JobReport`], when the window is over |
//! | `POST /v1/jobs/{id}/log` | [`Log`] | [`Logged`]: the same, with the time of each exchange |
//! | `DELETE /v1/jobs/{id}` | | 204; ends the job, running or not |
//! | `GET /v1/counters` | | [`crate::counters::Counters`] |
//! | `GET /v1/facts` | | [`HostFacts`] |
//! | `GET /v1/path/{address}` | | [`PathFacts`] |
//! | `GET /v1/name/{name}` | | [`Named`] |
//! | `GET /v1/devices` | | a list of [`crate::evidence::DeviceCounters`], loopback left out |
//!
//! A slice is: arm the job, counters of both ends, run, counters of both ends. An agent has one job at a
//! time. Every failure is a 4xx or 5xx status with a [`Refusal`].

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::door::Secret;
use crate::facts::Facts;
use crate::outcome::JobReport;
use crate::units::Nanoseconds;
use crate::workload::{Beside, Load, Traffic};

/// Version of this protocol and of the traffic on the wire; both ends must agree.
pub const PROTOCOL: u32 = 1;

/// How an agent introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Version of the agent's program.
    pub version: String,
}

/// Asks an agent to answer traffic of every kind on one port, TCP and UDP. Replaces its earlier responder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Address to bind to.
    pub bind: IpAddr,
    /// Port to bind to; 0 takes a free one.
    pub port: u16,
    /// CPU that every responder thread is pinned to; `None` leaves it to the scheduler.
    pub cpu: Option<u32>,
    /// The name by which HTTP responses say who answered, so that a service's split can be counted: up to 64 of
    /// `A-Za-z0-9.-_:`; `None` takes the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Time to spin before each reply: a toll of known size, up to [`crate::change::MOST_PLANTED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Nanoseconds>,
    /// Answers only peers that know this key; `None` answers everybody, with never more than they sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

/// Says where the responder listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Serving {
    /// The port, TCP and UDP.
    pub port: u16,
}

/// One measurement for an agent to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What to send.
    pub traffic: Traffic,
    /// When to send it.
    #[serde(default)]
    pub load: Load,
    /// Whether to split each round trip by kernel timestamps. For tcp-rr, udp-rr and icmp-echo in a closed loop.
    #[serde(default)]
    pub timestamps: bool,
    /// How many source ports to sweep over, for tcp-rr and udp-rr in a closed loop without timestamps, in
    /// [`crate::sweep::FlowSweep::PORTS`]; `None` keeps to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// Bulk data beside it, on threads and connections of its own; not for streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// Where to. Traffic without ports ignores the port.
    pub target: SocketAddr,
    /// Traffic before the measured window.
    pub warmup: Nanoseconds,
    /// Length of the measured window.
    pub duration: Nanoseconds,
    /// CPU that the sending threads are pinned to; `None` leaves it to the scheduler.
    pub cpu: Option<u32>,
    /// Source of the job's random choices (payload, schedule of an open loop).
    pub seed: u64,
    /// The responder's [`Serve::key`], shown to it before the job's first packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

/// What the machine of an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Facts of the machine.
    pub facts: Facts,
    /// CPUs that the agent may use, ascending.
    pub cpus: Vec<u32>,
    /// Drawn by the kernel at each boot: two agents with the same one share a kernel.
    pub boot_id: Option<String>,
}

/// How an agent's machine stands to an address, by its routes. What can't be told is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathFacts {
    /// Whether the address is the machine's own.
    pub own: bool,
    /// The machine's address on the way there.
    pub local: Option<IpAddr>,
    /// The device that has that address.
    pub device: Option<String>,
    /// MTU of the route, in bytes.
    pub mtu: Option<u32>,
}

/// Where a name leads, as the resolver of an agent's machine has it: its hosts file, its DNS servers, its search list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// The addresses, each once, in the order in which the resolver prefers them; never none.
    pub addresses: Vec<IpAddr>,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
}

impl Named {
    /// Longest name that is looked up, in characters: what DNS carries (RFC 1035 §2.3.4).
    pub const LONGEST: usize = 253;
}

/// A job that stands ready: connected and warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Armed {
    /// The job's number, for `/v1/jobs/{id}`.
    pub id: u64,
}

/// Why an agent could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// One line: what, where, and how to mend it.
    pub error: String,
}

/// Asks for the time of each exchange, by the machine's monotonic clock. It costs a reading of the clock at the
/// responder; the sender reads it anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How many are kept at most: 1 to [`Log::MOST`]. The memory for them is taken beforehand.
    pub most: u32,
}

impl Log {
    /// Most exchanges of a log: 10 s of exchanges of 50 µs. Their JSON stays below what a runner reads.
    pub const MOST: u32 = 200_000;
}

/// When exchanges started and ended at the sender.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Exchanges {
    /// Before the request was sent, in nanoseconds; for tcp-crr before `connect`.
    pub started_ns: Vec<u64>,
    /// When the reply was in; for tcp-crr when `connect` returned.
    pub ended_ns: Vec<u64>,
    /// Exchanges for which there was no room.
    pub missed: u64,
}

/// What a job measured, and the time of each exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Logged {
    /// What was measured.
    pub report: JobReport,
    /// Exchanges in order.
    pub exchanges: Exchanges,
}

/// When the responder turned requests into replies: after it had received one, before it sent the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Turns {
    /// In order, in nanoseconds.
    pub at_ns: Vec<u64>,
    /// Turns for which there was no room.
    pub missed: u64,
}
