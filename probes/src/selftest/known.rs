//! Compares what was declared with what the probe reports.

use serde::Serialize;
use tollgate_results::agent::Job;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{JobReport, Outcome, Timed};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Load, Traffic};

use super::responder::{Done, Scripted, Speaks};
use super::script::{STALL_NS, Script};
use crate::error::ProbeError;
use crate::job;

/// Known delays, in nanoseconds.
const DELAYS_NS: [u64; 3] = [10_000, 50_000, 200_000];

/// Rounds in which every delay is measured once; the median of the rounds counts.
const ROUNDS: usize = 5;

/// Size of requests and replies, in bytes.
const PAYLOAD: Bytes = Bytes(64);

/// Time-out of a lost reply: far above what the scheduler of a busy machine adds, so that nothing is lost
/// that wasn't declared.
const FAULT_TIMEOUT_NS: u64 = 100 * MILLISECOND;

/// Window in which the script of faults is played: 16 time-outs are 1.6 s.
const FAULT_WINDOW_NS: u64 = 2_500 * MILLISECOND;

/// The stall falls on this request, and into the middle of a window.
const STALLED_REQUEST: u64 = 1_000;

/// A reply above this was stalled; no scheduler delays so long.
const STALLED_FROM_NS: u64 = STALL_NS / 4 * 3;

const MILLISECOND: u64 = 1_000_000;

/// How well something known was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Within 1 µs or 2 %, whichever is more; a count exactly.
    Right,
    /// A delay within five times that.
    Rough,
    /// Neither.
    Wrong,
}

/// A known delay and what was reported of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelayAnswer {
    /// Kind of the traffic.
    pub kind: &'static str,
    /// What the responder added, in nanoseconds; of a stall by the responder's own clock.
    pub declared_ns: u64,
    /// What the probe says: the median over rounds of the difference between the median latencies with and
    /// without the delay; of a stall the largest latency. `None` where nothing was measured.
    pub reported_ns: Option<i64>,
    /// How far they may be apart, in nanoseconds.
    pub allowed_ns: u64,
    /// How well it was reported.
    pub answer: Answer,
}

/// A known number and what was reported of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountAnswer {
    /// What is counted.
    pub what: &'static str,
    /// How many there were.
    pub declared: u64,
    /// How many the probe says there were.
    pub reported: u64,
    /// Right or wrong: there is no more or less in a count.
    pub answer: Answer,
}

impl DelayAnswer {
    fn new(kind: &'static str, declared_ns: u64, reported_ns: Option<i64>) -> Self {
        let allowed_ns = (declared_ns / 50).max(1_000);
        let error = reported_ns.map(|ns| ns.abs_diff(declared_ns.cast_signed()));
        let answer = match error {
            Some(error) if error <= allowed_ns => Answer::Right,
            Some(error) if error <= 5 * allowed_ns => Answer::Rough,
            _ => Answer::Wrong,
        };
        Self {
            kind,
            declared_ns,
            reported_ns,
            allowed_ns,
            answer,
        }
    }
}

impl CountAnswer {
    fn new(what: &'static str, declared: u64, reported: u64) -> Self {
        let answer = if declared == reported {
            Answer::Right
        } else {
            Answer::Wrong
        };
        Self {
            what,
            declared,
            reported,
            answer,
        }
    }
}

/// Measures each known delay against no delay, interleaved, by tcp-rr and udp-rr.
pub(super) fn delays(cpu: u32) -> Result<Vec<DelayAnswer>, ProbeError> {
    let kinds = [Speaks::Tcp, Speaks::Udp];
    let mut differences = [const { [const { Vec::new() }; DELAYS_NS.len()] }; 2];
    for round in 0..ROUNDS {
        for (kind, differences) in kinds.into_iter().zip(&mut differences) {
            // Each round starts with another delay, so that a drift within rounds meets all alike.
            let mut medians = [None; DELAYS_NS.len() + 1];
            for step in 0..medians.len() {
                let index = (round + step) % medians.len();
                let delay_ns = if index == 0 { 0 } else { DELAYS_NS[index - 1] };
                medians[index] = median_latency(kind, delay_ns, cpu)?;
            }
            let [without, with @ ..] = medians;
            for (median, differences) in with.into_iter().zip(differences) {
                let both = median.zip(without);
                differences.extend(both.map(|(with, without)| with - without));
            }
        }
    }
    let mut answers = Vec::new();
    for (kind, differences) in kinds.into_iter().zip(&mut differences) {
        for (delay_ns, differences) in DELAYS_NS.into_iter().zip(differences) {
            let reported = median(differences);
            answers.push(DelayAnswer::new(
                traffic(kind, 0).kind(),
                delay_ns,
                reported,
            ));
        }
    }
    Ok(answers)
}

