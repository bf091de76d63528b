//! What both ends of the probe's traffic agree on: the preamble of a TCP connection and the header of a
//! datagram.
//!
//! | offset | preamble (16 B) | header of a datagram (32 B) |
//! |---|---|---|
//! | 0 | magic `TLGT` | magic `TLGU` |
//! | 4 | protocol version | protocol version |
//! | 8 | mode: 1 RR, 2 stream, 3 arranged stream | kind: 1 request, 2 reply, 3 request to say the time at the far end, 4 part of a stream, 5 hello, 6 reply to it |
//! | 9 | 3 zeros | 3 zeros |
//! | 12 | size of each request, block or datagram | size of the datagram |
//! | 16 | | token of the job, 8 B |
//! | 24 | | sequence number, 8 B |
//! | 32 | | reply to kind 3, if it is long enough: nanoseconds at the far end, 8 B; 0 if unknown |
//! | 32 | | kind 4: when it was sent, by the sender's monotonic clock in nanoseconds, 8 B |
//!
//! Numbers are in network order. The preamble goes out with the first request, so that it costs no round
//! trip. An RR reply has the size of its request and starts with the request's first 64 bytes. The first
//! byte of each block of a stream is 0, or 1 to ask for the count of bytes received so far, and the CPU time in
//! nanoseconds that the receiving thread took so far: 8 bytes each. How a stream is arranged that is sent in another
//! way says the module `datagrams::control`; there a first byte of 1 ends a window.
//!
//! Who gets a preamble of another version answers with the first 8 bytes of its own and closes; who gets a request
//! of another version turns it into a reply of its own version. Magic, version, kind and token stand in every
//! version where they stand here, so that both ends can say what is wrong.

use tollgate_results::agent::PROTOCOL;

/// Length of the preamble, in bytes.
pub const PREAMBLE_LEN: usize = 16;
/// Length of the answer to a preamble of another version, in bytes.
pub const REFUSAL_LEN: usize = 8;
/// Length of a datagram's header, in bytes.
pub const HEADER_LEN: usize = 32;
/// Least length of a datagram whose reply can say the time at the far end, in bytes.
pub const FAR_END_LEN: usize = HEADER_LEN + 8;
/// Length of a stream's confirmation, in bytes.
pub const CONFIRMATION_LEN: usize = 16;
/// Least length of a stream's datagram, in bytes.
pub const STREAM_HEADER_LEN: usize = HEADER_LEN + 8;
/// Largest request, reply or block on TCP, in bytes.
pub const MAX_TCP_PAYLOAD: u32 = 1 << 20;
/// Largest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 64_000;
/// How much of an RR reply repeats its request, in bytes; both ends hold to it.
pub const ECHOED: usize = 64;
/// First byte of a stream's block that asks for a confirmation.
pub const CONFIRM: u8 = 1;

const PREAMBLE_MAGIC: [u8; 4] = *b"TLGT";
const HEADER_MAGIC: [u8; 4] = *b"TLGU";

/// Why bytes are not what the other end should have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Too short, or another protocol.
    #[error("not the probe's protocol")]
    Foreign,
    /// Another version of the probe's protocol.
    #[error("version {0} of the probe's protocol, not {PROTOCOL}")]
    Version(u32),
    /// A mode, kind or padding that this version doesn't have.
    #[error("an unknown mode")]
    Mode,
    /// A size outside of its range, or different from the real one.
    #[error("an impossible size of {0} bytes")]
    Size(u32),
}

/// What a TCP connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Requests, each answered by a reply of the same size.
    RequestResponse,
    /// Blocks from the client.
    Stream,
    /// What both ends agree on next.
    Arranged,
}

/// Opens a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// What follows.
    pub mode: Mode,
    /// Size of each request or block: 1 to [`MAX_TCP_PAYLOAD`] bytes.
    pub size: u32,
}

impl Preamble {
    /// Returns the preamble as it goes over the wire.
    #[must_use]
    pub fn encode(self) -> [u8; PREAMBLE_LEN] {
        let mode = match self.mode {
            Mode::RequestResponse => 1,
            Mode::Stream => 2,
            Mode::Arranged => 3,
        };
        let mut bytes = [0; PREAMBLE_LEN];
        bytes[..12].copy_from_slice(&start(PREAMBLE_MAGIC, mode));
        bytes[12..].copy_from_slice(&self.size.to_be_bytes());
        bytes
    }

