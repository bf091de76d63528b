//! A connection for each exchange.

use tollgate_results::outcome::{Failure, Flow};

use super::Probe;
use super::echo::{Exchange, FirstByte};
use super::transport::{Dial, Transport as _};
use super::window::{Fault, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;

/// How long before a window's end its connections' addresses are asked for, which costs two calls each: the last one
/// is what counts.
const ALMOST_OVER_NS: u64 = 5_000_000;

/// A closed loop of connect, request, reply, close. A latency runs from before the socket is made to the
/// end of the reply; closing counts for the rate only.
#[derive(Debug)]
pub(crate) struct Fresh<D: Dial, E, C> {
    dial: D,
    exchange: E,
    clock: C,
    /// The last connection of the window.
    flow: Option<Flow>,
}

impl<D: Dial, E: Exchange, C: Clock> Fresh<D, E, C> {
    pub(crate) const fn new(dial: D, exchange: E, clock: C) -> Self {
        Self {
            dial,
            exchange,
            clock,
            flow: None,
        }
    }

    #[inline]
    fn request(
        &mut self,
        window: &Window<'_>,
        now: Moment,
        recorder: &mut Recorder,
    ) -> Result<(), Fault> {
        let patience = window.patience_with_fresh(&self.clock, now);
        let (mut link, connect_ns) = self.dial.dial(&patience)?;
        if recorder.keeps_exchanges() {
            let connected = self.clock.now();
            recorder.exchanged(connected.minus(connect_ns), connected);
        }
        // Only where phases are timed is it worth a look at the clock.
        let asked = match self.exchange.first_byte() {
            FirstByte::Untimed => now,
            FirstByte::WithLast | FirstByte::At(_) => self.clock.now(),
        };
        let result = self.exchange.perform(&mut link, true, &patience);
        let done = self.clock.now();
        if result.is_ok() {
            recorder.replied(done.since(now));
            recorder.connected(connect_ns);
            if let Some(tls_ns) = link.handshake_ns() {
                recorder.secured(tls_ns);
            }
            recorder.phases(asked, self.exchange.first_byte(), done);
            self.exchange.took(done.since(asked));
        }
        if self.flow.is_none() || !window.is_open(done.plus(ALMOST_OVER_NS)) {
            self.flow = self.dial.flow(&link);
        }
        self.dial.hang_up(link);
        result.map(|_| ())
    }
}

impl<D: Dial, E: Exchange, C: Clock> Probe for Fresh<D, E, C> {
    fn open(&mut self, _window: &Window<'_>) {}

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        let mut now = window.start;
        recorder.counts_mut().started = Some(now);
        while window.is_open(now) {
            match self.request(window, now, recorder) {
                Ok(()) => {}
                Err(Fault::Aborted) => break,
                Err(Fault::Failed(failure)) => {
                    recorder.failed(failure);
                    if failure != Failure::Status {
                        window.pause(&self.clock);
                    }
                }
            }
            now = self.clock.now();
        }
        let (sent, received) = self.exchange.payload(recorder.replies());
        let counts = recorder.counts_mut();
        counts.finished = Some(now);
        counts.bytes_sent = sent;
        counts.bytes_received = received;
        counts.flow = self.flow;
    }
}
