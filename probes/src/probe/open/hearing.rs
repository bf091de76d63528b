//! The receiving half of an open loop.

use tollgate_results::outcome::Failure;

use super::fleet::Fleet;
use super::flights::Reply;
use super::lane::{Standing, read};
use super::talk::{Heard, Talk};
use super::{OpenLoop, Run};
use crate::clock::{Clock, Moment};

impl<F: Fleet, T: Talk, C: Clock> OpenLoop<F, T, C> {
    /// Receives from every connection that is ready; returns whether anything came.
    #[inline]
    pub(super) fn hear_all(&mut self, run: &mut Run<'_>) -> bool {
        let mut any = false;
        for place in 0..self.ready.len() {
            any |= self.hear(run, self.ready[place]);
        }
        any
    }

    #[inline]
    fn hear(&mut self, run: &mut Run<'_>, index: usize) -> bool {
        let Some(link) = self.fleet.link(index) else {
            return false;
        };
        let received = match read(link, &mut self.buffer) {
            Ok(None) => return false,
            Ok(Some(0)) if !T::DATAGRAMS => Err(Failure::Reset),
            Ok(Some(received)) => Ok(received),
            Err(failure) => Err(failure),
        };
        let now = self.clock.now();
        let understood = received.and_then(|received| self.understand(run, index, received, now));
        if let Err(failure) = understood {
            self.disturbed(run, index, failure, now);
        }
        true
    }

    /// Takes in what was received from a connection.
    #[inline]
    fn understand(
        &mut self,
        run: &mut Run<'_>,
        index: usize,
        received: usize,
        now: Moment,
    ) -> Result<(), Failure> {
        let mut start = 0;
        loop {
            let lane = &mut self.lanes[index];
            let bytes = &self.buffer[start..received];
            let oldest = lane.flights.oldest();
            let (taken, heard) = self.talk.hear(&mut lane.ear, oldest, bytes)?;
            start += taken;
            match heard {
                Heard::Part => {}
                Heard::Stray => run.recorder.counts_mut().stray += 1,
                Heard::Reply(sequence) | Heard::Refused(sequence) => {
                    self.arrived(run, index, sequence, now)?;
                }
                Heard::LastReply(sequence) => {
                    self.arrived(run, index, sequence, now)?;
                    self.close(index, Standing::Closed(Failure::Reset, now));
                    return Ok(());
                }
            }
            if start >= received {
                return Ok(());
            }
        }
    }

    /// Counts a reply as what it is.
    #[inline]
    fn arrived(
        &mut self,
        run: &mut Run<'_>,
        index: usize,
        sequence: u64,
        now: Moment,
    ) -> Result<(), Failure> {
        let (reply, overtaken) = self.lanes[index].flights.arrive(sequence);
        let counts = run.recorder.counts_mut();
        if matches!(reply, Reply::First(_) | Reply::Late) {
            counts.reordered += u64::from(overtaken);
        }
        match reply {
            Reply::First(flight) => {
                self.in_flight -= 1;
                run.last = now;
                if now.since(flight.sent) <= self.waits.reply_ns {
                    counts.bytes_received += self.talk.reply();
                    run.recorder.answered(flight.planned, flight.sent, now);
                } else {
                    counts.late += 1;
                    run.recorder.failed(Failure::TimedOut);
                }
            }
            Reply::Late => counts.late += 1,
            Reply::Again => counts.duplicated += 1,
            Reply::Old => {}
            Reply::Unknown if T::DATAGRAMS => counts.stray += 1,
            Reply::Unknown => return Err(Failure::Malformed),
        }
        Ok(())
    }
}
