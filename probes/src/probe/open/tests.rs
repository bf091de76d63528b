//! Open loops in virtual time, against peers whose every reply is known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tollgate_results::outcome::{JobReport, Outcome, Timed};
use tollgate_results::units::Rate;
use tollgate_results::workload::Arrivals;

use super::talk::{Datagrams, Pipeline};
use super::*;
use crate::pacer::Pacer as _;
use crate::probe::memory::Virtual;
use crate::wire::{Header, PREAMBLE_LEN};

mod net;

use net::{Event, Fabric, Net};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const SIZE: u32 = 64;

/// A loop over a network in memory.
struct Bench<T: Talk> {
    net: Rc<RefCell<Net>>,
    clock: Virtual,
    open_loop: OpenLoop<Fabric, T, Virtual>,
}

impl<T: Talk> Bench<T> {
    fn new(
        talk: T,
        load: OpenLoad,
        most_per_lane: u32,
        peer: impl FnMut(u64, usize, &[u8]) -> Vec<(u64, Event)> + 'static,
    ) -> Self {
        let clock = Virtual::default();
        let net = Rc::new(RefCell::new(Net {
            clock: clock.clone(),
            peer: Box::new(peer),
            coming: BTreeMap::new(),
            order: 0,
            opened: 0,
            refused: false,
            piece: usize::MAX,
        }));
        let fabric = Fabric {
            net: Rc::clone(&net),
            wires: (0..load.connections).map(|_| None).collect(),
        };
        let waits = if T::DATAGRAMS {
            Waits::datagrams(100 * MS)
        } else {
            Waits::TCP
        };
        let parts = (fabric, talk, clock.clone());
        let open_loop = OpenLoop::new(parts, load, 1, waits, most_per_lane);
        Self {
            net,
            clock,
            open_loop,
        }
    }

    /// Runs a window; the invariants of every report hold.
    fn run(&mut self, duration_ns: u64) -> (Outcome, OpenOutcome, JobReport) {
        let aborted = AtomicBool::new(false);
        let mut recorder = Recorder::new(&[Timed::FromPlan, Timed::FromSend, Timed::Lateness]);
        let window = Window::open(&self.clock, duration_ns, &aborted);
        self.open_loop.connect(&window);
        self.open_loop.run(&window, &mut recorder);
        let report = Recorder::report(&[recorder]);
        let outcome = report.outcome.clone();
        let open = outcome.open.unwrap();
        assert_eq!(outcome.sent, outcome.replied + outcome.lost);
        assert_eq!(open.planned, outcome.sent + open.unsent);
        assert!(outcome.late <= outcome.lost);
        for timed in [Timed::FromPlan, Timed::FromSend] {
            assert_eq!(report.histograms[&timed].len(), outcome.replied);
        }
        assert_eq!(self.open_loop.in_flight, 0);
        (outcome, open, report)
    }
}

fn load(rate: u64, arrivals: Arrivals) -> OpenLoad {
    OpenLoad {
        arrivals,
        ..OpenLoad::new(Rate(rate))
    }
}

/// Takes the preamble off a request or several.
fn requests(bytes: &[u8]) -> &[u8] {
    match bytes.len() % SIZE as usize {
        0 => bytes,
        _ => &bytes[PREAMBLE_LEN..],
    }
}

fn tcp() -> Pipeline {
    Pipeline::new(SIZE, 1)
}

fn quantile(report: &JobReport, timed: Timed, quantile: f64) -> u64 {
    let lost = report.outcome.lost_of_planned();
    report.histograms[&timed]
        .quantile_of_sent(quantile, lost)
        .unwrap()
}

/// A server that takes 1 ms for each request, one after another, and stalls for 200 ms after each 500.
fn stalling() -> impl FnMut(u64, usize, &[u8]) -> Vec<(u64, Event)> + 'static {
    let (mut free_at, mut served) = (0, 0_u64);
    move |now, _, sent| {
        let start = now.max(free_at);
        free_at = start + MS;
        served += 1;
        if served.is_multiple_of(500) {
            free_at += 200 * MS;
        }
        vec![(start + MS - now, Event::Data(requests(sent).to_vec()))]
    }
}

/// What each request of a schedule waits at that server, by Lindley's recursion.
fn analytic(mut schedule: Schedule, end: u64) -> Vec<u64> {
    let mut server = stalling();
    let mut waits = Vec::new();
    loop {
        let planned = schedule.next().ns();
        if planned >= end {
            waits.sort_unstable();
            return waits;
        }
        waits.push(server(planned, 0, &[0; SIZE as usize])[0].0);
    }
}

