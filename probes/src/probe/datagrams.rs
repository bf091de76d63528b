//! Requests and replies by datagrams, one under way at a time.

mod replies;

use tollgate_results::outcome::Failure;

use self::replies::Replies;
use super::Probe;
use super::open::talk::{Heard, Talk};
use super::transport::{Dial, Transport, pass};
use super::wake::TURN_NS;
use super::window::{Fault, Patience, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;

/// Receives replies, in bytes: more than the longest datagram, with its IP header where the kernel hands it over.
const BUFFER: usize = 64 * 1024;

/// A closed loop that goes on to the next request when a reply is overdue.
#[derive(Debug)]
pub(crate) struct DatagramRr<D: Dial, T, C> {
    dial: D,
    talk: T,
    clock: C,
    link: Option<D::Link>,
    timeout_ns: u64,
    replies: Replies,
    buffer: Vec<u8>,
}

impl<D: Dial, T: Talk<Ear = ()>, C: Clock> DatagramRr<D, T, C> {
    /// Prepares a loop in which a reply that takes longer than `timeout_ns` is lost.
    pub(crate) fn new(dial: D, talk: T, clock: C, timeout_ns: u64) -> Self {
        Self {
            dial,
            talk,
            clock,
            link: None,
            timeout_ns,
            replies: Replies::new(),
            buffer: vec![0; BUFFER],
        }
    }

    /// Splits a round trip where the kernel stamped it; returns when the next one starts.
    #[inline]
    fn split(
        &mut self,
        started: Moment,
        (done, len): (Moment, usize),
        recorder: &mut Recorder,
    ) -> Moment {
        let Some(stamps) = self.link.as_mut().and_then(Transport::stamps) else {
            return done;
        };
        let far_end_ns = self.talk.far_end_ns(&self.buffer[..len]);
        recorder.split(started, done, &stamps, far_end_ns);
        self.clock.now()
    }

    /// Makes one exchange; returns when its reply came, and how long it is in the buffer.
    #[inline]
    fn exchange(
        &mut self,
        window: &Window<'_>,
        now: Moment,
        recorder: &mut Recorder,
    ) -> Result<(Moment, usize), Fault> {
        let patience = Patience {
            clock: &self.clock,
            aborted: window.aborted,
            deadline: now.plus(self.timeout_ns),
        };
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(self.dial.dial(&patience)?.0),
        };
        let request = self.talk.ask(self.replies.ask(), false);
        while let Err(error) = link.send(request) {
            pass(link, &error)?;
            patience.check()?;
        }
        recorder.counts_mut().bytes_sent += self.talk.reply();
        loop {
            match link.recv(&mut self.buffer) {
                Ok(len) => {
                    let done = self.clock.now();
                    let in_time = done <= patience.deadline;
                    let heard = self.talk.hear(&mut (), 0, &self.buffer[..len]);
                    let (sequence, refused) = match heard {
                        Ok((_, Heard::Reply(sequence))) => (Some(sequence), false),
                        Ok((_, Heard::Refused(sequence))) => (Some(sequence), true),
                        Err(failure @ Failure::Version) => return Err(Fault::Failed(failure)),
                        _ => (None, false),
                    };
                    let counts = recorder.counts_mut();
                    if self.replies.sort(sequence, in_time, counts) {
                        counts.resets += u64::from(refused);
                        counts.bytes_received += self.talk.reply();
                        return Ok((done, len));
                    }
                }
                Err(error) => pass(link, &error)?,
            }
            patience.check()?;
            // What ends a wait comes when it likes: the last of them is to end on time.
            let left = patience.deadline.since(self.clock.now());
            if left < TURN_NS {
                link.wait(left);
                patience.check()?;
            }
        }
    }
}

impl<D: Dial, T: Talk<Ear = ()>, C: Clock> Probe for DatagramRr<D, T, C> {
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
                Ok(reply) => {
                    recorder.replied(reply.0.since(now));
                    recorder.exchanged(now, reply.0);
                    now = self.split(now, reply, recorder);
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
