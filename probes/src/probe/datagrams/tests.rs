use std::io::ErrorKind;

use proptest::prelude::*;
use tollgate_results::outcome::{Outcome, Timed};

use super::*;
use crate::probe::memory::{Event, MemoryDial, Virtual, run};
use crate::probe::open::talk::Datagrams;
use crate::wire::Header;

const SECOND: u64 = 1_000_000_000;
const TIMEOUT: u64 = 5_000_000;
const SIZE: usize = 64;

fn prober(dial: MemoryDial, clock: &Virtual) -> DatagramRr<MemoryDial, Datagrams, Virtual> {
    DatagramRr::new(dial, Datagrams::new(SIZE, 1), clock.clone(), TIMEOUT)
}

/// What the far end, or the path, does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Slowly,
    Lost,
    Twice,
    Late,
    Strays,
}

fn events(fate: Fate, sent: &[u8]) -> Vec<(u64, Event)> {
    let mut reply = sent.to_vec();
    Header::turn(&mut reply);
    let reply = Event::Data(reply);
    match fate {
        Fate::Answered => vec![(10_000, reply)],
        Fate::Slowly => vec![(300_000, reply)],
        Fate::Lost => vec![],
        Fate::Twice => vec![(10_000, reply.clone()), (10_001, reply)],
        // Between the next request and its reply.
        Fate::Late => vec![(TURN_AFTER_TIMEOUT + 2_000, reply)],
        Fate::Strays => vec![
            (1_000, Event::Data(b"garbage".to_vec())),
            (2_000, Event::Data(sent.to_vec())),
            (10_000, reply),
        ],
    }
}

/// The network in memory blocks for 20 ms, so that a time-out of 5 ms is seen after 20.
const TURN_AFTER_TIMEOUT: u64 = 20_000_000;

/// Meets the requests with these fates, then answers slowly for the rest of a second.
fn outcome(fates: Vec<Fate>) -> Outcome {
    let clock = Virtual::default();
    let mut fates = fates.into_iter();
    let dial = MemoryDial::new(&clock, move |sent| {
        events(fates.next().unwrap_or(Fate::Slowly), sent)
    });
    let mut probe = prober(dial, &clock);
    let report = run(&mut probe, &clock, SECOND);
    assert_eq!(
        report.histograms[&Timed::Latency].len(),
        report.outcome.replied
    );
    report.outcome
}

#[test]
fn one_lost_datagram_does_not_stall() {
    let outcome = outcome(vec![Fate::Answered, Fate::Lost]);
    assert_eq!(outcome.lost, 1);
    assert_eq!(outcome.failures[&Failure::TimedOut], 1);
    assert!(outcome.replied > 3_000);
}

#[test]
fn late_and_duplicated_replies_are_told_from_lost_ones() {
    let outcome = outcome(vec![Fate::Late, Fate::Answered, Fate::Twice, Fate::Lost]);
    assert_eq!((outcome.lost, outcome.late), (2, 1));
    assert_eq!(outcome.duplicated, 1);
    assert_eq!((outcome.reordered, outcome.stray), (0, 0));
}

#[test]
fn a_reply_that_was_overtaken_is_reordered() {
    let clock = Virtual::default();
    let mut number = 0;
    let dial = MemoryDial::new(&clock, move |sent| {
        number += 1;
        let mut late = events(Fate::Late, sent);
        if number == 1 {
            // After the reply to the second request.
            late[0].0 += 10_000;
            late
        } else {
            events(Fate::Answered, sent)
        }
    });
    let mut probe = prober(dial, &clock);
    let outcome = run(&mut probe, &clock, SECOND).outcome;
    assert_eq!((outcome.lost, outcome.late, outcome.reordered), (1, 1, 1));
}

#[test]
fn a_reply_that_comes_in_the_same_turn_but_too_late_is_lost() {
    let clock = Virtual::default();
    let dial = MemoryDial::new(&clock, |sent| {
        let mut events = events(Fate::Answered, sent);
        events[0].0 = TIMEOUT + 1;
        events
    });
    let mut probe = prober(dial, &clock);
    let outcome = run(&mut probe, &clock, SECOND).outcome;
    assert_eq!(outcome.replied, 0);
    assert_eq!(outcome.late, outcome.lost);
    assert!(outcome.lost > 100);
}

#[test]
fn a_port_without_listener_is_refused_at_a_bounded_rate() {
    let clock = Virtual::default();
    let refused = Event::Error(ErrorKind::ConnectionRefused);
    let dial = MemoryDial::new(&clock, move |_| vec![(1_000, refused.clone())]);
    let mut probe = prober(dial, &clock);
    let outcome = run(&mut probe, &clock, SECOND).outcome;
    assert_eq!(outcome.failures[&Failure::Refused], outcome.sent);
    assert!((90..=100).contains(&outcome.sent), "{}", outcome.sent);
}

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![
        Fate::Answered,
        Fate::Lost,
        Fate::Twice,
        Fate::Late,
        Fate::Strays,
    ])
}

proptest! {
    #[test]
    fn every_request_is_replied_or_lost(fates in prop::collection::vec(fate(), 0..30)) {
        let count = |fate| fates.iter().filter(|&&other| other == fate).count() as u64;
        let (lost, late) = (count(Fate::Lost), count(Fate::Late));
        let (twice, strays) = (count(Fate::Twice), count(Fate::Strays));
        let outcome = outcome(fates);
        prop_assert_eq!(outcome.sent, outcome.replied + outcome.lost);
        prop_assert_eq!(outcome.lost, lost + late);
        prop_assert_eq!(outcome.late, late);
        prop_assert_eq!(outcome.duplicated, twice);
        prop_assert_eq!(outcome.stray, 2 * strays);
    }
}