#[test]
fn an_open_loop_sees_the_stalls_that_a_closed_one_omits() {
    let window = 60 * SECOND;
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let load = load(450, arrivals);
        let mut bench = Bench::new(tcp(), load, u32::MAX, stalling());
        let (outcome, open, report) = bench.run(window);
        let waits = analytic(Schedule::new(&load, Moment::from_ns(0), 1), window);
        assert_eq!((open.planned, outcome.lost), (waits.len() as u64, 0));
        for (share, rank) in [(0.5, 50), (0.9, 90), (0.99, 99)] {
            let expected = waits[(waits.len() * rank).div_ceil(100) - 1];
            let found = quantile(&report, Timed::FromPlan, share);
            let off = found.abs_diff(expected) * 1_000 / expected;
            assert!(
                off <= 1,
                "{arrivals:?} {share}: {found} ns, not {expected} ns"
            );
        }
        // At 450/s a stall of 200 ms catches 90 of 500 requests: at each 99th percentile there is one.
        let p99 = quantile(&report, Timed::FromPlan, 0.99);
        assert!((185 * MS..230 * MS).contains(&p99), "{arrivals:?}: {p99}");
        assert_eq!(report.outcome.bottleneck(&report.histograms), None);
    }
    // The public example's figure, from the plan alone: constant arrivals, 1 ms of service, the worst of the stall.
    let closed = closed_p99(window);
    assert!(closed < 2 * MS, "closed loop: {closed}");
}

/// The same server, asked again after each reply.
fn closed_p99(window: u64) -> u64 {
    let mut server = stalling();
    let (mut now, mut waits) = (0, Vec::new());
    while now < window {
        let wait = server(now, 0, &[0; SIZE as usize])[0].0;
        waits.push(wait);
        now += wait;
    }
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

#[test]
fn requests_go_out_when_planned_and_not_after_the_window() {
    let mut sent = Vec::new();
    let times = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&times);
    let load = load(10_000, Arrivals::Poisson);
    let mut bench = Bench::new(tcp(), load, u32::MAX, move |now, _, bytes| {
        seen.borrow_mut().push(now);
        vec![(30_000, Event::Data(requests(bytes).to_vec()))]
    });
    let (outcome, open, report) = bench.run(SECOND);
    let mut schedule = Schedule::new(&load, Moment::from_ns(0), 1);
    while sent.last().is_none_or(|last| *last < SECOND) {
        sent.push(schedule.next().ns());
    }
    sent.pop();
    assert_eq!(*times.borrow(), sent);
    assert_eq!((open.unsent, open.held, outcome.lost), (0, 0, 0));
    assert_eq!(
        report.histograms[&Timed::Lateness].max_ns(),
        1,
        "0 counts as 1"
    );
    assert_eq!(quantile(&report, Timed::FromSend, 0.99), 30_015, "3 digits");
    assert!(open.most_in_flight > 1);
    assert_eq!(open.planned_ns, SECOND);
    assert!(outcome.window_ns >= SECOND);
}

#[test]
fn after_a_stall_of_the_sender_just_what_was_due_goes_out() {
    let times = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&times);
    let load = load(1_000, Arrivals::Constant);
    let clock = Rc::new(RefCell::new(None::<Virtual>));
    let stopped = Rc::clone(&clock);
    let mut bench = Bench::new(tcp(), load, u32::MAX, move |now, _, bytes| {
        let mut seen = seen.borrow_mut();
        seen.push(now);
        if seen.len() == 100 {
            // The sending call itself takes 200 ms.
            let clock = stopped.borrow();
            clock
                .as_ref()
                .unwrap()
                .wait_until(Moment::from_ns(now + 200 * MS));
        }
        vec![(10_000, Event::Data(requests(bytes).to_vec()))]
    });
    *clock.borrow_mut() = Some(bench.clock.clone());
    let (outcome, open, report) = bench.run(SECOND);
    assert_eq!((open.planned, outcome.replied), (1_000, 1_000));
    let times = times.borrow();
    let resumed = times[99] + 200 * MS;
    let burst = times
        .iter()
        .filter(|at| (resumed..resumed + MS / 2).contains(at))
        .count();
    assert!((200..=201).contains(&burst), "{burst} requests at once");
    assert!(times.iter().all(|at| *at < SECOND));
    // The stall was the generator's: it shows as lateness and in the latency from the plan.
    let late = report.histograms[&Timed::Lateness].max_ns();
    assert!((198 * MS..202 * MS).contains(&late), "{late}");
    assert!(quantile(&report, Timed::FromPlan, 0.99) > 150 * MS);
    assert!(quantile(&report, Timed::FromSend, 0.50) < MS);
    assert!(outcome.bottleneck(&report.histograms).is_some());
}