/// Has faults acted out, by a responder that may not do what was declared, and counted.
pub(super) fn counts(
    cpu: u32,
    declared: &Script,
    acted: &Script,
) -> Result<Vec<CountAnswer>, ProbeError> {
    let slice = Slice {
        speaks: Speaks::Udp,
        script: *acted,
        cpu,
        timeout_ns: FAULT_TIMEOUT_NS,
        warmup_ns: 0,
        window_ns: FAULT_WINDOW_NS,
    };
    let (report, done) = slice.measure()?;
    let Outcome {
        sent,
        lost,
        late,
        duplicated,
        reordered,
        stray,
        ..
    } = report.outcome;
    let played = done.requests.min(declared.requests());
    Ok(vec![
        CountAnswer::new("requests of the script", declared.requests(), played),
        CountAnswer::new("requests sent", done.requests, sent),
        // A closed loop gives up on a request before it sends the next: one that is overtaken was lost.
        CountAnswer::new("lost", declared.lost + declared.reordered, lost),
        CountAnswer::new("late", declared.reordered, late),
        CountAnswer::new("duplicated", declared.duplicated, duplicated),
        CountAnswer::new("reordered", declared.reordered, reordered),
        CountAnswer::new("stray", 0, stray),
    ])
}

/// Has the responder stall once, by tcp-rr and udp-rr.
pub(super) fn stalls(cpu: u32) -> Result<Vec<DelayAnswer>, ProbeError> {
    let answers = [Speaks::Tcp, Speaks::Udp].into_iter().map(|speaks| {
        let slice = Slice {
            speaks,
            script: Script::stalling(STALLED_REQUEST),
            cpu,
            timeout_ns: 1_000 * MILLISECOND,
            warmup_ns: 0,
            window_ns: 500 * MILLISECOND,
        };
        let (report, done) = slice.measure()?;
        let latency = report.histograms.get(&Timed::Latency);
        let stall_ns = latency.and_then(only_stall_ns);
        let reported = stall_ns.map(u64::cast_signed);
        let stalled_ns = done.stalled_ns.max(STALL_NS);
        Ok(DelayAnswer::new(
            traffic(speaks, 0).kind(),
            stalled_ns,
            reported,
        ))
    });
    answers.collect()
}

/// Returns the largest latency where it is a stall, and the only one: neither missed nor smeared over several
/// requests.
#[expect(
    clippy::cast_precision_loss,
    reason = "a window has less than 2^53 requests"
)]
fn only_stall_ns(latency: &Histogram) -> Option<u64> {
    let requests = latency.len() as f64;
    let second_ns = latency.quantile_of_sent((requests - 1.0) / requests, 0)?;
    let largest_ns = latency.max_ns();
    (second_ns < STALLED_FROM_NS && largest_ns >= STALLED_FROM_NS).then_some(largest_ns)
}

/// One measurement of a responder that follows a script.
struct Slice {
    speaks: Speaks,
    script: Script,
    cpu: u32,
    timeout_ns: u64,
    warmup_ns: u64,
    window_ns: u64,
}

impl Slice {
    fn measure(&self) -> Result<(JobReport, Done), ProbeError> {
        let responder = Scripted::start(self.speaks, self.script, self.cpu)?;
        let mut armed = job::arm(&Job {
            traffic: traffic(self.speaks, self.timeout_ns),
            load: Load::Closed,
            timestamps: false,
            ports: None,
            beside: None,
            target: responder.target(),
            warmup: Nanoseconds(self.warmup_ns),
            duration: Nanoseconds(self.window_ns),
            cpu: Some(self.cpu),
            seed: 1,
            key: None,
        })?;
        let report = armed.run();
        drop(armed);
        Ok((report, responder.finish()))
    }
}

