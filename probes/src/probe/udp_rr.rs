//! Requests and replies by datagrams, one under way at a time.

mod replies;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tollgate_results::outcome::Failure;

use self::replies::Replies;
use super::Probe;
use super::transport::{Dial, Transport, pass};
use super::window::{Fault, Patience, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;
use crate::wire::{Header, Kind, MAX_DATAGRAM};

/// A closed loop that goes on to the next request when a reply is overdue.
#[derive(Debug)]
pub(crate) struct UdpRr<D: Dial, C> {
    dial: D,
    clock: C,
    link: Option<D::Link>,
    timeout_ns: u64,
    replies: Replies,
    kind: Kind,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl<D: Dial, C: Clock> UdpRr<D, C> {
    /// Prepares datagrams of `size` bytes, their content and the job's token drawn from `seed`.
    pub(crate) fn new(dial: D, clock: C, size: usize, timeout_ns: u64, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut request = vec![0; size];
        random.fill_bytes(&mut request);
        Self {
            dial,
            clock,
            link: None,
            timeout_ns,
            replies: Replies::new(random.next_u64(), size),
            kind: Kind::Request,
            request,
            // One byte more than the longest datagram, so that a longer one shows.
            buffer: vec![0; MAX_DATAGRAM + 1],
        }
    }

    /// Has the far end say how long it had each request, which its replies have room for from 40 bytes on.
    pub(crate) fn asking_far_end(mut self) -> Self {
        self.kind = Kind::StampedRequest;
        // A responder that doesn't know, leaves this.
        Header::write_far_end(&mut self.request, None);
        self
    }

    /// Splits a round trip where the kernel stamped it; returns when the next one starts.
    #[inline]
    fn split(&mut self, started: Moment, done: Moment, recorder: &mut Recorder) -> Moment {
        let Some(stamps) = self.link.as_mut().and_then(Transport::stamps) else {
            return done;
        };
        let asked = self.kind == Kind::StampedRequest;
        let reply = &self.buffer[..self.request.len()];
        let far_end_ns = asked.then(|| Header::read_far_end(reply)).flatten();
        recorder.split(started, done, &stamps, far_end_ns);
        self.clock.now()
    }

    /// Makes one exchange; returns when its reply came.
    #[inline]
    fn exchange(
        &mut self,
        window: &Window<'_>,
        now: Moment,
        recorder: &mut Recorder,
    ) -> Result<Moment, Fault> {
        let patience = Patience {
            clock: &self.clock,
            aborted: window.aborted,
            deadline: now.plus(self.timeout_ns),
        };
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(self.dial.dial(&patience)?.0),
        };
        let kind = self.kind;
        let header = self.replies.ask();
        Header { kind, ..header }.write_to(&mut self.request);
        while let Err(error) = link.send(&self.request) {
            pass(&error)?;
            patience.check()?;
        }
        recorder.counts_mut().bytes_sent += self.request.len() as u64;
        loop {
            match link.recv(&mut self.buffer) {
                Ok(len) => {
                    let done = self.clock.now();
                    let in_time = done <= patience.deadline;
                    let counts = recorder.counts_mut();
                    if self.replies.sort(&self.buffer[..len], in_time, counts) {
                        return Ok(done);
                    }
                }
                Err(error) => pass(&error)?,
            }
            patience.check()?;
        }
    }
}

impl<D: Dial, C: Clock> Probe for UdpRr<D, C> {
    fn open(&mut self, window: &Window<'_>) {
        let patience = window.patience(&self.clock, self.clock.now());
        self.link = self.dial.dial(&patience).ok().map(|(link, _)| link);
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        self.replies.start_window();
        let mut now = window.start;
        recorder.counts_mut().started = Some(now);
        while window.is_open(now) {
            match self.exchange(window, now, recorder) {
                Ok(done) => {
                    recorder.replied(done.since(now));
                    now = self.split(now, done, recorder);
                }
                Err(Fault::Aborted) => break,
                Err(Fault::Failed(failure)) => {
                    recorder.failed(failure);
                    // The stamps of a lost request are no later one's.
                    let _ = self.link.as_mut().and_then(Transport::stamps);
                    if failure != Failure::TimedOut {
                        window.pause(&self.clock);
                    }
                    now = self.clock.now();
                }
            }
        }
        let counts = recorder.counts_mut();
        counts.finished = Some(now);
        counts.flow = self.link.as_ref().and_then(|link| self.dial.flow(link));
    }
}

#[cfg(test)]
mod tests;