    /// Reads a preamble from the first bytes of a connection.
    ///
    /// # Errors
    ///
    /// When they are not a preamble of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes = bytes.first_chunk::<PREAMBLE_LEN>();
        let bytes = bytes.ok_or(WireError::Foreign)?;
        let mode = match check_start(bytes, PREAMBLE_MAGIC)? {
            1 => Mode::RequestResponse,
            2 => Mode::Stream,
            3 => Mode::Arranged,
            _ => return Err(WireError::Mode),
        };
        let size = number(bytes, 12);
        if (1..=MAX_TCP_PAYLOAD).contains(&size) {
            Ok(Self { mode, size })
        } else {
            Err(WireError::Size(size))
        }
    }

    /// Returns what answers a preamble of another version.
    #[must_use]
    pub fn refusal() -> [u8; REFUSAL_LEN] {
        let start = start(PREAMBLE_MAGIC, 0);
        let mut bytes = [0; REFUSAL_LEN];
        bytes.copy_from_slice(&start[..REFUSAL_LEN]);
        bytes
    }

    /// Returns whether what came instead of a reply is the refusal of another version.
    #[must_use]
    pub fn is_refusal(bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.first_chunk::<REFUSAL_LEN>() else {
            return false;
        };
        bytes[..4] == PREAMBLE_MAGIC && number(bytes, 4) != PROTOCOL
    }

    /// Returns whether these first bytes of a connection, however few, can become a preamble.
    #[must_use]
    pub fn may_start_with(bytes: &[u8]) -> bool {
        bytes
            .iter()
            .zip(&PREAMBLE_MAGIC)
            .all(|(got, expected)| got == expected)
    }
}

/// Which way a datagram goes. A responder answers requests only, so two of them never answer each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the responder.
    Request,
    /// From the responder.
    Reply,
    /// To the responder, which writes into its reply how long it had the request.
    StampedRequest,
    /// Part of a stream, in either direction. Never answered.
    Stream,
    /// To the responder, from where a stream's datagrams will come or go.
    Hello,
    /// From the responder: its sequence is a number that only whoever receives there can know.
    HelloReply,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::StampedRequest => 3,
            Self::Stream => 4,
            Self::Hello => 5,
            Self::HelloReply => 6,
        }
    }
}

/// Opens a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which way it goes.
    pub kind: Kind,
    /// Tells a job's datagrams from those of earlier jobs and from forged ones.
    pub token: u64,
    /// Number of the request within its job.
    pub sequence: u64,
}

impl Header {
    /// Writes the header to the start of a datagram; its size is the datagram's length.
    ///
    /// # Panics
    ///
    /// When the datagram is shorter than [`HEADER_LEN`] or longer than [`MAX_DATAGRAM`].
    #[inline]
    pub fn write_to(self, datagram: &mut [u8]) {
        let size = u32::try_from(datagram.len()).expect("a datagram is short");
        assert!((HEADER_LEN..=MAX_DATAGRAM).contains(&datagram.len()));
        datagram[..12].copy_from_slice(&start(HEADER_MAGIC, self.kind.code()));
        datagram[12..16].copy_from_slice(&size.to_be_bytes());
        datagram[16..24].copy_from_slice(&self.token.to_be_bytes());
        datagram[24..32].copy_from_slice(&self.sequence.to_be_bytes());
    }

    /// Reads the header of a whole datagram.
    ///
    /// # Errors
    ///
    /// When it is not a datagram of this version, or not a whole one.
    #[inline]
    pub fn read_from(datagram: &[u8]) -> Result<Self, WireError> {
        let bytes = datagram.first_chunk::<HEADER_LEN>();
        let bytes = bytes.ok_or(WireError::Foreign)?;
        let kind = match check_start(bytes, HEADER_MAGIC)? {
            1 => Kind::Request,
            2 => Kind::Reply,
            3 => Kind::StampedRequest,
            4 => Kind::Stream,
            5 => Kind::Hello,
            6 => Kind::HelloReply,
            _ => return Err(WireError::Mode),
        };
        let size = number(bytes, 12);
        if datagram.len() > MAX_DATAGRAM || usize::try_from(size) != Ok(datagram.len()) {
            return Err(WireError::Size(size));
        }
        let long =
            |at: usize| u64::from(number(bytes, at)) << 32 | u64::from(number(bytes, at + 4));
        Ok(Self {
            kind,
            token: long(16),
            sequence: long(24),
        })
    }

    /// How much of its header a window's datagrams have in common, in bytes: all before the sequence number.
    pub(crate) const STREAM_START: usize = 24;

