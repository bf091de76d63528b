//! HTTP/1.1 over many kept connections in a closed loop, on one thread.
//!
//! Each connection has its next request as soon as its response is whole. epoll reports edges, so that a
//! connection is registered once and costs no call later: per request it is one write, one read and its share of
//! one wait. A connection that breaks opens again without holding up the others.

use std::io::ErrorKind;
use std::mem;
use std::rc::Rc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tollgate_results::outcome::{Failure, Flow};

use super::Ask;
use super::get::BUFFER;
use super::response::Reader;
use super::tally::Tally;
use crate::clock::{Clock, Moment};
use crate::probe::Probe;
use crate::probe::echo::FirstByte;
use crate::probe::socket::Begin;
use crate::probe::transport::Transport as _;
use crate::probe::window::{Fault, GRACE_NS, REPLY_TIMEOUT_NS, Window};
use crate::recorder::Recorder;

/// Longest sleep in milliseconds, so that an abort is seen within 100 ms; deadlines hold to within it.
const TURN_MS: u8 = 20;

/// The same in nanoseconds.
const TURN_NS: u64 = 20_000_000;

/// Pause before a connection that broke is opened again: a target that refuses sees 100 attempts a second from each.
const PAUSE_NS: u64 = 10_000_000;

/// Most events that one wait reports.
const EVENTS: usize = 256;

/// Connections that ask for the same over and over.
#[derive(Debug)]
pub(crate) struct Crowd<D: Begin, C> {
    dial: D,
    clock: C,
    ask: Ask,
    request: Vec<u8>,
    tally: Rc<Tally>,
    lanes: Vec<Lane<D::Link>>,
    epoll: Option<Epoll>,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    /// The last connection that was closed.
    closed: Option<Flow>,
}

/// One connection.
#[derive(Debug)]
struct Lane<L> {
    link: Option<L>,
    state: State,
    reader: Reader,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Closed until this moment.
    Closed(Moment),
    /// About to stand; given up at this moment.
    Opening(Moment),
    Idle,
    Asked(Asked),
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Moment,
    /// How much of it went out.
    sent: usize,
    /// When the first byte of the response came.
    first: Option<Moment>,
}

/// What became of a connection's request.
enum Step {
    /// It goes on.
    Waits,
    /// It is over at this moment; whether the connection stays.
    Over(Moment, bool),
}

impl<D: Begin, C: Clock> Crowd<D, C> {
    /// Prepares so many connections.
    pub(crate) fn new((dial, clock): (D, C), ask: Ask, parallel: u32, tally: Rc<Tally>) -> Self {
        tally.tell_apart(parallel as usize);
        let lanes = (0..parallel).map(|_| Lane {
            link: None,
            state: State::Closed(Moment::from_ns(0)),
            reader: Reader::new(ask.expected),
        });
        Self {
            lanes: lanes.collect(),
            request: ask.request(true),
            dial,
            clock,
            ask,
            tally,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok(),
            events: vec![EpollEvent::empty(); EVENTS],
            buffer: vec![0; BUFFER],
            closed: None,
        }
    }

