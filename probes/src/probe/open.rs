//! An open loop: requests go out as they are planned, whatever became of those before them.
//!
//! One thread sends and receives, over any number of connections that never block. A thread of its own for
//! receiving would have to run on the same CPU, as the other one belongs to the far end; each of its wake-ups
//! would fall into the sender's spin. One thread stamps both ends of a request with one clock and without lock.
//!
//! Until shortly before the next planned time it sleeps, and replies wake it. Then it spins: it looks for
//! replies, gives way to others on its CPU, and for the last moment only reads the clock ([`crate::timer`]).
//!
//! - [`flights`]: the requests under way on one connection
//! - [`lane`]: one connection
//! - [`talk`] and [`gets`]: what is said over it
//! - [`hearing`]: what becomes of what is received
//! - [`fleet`]: the seam to the network, and the kernel behind it

pub(crate) mod fleet;
mod flights;
pub(crate) mod gets;
mod hearing;
mod lane;
pub(crate) mod talk;

use std::hint;
use std::thread;

use tollgate_results::outcome::{Failure, Flow, OpenOutcome};
use tollgate_results::stream::TcpSample;
use tollgate_results::workload::OpenLoad;

use self::fleet::Fleet;
use self::lane::{Lane, Standing, read};
use self::talk::Talk;
use super::Probe;
use super::transport::Transport as _;
use super::window::{GRACE_NS, REPLY_TIMEOUT_NS, Window};
use crate::clock::{Clock, Moment};
use crate::pacer::{Agenda, Schedule};
use crate::recorder::Recorder;
use crate::timer::Timer;

/// Receives replies, in bytes: more than the longest datagram.
const BUFFER: usize = 64 * 1024;

/// Pause before a connection that broke is opened again: a target that refuses sees 100 attempts a second.
const PAUSE_NS: u64 = 10_000_000;

/// Pause before sending is tried again where there was no room.
const RETRY_NS: u64 = 20_000;

/// How long replies are waited for.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "each name says its unit")]
pub(crate) struct Waits {
    /// A reply later than this after its request is lost.
    pub(crate) reply_ns: u64,
    /// Requests that are overdue at the end of the window are sent for this long.
    pub(crate) send_grace_ns: u64,
    /// Then replies are waited for this long.
    pub(crate) reply_grace_ns: u64,
}

impl Waits {
    /// The waits of a closed loop on TCP.
    pub(crate) const TCP: Self = Self {
        reply_ns: REPLY_TIMEOUT_NS,
        send_grace_ns: GRACE_NS,
        reply_grace_ns: GRACE_NS,
    };

    /// Waits for datagrams, which are lost after a time-out.
    pub(crate) fn datagrams(timeout_ns: u64) -> Self {
        Self {
            reply_ns: timeout_ns,
            send_grace_ns: timeout_ns.min(GRACE_NS),
            reply_grace_ns: timeout_ns,
        }
    }
}

/// Requests on a schedule.
#[derive(Debug)]
pub(crate) struct OpenLoop<F, T: Talk, C> {
    fleet: F,
    talk: T,
    clock: C,
    load: OpenLoad,
    seed: u64,
    waits: Waits,
    timer: Timer,
    lanes: Vec<Lane<T>>,
    /// The connection whose turn is next.
    turn: usize,
    in_flight: u64,
    ready: Vec<usize>,
    buffer: Vec<u8>,
    /// The last connection that was closed.
    closed: Option<Flow>,
}

/// One window as it goes.
struct Run<'a> {
    recorder: &'a mut Recorder,
    open: OpenOutcome,
    agenda: Agenda<Schedule>,
    /// Nothing is sent at or after this.
    last_send: Moment,
    /// No reply is waited for at or after this.
    last_reply: Moment,
    /// What was planned until this had to wait for room.
    full_until: Option<Moment>,
    /// When a reply may be overdue next.
    check: Moment,
    /// The last outcome of a request.
    last: Moment,
}

/// What became of a request that was due.
enum Sending {
    Gone,
    Failed(Failure),
    Full,
}

impl<F: Fleet, T: Talk, C: Clock> OpenLoop<F, T, C> {
    /// Prepares a loop whose schedule follows from `seed`.
    pub(crate) fn new(
        (fleet, talk, clock): (F, T, C),
        load: OpenLoad,
        seed: u64,
        waits: Waits,
        most_per_lane: u32,
    ) -> Self {
        let lanes = load.connections.max(1) as usize;
        let most = (load.in_flight / load.connections.max(1)).clamp(1, most_per_lane) as usize;
        Self {
            lanes: (0..lanes).map(|_| Lane::new(&talk, most)).collect(),
            fleet,
            talk,
            clock,
            load,
            seed,
            waits,
            timer: Timer::default(),
            turn: 0,
            in_flight: 0,
            ready: Vec::with_capacity(lanes),
            buffer: vec![0; BUFFER],
            closed: None,
        }
    }