    /// Returns what all datagrams of a window start with.
    pub(crate) fn stream_start(self, size: usize) -> [u8; Self::STREAM_START] {
        let mut bytes = [0; Self::STREAM_START];
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        bytes[..12].copy_from_slice(&start(HEADER_MAGIC, self.kind.code()));
        bytes[12..16].copy_from_slice(&size.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.token.to_be_bytes());
        bytes
    }

    /// Writes what differs from one datagram of a window to the next: its number, and when it is sent.
    ///
    /// # Panics
    ///
    /// When the datagram is shorter than [`STREAM_HEADER_LEN`].
    #[inline]
    pub(crate) fn write_stream(datagram: &mut [u8], number: u64, sent_ns: u64) {
        datagram[24..32].copy_from_slice(&number.to_be_bytes());
        datagram[32..40].copy_from_slice(&sent_ns.to_be_bytes());
    }

    /// Reads the same; zeros where the datagram is too short.
    #[inline]
    pub(crate) fn read_stream(datagram: &[u8]) -> (u64, u64) {
        let long = |at: usize| {
            let bytes = datagram.get(at..at + 8).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        (long(24), long(32))
    }

    /// Turns a request of another version into its refusal, in place; returns false for anything else.
    pub fn refuse(datagram: &mut [u8]) -> bool {
        let Some(bytes) = datagram.first_chunk_mut::<HEADER_LEN>() else {
            return false;
        };
        let requests = [Kind::Request.code(), Kind::StampedRequest.code()];
        let other = bytes[..4] == HEADER_MAGIC && number(bytes, 4) != PROTOCOL;
        // A reply is never answered: two responders can't be set on each other.
        if !other || !requests.contains(&bytes[8]) {
            return false;
        }
        bytes[4..8].copy_from_slice(&PROTOCOL.to_be_bytes());
        bytes[8] = Kind::Reply.code();
        true
    }

    /// Returns whether a datagram is the refusal, by another version, of a request with this token.
    #[must_use]
    pub fn is_refusal(datagram: &[u8], token: u64) -> bool {
        let Some(bytes) = datagram.first_chunk::<HEADER_LEN>() else {
            return false;
        };
        bytes[..4] == HEADER_MAGIC
            && number(bytes, 4) != PROTOCOL
            && bytes[8] == Kind::Reply.code()
            && bytes[16..24] == token.to_be_bytes()
    }

    /// Turns a request into its reply, in place.
    #[inline]
    pub fn turn(datagram: &mut [u8]) {
        if let Some(kind) = datagram.get_mut(8) {
            *kind = Kind::Reply.code();
        }
    }

    /// Writes into a reply how long the far end had the request, where there is room for it.
    #[inline]
    pub fn write_far_end(datagram: &mut [u8], ns: Option<u64>) {
        if let Some(room) = datagram.get_mut(HEADER_LEN..FAR_END_LEN) {
            room.copy_from_slice(&ns.unwrap_or(0).to_be_bytes());
        }
    }

    /// Reads from the reply to a [`Kind::StampedRequest`] how long the far end had the request, in nanoseconds.
    #[inline]
    #[must_use]
    pub fn read_far_end(datagram: &[u8]) -> Option<u64> {
        let bytes = datagram.get(HEADER_LEN..FAR_END_LEN)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes)).filter(|&ns| ns > 0)
    }
}

/// Builds what a preamble and a header have in common.
fn start(magic: [u8; 4], code: u8) -> [u8; 12] {
    let [m0, m1, m2, m3] = magic;
    let [v0, v1, v2, v3] = PROTOCOL.to_be_bytes();
    [m0, m1, m2, m3, v0, v1, v2, v3, code, 0, 0, 0]
}

/// Checks what a preamble and a header have in common; returns the code of mode or kind.
fn check_start<const N: usize>(bytes: &[u8; N], magic: [u8; 4]) -> Result<u8, WireError> {
    if bytes[..4] != magic {
        return Err(WireError::Foreign);
    }
    let version = number(bytes, 4);
    if version != PROTOCOL {
        return Err(WireError::Version(version));
    }
    if bytes[9..12] != [0; 3] {
        return Err(WireError::Mode);
    }
    Ok(bytes[8])
}

