//! Blocks to the far end, as fast as the path takes them; it confirms what arrived.

use std::sync::atomic::AtomicBool;

use tollgate_results::outcome::Failure;

use super::Probe;
use super::transport::{Dial, Transport, pass, recv_all, send_all};
use super::window::{DRAIN_ABORTED_NS, DRAIN_NS, Fault, Patience, Window};
use crate::bulk::Sampler;
use crate::clock::{Clock, Moment, thread_cpu_ns};
use crate::recorder::Recorder;
use crate::wire::{CONFIRM, CONFIRMATION_LEN, Mode, Preamble};

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
    /// The block that asks for a confirmation.
    last: Vec<u8>,
    /// Bytes of the present block that went out; an abort may leave a block in the middle.
    offset: usize,
    /// Bytes of the present connection that were confirmed.
    confirmed: u64,
    /// Bytes of it that TCP had acknowledged by then.
    acked: u64,
    /// CPU time that the far end has said it took for it.
    far_cpu_ns: u64,
    /// Blocks that were begun since then.
    pending: u64,
    sampler: Sampler,
}

impl<D: Dial, C: Clock> Stream<D, C> {
    /// Prepares blocks of `size` bytes, and to note every `interval_ns` what TCP knows.
    pub(crate) fn new(dial: D, clock: C, size: u32, interval_ns: u64) -> Self {
        let mode = Mode::Stream;
        Self {
            dial,
            clock,
            link: None,
            preamble: Preamble { mode, size },
            block: vec![0; size as usize],
            last: last_block(size),
            offset: 0,
            confirmed: 0,
            acked: 0,
            far_cpu_ns: 0,
            pending: 0,
            sampler: Sampler::new(interval_ns),
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
                if !link.is_arranged() {
                    send_all(&mut link, &self.preamble.encode(), &patience)?;
                }
                (self.confirmed, self.far_cpu_ns) = (0, 0);
                self.acked = acked(&link);
                none.insert(link)
            }
        };
        push(link, &self.block, &mut self.offset, &patience)
    }

    /// Notes what TCP knows.
    #[cold]
    fn sample(&mut self, now: Moment) {
        let sample = self.link.as_ref().and_then(Transport::tcp_info);
        self.sampler.take(sample, now);
    }

    /// Sends a last block that asks for the count, and waits for it.
    fn confirm(
        &mut self,
        window: &Window<'_>,
        near_cpu_ns: u64,
        recorder: &mut Recorder,
    ) -> Result<(), Fault> {
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
        send_all(link, &self.last, &patience)?;
        let mut confirmation = [0; CONFIRMATION_LEN];
        recv_all(link, &mut confirmation, &patience)?;
        let number = |at: usize| {
            let bytes = confirmation[at..].first_chunk().copied();
            u64::from_be_bytes(bytes.unwrap_or_default())
        };
        let (total, far_cpu_ns) = (number(0), number(8));
        let bytes = self.pending * self.block.len() as u64;
        if total.checked_sub(self.confirmed) != Some(bytes) {
            return Err(Fault::Failed(Failure::Malformed));
        }
        let far_ns = far_cpu_ns.saturating_sub(self.far_cpu_ns);
        let near_ns = thread_cpu_ns().saturating_sub(near_cpu_ns);
        recorder
            .streamed_mut()
            .spend((true, bytes), (near_ns, far_ns));
        (self.confirmed, self.far_cpu_ns) = (total, far_cpu_ns);
        self.acked = acked(link);
        let counts = recorder.counts_mut();
        counts.confirmed += self.pending;
        counts.bytes_sent += bytes;
        counts.bytes_received += bytes;
        self.pending = 0;
        Ok(())
    }

    /// Counts what arrived on a connection that takes longer than anybody waits: what the far end's TCP has acknowledged.
    /// Where packets get lost, a full buffer may need a minute to drain, and its connection carried bytes all the while. A far
    /// end that has taken all and confirms nothing isn't slow: of it nothing counts.
    fn settle(&mut self, recorder: &mut Recorder) {
        let size = self.block.len() as u64;
        let acked = self.link.as_ref().map_or(0, acked);
        let arrived = acked.saturating_sub(self.acked);
        if arrived >= self.pending * size {
            return;
        }
        let whole = arrived / size;
        let counts = recorder.counts_mut();
        counts.confirmed += whole;
        counts.bytes_sent += whole * size;
        counts.bytes_received += arrived;
        self.pending -= whole;
    }

    /// Counts what was lost with a broken connection, or one that was aborted while it was waited for.
    fn give_up(&mut self, fault: Fault, recorder: &mut Recorder) {
        if fault == Fault::Failed(Failure::TimedOut) {
            self.settle(recorder);
        }
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

/// Returns how many bytes of a connection its far end has acknowledged; 0 where there is no TCP.
fn acked(link: &impl Transport) -> u64 {
    link.tcp_info().map_or(0, |known| known.acked)
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
        match link.send_block(block, *offset) {
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

/// Makes a block that asks for a confirmation.
pub(crate) fn last_block(size: u32) -> Vec<u8> {
    let mut block = vec![0; size as usize];
    block[0] = CONFIRM;
    block
}

impl<D: Dial, C: Clock> Probe for Stream<D, C> {
    fn refusal(&mut self) -> Option<String> {
        self.dial.refusal()
    }

    fn open(&mut self, window: &Window<'_>) {
        if let Err(fault) = self.send(window, window.start) {
            self.give_up(fault, &mut Recorder::new(&[]));
        }
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        let mut now = window.start;
        recorder.counts_mut().started = Some(now);
        self.sampler.start(now);
        let cpu_ns = thread_cpu_ns();
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
            if self.sampler.is_due(now) {
                self.sample(now);
            }
        }
        self.sample(now);
        if let Err(fault) = self.confirm(window, cpu_ns, recorder) {
            self.give_up(fault, recorder);
        }
        let open = self.link.as_ref().and_then(|link| self.dial.flow(link));
        let counts = recorder.counts_mut();
        counts.finished = Some(self.clock.now());
        counts.flow = open.or(counts.flow);
        recorder.streamed_mut().samples = self.sampler.samples().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{MemoryDial, Virtual, run_timed};
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_a_slow_path_has_carried_counts_though_its_buffer_never_drains() {
        let clock = Virtual::default();
        let dial = MemoryDial::new(&clock, |_| Vec::new());
        dial.0.borrow_mut().room = 10_500;
        // 1,000 bytes a second, while a second's window fills a buffer of ten times as many.
        dial.0.borrow_mut().acked = Some(|ns| ns / 1_000_000);
        let mut stream = Stream::new(dial, clock.clone(), 1_000, 0);
        let report = run_timed(&[], &mut stream, &clock, SECOND);
        let outcome = report.outcome;
        assert!(outcome.window_ns > 2 * SECOND, "{outcome:?}");
        assert_eq!(outcome.bytes_received, outcome.window_ns / 1_000_000);
        assert_eq!(outcome.replied, outcome.bytes_received / 1_000);
        // Ten blocks in the buffer and a part of another.
        assert_eq!(outcome.bytes_sent, 11_000);
        assert_eq!(outcome.replied + outcome.lost, 11);
        assert_eq!(outcome.failures[&Failure::TimedOut], 1);
        // Its rest is nobody's: the next window has a connection of its own.
        assert!(stream.link.is_none());
    }

    #[test]
    fn what_nobody_confirms_though_all_of_it_arrived_counts_nothing() {
        let clock = Virtual::default();
        let dial = MemoryDial::new(&clock, |_| Vec::new());
        dial.0.borrow_mut().room = 3_000;
        dial.0.borrow_mut().acked = Some(|ns| ns / 100_000);
        let mut stream = Stream::new(dial, clock.clone(), 1_000, 0);
        let outcome = run_timed(&[], &mut stream, &clock, SECOND).outcome;
        assert_eq!((outcome.bytes_received, outcome.replied), (0, 0));
        assert_eq!(outcome.lost, 3);
    }

    #[test]
    fn a_path_that_carries_nothing_has_no_rate() {
        let clock = Virtual::default();
        let dial = MemoryDial::new(&clock, |_| Vec::new());
        dial.0.borrow_mut().room = 3_000;
        let mut stream = Stream::new(dial, clock.clone(), 1_000, 0);
        let outcome = run_timed(&[], &mut stream, &clock, SECOND).outcome;
        assert_eq!((outcome.bytes_received, outcome.replied), (0, 0));
        assert_eq!(outcome.lost, 3);
    }
}