    /// Opens every connection. The first failure ends the patience with the others.
    fn connect(&mut self, window: &Window<'_>) {
        let patience = window.patience(&self.clock, self.clock.now());
        let mut patience = Some(&patience);
        for lane in 0..self.lanes.len() {
            let opened = self.fleet.open(lane, patience);
            patience = patience.filter(|_| opened.is_ok());
            let standing = match opened {
                Ok(()) => Standing::Open,
                Err(failure) => Standing::Closed(failure, Moment::from_ns(0)),
            };
            self.lanes[lane].renew(&self.talk, standing);
        }
    }

    /// Sends one request that is due, if there is one; returns whether there was no room for it.
    #[inline]
    fn dispatch(&mut self, run: &mut Run<'_>, now: Moment) -> bool {
        let due = run.agenda.due(now).filter(|_| now < run.last_send);
        let Some(planned) = due else {
            return false;
        };
        match self.send(run, planned, now) {
            Sending::Full => {
                run.full_until = Some(now);
                return true;
            }
            Sending::Failed(failure) => run.fail(failure, now),
            Sending::Gone if run.full_until.is_some_and(|full| planned <= full) => {
                run.open.held += 1;
            }
            Sending::Gone => run.recorder.late(now.since(planned)),
        }
        run.agenda.take();
        false
    }

    /// Sends a request over the next connection that has room.
    #[inline]
    fn send(&mut self, run: &mut Run<'_>, planned: Moment, now: Moment) -> Sending {
        let mut broken = None;
        let mut full = false;
        for _ in 0..self.lanes.len() {
            let index = self.turn;
            self.turn = (index + 1) % self.lanes.len();
            if let Err(failure) = self.stand(index, now) {
                broken = Some(failure);
                continue;
            }
            let lane = &mut self.lanes[index];
            let Some(link) = self.fleet.link(index).filter(|_| lane.has_room()) else {
                full = true;
                continue;
            };
            match lane.send(&mut self.talk, link, planned, now) {
                Ok(0) => full = true,
                Ok(sent) => {
                    if lane.is_stuck() {
                        run.check = run.check.min(now.plus(RETRY_NS));
                    }
                    self.in_flight += 1;
                    run.open.most_in_flight = run.open.most_in_flight.max(self.in_flight);
                    run.recorder.counts_mut().bytes_sent += sent as u64;
                    return Sending::Gone;
                }
                Err(failure) => {
                    let of_earlier = self.disturbed(run, index, failure, now);
                    full |= of_earlier;
                    broken = Some(failure).filter(|_| !of_earlier).or(broken);
                }
            }
        }
        match broken {
            Some(failure) if !full => Sending::Failed(failure),
            _ => Sending::Full,
        }
    }

    /// Opens a connection again if it is closed and its time has come.
    #[inline]
    fn stand(&mut self, index: usize, now: Moment) -> Result<(), Failure> {
        let lane = &mut self.lanes[index];
        let Standing::Closed(failure, again) = lane.standing else {
            return Ok(());
        };
        if now < again {
            return Err(failure);
        }
        let opened = self.fleet.open::<C>(index, None);
        let standing = opened.map_or_else(
            |failure| Standing::Closed(failure, now.plus(PAUSE_NS)),
            |()| Standing::Open,
        );
        lane.renew(&self.talk, standing);
        opened
    }

    /// Takes note of an error of a connection. One of a datagram socket tells what became of an earlier request;
    /// returns whether it did. Any other ends the connection, and with it every request under way.
    fn disturbed(
        &mut self,
        run: &mut Run<'_>,
        index: usize,
        failure: Failure,
        now: Moment,
    ) -> bool {
        if T::DATAGRAMS {
            let of_earlier = self.lanes[index].flights.give_up();
            if of_earlier {
                self.in_flight -= 1;
                run.fail(failure, now);
            }
            return of_earlier;
        }
        while self.lanes[index].flights.give_up() {
            self.in_flight -= 1;
            run.fail(failure, now);
        }
        self.close(index, Standing::Closed(failure, now.plus(PAUSE_NS)));
        false
    }

    fn close(&mut self, index: usize, standing: Standing) {
        self.closed = self.fleet.close(index).or(self.closed);
        self.lanes[index].renew(&self.talk, standing);
    }

    /// Gives up what is overdue, and sends the rest of what is stuck.
    fn tend(&mut self, run: &mut Run<'_>, now: Moment) {
        run.check = now.plus(self.waits.reply_ns);
        for index in 0..self.lanes.len() {
            while let Some(sent) = self.lanes[index].flights.oldest_sent() {
                let overdue = sent.plus(self.waits.reply_ns);
                if now <= overdue {
                    run.check = run.check.min(overdue.plus(1));
                    break;
                }
                self.disturbed(run, index, Failure::TimedOut, now);
            }
            let lane = &mut self.lanes[index];
            let Some(link) = self.fleet.link(index).filter(|_| lane.is_stuck()) else {
                continue;
            };
            match lane.send_rest(&mut self.talk, link) {
                Ok(sent) => run.recorder.counts_mut().bytes_sent += sent as u64,
                Err(failure) => drop(self.disturbed(run, index, failure, now)),
            }
            if self.lanes[index].is_stuck() {
                run.check = run.check.min(now.plus(RETRY_NS));
            }
        }
    }

