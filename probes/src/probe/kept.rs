//! Exchanges over one connection, which is re-opened when it breaks.

use tollgate_results::outcome::Flow;
use tollgate_results::stream::TcpSample;

use super::Probe;
use super::echo::Exchange;
use super::transport::{Dial, Transport};
use super::window::{Fault, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;

/// A closed loop: the next request goes out after the reply.
#[derive(Debug)]
pub(crate) struct Kept<D: Dial, E, C> {
    dial: D,
    exchange: E,
    clock: C,
    link: Option<D::Link>,
    /// Whether nothing was said over the connection yet.
    first: bool,
    /// The last connection that was closed.
    closed: Option<Flow>,
}

impl<D: Dial, E: Exchange, C: Clock> Kept<D, E, C> {
    pub(crate) const fn new(dial: D, exchange: E, clock: C) -> Self {
        Self {
            dial,
            exchange,
            clock,
            link: None,
            first: true,
            closed: None,
        }
    }

    /// Makes one exchange; returns when it started: later than `now` where it had to connect before.
    #[inline]
    fn request(&mut self, window: &Window<'_>, now: Moment) -> Result<Moment, Fault> {
        let (link, started) = match &mut self.link {
            Some(link) => (link, now),
            none => {
                let (link, _) = self.dial.dial(&window.patience(&self.clock, now))?;
                self.first = true;
                (none.insert(link), self.clock.now())
            }
        };
        let patience = window.patience(&self.clock, started);
        let stays = self.exchange.perform(link, self.first, &patience)?;
        self.first = false;
        if !stays {
            self.hang_up();
        }
        Ok(started)
    }

    fn hang_up(&mut self) {
        if let Some(link) = self.link.take() {
            self.closed = self.dial.flow(&link);
            self.dial.hang_up(link);
        }
    }
}

impl<D: Dial, E: Exchange, C: Clock> Probe for Kept<D, E, C> {
    fn open(&mut self, window: &Window<'_>) {
        let patience = window.patience(&self.clock, self.clock.now());
        self.link = self.dial.dial(&patience).ok().map(|(link, _)| link);
        self.first = true;
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        let mut now = window.start;
        recorder.counts_mut().started = Some(now);
        while window.is_open(now) {
            match self.request(window, now) {
                Ok(started) => {
                    now = self.clock.now();
                    recorder.replied(now.since(started));
                    recorder.phases(started, self.exchange.first_byte(), now);
                    recorder.exchanged(started, now);
                    let took_time = self.exchange.took(now.since(started));
                    if let Some(stamps) = self.link.as_mut().and_then(Transport::stamps) {
                        recorder.split(started, now, &stamps, None);
                        now = self.clock.now();
                    } else if took_time {
                        now = self.clock.now();
                    }
                }
                Err(Fault::Aborted) => break,
                Err(Fault::Failed(failure)) => {
                    recorder.failed(failure);
                    if !self.exchange.outlives(failure) {
                        self.hang_up();
                        window.pause(&self.clock);
                    }
                    now = self.clock.now();
                }
            }
        }
        let (sent, received) = self.exchange.payload(recorder.replies());
        let counts = recorder.counts_mut();
        counts.finished = Some(now);
        counts.bytes_sent = sent;
        counts.bytes_received = received;
        let open = self.link.as_ref().and_then(|link| self.dial.flow(link));
        counts.flow = open.or(self.closed);
        let known = self.link.as_ref().and_then(Transport::tcp_info);
        let at_ns = now.since(window.start);
        let last = known.map(|sample| TcpSample { at_ns, ..sample });
        recorder.streamed_mut().samples.extend(last);
    }
}

#[cfg(test)]
mod tests;
