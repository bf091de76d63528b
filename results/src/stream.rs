//! What is particular to streams: how they are sent, and what is counted of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{BitRate, Bytes, Rate};

/// Which way a stream goes, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Client to server.
    #[default]
    Up,
    /// Server to client.
    Down,
    /// Both at once, each on connections or sockets of its own.
    Both,
}

impl Direction {
    /// Returns the direction as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }

    /// Returns whether the client sends.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Both)
    }

    /// Returns whether the server sends.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// How the connections of a TCP stream are used. The default is what a program does that knows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TcpOptions {
    /// Which way the data goes.
    pub direction: Direction,
    /// How data comes from the sending program to the kernel.
    pub send: Sending,
    /// How data comes from the kernel to the receiving program.
    pub receive: Receiving,
    /// Congestion control of the sending end, by the kernel's name: 1 to 15 of `a-z 0-9 _ -`. `None` leaves the
    /// system's default.
    pub congestion: Option<String>,
    /// Most that each flow sends per second, headers included (`SO_MAX_PACING_RATE`): 1 kbit/s to 1 Tbit/s. Where no
    /// `fq` queueing discipline does it, TCP paces by itself.
    pub pacing: Option<BitRate>,
}

impl TcpOptions {
    /// Range of [`TcpOptions::pacing`].
    pub const PACING: (BitRate, BitRate) = (BitRate(1_000), BitRate(1_000_000_000_000));

    /// Returns whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is wrong with the name of a congestion control; `None` where it may be one.
    #[must_use]
    pub fn congestion_fault(name: &str) -> Option<String> {
        let good = (1..=15).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        (!good).then(|| {
            "is not the name of a congestion control (1 to 15 of a-z, 0-9, _, -), for example \"cubic\""
                .to_owned()
        })
    }
}

/// How data comes from the sending program to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sending {
    /// `send`, which copies. The default.
    #[default]
    Copy,
    /// `send` with `MSG_ZEROCOPY`: the kernel takes the program's pages. Over loopback and veth it copies after all.
    Zerocopy,
    /// `sendfile` from a file in memory: the kernel takes the file's pages.
    Sendfile,
}

impl Sending {
    /// Returns the way as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Zerocopy => "zerocopy",
            Self::Sendfile => "sendfile",
        }
    }
}

/// How data comes from the kernel to the receiving program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Receiving {
    /// `recv`, which copies. The default.
    #[default]
    Copy,
    /// `recv` with `MSG_TRUNC`: the kernel throws the data away, all but the first byte of each block.
    Truncate,
}

impl Receiving {
    /// Returns the way as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Truncate => "truncate",
        }
    }
}

/// Datagrams in one direction or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UdpStream {
    /// Size of each datagram's payload, at least the probe's header: 40 B to 64,000 B.
    pub payload: Bytes,
    /// Which way they go.
    pub direction: Direction,
    /// Datagrams per second in each direction, 1/s to 10M/s, at even gaps: delays count then. `None` sends as fast
    /// as the sender's calls return.
    pub rate: Option<Rate>,
    /// Most buffers that one system call sends or receives (`sendmmsg`, `recvmmsg`): 1 to 1,024. 1 is one call for
    /// each buffer (`send`, `recv`).
    pub batch: u32,
    /// Datagrams in each buffer that is sent (`UDP_SEGMENT`): 1 to 64; 1 is off. Together at most 64,000 B.
    pub gso: u32,
    /// Whether the receiving kernel may hand over several datagrams in one buffer (`UDP_GRO`).
    pub gro: bool,
    /// Whether the kernel takes the program's pages (`MSG_ZEROCOPY`). Over loopback and veth it copies after all.
    pub zerocopy: bool,
}

impl UdpStream {
    /// Range of [`UdpStream::payload`].
    pub const PAYLOADS: (Bytes, Bytes) = (Bytes(40), Bytes(64_000));
    /// Range of [`UdpStream::rate`].
    pub const RATES: (Rate, Rate) = (Rate(1), Rate(10_000_000));
    /// Range of [`UdpStream::batch`].
    pub const BATCHES: (u32, u32) = (1, 1_024);
    /// Range of [`UdpStream::gso`]; 64 is the bound of kernels before 6.9.
    pub const SEGMENTS: (u32, u32) = (1, 64);
    /// Most bytes that one buffer holds: what an IP packet has room for.
    pub const BUFFER: Bytes = Bytes(64_000);
    /// [`UdpStream::batch`] where nothing else is said: from here on, on loopback, longer batches save nothing more.
    pub const BATCH: u32 = 64;

