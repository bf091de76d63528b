//! The arguments of streams.

use clap::{Args, ValueEnum};
use tollgate_results::stream::{self, TcpOptions, UdpStream};
use tollgate_results::units::{BitRate, Bytes, Rate};

use super::{Common, bytes};

/// Arguments of `tcp-stream`.
#[derive(Debug, Args)]
pub(crate) struct TcpStreamArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Parallel connections in each direction, 1 to 128
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) flows: u32,
    /// Size of each write, 1 B to 1 MiB
    #[arg(long, value_name = "BYTES", default_value = "128 KiB", value_parser = bytes)]
    pub(crate) payload: Bytes,
    /// Which way the data goes, seen from here
    #[arg(long, value_name = "WAY", default_value = "up")]
    pub(crate) direction: Direction,
    /// How data comes from the sending program to its kernel
    #[arg(long, value_name = "HOW", default_value = "copy")]
    pub(crate) send: Sending,
    /// How data comes from the kernel to the receiving program
    #[arg(long, value_name = "HOW", default_value = "copy")]
    pub(crate) receive: Receiving,
    /// Congestion control of the sending end, for example cubic
    #[arg(long, value_name = "NAME")]
    pub(crate) congestion: Option<String>,
    /// Most that each flow sends, for example '100 Mbit/s'
    #[arg(long, value_name = "RATE")]
    pub(crate) pacing: Option<BitRate>,
}

impl TcpStreamArgs {
    /// Returns how the connections are used.
    pub(crate) fn options(&self) -> TcpOptions {
        TcpOptions {
            direction: self.direction.into(),
            send: self.send.into(),
            receive: self.receive.into(),
            congestion: self.congestion.clone(),
            pacing: self.pacing,
        }
    }
}

/// Arguments of `udp-stream`.
#[derive(Debug, Args)]
pub(crate) struct UdpStreamArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Size of each datagram, 40 B to 64,000 B
    #[arg(long, value_name = "BYTES", default_value = "1400 B", value_parser = bytes)]
    payload: Bytes,
    /// Which way they go, seen from here
    #[arg(long, value_name = "WAY", default_value = "up")]
    direction: Direction,
    /// Datagrams per second in each direction, evenly spaced, 1/s to 10M/s; else as fast as they go
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Most buffers to a system call, 1 to 1,024; 1 is one call each
    #[arg(long, value_name = "N", default_value_t = UdpStream::BATCH)]
    batch: u32,
    /// Datagrams to a buffer that is sent (`UDP_SEGMENT`), 1 to 64; 1 is off
    #[arg(long, value_name = "N", default_value_t = 1)]
    gso: u32,
    /// Let the receiving kernel merge datagrams (`UDP_GRO`)
    #[arg(long)]
    gro: bool,
    /// Send without a copy (`MSG_ZEROCOPY`)
    #[arg(long)]
    zerocopy: bool,
}

impl UdpStreamArgs {
    /// Returns what to send.
    pub(crate) fn stream(&self) -> UdpStream {
        UdpStream {
            payload: self.payload,
            direction: self.direction.into(),
            rate: self.rate,
            batch: self.batch,
            gso: self.gso,
            gro: self.gro,
            zerocopy: self.zerocopy,
        }
    }
}

/// Which way a stream goes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Direction {
    /// From here to the far end
    Up,
    /// From the far end to here
    Down,
    /// Both at once
    Both,
}

impl From<Direction> for stream::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up,
            Direction::Down => Self::Down,
            Direction::Both => Self::Both,
        }
    }
}

/// How data comes from the sending program to the kernel.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Sending {
    /// The kernel copies it
    Copy,
    /// The kernel takes the program's pages (`MSG_ZEROCOPY`); over loopback and veth it copies after all
    Zerocopy,
    /// The kernel takes the pages of a file in memory
    Sendfile,
}

impl From<Sending> for stream::Sending {
    fn from(sending: Sending) -> Self {
        match sending {
            Sending::Copy => Self::Copy,
            Sending::Zerocopy => Self::Zerocopy,
            Sending::Sendfile => Self::Sendfile,
        }
    }
}

/// How data comes from the kernel to the receiving program.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Receiving {
    /// The kernel copies it
    Copy,
    /// The kernel throws it away (`MSG_TRUNC`)
    Truncate,
}

impl From<Receiving> for stream::Receiving {
    fn from(receiving: Receiving) -> Self {
        match receiving {
            Receiving::Copy => Self::Copy,
            Receiving::Truncate => Self::Truncate,
        }
    }
}
