//! The far end of a connection: reads and writes that always come to an end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Limits;
use crate::clock::{Clock as _, Moment, Monotonic};

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
    pub(super) const INBOX: usize = 64 * 1024;

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

/// A connection with its bounds.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    stream: &'a TcpStream,
    pub(super) limits: &'a Limits,
    stopping: &'a AtomicBool,
}

impl<'a> Peer<'a> {
    pub(super) const fn new(
        stream: &'a TcpStream,
        limits: &'a Limits,
        stopping: &'a AtomicBool,
    ) -> Self {
        Self {
            stream,
            limits,
            stopping,
        }
    }

    /// Reads at least one byte, within `patience_ns`.
    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8], patience_ns: u64) -> Result<usize, Gone> {
        let mut waited_ns = 0;
        loop {
            match (&mut &*self.stream).read(buffer) {
                Ok(0) => return Err(Gone),
                Ok(received) => return Ok(received),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    waited_ns += self.limits.turn_ns;
                    if waited_ns >= patience_ns || self.stopping.load(Ordering::Relaxed) {
                        return Err(Gone);
                    }
                }
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Reads until the buffer is full, of which `have` bytes already are. The first byte may take the idle
    /// time, all of it together too.
    #[inline]
    pub(super) fn fill(&self, buffer: &mut [u8], mut have: usize) -> Result<(), Gone> {
        let mut deadline = Deadline::new(self.limits.idle_ns);
        while have < buffer.len() {
            have += self.read(&mut buffer[have..], self.limits.idle_ns)?;
            if have < buffer.len() {
                deadline.check()?;
            }
        }
        Ok(())
    }

    /// Writes everything, within the idle time.
    #[inline]
    pub(super) fn write(&self, mut bytes: &[u8]) -> Result<(), Gone> {
        let mut deadline = Deadline::new(self.limits.idle_ns);
        loop {
            match (&mut &*self.stream).write(bytes) {
                Ok(written) if written == bytes.len() => return Ok(()),
                Ok(written) => bytes = &bytes[written..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return Err(Gone),
            }
            deadline.check()?;
            if self.stopping.load(Ordering::Relaxed) {
                return Err(Gone);
            }
        }
    }
}

/// The end of an operation that takes several calls. Reads the clock only when it is asked.
#[derive(Debug)]
pub(super) struct Deadline {
    patience_ns: u64,
    first: Option<Moment>,
}

impl Deadline {
    pub(super) const fn new(patience_ns: u64) -> Self {
        Self {
            patience_ns,
            first: None,
        }
    }

    /// Returns whether time is left since the first call.
    pub(super) fn check(&mut self) -> Result<(), Gone> {
        let now = Monotonic.now();
        let first = *self.first.get_or_insert(now);
        if now.since(first) > self.patience_ns {
            Err(Gone)
        } else {
            Ok(())
        }
    }
}