    /// Passes the time until something is to be done; leaves in `ready` who is worth hearing. Returns whether it
    /// spins.
    #[inline]
    fn rest(&mut self, run: &Run<'_>, full: bool) -> bool {
        let now = self.clock.now();
        let limit = run.check.min(run.last_reply);
        let next = run.agenda.next().filter(|_| now < run.last_send);
        let until = match next {
            _ if full => limit.min(now.plus(RETRY_NS)),
            Some(next) => limit.min(next.minus(self.timer.spin_ns)),
            None => limit,
        };
        if now < until {
            self.fleet.wait(Some(until), &mut self.ready);
            return false;
        }
        let left = next.map_or(0, |next| next.since(now));
        let due = next.is_none_or(|next| next <= now);
        if self.in_flight > 0 && (due || left > self.timer.look_ns) {
            self.fleet.wait(None, &mut self.ready);
            return !due;
        }
        self.ready.clear();
        if let Some(next) = next.filter(|_| left <= self.timer.spin_ns) {
            while self.clock.now() < next {
                hint::spin_loop();
            }
        }
        false
    }

    /// Settles what is still under way, and counts the plan.
    fn finish(&mut self, mut run: Run<'_>, window: &Window<'_>) {
        let now = self.clock.now();
        let aborted = window.is_aborted();
        for index in 0..self.lanes.len() {
            let mut any = false;
            while self.lanes[index].flights.give_up() {
                self.in_flight -= 1;
                any = true;
                // What an abort cuts off doesn't count.
                if !aborted {
                    run.fail(Failure::TimedOut, now);
                }
            }
            if any && !T::DATAGRAMS {
                self.close(index, Standing::Closed(Failure::TimedOut, now));
            }
        }
        let planned_until = if aborted {
            now.min(window.end)
        } else {
            window.end
        };
        let Run {
            recorder,
            mut open,
            mut agenda,
            last,
            ..
        } = run;
        open.unsent = agenda.take_before(planned_until);
        open.planned = recorder.replies() + recorder.failures() + open.unsent;
        open.planned_ns = planned_until.since(window.start);
        open.spin_ns = self.timer.spin_ns;
        let counts = recorder.counts_mut();
        counts.started = Some(window.start);
        counts.finished = Some(last.max(planned_until));
        counts.open = Some(open);
        let mut lanes = 0..self.lanes.len();
        counts.flow = lanes.find_map(|lane| self.fleet.flow(lane)).or(self.closed);
        let known = self.tcp_infos(now.since(window.start));
        recorder.streamed_mut().samples.extend(known);
    }

    /// Returns what TCP knows of each open connection.
    fn tcp_infos(&mut self, at_ns: u64) -> impl Iterator<Item = TcpSample> {
        let lanes = (0_u32..).zip(0..self.lanes.len());
        lanes.filter_map(move |(flow, lane)| {
            let known = self.fleet.link(lane)?.tcp_info()?;
            Some(TcpSample {
                flow,
                at_ns,
                ..known
            })
        })
    }
}

impl Run<'_> {
    fn fail(&mut self, failure: Failure, now: Moment) {
        self.recorder.failed(failure);
        self.last = now;
    }
}

impl<F: Fleet, T: Talk, C: Clock> Probe for OpenLoop<F, T, C> {
    fn open(&mut self, window: &Window<'_>) {
        self.connect(window);
        let Self {
            fleet,
            clock,
            ready,
            buffer,
            ..
        } = self;
        self.timer = Timer::measure(clock, || {
            fleet.wait(None, ready);
            if let Some(link) = fleet.link(0) {
                // Nothing was asked yet: what comes is not for this job.
                let _ = read(link, buffer);
            }
            thread::yield_now();
        });
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        for lane in &mut self.lanes {
            lane.flights.start_window();
        }
        let schedule = Schedule::new(&self.load, window.start, self.seed);
        let last_send = window.end.plus(self.waits.send_grace_ns);
        let mut run = Run {
            recorder,
            open: OpenOutcome::default(),
            agenda: Agenda::new(schedule, window.end),
            last_send,
            last_reply: last_send.plus(self.waits.reply_grace_ns),
            full_until: None,
            check: window.start,
            last: window.start,
        };
        while !window.is_aborted() {
            let now = self.clock.now();
            let full = self.dispatch(&mut run, now);
            if now >= run.check {
                self.tend(&mut run, now);
            }
            let sent_all = run.agenda.next().is_none() || now >= run.last_send;
            if sent_all && self.in_flight == 0 || now >= run.last_reply {
                break;
            }
            let spins = self.rest(&run, full);
            let heard = self.hear_all(&mut run);
            if spins && !heard {
                // The far end may be waiting for this very CPU.
                thread::yield_now();
            }
        }
        self.finish(run, window);
    }
}

#[cfg(test)]
mod tests;
