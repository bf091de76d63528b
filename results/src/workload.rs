//! The traffic of a slice, its load and its CPU placement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::Name;
use crate::units::{Bytes, Nanoseconds};

/// One named workload of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// Unique within the plan.
    pub name: Name,
    /// What is sent.
    pub traffic: Traffic,
    /// Which CPUs client and server run on.
    pub cpu: Cpu,
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
    /// One-way bulk data, client to server.
    TcpStream {
        /// Parallel connections: 1 to 128.
        flows: u32,
        /// Size of each write: 1 B to 1 MiB.
        payload: Bytes,
    },
    /// Request and response by datagrams.
    UdpRr {
        /// Size of the datagram's payload, at least the probe's header: 32 B to 64,000 B.
        payload: Bytes,
        /// A reply later than this is lost: 1 ms to 10 s.
        timeout: Nanoseconds,
    },
    /// HTTP/1.1 GET.
    Http {
        /// Whether the connection is kept between requests.
        connections: Connections,
        /// Size of the response's body: 0 B to 1 MiB.
        response: Bytes,
    },
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
            Self::Http { .. } => "http",
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

/// Whether an HTTP client keeps its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// One connection for all requests.
    Kept,
    /// A new connection for each request.
    New,
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
