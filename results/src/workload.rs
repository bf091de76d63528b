//! The traffic of a slice, its load and its CPU placement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
pub use crate::http::{Connections, Http, HttpVersion, Resource, Trust};
use crate::stream::{Direction, TcpOptions, UdpStream};
use crate::units::{Bytes, Nanoseconds, Rate};

/// One named workload of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// Unique within the plan.
    pub name: Name,
    /// What is sent.
    pub traffic: Traffic,
    /// When it is sent.
    #[serde(default)]
    pub load: Load,
    /// Whether each round trip is split by kernel timestamps, where [`Traffic::may_be_split`] in a closed loop. It
    /// costs time, so that figures with and without are not compared.
    #[serde(default)]
    pub timestamps: bool,
    /// How many source ports each slice sweeps over, where [`Workload::may_sweep`], in
    /// [`crate::sweep::FlowSweep::PORTS`]; `None` keeps to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// Which CPUs client and server run on.
    pub cpu: Cpu,
    /// Bulk data that goes the same way meanwhile; `None` for requests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// Bulk data over TCP connections of its own, to the same address, while requests are timed: their latency under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Parallel connections, in each direction: 1 to 32.
    pub flows: u32,
    /// Which way the data goes.
    #[serde(default)]
    pub direction: Direction,
}

impl Beside {
    /// Range of [`Beside::flows`].
    pub const FLOWS: (u32, u32) = (1, 32);

    /// Returns the traffic that it is: writes of 64 KiB, as fast as the path takes them.
    #[must_use]
    pub fn traffic(self) -> Traffic {
        Traffic::TcpStream {
            flows: self.flows,
            payload: Bytes(64 << 10),
            options: TcpOptions {
                direction: self.direction,
                ..TcpOptions::default()
            },
        }
    }
}

impl Workload {
    /// Returns whether it can sweep over source ports: request/response in a closed loop, unsplit.
    #[must_use]
    pub fn may_sweep(&self) -> bool {
        matches!(self.traffic, Traffic::TcpRr { .. } | Traffic::UdpRr { .. })
            && self.load == Load::Closed
            && !self.timestamps
    }
}

/// What is sent. RR is a request and its reply on an open connection; CRR opens a connection for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Request and response on one open TCP connection, the next request after the reply.
    TcpRr {
        /// Size of the request and of the reply: 1 B to 1 MiB.
        payload: Bytes,
    },
    /// Connect, request, response, close.
    TcpCrr {
        /// Size of the request and of the reply: 1 B to 1 MiB.
        payload: Bytes,
        /// How the client closes.
        close: Close,
    },
    /// Bulk data, client to server where nothing else is said.
    TcpStream {
        /// Parallel connections: 1 to 128; as many in each direction.
        flows: u32,
        /// Size of each write: 1 B to 1 MiB.
        payload: Bytes,
        /// How the connections are used.
        #[serde(default, skip_serializing_if = "TcpOptions::is_default")]
        options: TcpOptions,
    },
    /// Datagrams in one direction or both, without replies.
    UdpStream(UdpStream),
    /// Request and response by datagrams.
    UdpRr {
        /// Size of the datagram's payload, at least the probe's header: 32 B to 64,000 B.
        payload: Bytes,
        /// A reply later than this is lost: 1 ms to 10 s.
        timeout: Nanoseconds,
    },
    /// ICMP echo requests, answered by the far end's kernel: no process wakes up there.
    IcmpEcho {
        /// Size after the ICMP header, at least the probe's own mark: 16 B to 64,000 B.
        payload: Bytes,
        /// A reply later than this is lost: 1 ms to 10 s.
        timeout: Nanoseconds,
        /// What kind of socket it is sent through.
        socket: SocketKind,
    },
    /// A SYN and what answers it, SYN-ACK or RST; no connection comes of it.
    TcpSyn {
        /// An answer later than this is lost: 1 ms to 10 s.
        timeout: Nanoseconds,
        /// Through a raw socket, or unprivileged by `connect`, which then counts a RST as refused.
        socket: SocketKind,
    },
    /// HTTP GETs.
    Http(Http),
}

