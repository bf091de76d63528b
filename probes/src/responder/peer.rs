//! The far end of a connection: plain blocking reads and writes, which the [`Watch`](super::watch) ends when
//! they take too long.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use super::Limits;
use super::toll::Toll;
use super::watch::Slot;

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
    const INBOX: usize = 64 * 1024;

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

/// A connection that is being served.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    stream: &'a TcpStream,
    slot: &'a Slot,
    /// Largest HTTP response, in bytes.
    pub(super) max_response: u32,
    /// What is planted before each reply.
    pub(super) toll: Toll,
}

impl<'a> Peer<'a> {
    pub(super) const fn new(stream: &'a TcpStream, slot: &'a Slot, limits: &Limits) -> Self {
        Self {
            stream,
            slot,
            max_response: limits.max_response,
            toll: limits.toll,
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

    /// Writes everything.
    #[inline]
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Gone> {
        (&mut &*self.stream).write_all(bytes).map_err(|_| Gone)
    }
}
