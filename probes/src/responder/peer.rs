//! The far end of a connection: plain blocking reads and writes, which the [`Watch`](super::watch) ends when
//! they take too long.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use super::Limits;
use super::sessions::Sessions;
use super::toll::Toll;
use super::turns::Turns;
use super::watch::Slot;
use crate::bulk::{BUFFER, Bulk, Intake};
use crate::wire::WireError;

/// What one thread reads into and writes from; its memory is taken by the system only when it is used.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Receives requests and blocks.
    pub(super) inbox: Vec<u8>,
    /// Holds HTTP responses; empty until the first one.
    pub(super) outbox: Vec<u8>,
}

impl Buffers {
    /// Length of the inbox, in bytes.
    const INBOX: usize = BUFFER;

    pub(super) fn new() -> Self {
        Self {
            inbox: vec![0; Self::INBOX],
            outbox: Vec::new(),
        }
    }
}

/// The connection is over: closed, broken, too slow, or the responder stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

impl From<WireError> for Gone {
    fn from(_: WireError) -> Self {
        Self
    }
}

/// A connection that is being served.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    stream: &'a TcpStream,
    slot: &'a Slot,
    limits: &'a Limits,
    sessions: &'a Arc<Sessions>,
    /// Largest HTTP response, in bytes.
    pub(super) max_response: u32,
    /// What is planted before each reply.
    pub(super) toll: Toll,
    /// Where the time of each reply is kept.
    pub(super) turns: &'a Turns,
    /// What HTTP responses say who answered.
    pub(super) name: &'a str,
}

impl<'a> Peer<'a> {
    pub(super) const fn new(
        stream: &'a TcpStream,
        slot: &'a Slot,
        limits: &'a Limits,
        (sessions, turns): (&'a Arc<Sessions>, &'a Turns),
        name: &'a str,
    ) -> Self {
        Self {
            stream,
            slot,
            limits,
            sessions,
            max_response: limits.max_response,
            toll: limits.toll,
            turns,
            name,
        }
    }

    /// Returns the connection itself.
    pub(super) const fn stream(&self) -> &'a TcpStream {
        self.stream
    }

    /// Returns the streams of datagrams.
    pub(super) const fn sessions(&self) -> &'a Arc<Sessions> {
        self.sessions
    }

    /// Returns whether this client may be sent streams: it was authorised, or is this machine itself.
    pub(super) fn sends_streams(&self) -> bool {
        let local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        self.limits.send_streams || self.stream.peer_addr().is_ok_and(local)
    }

    /// Returns the responder's own address on this connection.
    pub(super) fn local_ip(&self) -> Result<IpAddr, String> {
        let address = self.stream.local_addr();
        let ip = address.map(|address| address.ip());
        ip.map_err(|error| format!("no address of its own: {error}"))
    }

    /// Takes in what a stream brings next.
    #[inline]
    pub(super) fn take(&self, intake: &mut Intake, inbox: &mut [u8]) -> Result<Option<u64>, Gone> {
        match intake.take_from(self.stream, inbox) {
            Ok(asked) => Ok(asked),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(_) => Err(Gone),
        }
    }

    /// Says that the peer did something worth waiting for: its time starts anew.
    #[inline]
    pub(super) fn advance(&self) {
        self.slot.advance();
    }

    /// Reads at least one byte.
    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize, Gone> {
        loop {
            match (&mut &*self.stream).read(buffer) {
                Ok(0) => return Err(Gone),
                Ok(received) => return Ok(received),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Reads until the buffer is full, of which `have` bytes already are.
    #[inline]
    pub(super) fn fill(&self, buffer: &mut [u8], mut have: usize) -> Result<(), Gone> {
        while have < buffer.len() {
            have += self.read(&mut buffer[have..])?;
        }
        Ok(())
    }

    /// Sends what is left of a block; returns how much went out, nothing where the kernel has no room right now.
    #[inline]
    pub(super) fn send(&self, bulk: &mut Bulk, offset: usize) -> Result<usize, Gone> {
        match bulk.send(self.stream, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            sent => sent.map_err(|_| Gone),
        }
    }

    /// Writes everything.
    #[inline]
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Gone> {
        (&mut &*self.stream).write_all(bytes).map_err(|_| Gone)
    }
}