    /// Takes a connection in, which is registered for all its life.
    fn adopt(&mut self, index: usize, link: D::Link, state: State) -> Result<(), Failure> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        let epoll = self.epoll.as_ref().ok_or(Failure::Unreachable)?;
        let added = epoll.add(&link, EpollEvent::new(flags, index as u64));
        added.map_err(|_| Failure::Unreachable)?;
        let lane = &mut self.lanes[index];
        lane.link = Some(link);
        lane.state = state;
        lane.reader.reset();
        Ok(())
    }

    /// Begins to open a connection.
    fn begin(&mut self, index: usize, now: Moment) -> Result<(), Failure> {
        let begun = self.dial.begin();
        let link = begun.map_err(|error| self.dial.cause(&error))?;
        self.adopt(index, link, State::Opening(now.plus(REPLY_TIMEOUT_NS)))
    }

    fn close(&mut self, index: usize, until: Moment) {
        let lane = &mut self.lanes[index];
        lane.state = State::Closed(until);
        if let Some(link) = lane.link.take() {
            self.closed = self.dial.flow(&link).or(self.closed);
            self.dial.hang_up(link);
        }
    }

    /// Sends the request, or what is left of it.
    #[inline]
    fn send(&mut self, index: usize, mut asked: Asked) -> Result<(), Failure> {
        let lane = &mut self.lanes[index];
        let Some(link) = &mut lane.link else {
            return Err(Failure::Reset);
        };
        while asked.sent < self.request.len() {
            match link.send(&self.request[asked.sent..]) {
                Ok(sent) => asked.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.dial.cause(&error)),
            }
        }
        lane.state = State::Asked(asked);
        Ok(())
    }

    #[inline]
    fn start(&mut self, index: usize, at: Moment) -> Result<(), Failure> {
        let asked = Asked {
            at,
            sent: 0,
            first: None,
        };
        self.send(index, asked)
    }

    /// Receives all there is on a connection with a request under way.
    #[inline]
    fn receive(
        &mut self,
        index: usize,
        mut asked: Asked,
        recorder: &mut Recorder,
    ) -> Result<Step, Failure> {
        let lane = &mut self.lanes[index];
        let Some(link) = &mut lane.link else {
            return Err(Failure::Reset);
        };
        loop {
            let received = match link.recv(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.dial.cause(&error)),
            };
            let response = if received == 0 {
                Some(lane.reader.end()?)
            } else {
                let (taken, response) = lane.reader.read(&self.buffer[..received], &self.tally)?;
                if response.is_some() && taken < received {
                    // It would answer a request that wasn't made.
                    return Err(Failure::Malformed);
                }
                response
            };
            let now = self.clock.now();
            let Some(response) = response else {
                asked.first.get_or_insert(now);
                lane.state = State::Asked(asked);
                continue;
            };
            self.tally.responded(response.status);
            match self.ask.judge(&response) {
                Ok(()) => {
                    self.tally.replied_on(index, &response);
                    recorder.replied(now.since(asked.at));
                    let first = asked.first.map_or(FirstByte::WithLast, FirstByte::At);
                    recorder.phases(asked.at, first, now);
                    let counts = recorder.counts_mut();
                    counts.bytes_sent += self.request.len() as u64;
                    counts.bytes_received += response.body;
                }
                Err(failure @ Failure::Status) => recorder.failed(failure),
                Err(failure) => return Err(failure),
            }
            return Ok(Step::Over(now, response.stays));
        }
    }

    /// Goes on with a connection on which something happened.
    #[inline]
    fn progress(
        &mut self,
        index: usize,
        window: &Window<'_>,
        recorder: &mut Recorder,
    ) -> Result<(), Failure> {
        match self.lanes[index].state {
            State::Asked(asked) => {
                if asked.sent < self.request.len() {
                    self.send(index, asked)?;
                }
                let Step::Over(now, stays) = self.receive(index, asked, recorder)? else {
                    return Ok(());
                };
                if !stays {
                    self.close(index, now);
                    return self.reopen(index, window, now);
                }
                self.lanes[index].state = State::Idle;
                if window.is_open(now) {
                    self.start(index, now)?;
                }
                Ok(())
            }
            State::Opening(_) => {
                let Some(link) = &mut self.lanes[index].link else {
                    return Ok(());
                };
                let stands = D::stands(link).map_err(|error| self.dial.cause(&error))?;
                if stands {
                    self.lanes[index].state = State::Idle;
                    let now = self.clock.now();
                    if window.is_open(now) {
                        self.start(index, now)?;
                    }
                }
                Ok(())
            }
            State::Idle | State::Closed(_) => Ok(()),
        }
    }

    /// Opens a connection again while the window is open.
    fn reopen(&mut self, index: usize, window: &Window<'_>, now: Moment) -> Result<(), Failure> {
        if window.is_open(now) {
            self.begin(index, now)
        } else {
            Ok(())
        }
    }

    /// Counts a failure and closes the connection for a while.
    fn failed(&mut self, index: usize, failure: Failure, now: Moment, recorder: &mut Recorder) {
        recorder.failed(failure);
        self.close(index, now.plus(PAUSE_NS));
    }

    /// Gives up what is overdue, and opens again what may be; returns whether requests are under way.
    fn tend(&mut self, window: &Window<'_>, now: Moment, recorder: &mut Recorder) -> bool {
        let last = window.end.plus(GRACE_NS);
        let mut busy = false;
        for index in 0..self.lanes.len() {
            let overdue = match self.lanes[index].state {
                State::Asked(asked) => now >= asked.at.plus(REPLY_TIMEOUT_NS).min(last),
                State::Opening(until) => now >= until.min(last),
                State::Closed(until) => {
                    if now >= until
                        && let Err(failure) = self.reopen(index, window, now)
                    {
                        self.failed(index, failure, now, recorder);
                    }
                    false
                }
                State::Idle => false,
            };
            if overdue {
                self.failed(index, Failure::TimedOut, now, recorder);
            }
            busy |= matches!(self.lanes[index].state, State::Asked(_));
        }
        busy
    }

    /// Closes what an abort, or the end of the wait, cuts off.
    fn cut_off(&mut self, now: Moment) {
        for index in 0..self.lanes.len() {
            if matches!(self.lanes[index].state, State::Asked(_) | State::Opening(_)) {
                self.close(index, now);
            }
        }
    }
}

impl<D: Begin, C: Clock> Probe for Crowd<D, C> {
    fn open(&mut self, window: &Window<'_>) {
        for index in 0..self.lanes.len() {
            let patience = window.patience(&self.clock, self.clock.now());
            match self.dial.dial(&patience) {
                Ok((link, _)) => {
                    if D::unblock(&link).is_ok() {
                        // A failure shows in the window.
                        let _ = self.adopt(index, link, State::Idle);
                    }
                }
                // The first failure ends the patience with the others: they open in the window.
                Err(Fault::Failed(_) | Fault::Aborted) => return,
            }
        }
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        recorder.counts_mut().started = Some(window.start);
        for index in 0..self.lanes.len() {
            let now = self.clock.now();
            if matches!(self.lanes[index].state, State::Idle)
                && window.is_open(now)
                && let Err(failure) = self.start(index, now)
            {
                self.failed(index, failure, now, recorder);
            }
        }
        let mut next = window.start;
        let mut events = mem::take(&mut self.events);
        loop {
            let now = self.clock.now();
            if now >= next || now >= window.end {
                next = now.plus(TURN_NS / 2);
                let busy = self.tend(window, now, recorder);
                if window.is_aborted() || now >= window.end && !busy {
                    break;
                }
            }
            let found = match &self.epoll {
                Some(epoll) => epoll.wait(&mut events, EpollTimeout::from(TURN_MS)),
                None => Ok(0),
            };
            for event in &events[..found.unwrap_or(0)] {
                let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
                if index < self.lanes.len()
                    && let Err(failure) = self.progress(index, window, recorder)
                {
                    let now = self.clock.now();
                    self.failed(index, failure, now, recorder);
                }
            }
        }
        self.events = events;
        let now = self.clock.now();
        self.cut_off(now);
        let open = self.lanes.iter().find_map(|lane| lane.link.as_ref());
        let flow = open.and_then(|link| self.dial.flow(link));
        let counts = recorder.counts_mut();
        counts.finished = Some(now);
        counts.flow = flow.or(self.closed);
    }
}
