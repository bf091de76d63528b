use std::io::ErrorKind;

use proptest::prelude::*;
use tollgate_results::outcome::{Failure, JobReport, Timed};

use super::*;
use crate::probe::echo::Echo;
use crate::probe::fresh::Fresh;
use crate::probe::memory::{Event, MemoryDial, Virtual, run};
use crate::wire::{Mode, PREAMBLE_LEN, Preamble};

const SECOND: u64 = 1_000_000_000;
const SIZE: u32 = 64;

/// Takes the preamble off; panics if there is one where none should be.
fn request(bytes: &[u8]) -> &[u8] {
    match bytes.len().checked_sub(SIZE as usize) {
        Some(0) => bytes,
        Some(PREAMBLE_LEN) => {
            let mode = Mode::RequestResponse;
            assert_eq!(Preamble::decode(bytes), Ok(Preamble { mode, size: SIZE }));
            &bytes[PREAMBLE_LEN..]
        }
        _ => panic!("a request of {} bytes", bytes.len()),
    }
}

fn echo(bytes: &[u8]) -> Event {
    Event::Data(request(bytes).to_vec())
}

/// Runs tcp-rr for a second against a peer that does this.
fn outcome(behaviour: impl FnMut(&[u8]) -> Vec<(u64, Event)> + 'static) -> (JobReport, u64) {
    let clock = Virtual::default();
    let dial = MemoryDial::new(&clock, behaviour);
    let mut probe = Kept::new(dial.clone(), Echo::new(SIZE, 1), clock.clone());
    let report = run(&mut probe, &clock, SECOND);
    let dials = dial.0.borrow().dials;
    (report, dials)
}

#[test]
fn a_second_of_replies_after_10_us_is_a_hundred_thousand() {
    let (report, dials) = outcome(|sent| vec![(10_000, echo(sent))]);
    assert_eq!(dials, 1);
    assert_eq!((report.outcome.sent, report.outcome.lost), (100_000, 0));
    assert_eq!(report.outcome.bytes_received, 6_400_000);
    let latency = &report.histograms[&Timed::Latency];
    assert_eq!(latency.quantile_of_sent(0.5, 0), Some(10_007), "3 digits");
    assert!(report.outcome.window_ns >= SECOND);
}

#[test]
fn a_connection_that_breaks_is_opened_again_and_counted() {
    let mut requests = 0;
    let (report, dials) = outcome(move |sent| {
        requests += 1;
        match requests {
            10 => vec![(1_000, Event::Error(ErrorKind::ConnectionReset))],
            20 => vec![(1_000, Event::Close)],
            _ => vec![(1_000, echo(sent))],
        }
    });
    assert_eq!(dials, 3);
    assert_eq!(report.outcome.failures[&Failure::Reset], 2);
    assert_eq!(report.outcome.lost, 2);
    assert!(report.outcome.replied > 900_000);
}

#[test]
fn a_peer_that_refuses_sees_a_hundred_attempts_a_second() {
    let clock = Virtual::default();
    let dial = MemoryDial::new(&clock, |_| vec![]);
    dial.0.borrow_mut().refused = true;
    let mut probe = Kept::new(dial.clone(), Echo::new(SIZE, 1), clock.clone());
    let report = run(&mut probe, &clock, SECOND);
    assert!(dial.0.borrow().dials <= 100);
    assert!(report.outcome.lost >= 90);
    assert_eq!(
        report.outcome.failures[&Failure::Refused],
        report.outcome.lost
    );
}

#[test]
fn a_silent_peer_ends_in_time_with_all_lost() {
    let (report, _) = outcome(|_| vec![]);
    assert_eq!((report.outcome.sent, report.outcome.lost), (1, 1));
    assert_eq!(report.outcome.failures[&Failure::TimedOut], 1);
    assert!(report.outcome.window_ns <= 3 * SECOND);
}

#[test]
fn half_a_reply_is_no_reply() {
    let (report, _) = outcome(|sent| {
        let half = request(sent)[..32].to_vec();
        vec![(1_000, Event::Data(half))]
    });
    assert_eq!(report.outcome.replied, 0);
    assert_eq!(report.outcome.failures[&Failure::TimedOut], 1);
}

#[test]
fn garbage_and_a_second_reply_are_malformed() {
    let (report, _) = outcome(|_| vec![(1_000, Event::Data(vec![0; 64]))]);
    assert_eq!(report.outcome.replied, 0);
    assert!(report.outcome.failures[&Failure::Malformed] > 1);
    let (report, _) = outcome(|sent| vec![(1_000, echo(sent)), (1_001, echo(sent))]);
    assert_eq!(
        report.outcome.replied,
        report.outcome.failures[&Failure::Malformed],
        "every second request finds the reply to the one before"
    );
}

#[test]
fn crr_connects_for_each_request() {
    let clock = Virtual::default();
    let dial = MemoryDial::new(&clock, |sent| vec![(9_000, echo(sent))]);
    let mut probe = Fresh::new(dial.clone(), Echo::new(SIZE, 1), clock.clone());
    let report = run(&mut probe, &clock, SECOND);
    assert_eq!(report.outcome.sent, 100_000);
    assert_eq!(dial.0.borrow().dials, 100_000);
    let median = |timed| report.histograms[&timed].quantile_of_sent(0.5, 0);
    assert_eq!(median(Timed::Latency), Some(10_007));
    assert_eq!(median(Timed::Connect), Some(1_000));
}

proptest! {
    #[test]
    fn replies_in_any_pieces_are_put_together(piece in 1..100_usize) {
        let clock = Virtual::default();
        let mut heard = Vec::new();
        let dial = MemoryDial::new(&clock, move |sent| {
            // The preamble may come in pieces too: answers once all of it is there.
            heard.extend_from_slice(sent);
            let first = heard.starts_with(b"TLGT");
            let whole = SIZE as usize + if first { PREAMBLE_LEN } else { 0 };
            if heard.len() < whole {
                return vec![];
            }
            let reply = echo(&heard);
            heard.clear();
            vec![(1_000, reply)]
        });
        dial.0.borrow_mut().piece = piece;
        let mut probe = Kept::new(dial, Echo::new(SIZE, 1), clock.clone());
        let report = run(&mut probe, &clock, 100_000);
        prop_assert_eq!((report.outcome.replied, report.outcome.lost), (99, 0));
    }
}
