//! Blocks in one direction, as fast as the path takes them; the far end confirms what arrived.

use std::sync::atomic::AtomicBool;

use tollgate_results::outcome::Failure;

use super::Probe;
use super::transport::{Dial, Transport, pass, recv_all, send_all};
use super::window::{Fault, Patience, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;
use crate::wire::{CONFIRM, CONFIRMATION_LEN, Mode, Preamble};

/// Longest wait, after the window, for the confirmation of what is still under way.
const DRAIN_NS: u64 = 5_000_000_000;

/// The same after an abort.
const DRAIN_ABORTED_NS: u64 = 40_000_000;

/// One flow of a stream.
///
/// The measured time runs from the first block to the confirmation of the last one, so that it covers
/// exactly the bytes that are counted.
#[derive(Debug)]
pub(crate) struct Stream<D: Dial, C> {
    dial: D,
    clock: C,
    link: Option<D::Link>,
    preamble: Preamble,
    block: Vec<u8>,
    /// Bytes of the present block that went out; an abort may leave a block in the middle.
    offset: usize,
    /// Bytes of the present connection that were confirmed.
    confirmed: u64,
    /// Blocks that were begun since then.
    pending: u64,
}

impl<D: Dial, C: Clock> Stream<D, C> {
    /// Prepares blocks of `size` bytes.
    pub(crate) fn new(dial: D, clock: C, size: u32) -> Self {
        let mode = Mode::Stream;
        Self {
            dial,
            clock,
            link: None,
            preamble: Preamble { mode, size },
            block: vec![0; size as usize],
            offset: 0,
            confirmed: 0,
            pending: 0,
        }
    }

    /// Sends one block, over a new connection where there is none.
    #[inline]
    fn send(&mut self, window: &Window<'_>, now: Moment) -> Result<(), Fault> {
        self.pending += 1;
        let patience = window.patience(&self.clock, now);
        let link = match &mut self.link {
            Some(link) => link,
            none => {
                let mut link = self.dial.dial(&patience)?.0;
                send_all(&mut link, &self.preamble.encode(), &patience)?;
                self.confirmed = 0;
                none.insert(link)
            }
        };
        push(link, &self.block, &mut self.offset, &patience)
    }

    /// Sends a last block that asks for the count, and waits for it.
    fn confirm(&mut self, window: &Window<'_>, recorder: &mut Recorder) -> Result<(), Fault> {
        let Some(link) = &mut self.link else {
            self.pending = 0;
            return Ok(());
        };
        // An abort ends the blocks; their count is still worth a short wait, which it doesn't end.
        let never = AtomicBool::new(false);
        let (aborted, wait) = if window.is_aborted() {
            (&never, DRAIN_ABORTED_NS)
        } else {
            (window.aborted, DRAIN_NS)
        };
        let patience = Patience {
            clock: &self.clock,
            aborted,
            deadline: self.clock.now().plus(wait),
        };
        if self.offset > 0 {
            push(link, &self.block, &mut self.offset, &patience)?;
        }
        self.pending += 1;
        self.block[0] = CONFIRM;
        let sent = push(link, &self.block, &mut self.offset, &patience);
        self.block[0] = 0;
        sent?;
        let mut count = [0; CONFIRMATION_LEN];
        recv_all(link, &mut count, &patience)?;
        let total = u64::from_be_bytes(count);
        let bytes = self.pending * self.block.len() as u64;
        if total.checked_sub(self.confirmed) != Some(bytes) {
            return Err(Fault::Failed(Failure::Malformed));
        }
        self.confirmed = total;
        let counts = recorder.counts_mut();
        counts.confirmed += self.pending;
        counts.bytes_sent += bytes;
        counts.bytes_received += bytes;
        self.pending = 0;
        Ok(())
    }

    /// Counts what was lost with a broken connection, or one that was aborted while it was waited for.
    fn give_up(&mut self, fault: Fault, recorder: &mut Recorder) {
        if let Fault::Failed(failure) = fault {
            recorder.failed(failure);
        }
        let counts = recorder.counts_mut();
        counts.unconfirmed += self.pending;
        if let Some(link) = self.link.take() {
            counts.bytes_sent += self.pending * self.block.len() as u64;
            counts.flow = self.dial.flow(&link);
            self.dial.hang_up(link);
        }
        self.pending = 0;
        self.offset = 0;
    }
}

/// Sends what is left of a block.
#[inline]
fn push<C: Clock>(
    link: &mut impl Transport,
    block: &[u8],
    offset: &mut usize,
    patience: &Patience<'_, C>,
) -> Result<(), Fault> {
    loop {
        match link.send(&block[*offset..]) {
            Ok(sent) => *offset += sent,
            Err(error) => pass(link, &error)?,
        }
        if *offset == block.len() {
            *offset = 0;
            return Ok(());
        }
        patience.check()?;
    }
}

impl<D: Dial, C: Clock> Probe for Stream<D, C> {
    fn open(&mut self, window: &Window<'_>) {
        if let Err(fault) = self.send(window, window.start) {
            self.give_up(fault, &mut Recorder::new(&[]));
        }
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        let mut now = window.start;
        recorder.counts_mut().started = Some(now);
        while window.is_open(now) {
            match self.send(window, now) {
                Ok(()) => {}
                Err(Fault::Aborted) => break,
                Err(failed) => {
                    self.give_up(failed, recorder);
                    window.pause(&self.clock);
                }
            }
            now = self.clock.now();
        }
        if let Err(fault) = self.confirm(window, recorder) {
            self.give_up(fault, recorder);
        }
        let open = self.link.as_ref().and_then(|link| self.dial.flow(link));
        let counts = recorder.counts_mut();
        counts.finished = Some(self.clock.now());
        counts.flow = open.or(counts.flow);
    }
}