#[test]
fn one_request_at_a_time_on_each_connection_waits_for_room() {
    let load = OpenLoad {
        connections: 2,
        ..load(1_000, Arrivals::Constant)
    };
    let mut bench = Bench::new(tcp(), load, 1, |_, _, bytes| {
        vec![(4 * MS, Event::Data(requests(bytes).to_vec()))]
    });
    let (outcome, open, report) = bench.run(SECOND);
    // Two connections of 4 ms each serve 500/s of 1,000/s: the other half waits, and longer and longer.
    assert_eq!((open.most_in_flight, open.planned), (2, 1_000));
    assert!(open.held > 990, "{open:?}");
    assert_eq!(outcome.lost, 0, "{outcome:?}");
    assert!(quantile(&report, Timed::FromPlan, 0.9) > 800 * MS);
    assert_eq!(quantile(&report, Timed::FromSend, 0.9) / MS, 4);
    assert_eq!(
        outcome.bottleneck(&report.histograms),
        None,
        "the far end was"
    );
}

#[test]
fn what_cannot_be_sent_is_infinitely_late() {
    let mut bench = Bench::new(
        tcp(),
        load(1_000, Arrivals::Constant),
        u32::MAX,
        |_, _, _| vec![],
    );
    bench.net.borrow_mut().piece = 0;
    let (outcome, open, report) = bench.run(SECOND);
    assert_eq!((open.planned, open.unsent, outcome.sent), (1_000, 1_000, 0));
    assert_eq!(outcome.lost_of_planned(), 1_000);
    let from_plan = &report.histograms[&Timed::FromPlan];
    assert_eq!(
        from_plan.quantile_of_sent(0.5, outcome.lost_of_planned()),
        None
    );
    assert!(outcome.bottleneck(&report.histograms).is_some());
}

#[test]
fn a_connection_that_breaks_costs_what_was_under_way_and_is_opened_again() {
    let mut count = 0;
    let load = OpenLoad {
        connections: 3,
        ..load(3_000, Arrivals::Constant)
    };
    let mut bench = Bench::new(tcp(), load, u32::MAX, move |_, _, bytes| {
        count += 1;
        match count {
            100 => vec![(1_000, Event::Error(ErrorKind::ConnectionReset))],
            200 => vec![(1_000, Event::Close)],
            _ => vec![(50_000, Event::Data(requests(bytes).to_vec()))],
        }
    });
    let (outcome, open, _) = bench.run(SECOND);
    assert_eq!(bench.net.borrow().opened, 5);
    assert_eq!(outcome.failures[&Failure::Reset], 2);
    assert_eq!((outcome.lost, open.unsent, open.planned), (2, 0, 3_000));
}

#[test]
fn a_target_that_refuses_loses_every_request_and_sees_few_attempts() {
    let load = load(1_000, Arrivals::Constant);
    let mut bench = Bench::new(tcp(), load, u32::MAX, |_, _, _| vec![]);
    bench.net.borrow_mut().refused = true;
    let (outcome, open, _) = bench.run(SECOND);
    assert_eq!((open.planned, outcome.lost, open.unsent), (1_000, 1_000, 0));
    assert_eq!(outcome.failures[&Failure::Refused], 1_000);
    assert!(bench.net.borrow().opened <= 102);
}

#[test]
fn requests_in_pieces_are_put_together() {
    let load = load(1_000, Arrivals::Constant);
    let mut heard = Vec::new();
    let mut bench = Bench::new(tcp(), load, u32::MAX, move |_, _, bytes| {
        heard.extend_from_slice(bytes);
        let first = heard.starts_with(b"TLGT");
        if heard.len() < SIZE as usize + if first { PREAMBLE_LEN } else { 0 } {
            return vec![];
        }
        let reply = requests(&heard).to_vec();
        heard.clear();
        vec![(1_000, Event::Data(reply))]
    });
    bench.net.borrow_mut().piece = 7;
    let (outcome, _, _) = bench.run(100 * MS);
    assert_eq!((outcome.replied, outcome.lost), (100, 0));
}

/// Turns a request into its reply.
fn turned(bytes: &[u8]) -> Vec<u8> {
    let mut reply = bytes.to_vec();
    Header::turn(&mut reply);
    reply
}

fn udp(
    connections: u32,
    peer: impl FnMut(u64, usize, &[u8]) -> Vec<(u64, Event)> + 'static,
) -> (Outcome, OpenOutcome, JobReport) {
    let load = OpenLoad {
        connections,
        ..load(1_000, Arrivals::Constant)
    };
    Bench::new(Datagrams::new(64, 1), load, u32::MAX, peer).run(SECOND)
}

#[test]
fn a_lost_datagram_delays_no_other() {
    for connections in [1, 4] {
        let mut count = 0;
        let (outcome, open, report) = udp(connections, move |_, _, bytes| {
            count += 1;
            match count % 10 {
                0 => vec![],
                _ => vec![(2 * MS, Event::Data(turned(bytes)))],
            }
        });
        assert_eq!((outcome.replied, outcome.lost), (900, 100));
        assert_eq!(outcome.failures[&Failure::TimedOut], 100);
        assert_eq!(open.held, 0);
        assert_eq!(quantile(&report, Timed::FromPlan, 0.89) / MS, 2);
        let lost = outcome.lost_of_planned();
        let from_plan = &report.histograms[&Timed::FromPlan];
        assert_eq!(
            from_plan.quantile_of_sent(0.91, lost),
            None,
            "a lost reply is infinite"
        );
    }
}