    /// Returns what is wrong with payload and segments taken together.
    #[must_use]
    pub fn buffer_fault(&self) -> Option<String> {
        let bytes = u64::from(self.gso).saturating_mul(self.payload.0);
        (self.gso > 1 && bytes > Self::BUFFER.0).then(|| {
            format!(
                "{} datagrams of {} don't fit one buffer of {}; make gso {} or less",
                self.gso,
                self.payload,
                Self::BUFFER,
                Self::BUFFER.0 / self.payload.0.max(1)
            )
        })
    }
}

impl Default for UdpStream {
    fn default() -> Self {
        Self {
            // Fits an overlay's MTU of 1,450 over both families.
            payload: Bytes(1_400),
            direction: Direction::Up,
            rate: None,
            batch: Self::BATCH,
            gso: 1,
            gro: false,
            zerocopy: false,
        }
    }
}

/// What became of the datagrams of a stream, by direction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Datagrams {
    /// Client to server; `None` where it is not sent, or nothing became known of it.
    pub up: Option<OneWay>,
    /// Server to client.
    pub down: Option<OneWay>,
}

/// What became of the datagrams of one direction. `sent == received + lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneWay {
    /// Datagrams that the sender's kernel took.
    pub sent: u64,
    /// Datagrams that the receiver had, each counted once.
    pub received: u64,
    /// Datagrams that it never had, or too late to be told from a second copy.
    pub lost: u64,
    /// Further copies of datagrams that the receiver had before.
    pub duplicated: u64,
    /// Datagrams that came after one with a higher number (RFC 4737 §3.3, type-P-reordered). Copies don't count.
    pub reordered: u64,
    /// Those of them that at least three datagrams with higher numbers came right before (RFC 4737 §5.4,
    /// n-reordering): TCP would have taken these for lost.
    pub reordered_by_3: u64,
    /// How far they were displaced: datagrams that came from the first higher number on (RFC 4737 §4.2,
    /// reordering extent). `None` where none was reordered.
    pub extent: Option<Extent>,
    /// Datagrams of an earlier window, or more than a million numbers behind. They don't count as received.
    pub late: u64,
    /// Datagrams that are none of the stream's: foreign, forged or damaged. Ignored.
    pub stray: u64,
    /// Paced: datagrams planned but not sent, since the sender could not keep up.
    pub unsent: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// Buffers that they handed over: fewer than datagrams with GSO.
    pub send_buffers: u64,
    /// System calls that received.
    pub receive_calls: u64,
    /// Buffers that they took: fewer than datagrams with GRO.
    pub receive_buffers: u64,
    /// Datagrams that came by the same call as the one before, and so have its time of arrival.
    pub together: u64,
    /// The receiver's socket buffer, in bytes as the kernel counts them. What comes when it is full is lost.
    pub receive_room: u64,
    /// From the first datagram to the last, as the sender sends, in nanoseconds.
    pub sending_ns: u64,
    /// The same as the receiver receives.
    pub receiving_ns: u64,
    /// Whether both ends read one clock: the same boot of one kernel and the same time namespace by their own
    /// words, and each saw the other's time between two readings of its own. Only then one-way delays are known.
    pub one_clock: bool,
}

/// How far reordered datagrams were displaced, in datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// What the sending end of a TCP connection knew of it at one time (`TCP_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpSample {
    /// Which connection, from 0; where data goes both ways, those that the server sends on follow the others.
    pub flow: u32,
    /// Since the window's start, in nanoseconds.
    pub at_ns: u64,
    /// Bytes that the far end acknowledged since the connection stands.
    pub acked: u64,
    /// Smoothed round-trip time, in microseconds.
    pub rtt_us: u32,
    /// Least round-trip time, in microseconds.
    pub min_rtt_us: u32,
    /// Congestion window, in segments.
    pub cwnd: u32,
    /// Segments sent again since the connection stands.
    pub retransmits: u32,
    /// Bytes per second, as of the last acknowledgements.
    pub delivery_rate: u64,
}

impl TcpSample {
    /// Most samples of one outcome, over all connections.
    pub const MOST: usize = 600;
    /// Least time between two samples of a connection, in nanoseconds.
    pub const INTERVAL_NS: u64 = 100_000_000;
}

/// What bulk data beside timed requests gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BesideTotals {
    /// From its first byte to the last that was confirmed, in nanoseconds.
    pub window_ns: u64,
    /// Payload bytes that arrived, both directions together.
    pub bytes: u64,
    /// Connections that failed meanwhile.
    pub failures: u64,
}

/// What a stream took and gave in the window, over all flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StreamTotals {
    /// Payload bytes that arrived at the server.
    pub bytes_up: u64,
    /// Payload bytes that arrived at the client.
    pub bytes_down: u64,
    /// CPU time of the client's threads, in nanoseconds.
    pub near_cpu_ns: u64,
    /// CPU time of the server's threads, in nanoseconds.
    pub far_cpu_ns: u64,
}