/// Returns the median latency of a slice with a delay, in nanoseconds.
fn median_latency(speaks: Speaks, delay_ns: u64, cpu: u32) -> Result<Option<i64>, ProbeError> {
    let slice = Slice {
        speaks,
        script: Script::delaying(delay_ns),
        cpu,
        timeout_ns: 1_000 * MILLISECOND,
        warmup_ns: 20 * MILLISECOND,
        window_ns: 80 * MILLISECOND,
    };
    let (report, _) = slice.measure()?;
    let latency = report.histograms.get(&Timed::Latency);
    let median = latency.and_then(|latency| latency.quantile_of_sent(0.5, report.outcome.lost));
    Ok(median.map(u64::cast_signed))
}

const fn traffic(speaks: Speaks, timeout_ns: u64) -> Traffic {
    let payload = PAYLOAD;
    match speaks {
        Speaks::Tcp => Traffic::TcpRr { payload },
        Speaks::Udp => Traffic::UdpRr {
            payload,
            timeout: Nanoseconds(timeout_ns),
        },
    }
}

/// Returns the middle value, the lower one of two.
fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::script::FAULTS;
    use super::super::verdict::tests::floor as quiet;
    use super::super::verdict::{Verdict, judge};
    use super::*;

    fn wrong(answers: &[CountAnswer]) -> Vec<&'static str> {
        let wrong = answers.iter().filter(|count| count.answer != Answer::Right);
        wrong.map(|count| count.what).collect()
    }

    #[test]
    fn every_fault_is_counted_exactly() {
        let answers = counts(0, &FAULTS, &FAULTS).unwrap();
        assert_eq!(wrong(&answers), Vec::<&str>::new(), "{answers:?}");
        assert!(
            answers
                .iter()
                .any(|count| count.what == "lost" && count.reported == 16)
        );
    }

    #[test]
    fn a_responder_that_does_something_else_is_found_out() {
        let mut loses = FAULTS;
        loses.lost += 1;
        let mut repeats = FAULTS;
        repeats.duplicated -= 1;
        let mutants = [(loses, "lost"), (repeats, "duplicated")];
        for (mutant, what) in mutants {
            let answers = counts(0, &FAULTS, &mutant).unwrap();
            assert!(wrong(&answers).contains(&what), "{mutant:?}: {answers:?}");
            let (verdict, reasons) = judge(&[], &answers, &[], &quiet());
            assert_eq!(verdict, Verdict::Cannot, "{reasons:?}");
        }
    }

    #[test]
    fn a_stall_is_seen_once_and_whole() {
        for stall in stalls(0).unwrap() {
            assert!(stall.declared_ns >= STALL_NS, "{stall:?}");
            let reported = stall.reported_ns.unwrap();
            // The histogram keeps a thousandth.
            assert!(
                reported >= (STALL_NS / 1000 * 999).cast_signed(),
                "{stall:?}"
            );
        }
    }

    #[test]
    fn delays_are_graded_by_their_allowance() {
        let graded = |declared, reported| DelayAnswer::new("udp-rr", declared, reported).answer;
        assert_eq!(graded(10_000, Some(11_000)), Answer::Right);
        assert_eq!(graded(10_000, Some(8_999)), Answer::Rough);
        assert_eq!(graded(10_000, Some(15_001)), Answer::Wrong);
        assert_eq!(graded(200_000, Some(204_000)), Answer::Right);
        assert_eq!(graded(200_000, Some(195_999)), Answer::Rough);
        assert_eq!(graded(200_000, Some(-200_000)), Answer::Wrong);
        assert_eq!(graded(10_000, None), Answer::Wrong);
    }

    #[test]
    fn a_stall_counts_only_if_it_is_the_only_one() {
        let of = |values: &[u64]| {
            let mut latency = Histogram::new();
            for &ns in values {
                latency.record(ns);
            }
            only_stall_ns(&latency)
        };
        assert!(of(&[10_000, 201_000_000, 10_000]) >= Some(201_000_000));
        assert_eq!(of(&[10_000, 201_000_000, 200_000_000]), None);
        assert_eq!(of(&[10_000, 20_000]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3, 1, 2]), Some(2));
        assert_eq!(median(&mut [4, 1, 2, 3]), Some(2));
    }
}
