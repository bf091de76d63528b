//! The requests of one connection that are under way, and what became of the latest ones.

use crate::clock::Moment;

/// Requests by number, in a ring. Allocates only in [`Flights::new`].
#[derive(Debug)]
pub(super) struct Flights {
    ring: Vec<Flight>,
    mask: u64,
    /// Most that are under way at once.
    most: u64,
    /// First request of the window.
    first: u64,
    /// The oldest request without an outcome, if it is not `next`.
    oldest: u64,
    /// The next request to be sent.
    next: u64,
    /// The highest request that was answered.
    highest: u64,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) planned: Moment,
    pub(super) sent: Moment,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Answered,
    /// It has an outcome, but no reply yet.
    Lost,
}

/// What a reply is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// The first one to a request that is under way.
    First(Flight),
    /// The first one to a request that was given up.
    Late,
    /// Not the first one.
    Again,
    /// One to a request before the window: it doesn't count.
    Old,
    /// One to a request that was never made, or long ago.
    Unknown,
}

/// Requests that are remembered at least, so that late and duplicated replies are told apart.
const REMEMBERED: usize = 256;

impl Flights {
    /// Makes room for `most` requests under way.
    pub(super) fn new(most: usize) -> Self {
        let len = most.max(REMEMBERED).next_power_of_two();
        let never = Flight {
            planned: Moment::from_ns(0),
            sent: Moment::from_ns(0),
            state: State::Answered,
        };
        Self {
            ring: vec![never; len],
            mask: len as u64 - 1,
            most: most as u64,
            first: 1,
            oldest: 1,
            next: 1,
            highest: 0,
        }
    }

    /// Starts a window: replies to earlier requests no longer count.
    pub(super) const fn start_window(&mut self) {
        self.first = self.next;
    }

    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.next - self.oldest < self.most
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.oldest == self.next
    }

    /// Returns the number of the next request.
    #[inline]
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns the number of the oldest request under way; that of the next one where none is.
    #[inline]
    pub(super) const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Returns when the oldest request under way was sent.
    #[inline]
    pub(super) fn oldest_sent(&self) -> Option<Moment> {
        (!self.is_empty()).then(|| self.ring[self.place(self.oldest)].sent)
    }

    /// Notes that the next request was sent.
    #[inline]
    pub(super) fn depart(&mut self, planned: Moment, sent: Moment) {
        let place = self.place(self.next);
        self.ring[place] = Flight {
            planned,
            sent,
            state: State::UnderWay,
        };
        self.next += 1;
    }

    /// Notes a reply; says what it is, and whether it came after the reply to a later request.
    #[inline]
    pub(super) fn arrive(&mut self, sequence: u64) -> (Reply, bool) {
        if sequence >= self.next || self.next - sequence > self.ring.len() as u64 || sequence == 0 {
            return (Reply::Unknown, false);
        }
        let place = self.place(sequence);
        let flight = self.ring[place];
        self.ring[place].state = State::Answered;
        let overtaken = sequence < self.highest;
        self.highest = self.highest.max(sequence);
        let reply = match flight.state {
            _ if sequence < self.first => Reply::Old,
            State::UnderWay => Reply::First(flight),
            State::Lost => Reply::Late,
            State::Answered => Reply::Again,
        };
        self.advance();
        (reply, overtaken)
    }

    /// Gives up the oldest request under way; returns whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        let place = self.place(self.oldest);
        self.ring[place].state = State::Lost;
        self.advance();
        true
    }

    /// Moves on to the oldest request without an outcome.
    #[inline]
    fn advance(&mut self) {
        while !self.is_empty() && self.ring[self.place(self.oldest)].state != State::UnderWay {
            self.oldest += 1;
        }
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask is below the ring's length"
    )]
    const fn place(&self, sequence: u64) -> usize {
        (sequence & self.mask) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(flights: &mut Flights, count: u64) {
        for n in 0..count {
            flights.depart(Moment::from_ns(n), Moment::from_ns(n + 1));
        }
    }

    #[test]
    fn replies_in_any_order_are_told_apart() {
        let mut flights = Flights::new(4);
        sent(&mut flights, 4);
        assert!(!flights.has_room());
        let (reply, overtaken) = flights.arrive(2);
        assert!(matches!(reply, Reply::First(flight) if flight.planned.ns() == 1));
        assert!(!overtaken);
        assert!(!flights.has_room(), "the oldest still waits");
        assert!(matches!(flights.arrive(2), (Reply::Again, false)));
        assert!(matches!(flights.arrive(1), (Reply::First(_), true)));
        assert!(flights.has_room());
        assert_eq!(flights.oldest(), 3);
        assert!(flights.give_up());
        assert!(matches!(flights.arrive(3), (Reply::Late, false)));
        assert!(matches!(flights.arrive(3), (Reply::Again, false)));
        assert!(matches!(flights.arrive(5), (Reply::Unknown, false)));
        assert!(matches!(flights.arrive(0), (Reply::Unknown, false)));
        assert!(matches!(flights.arrive(4), (Reply::First(_), false)));
        assert!(flights.is_empty() && !flights.give_up());
    }

    #[test]
    fn what_is_forgotten_is_unknown() {
        let mut flights = Flights::new(1);
        for n in 0..300 {
            flights.depart(Moment::from_ns(n), Moment::from_ns(n));
            assert!(flights.give_up());
        }
        assert!(matches!(flights.arrive(44), (Reply::Unknown, false)));
        assert!(matches!(flights.arrive(45), (Reply::Late, false)));
    }

    #[test]
    fn replies_from_before_the_window_do_not_count() {
        let mut flights = Flights::new(4);
        sent(&mut flights, 1);
        assert!(flights.give_up());
        flights.start_window();
        assert!(matches!(flights.arrive(1), (Reply::Old, false)));
    }
}