/// Reads four bytes in network order.
fn number<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_version_is_told_from_another_protocol() {
        let mut bytes = Preamble {
            mode: Mode::Stream,
            size: 1,
        }
        .encode();
        bytes[7] = 99;
        assert_eq!(Preamble::decode(&bytes), Err(WireError::Version(99)));
        assert_eq!(
            Preamble::decode(b"GET / HTTP/1.1\r\n"),
            Err(WireError::Foreign)
        );
        assert_eq!(Preamble::decode(b"TLGT"), Err(WireError::Foreign));
    }

    #[test]
    fn a_refusal_is_known_by_its_version_and_never_refused_again() {
        assert!(
            !Preamble::is_refusal(&Preamble::refusal()),
            "our own version"
        );
        let mut other = Preamble::refusal();
        other[7] += 1;
        assert!(Preamble::is_refusal(&other));
        assert!(!Preamble::is_refusal(&other[..7]));
        let header = Header {
            kind: Kind::Request,
            token: 1,
            sequence: 2,
        };
        let mut datagram = [0; 64];
        header.write_to(&mut datagram);
        assert!(!Header::refuse(&mut datagram), "our own version");
        datagram[7] += 1;
        let mut refusal = datagram;
        assert!(Header::refuse(&mut refusal));
        assert_eq!(refusal[16..], datagram[16..]);
        // As the other end sees it.
        refusal[7] = datagram[7];
        assert!(Header::is_refusal(&refusal, 1));
        assert!(!Header::is_refusal(&refusal, 2));
        assert!(!Header::is_refusal(&datagram, 1), "a request");
        assert!(!Header::refuse(&mut refusal), "a refusal");
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0, MAX_TCP_PAYLOAD + 1, u32::MAX] {
            let mode = Mode::RequestResponse;
            let bytes = Preamble { mode, size }.encode();
            assert_eq!(Preamble::decode(&bytes), Err(WireError::Size(size)));
        }
    }

    #[test]
    fn a_truncated_or_padded_datagram_is_refused() {
        let header = Header {
            kind: Kind::Request,
            token: 1,
            sequence: 2,
        };
        let mut datagram = [0; 64];
        header.write_to(&mut datagram);
        assert_eq!(Header::read_from(&datagram), Ok(header));
        assert_eq!(
            Header::read_from(&datagram[..63]),
            Err(WireError::Size(64)),
            "truncated"
        );
        assert_eq!(Header::read_from(&datagram[..31]), Err(WireError::Foreign));
    }

    #[test]
    fn the_time_at_the_far_end_is_said_where_there_is_room() {
        let mut datagram = [0xAA; FAR_END_LEN];
        Header::write_far_end(&mut datagram, Some(7));
        assert_eq!(Header::read_far_end(&datagram), Some(7));
        Header::write_far_end(&mut datagram, None);
        assert_eq!(Header::read_far_end(&datagram), None);
        let mut short = [0xAA; FAR_END_LEN - 1];
        Header::write_far_end(&mut short, Some(7));
        assert_eq!(short, [0xAA; FAR_END_LEN - 1]);
        assert_eq!(Header::read_far_end(&short), None);
    }

    #[test]
    fn datagrams_of_a_window_start_alike() {
        let header = Header {
            kind: Kind::Stream,
            token: 7,
            sequence: 0,
        };
        let mut datagram = [0; 64];
        header.write_to(&mut datagram);
        Header::write_stream(&mut datagram, 5, 6);
        assert_eq!(datagram[..Header::STREAM_START], header.stream_start(64));
        assert_eq!(Header::read_stream(&datagram), (5, 6));
        assert_eq!(
            Header::read_from(&datagram).map(|read| read.sequence),
            Ok(5)
        );
        assert_eq!(Header::read_stream(&datagram[..39]).1, 0);
    }

    proptest! {
        #[test]
        fn a_preamble_is_read_back(mode in 0..3_usize, size in 1..=MAX_TCP_PAYLOAD) {
            let mode = [Mode::RequestResponse, Mode::Stream, Mode::Arranged][mode];
            let preamble = Preamble { mode, size };
            prop_assert_eq!(Preamble::decode(&preamble.encode()), Ok(preamble));
            prop_assert!(Preamble::may_start_with(&preamble.encode()));
        }

        #[test]
        fn a_header_is_read_back_and_turned(
            token: u64,
            sequence: u64,
            len in HEADER_LEN..=MAX_DATAGRAM,
        ) {
            let header = Header { kind: Kind::Request, token, sequence };
            let mut datagram = vec![0xAA; len];
            header.write_to(&mut datagram);
            prop_assert_eq!(Header::read_from(&datagram), Ok(header));
            Header::turn(&mut datagram);
            let reply = Header { kind: Kind::Reply, ..header };
            prop_assert_eq!(Header::read_from(&datagram), Ok(reply));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Preamble::decode(&bytes);
            let _ = Header::read_from(&bytes);
        }
    }
}