#[test]
fn late_duplicated_reordered_and_stray_are_told_apart() {
    let mut count = 0;
    let (outcome, ..) = udp(1, move |_, _, bytes| {
        count += 1;
        let reply = || Event::Data(turned(bytes));
        match count {
            10 => vec![(150 * MS, reply())],
            20 => vec![(MS, reply()), (2 * MS, reply())],
            30 => vec![(5 * MS + 1, reply())],
            40 => vec![
                (10, Event::Data(bytes.to_vec())),
                (20, Event::Data(vec![])),
                (30, reply()),
            ],
            _ => vec![(10_000, reply())],
        }
    });
    assert_eq!((outcome.replied, outcome.lost, outcome.late), (999, 1, 1));
    assert_eq!((outcome.duplicated, outcome.stray), (1, 2));
    assert_eq!(outcome.reordered, 2, "the late one and the slow one");
}

#[test]
fn a_datagram_socket_tells_of_earlier_requests() {
    let mut count = 0;
    let (outcome, ..) = udp(1, move |_, _, bytes| {
        count += 1;
        match count {
            50..60 => vec![(10, Event::Error(ErrorKind::ConnectionRefused))],
            _ => vec![(10_000, Event::Data(turned(bytes)))],
        }
    });
    assert_eq!((outcome.replied, outcome.lost), (990, 10));
    assert_eq!(outcome.failures[&Failure::Refused], 10);
}

#[test]
fn an_abort_ends_at_once_and_counts_what_has_an_outcome() {
    let aborted = AtomicBool::new(true);
    let load = load(1_000, Arrivals::Constant);
    let mut bench = Bench::new(tcp(), load, u32::MAX, |_, _, _| vec![]);
    let mut recorder = Recorder::new(&[Timed::FromPlan]);
    let window = Window::open(&bench.clock, SECOND, &aborted);
    bench.open_loop.run(&window, &mut recorder);
    let outcome = Recorder::report(&[recorder]).outcome;
    assert_eq!(outcome.open.unwrap().planned, 0);
    assert_eq!(outcome.sent, 0);
}

proptest! {
    /// Whatever a peer does, every planned request has one outcome, and nothing is sent before its plan.
    #[test]
    fn every_planned_request_has_one_outcome(
        rate in 1..20_000_u64,
        poisson: bool,
        connections in 1..6_u32,
        in_flight in 6..100_u32,
        datagrams: bool,
        fates in prop::collection::vec((0..7_u8, 0..300 * MS), 1..50),
    ) {
        let load = OpenLoad {
            arrivals: if poisson { Arrivals::Poisson } else { Arrivals::Constant },
            connections,
            in_flight,
            ..OpenLoad::new(Rate(rate))
        };
        let mut count = 0;
        let peer = move |_: u64, _: usize, bytes: &[u8]| {
            let (fate, delay) = fates[count % fates.len()];
            count += 1;
            let reply = if datagrams { turned(bytes) } else { requests(bytes).to_vec() };
            match fate {
                0 => vec![],
                1 => vec![(delay, Event::Error(ErrorKind::ConnectionRefused))],
                2 => vec![(delay, Event::Close)],
                3 => vec![(delay, Event::Data(reply[..reply.len() / 2].to_vec()))],
                4 => vec![(delay, Event::Data(reply.clone())), (delay + 1, Event::Data(reply))],
                _ => vec![(delay, Event::Data(reply))],
            }
        };
        let (outcome, open, report) = if datagrams {
            Bench::new(Datagrams::new(64, 1), load, u32::MAX, peer).run(SECOND / 4)
        } else {
            Bench::new(tcp(), load, u32::MAX, peer).run(SECOND / 4)
        };
        let expected = Agenda::new(Schedule::new(&load, Moment::from_ns(0), 1), Moment::from_ns(SECOND / 4))
            .take_before(Moment::from_ns(SECOND / 4));
        prop_assert_eq!(open.planned, expected);
        prop_assert!(open.most_in_flight <= u64::from(in_flight));
        let late = report.histograms[&Timed::Lateness].len();
        prop_assert!(late + open.held <= outcome.sent);
        let faster = |quantile| {
            let of = |timed: Timed| report.histograms[&timed].quantile_of_sent(quantile, 0);
            of(Timed::FromPlan) >= of(Timed::FromSend)
        };
        prop_assert!(faster(0.5) && faster(1.0), "the plan is never after the send");
    }
}
