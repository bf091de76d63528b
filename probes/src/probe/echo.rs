//! A request that is answered by a reply of the same size.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use tollgate_results::outcome::Failure;

use super::transport::{Transport, recv_all, send_all};
use super::window::{Fault, Patience};
use crate::clock::{Clock, Moment};
use crate::wire::{ECHOED, Mode, PREAMBLE_LEN, Preamble};

/// What is said over a connection, one request and one reply at a time.
pub(crate) trait Exchange {
    /// Sends a request and receives its reply; `first` on the first request of a connection. Returns
    /// whether the peer keeps the connection open.
    fn perform<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        first: bool,
        patience: &Patience<'_, C>,
    ) -> Result<bool, Fault>;

    /// Returns when the first byte of the last reply came.
    #[inline]
    fn first_byte(&self) -> FirstByte {
        FirstByte::Untimed
    }

    /// Is told how long the last exchange took, in nanoseconds; returns whether it spent time on that, which is no later
    /// exchange's.
    #[inline]
    fn took(&mut self, _ns: u64) -> bool {
        false
    }

    /// Returns whether the connection can be used after this failure, and the next request need not wait.
    fn outlives(&self, _failure: Failure) -> bool {
        false
    }

    /// Returns the payload sent and received with so many replies, all since this was asked last, in bytes.
    fn payload(&mut self, replies: u64) -> (u64, u64);
}

/// When the first byte of a reply came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FirstByte {
    /// It is not timed.
    Untimed,
    /// Together with the last one.
    WithLast,
    /// Before the last one.
    At(Moment),
}

/// No exchange at all: the connection alone is what is measured.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Exchange for Nothing {
    fn perform<C: Clock>(
        &mut self,
        _link: &mut impl Transport,
        _first: bool,
        _patience: &Patience<'_, C>,
    ) -> Result<bool, Fault> {
        Ok(true)
    }

    fn payload(&mut self, _replies: u64) -> (u64, u64) {
        (0, 0)
    }
}

/// An exchange in the probe's own protocol.
#[derive(Debug)]
pub(crate) struct Echo {
    /// Preamble and request in one piece, so that both go out with one write.
    frame: Vec<u8>,
    reply: Vec<u8>,
    sequence: u64,
}

impl Echo {
    /// Prepares requests of `size` bytes, their content drawn from `seed`.
    pub(crate) fn new(size: u32, seed: u64) -> Self {
        let mode = Mode::RequestResponse;
        let mut frame = Preamble { mode, size }.encode().to_vec();
        let mut payload = vec![0; size as usize];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut payload);
        frame.extend_from_slice(&payload);
        Self {
            frame,
            reply: payload,
            sequence: 0,
        }
    }
}

impl Exchange for Echo {
    #[inline]
    fn perform<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        first: bool,
        patience: &Patience<'_, C>,
    ) -> Result<bool, Fault> {
        // Each request differs from the last one, so that a second reply to that one is found out.
        self.sequence = self.sequence.wrapping_add(1);
        let stamp = self.sequence.to_le_bytes();
        let stamped = stamp.len().min(self.reply.len());
        self.frame[PREAMBLE_LEN..][..stamped].copy_from_slice(&stamp[..stamped]);
        let from = if first { 0 } else { PREAMBLE_LEN };
        send_all(link, &self.frame[from..], patience)?;
        let received = recv_all(link, &mut self.reply, patience);
        if received.is_err() && first && Preamble::is_refusal(&self.reply) {
            return Err(Fault::Failed(Failure::Version));
        }
        received?;
        let echoed = self.reply.len().min(ECHOED);
        if self.reply[..echoed] == self.frame[PREAMBLE_LEN..][..echoed] {
            Ok(true)
        } else if first && Preamble::is_refusal(&self.reply) {
            Err(Fault::Failed(Failure::Version))
        } else {
            Err(Fault::Failed(Failure::Malformed))
        }
    }

    fn payload(&mut self, replies: u64) -> (u64, u64) {
        let bytes = self.reply.len() as u64 * replies;
        (bytes, bytes)
    }
}
