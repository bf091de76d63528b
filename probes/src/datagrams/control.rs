//! What the two ends of an arranged stream say to each other, over TCP: JSON, each message after its length.
//!
//! | client | responder |
//! |---|---|
//! | preamble, [`Ask::Datagrams`] or [`Ask::Bulk`] | [`Answer::Open`], or [`Answer::Refused`] and the end |
//! | datagrams: [`Kind::Hello`](crate::wire::Kind::Hello) by UDP | a reply of its size by UDP, with a number |
//! | datagrams: [`Ask::Bind`] with that number | [`Answer::Bound`]: it has a socket of its own for that address |
//! | [`Ask::Start`], for each window | [`Answer::Started`] |
//! | [`Ask::Stop`], once all is sent, or to end early | |
//! | [`Ask::Tell`], where the responder sends bulk data | [`Answer::Datagrams`] or [`Answer::Bulk`] |
//!
//! So datagrams go nowhere but to an address that answers for itself, at the wish of somebody who stands behind a
//! TCP connection. Counts survive the loss of any datagram.

use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tollgate_results::outcome::Histograms;
use tollgate_results::stream::{OneWay, TcpOptions, TcpSample, UdpStream};

use crate::clock::{Clock as _, Moment, Monotonic};
use crate::wire::WireError;

/// Longest message of a client, in bytes: several times what the longest takes.
pub(crate) const MOST_ASK: usize = 4 << 10;

/// Longest message of a responder, in bytes: several times what three histograms and 600 samples take.
pub(crate) const MOST_ANSWER: usize = 4 << 20;

/// Length of a message's length, in bytes.
const PREFIX: usize = 4;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Wants a stream of datagrams in one direction.
    Datagrams { stream: UdpStream, clock: ClockName },
    /// Wants bulk data over this connection, in one direction, in blocks of the preamble's size.
    Bulk {
        options: TcpOptions,
        interval_ns: u64,
    },
    /// Proves that it receives at the address that its hello came from; says whether both read one clock.
    Bind { number: u64, one_clock: bool },
    /// Starts a window.
    Start { window: u32, duration_ns: u64 },
    /// Ends the window: so many were sent, where it sends.
    Stop { sent: u64 },
    /// Wants to know what was sent.
    Tell,
}

/// What a responder says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// Agrees. Its datagrams and the client's bear this token, plus the window's number.
    Open {
        token: u64,
        clock: ClockName,
        now_ns: u64,
    },
    /// Doesn't agree, for this reason.
    Refused { reason: String },
    /// Has a socket for datagrams; its receive buffer where it receives.
    Bound { receive_room: u64 },
    /// The window has started.
    Started,
    /// What it sent or received in the window.
    Datagrams(Box<DatagramReport>),
    /// What it sent in the window.
    Bulk(BulkReport),
}

/// What one end knows of a window of datagrams: its half of the counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatagramReport {
    pub(crate) counts: OneWay,
    pub(crate) histograms: Histograms,
    pub(crate) cpu_ns: u64,
}

/// What the sending end knows of a window of bulk data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkReport {
    pub(crate) cpu_ns: u64,
    pub(crate) samples: Vec<TcpSample>,
}

/// Names the monotonic clock that a process reads: the boot of the kernel and the time namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockName(Option<String>);

impl ClockName {
    /// Returns the name of this process's clock.
    pub(crate) fn own() -> Self {
        let read = || {
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            // A kernel without time namespaces has one clock.
            let time = std::fs::read_link("/proc/self/ns/time");
            let time = time.map_or_else(|_| String::new(), |link| link.display().to_string());
            Some(format!("{} {time}", boot.trim()))
        };
        Self(read())
    }

    /// Returns whether another process reads this clock too. Copies of a running machine share a boot's name: the
    /// other's time must lie between two readings of this one as well.
    pub(crate) fn is_shared(
        &self,
        other: &Self,
        before: Moment,
        now_ns: u64,
        after: Moment,
    ) -> bool {
        self.0.is_some() && self == other && (before.ns()..=after.ns()).contains(&now_ns)
    }
}

impl Answer {
    /// Agrees to a stream.
    pub(crate) fn open(token: u64) -> Self {
        Self::Open {
            token,
            clock: ClockName::own(),
            now_ns: Monotonic.now().ns(),
        }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
        }
    }
}

