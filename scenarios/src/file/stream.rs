//! Streams: bulk data over TCP, and datagrams.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tollgate_results::stream::{Direction, Receiving, Sending, UdpStream as Datagrams};
use tollgate_results::units::{BitRate, Bytes, Rate};
use tollgate_results::workload::Cpu;

use super::value::quantity;

/// Bulk data over TCP. It has no `load`: it sends as fast as the path takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct TcpStream {
    /// Parallel connections, in each direction.
    #[schemars(range(min = 1, max = 128))]
    pub(crate) flows: i64,
    /// Size of each write: `"1 B"` to `"1 MiB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// Which way the data goes: client to server, server to client, or both at once.
    pub(crate) direction: Direction,
    /// How data comes from the sending program to the kernel.
    pub(crate) send: Sending,
    /// How data comes from the kernel to the receiving program.
    pub(crate) receive: Receiving,
    /// Congestion control of the sending end, such as `"cubic"`; the system's default where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) congestion: Option<String>,
    /// Most that each flow sends: `"1 kbit/s"` to `"1000 Gbit/s"`.
    #[serde(
        deserialize_with = "some_bit_rate",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) pacing: Option<BitRate>,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
}

impl Default for TcpStream {
    fn default() -> Self {
        Self {
            flows: 1,
            payload: Bytes(64 << 10),
            direction: Direction::Up,
            send: Sending::Copy,
            receive: Receiving::Copy,
            congestion: None,
            pacing: None,
            cpu: Cpu::Shared,
        }
    }
}

/// Datagrams without replies. It has no `load`: `rate` paces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct UdpStream {
    /// Size of each datagram's payload: `"40 B"` to `"64 kB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// Which way they go: client to server, server to client, or both at once.
    pub(crate) direction: Direction,
    /// Datagrams per second in each direction, evenly spaced: `"1/s"` to `"10M/s"`; as many as go where it is left
    /// out.
    #[serde(
        deserialize_with = "some_rate",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) rate: Option<Rate>,
    /// Most buffers to a system call.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) batch: i64,
    /// Datagrams to a buffer that is sent (`UDP_SEGMENT`); 1 is off.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) gso: i64,
    /// Whether the receiving kernel may merge datagrams (`UDP_GRO`).
    pub(crate) gro: bool,
    /// Whether they are sent without a copy (`MSG_ZEROCOPY`).
    pub(crate) zerocopy: bool,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
}

impl Default for UdpStream {
    fn default() -> Self {
        let Datagrams {
            payload,
            direction,
            rate,
            batch,
            gso,
            gro,
            zerocopy,
        } = Datagrams::default();
        Self {
            payload,
            direction,
            rate,
            batch: batch.into(),
            gso: gso.into(),
            gro,
            zerocopy,
            cpu: Cpu::Shared,
        }
    }
}

fn some_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    quantity(deserializer).map(Some)
}

fn some_bit_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BitRate>, D::Error> {
    quantity(deserializer).map(Some)
}
