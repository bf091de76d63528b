//! The sending end of a stream of datagrams.

use std::hint;
use std::net::UdpSocket;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use tollgate_results::histogram::Histogram;
use tollgate_results::stream::{OneWay, UdpStream};
use tollgate_results::units::Rate;

use super::calls::{self, Outbox};
use crate::clock::{Clock, Moment};
use crate::pacer::{Agenda, Constant};
use crate::timer::{Timer, length};
use crate::wire::{Header, Kind, STREAM_HEADER_LEN};

/// Pause after the kernel refused to send for another reason than want of room.
const PAUSE_NS: u64 = 1_000_000;

/// Longest wait for the kernel to be done with pages that it took.
const DONE_NS: u64 = 1_000_000_000;

/// Sends the windows of one stream.
pub(crate) struct Sender {
    outbox: Outbox,
    payload: usize,
    /// Datagrams to a buffer.
    segments: usize,
    /// Buffers to a call.
    batch: usize,
    rate: Option<Rate>,
    seed: u64,
    zerocopy: bool,
    timer: Option<Timer>,
    lateness: Histogram,
}

/// The time in which a stream is sent, and the mark of its datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: Moment,
    pub(crate) end: Moment,
    pub(crate) token: u64,
}

impl Sender {
    /// Prepares buffers; their content doesn't matter.
    pub(crate) fn new(stream: &UdpStream, seed: u64) -> Self {
        let payload = usize::try_from(stream.payload.0).unwrap_or(usize::MAX);
        let (segments, batch) = (stream.gso as usize, stream.batch as usize);
        let mut lateness = Histogram::new();
        lateness.clear();
        Self {
            outbox: Outbox::new(batch, segments * payload),
            payload,
            segments,
            batch,
            rate: stream.rate,
            seed,
            zerocopy: stream.zerocopy,
            timer: None,
            lateness,
        }
    }

    /// Sends one window; `stop` is asked every now and then whether to end early. Returns what was sent.
    pub(crate) fn run<C: Clock>(
        &mut self,
        socket: &UdpSocket,
        clock: &C,
        span: Span,
        mut stop: impl FnMut(Moment) -> bool,
    ) -> OneWay {
        self.mark(span.token);
        self.lateness.clear();
        let mut counts = OneWay::default();
        match self.rate {
            None => self.flood(socket, clock, span, &mut stop, &mut counts),
            Some(rate) => self.pace(socket, clock, (span, rate), &mut stop, &mut counts),
        }
        counts
    }

    /// Returns how late after their plan datagrams of the last window were sent; empty unless they are paced.
    pub(crate) const fn lateness(&self) -> &Histogram {
        &self.lateness
    }

    /// Writes what all datagrams of a window have in common.
    fn mark(&mut self, token: u64) {
        let header = Header {
            kind: Kind::Stream,
            token,
            sequence: 0,
        };
        for index in 0..self.batch {
            for datagram in self.outbox.buffer(index).chunks_exact_mut(self.payload) {
                header.write_to(datagram);
            }
        }
    }

    fn flood<C: Clock>(
        &mut self,
        socket: &UdpSocket,
        clock: &C,
        span: Span,
        stop: &mut impl FnMut(Moment) -> bool,
        counts: &mut OneWay,
    ) {
        let most = (self.batch * self.segments) as u64;
        let mut now = clock.now();
        let first = now;
        while now < span.end && !stop(now) {
            self.send(socket, clock, (most, now), counts);
            now = clock.now();
        }
        counts.sending_ns = now.since(first);
    }

    fn pace<C: Clock>(
        &mut self,
        socket: &UdpSocket,
        clock: &C,
        (span, rate): (Span, Rate),
        stop: &mut impl FnMut(Moment) -> bool,
        counts: &mut OneWay,
    ) {
        let timer = *self
            .timer
            .get_or_insert_with(|| Timer::measure(clock, thread::yield_now));
        let most = (self.batch * self.segments) as u64;
        let pacer = Constant::new(rate.0, span.start, self.seed);
        let mut agenda = Agenda::new(pacer, span.end);
        let first = clock.now();
        let mut last = first;
        loop {
            let now = clock.now();
            if stop(now) || now >= span.end {
                break;
            }
            let Some(planned) = agenda.next() else {
                break;
            };
            if planned > now {
                wait(clock, timer, planned, now);
                continue;
            }
            // Those that are due; what can't be sent yet stays due.
            let mut ahead = agenda.clone();
            let mut due = 0;
            while due < most && ahead.due(now).is_some() {
                ahead.take();
                due += 1;
            }
            let sent = self.send(socket, clock, (due, now), counts);
            for _ in 0..sent {
                if let Some(planned) = agenda.next() {
                    self.lateness.record(now.since(planned));
                }
                agenda.take();
            }
            last = now;
        }
        counts.unsent = agenda.take_before(span.end.min(clock.now()));
        counts.sending_ns = last.since(first);
    }

    /// Sends up to so many datagrams in one call; returns how many went out.
    #[inline]
    fn send<C: Clock>(
        &mut self,
        socket: &UdpSocket,
        clock: &C,
        (datagrams, now): (u64, Moment),
        counts: &mut OneWay,
    ) -> u64 {
        let buffers = self.fill(counts.sent, datagrams, now);
        let flags = if self.zerocopy { libc::MSG_ZEROCOPY } else { 0 };
        match self.outbox.send(socket, buffers, flags) {
            Ok(taken) => {
                counts.send_calls += 1;
                counts.send_buffers += taken as u64;
                let sent = datagrams.min((taken * self.segments) as u64);
                counts.sent += sent;
                if self.zerocopy {
                    await_done(socket, clock, taken as u64);
                }
                sent
            }
            // No room for now, or the news that an earlier datagram found nobody.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => 0,
            Err(_) => {
                clock.wait_until(now.plus(PAUSE_NS));
                0
            }
        }
    }

    /// Numbers and stamps datagrams from `first` on; returns how many buffers they fill.
    #[inline]
    fn fill(&mut self, first: u64, datagrams: u64, now: Moment) -> usize {
        let mut number = first;
        let end = first + datagrams;
        let mut buffers = 0;
        while number < end {
            let mut len = 0;
            for datagram in self.outbox.buffer(buffers).chunks_exact_mut(self.payload) {
                Header::write_stream(datagram, number, now.ns());
                number += 1;
                len += self.payload;
                if number == end {
                    break;
                }
            }
            self.outbox.set_len(buffers, len);
            buffers += 1;
        }
        buffers
    }
}

/// Waits until shortly before a planned time; the caller looks again.
fn wait<C: Clock>(clock: &C, timer: Timer, planned: Moment, now: Moment) {
    let left = planned.since(now);
    if left > timer.spin_ns {
        let sleep = (left - timer.spin_ns).min(super::TURN_NS);
        // A signal ends it early, which does no harm.
        let _ = nix::poll::ppoll(&mut [], Some(length(sleep)), None);
    } else if left > timer.look_ns {
        // Whoever shares the CPU gets on meanwhile.
        thread::yield_now();
    } else {
        while clock.now() < planned {
            hint::spin_loop();
        }
    }
}

/// Waits until the kernel is done with so many buffers, since they are filled anew.
fn await_done<C: Clock>(socket: &UdpSocket, clock: &C, buffers: u64) {
    let deadline = clock.now().plus(DONE_NS);
    let mut done = calls::take_done(socket);
    while done < buffers && clock.now() < deadline {
        thread::yield_now();
        done += calls::take_done(socket);
    }
}

const _: () = assert!(STREAM_HEADER_LEN == 40, "`UdpStream::PAYLOADS` says so");