/// Returns whether the other end has said something that was not read yet. Never blocks.
///
/// # Errors
///
/// When the connection is over.
pub(crate) fn hears(socket: &TcpStream) -> Result<bool, Errno> {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(socket.as_raw_fd(), &mut [0], flags) {
        Ok(0) => Err(Errno::ECONNRESET),
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Writes a message as it goes over the wire.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message).expect("plain data has a JSON form");
    let len = u32::try_from(bytes.len() - PREFIX).unwrap_or(u32::MAX);
    bytes[..PREFIX].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// Reads a message of at most `most` bytes; `fill` reads exactly as many as it is given room for.
pub(crate) fn read<T: DeserializeOwned, E: From<WireError>>(
    most: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<T, E> {
    let mut len = [0; PREFIX];
    fill(&mut len)?;
    let len = u32::from_be_bytes(len);
    let size = usize::try_from(len)
        .ok()
        .filter(|size| (1..=most).contains(size));
    let mut bytes = vec![0; size.ok_or(WireError::Size(len))?];
    fill(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes).map_err(|_| WireError::Foreign)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_from<T: DeserializeOwned>(mut bytes: &[u8], most: usize) -> Result<T, WireError> {
        read(most, |room: &mut [u8]| {
            let (now, later) = bytes
                .split_at_checked(room.len())
                .ok_or(WireError::Foreign)?;
            room.copy_from_slice(now);
            bytes = later;
            Ok(())
        })
    }

    #[test]
    fn messages_are_read_back() {
        let asks = [
            Ask::Datagrams {
                stream: UdpStream::default(),
                clock: ClockName::own(),
            },
            Ask::Bulk {
                options: TcpOptions::default(),
                interval_ns: 1,
            },
            Ask::Bind {
                number: u64::MAX,
                one_clock: true,
            },
            Ask::Start {
                window: 1,
                duration_ns: 2,
            },
            Ask::Stop { sent: 3 },
            Ask::Tell,
        ];
        for ask in asks {
            let bytes = encode(&ask);
            assert!(bytes.len() < MOST_ASK / 4);
            assert_eq!(read_from(&bytes, MOST_ASK), Ok(ask));
        }
        let histogram = tollgate_results::histogram::Histogram::new();
        let report = DatagramReport {
            counts: OneWay::default(),
            histograms: [(tollgate_results::outcome::Timed::PdvUp, histogram)].into(),
            cpu_ns: 1,
        };
        let answer = Answer::Datagrams(Box::new(report));
        assert_eq!(read_from(&encode(&answer), MOST_ANSWER), Ok(answer));
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_reserved() {
        for len in [0, 4097, 65_535, 65_536, 10 << 20, u32::MAX] {
            let bytes = len.to_be_bytes();
            let read = read_from::<Ask>(&bytes, MOST_ASK);
            assert_eq!(read, Err(WireError::Size(len)));
        }
    }

    #[test]
    fn wrong_types_and_unknown_fields_are_refused() {
        for text in [
            r#"{"start":{"window":-1,"duration_ns":1}}"#,
            r#"{"start":{"window":1e308,"duration_ns":1}}"#,
            r#"{"start":{"window":null,"duration_ns":1}}"#,
            r#"{"start":{"window":1}}"#,
            r#"{"start":{"window":1,"duration_ns":1,"more":1}}"#,
            r#"{"start":{"window":1,"window":1,"duration_ns":1}}"#,
            r#"{"stop":{"sent":"1"}}"#,
            r#""\ud800""#,
            &"[".repeat(2_000),
            "\"tell",
        ] {
            let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend(text.as_bytes());
            assert_eq!(
                read_from::<Ask>(&bytes, MOST_ASK),
                Err(WireError::Foreign),
                "{text}"
            );
        }
    }

    #[test]
    fn one_clock_is_one_name_and_one_time() {
        let own = ClockName::own();
        let at = Moment::from_ns;
        assert!(own.is_shared(&own, at(1), 2, at(3)));
        assert!(!own.is_shared(&own, at(1), 4, at(3)));
        assert!(!own.is_shared(&ClockName(None), at(1), 2, at(3)));
        let unknown = ClockName(None);
        assert!(!unknown.is_shared(&unknown, at(1), 2, at(3)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read_from::<Ask>(&bytes, MOST_ASK);
            let _ = read_from::<Answer>(&bytes, MOST_ANSWER);
        }
    }
}