impl Traffic {
    /// Returns the kind as people write it (`tcp-rr`).
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TcpRr { .. } => "tcp-rr",
            Self::TcpCrr { .. } => "tcp-crr",
            Self::TcpStream { .. } => "tcp-stream",
            Self::UdpRr { .. } => "udp-rr",
            Self::IcmpEcho { .. } => "icmp-echo",
            Self::TcpSyn { .. } => "tcp-syn",
            Self::Http(_) => "http",
            Self::UdpStream(_) => "udp-stream",
        }
    }

    /// Returns the direction of a stream; `None` for requests and their replies.
    #[must_use]
    pub const fn direction(&self) -> Option<Direction> {
        match self {
            Self::TcpStream { options, .. } => Some(options.direction),
            Self::UdpStream(stream) => Some(stream.direction),
            _ => None,
        }
    }

    /// Returns whether it can be sent on a schedule.
    #[must_use]
    pub const fn may_be_open(&self) -> bool {
        match self {
            Self::TcpRr { .. } | Self::UdpRr { .. } | Self::IcmpEcho { .. } => true,
            Self::Http(http) => http.may_be_open(),
            _ => false,
        }
    }

    /// Returns whether bulk data may go beside it: what is timed are requests.
    #[must_use]
    pub const fn may_have_beside(&self) -> bool {
        !matches!(
            self,
            Self::TcpStream { .. } | Self::UdpStream(_) | Self::TcpSyn { .. }
        )
    }

    /// Returns whether its round trips can be split by kernel timestamps.
    #[must_use]
    pub const fn may_be_split(&self) -> bool {
        matches!(
            self,
            Self::TcpRr { .. } | Self::UdpRr { .. } | Self::IcmpEcho { .. }
        )
    }

    /// Returns whether it goes to an address as a whole: it has no port, which is all that a service answers.
    #[must_use]
    pub const fn has_no_port(&self) -> bool {
        matches!(self, Self::IcmpEcho { .. })
    }
}

/// When requests are sent.
///
/// A closed loop times the service of one request after another: it sends less while the path is slow, so its
/// tail leaves out the requests that users would have made meanwhile. An open loop sends on a schedule of its
/// own and times from the schedule. Figures of the two are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// The next request after the reply to the one before.
    #[default]
    Closed,
    /// On a schedule. For tcp-rr, udp-rr, icmp-echo, and http/1.1 without TLS on kept connections.
    Open(OpenLoad),
}

impl Load {
    /// Returns the open load, if it is one.
    #[must_use]
    pub const fn open(&self) -> Option<&OpenLoad> {
        match self {
            Self::Closed => None,
            Self::Open(open) => Some(open),
        }
    }
}

/// The schedule of an open loop, and what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenLoad {
    /// Requests per second over all connections: 1/s to 1M/s.
    pub rate: Rate,
    /// How the planned times are spread.
    pub arrivals: Arrivals,
    /// Connections that share the requests: 1 to 1,024. Over HTTP each carries one request at a time.
    pub connections: u32,
    /// Most requests without an outcome, over all connections: from their number to 65,536. Requests that are
    /// due when it is reached wait, and their latency counts from the plan all the same.
    pub in_flight: u32,
}

impl OpenLoad {
    /// Range of [`OpenLoad::rate`].
    pub const RATES: (Rate, Rate) = (Rate(1), Rate(1_000_000));
    /// Range of [`OpenLoad::connections`].
    pub const CONNECTIONS: (u32, u32) = (1, 1_024);
    /// Largest value, and default, of [`OpenLoad::in_flight`].
    pub const MOST_IN_FLIGHT: u32 = 65_536;

    /// Returns an open load of this rate, Poisson arrivals over one connection.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            arrivals: Arrivals::Poisson,
            connections: 1,
            in_flight: Self::MOST_IN_FLIGHT,
        }
    }
}

/// How the planned times of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// The same gap between all requests; the first is placed at random within it, by the seed.
    Constant,
    /// Gaps drawn from an exponential distribution by the seed, as independent users arrive. The default.
    Poisson,
}

impl Arrivals {
    /// Returns the arrivals as people write them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// Through what kind of socket packets go that the kernel makes for privileged programs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SocketKind {
    /// Raw where it is allowed, else unprivileged. The outcome says which.
    #[default]
    Auto,
    /// A raw socket; needs `CAP_NET_RAW`.
    Raw,
    /// For ICMP echo a ping socket, which `net.ipv4.ping_group_range` allows to groups of users; for TCP-SYN the
    /// kernel's own connections.
    Unprivileged,
}

impl SocketKind {
    /// Returns the kind as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Raw => "raw",
            Self::Unprivileged => "unprivileged",
        }
    }
}

/// How a TCP-CRR client closes its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Close {
    /// Abort with RST (`SO_LINGER` 0): leaves no TIME_WAIT entry. The default.
    Rst,
    /// Orderly close: the client keeps the connection in TIME_WAIT.
    Fin,
}

/// CPU placement of client and server. It is part of what is measured (DESIGN §4.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cpu {
    /// Both on one CPU: the serial CPU cost of the path. Most repeatable.
    Shared,
    /// Each on a CPU of its own: adds wake-ups across CPUs.
    Split,
    /// Wherever the scheduler puts them.
    Free,
}

impl Cpu {
    /// Returns the placement as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Split => "split",
            Self::Free => "free",
        }
    }
}
