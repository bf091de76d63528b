//! When the requests of an open loop are planned.
//!
//! A schedule is absolute: each planned time follows from the start, the rate and the seed alone, never from
//! when an earlier request was sent. So nothing drifts, and after a stall exactly those requests are due whose
//! planned times have passed. The same seed gives the same schedule.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tollgate_results::workload::{Arrivals, OpenLoad};

use crate::clock::Moment;

const SECOND: u64 = 1_000_000_000;

/// Plans requests, one after another.
pub trait Pacer {
    /// Returns the planned time of the next request; never earlier than the one before.
    fn next(&mut self) -> Moment;
}

/// The schedule of an open loop.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// The same gap between all requests.
    Constant(Constant),
    /// Gaps drawn from an exponential distribution.
    Poisson(Box<Poisson>),
}

impl Schedule {
    /// Plans requests from `start` on.
    #[must_use]
    pub fn new(load: &OpenLoad, start: Moment, seed: u64) -> Self {
        let rate = load.rate.0.max(1);
        match load.arrivals {
            Arrivals::Constant => Self::Constant(Constant::new(rate, start, seed)),
            Arrivals::Poisson => Self::Poisson(Box::new(Poisson::new(rate, start, seed))),
        }
    }
}

impl Pacer for Schedule {
    #[inline]
    fn next(&mut self) -> Moment {
        match self {
            Self::Constant(constant) => constant.next(),
            Self::Poisson(poisson) => poisson.next(),
        }
    }
}

/// The same gap between all requests, the first at random within one gap of the start: a fixed phase would
/// meet the same phase of whatever else is periodic on the machine, in every slice (RFC 3432).
#[derive(Debug, Clone)]
pub struct Constant {
    next: Moment,
    rate: u64,
    /// What is left of the nanosecond of `next`, in parts of `rate`.
    rest: u64,
}

impl Constant {
    /// Plans `rate` requests per second.
    pub(crate) fn new(rate: u64, start: Moment, seed: u64) -> Self {
        let phase = ChaCha8Rng::seed_from_u64(seed).next_u64() % SECOND;
        Self {
            next: start.plus(phase / rate),
            rate,
            rest: phase % rate,
        }
    }
}

impl Pacer for Constant {
    /// In whole numbers: exact however long it runs.
    #[inline]
    fn next(&mut self) -> Moment {
        let planned = self.next;
        self.rest += SECOND % self.rate;
        let carry = u64::from(self.rest >= self.rate);
        self.rest -= self.rate * carry;
        self.next = planned.plus(SECOND / self.rate + carry);
        planned
    }
}

/// Gaps drawn from an exponential distribution: requests of many users who know nothing of each other.
#[derive(Debug, Clone)]
pub struct Poisson {
    start: Moment,
    gap_ns: f64,
    /// Nanoseconds since the start; below 2^53 for 100 days, so that gaps add up without loss.
    elapsed_ns: f64,
    random: ChaCha8Rng,
}

impl Poisson {
    /// Plans `rate` requests per second on average.
    #[expect(
        clippy::cast_precision_loss,
        reason = "rates are small whole numbers, and so is the second"
    )]
    fn new(rate: u64, start: Moment, seed: u64) -> Self {
        Self {
            start,
            gap_ns: SECOND as f64 / rate as f64,
            elapsed_ns: 0.0,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }
}

impl Pacer for Poisson {
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "53 bits of a draw are kept, and the elapsed time is positive"
    )]
    fn next(&mut self) -> Moment {
        // In (0, 1]: its logarithm is finite.
        let draw = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.elapsed_ns -= draw.ln() * self.gap_ns;
        self.start.plus(self.elapsed_ns as u64)
    }
}

/// The planned requests of one window, of which some are due.
#[derive(Debug, Clone)]
pub(crate) struct Agenda<P> {
    pacer: P,
    next: Moment,
    end: Moment,
}

impl<P: Pacer> Agenda<P> {
    /// Takes the requests that are planned before `end`.
    pub(crate) fn new(mut pacer: P, end: Moment) -> Self {
        let next = pacer.next();
        Self { pacer, next, end }
    }

    /// Returns the planned time of the first request that was not taken; `None` once all were.
    #[inline]
    pub(crate) fn next(&self) -> Option<Moment> {
        (self.next < self.end).then_some(self.next)
    }

    /// Returns the same if it is due.
    #[inline]
    pub(crate) fn due(&self, now: Moment) -> Option<Moment> {
        self.next().filter(|planned| *planned <= now)
    }

    /// Takes the first request off.
    #[inline]
    pub(crate) fn take(&mut self) {
        self.next = self.pacer.next();
    }

    /// Takes all requests off that were planned before `end`; returns how many.
    pub(crate) fn take_before(&mut self, end: Moment) -> u64 {
        let mut count = 0;
        while self.next().is_some_and(|planned| planned < end) {
            self.take();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests;
