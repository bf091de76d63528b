//! Whether this machine can measure.
//!
//! | | degraded | cannot |
//! |---|---|---|
//! | a known delay or stall is off by more than 1 µs or 2 % | yes | by five times that |
//! | a known count is wrong | | yes |
//! | a reading of the clock costs more than | 100 ns | 1 µs |
//! | 1 % of sleeps of 1 ms end later than | 1 ms | |
//! | p99 of a loopback round trip is above its p50 by a factor of | 5 | |
//! | p50 of a loopback round trip is above | 100 µs | |
//! | a request over loopback gets no reply | | more than 1 % |

use serde::Serialize;

use super::floor::{Floor, RoundTrip};
use super::known::{Answer, CountAnswer, DelayAnswer};

/// A reading through the vDSO costs 20 to 30 ns; above this the kernel is asked each time.
const SLOW_CLOCK_NS: u64 = 100;

/// A clock this slow (ACPI, HPET) is a large part of a round trip.
const USELESS_CLOCK_NS: u64 = 1_000;

/// Timers that are this late mean that the CPU is shared with somebody, or stolen.
const LATE_SLEEP_NS: u64 = 1_000_000;

/// Over loopback on one CPU, p99 is within twice p50 on a quiet machine.
const WIDE_TAIL: u64 = 5;

/// Loopback takes 5 to 30 µs on machines of the last ten years.
const SLOW_LOOPBACK_NS: u64 = 100_000;

/// Whether this machine can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All known answers are right and the machine is quiet.
    Can,
    /// Its figures are less certain than Tollgate's claims.
    Degraded,
    /// Its figures mean nothing.
    Cannot,
}

/// Judges by the table above; returns the reasons of all but the best verdict.
pub(super) fn judge(
    delays: &[DelayAnswer],
    counts: &[CountAnswer],
    stalls: &[DelayAnswer],
    floor: &Floor,
) -> (Verdict, Vec<String>) {
    let mut judge = Judge(Vec::new());
    for delay in delays {
        judge.delay(delay, "delay");
    }
    for stall in stalls {
        judge.delay(stall, "stall");
    }
    for count in counts.iter().filter(|count| count.answer != Answer::Right) {
        let CountAnswer {
            what,
            declared,
            reported,
            ..
        } = count;
        let reason = format!("{what}: {reported} reported where there were {declared}");
        judge.0.push((Verdict::Cannot, reason));
    }
    judge.clock(floor.clock_read_ns);
    judge.sleep(floor.sleep.late_p99_ns);
    judge.loopback("tcp-rr", floor.tcp_rr);
    judge.loopback("udp-rr", floor.udp_rr);
    let worst = judge.0.iter().map(|(verdict, _)| *verdict).max();
    let reasons = judge.0.into_iter().map(|(_, reason)| reason).collect();
    (worst.unwrap_or(Verdict::Can), reasons)
}

/// Collects what is wrong.
struct Judge(Vec<(Verdict, String)>);

impl Judge {
    fn delay(&mut self, delay: &DelayAnswer, what: &str) {
        let verdict = match delay.answer {
            Answer::Right => return,
            Answer::Rough => Verdict::Degraded,
            Answer::Wrong => Verdict::Cannot,
        };
        let (kind, declared) = (delay.kind, micros(delay.declared_ns.cast_signed()));
        let reason = delay.reported_ns.map_or_else(
            || format!("{kind} reports no {what} of {declared}, or more than one"),
            |ns| format!("{kind} reports a {what} of {declared} as {}", micros(ns)),
        );
        self.0.push((verdict, reason));
    }

    fn clock(&mut self, read_ns: u64) {
        if read_ns <= SLOW_CLOCK_NS {
            return;
        }
        let verdict = if read_ns <= USELESS_CLOCK_NS {
            Verdict::Degraded
        } else {
            Verdict::Cannot
        };
        let reason = format!(
            "reading the clock costs {read_ns} ns; the clock source tsc would cost 20 to 30"
        );
        self.0.push((verdict, reason));
    }

    fn sleep(&mut self, late_p99_ns: u64) {
        if late_p99_ns > LATE_SLEEP_NS {
            let late = micros(late_p99_ns.cast_signed());
            let reason =
                format!("1 % of sleeps end more than {late} late: the CPU is shared or stolen");
            self.0.push((Verdict::Degraded, reason));
        }
    }

    fn loopback(&mut self, kind: &str, RoundTrip { p50_ns, p99_ns }: RoundTrip) {
        let (Some(p50_ns), Some(p99_ns)) = (p50_ns, p99_ns) else {
            let reason =
                format!("{kind} loses requests over loopback: is lo up, is there a firewall?");
            self.0.push((Verdict::Cannot, reason));
            return;
        };
        if p50_ns > SLOW_LOOPBACK_NS {
            let p50 = micros(p50_ns.cast_signed());
            let reason = format!("{kind} takes {p50} over loopback: the machine is slow or busy");
            self.0.push((Verdict::Degraded, reason));
        }
        if p99_ns > p50_ns.saturating_mul(WIDE_TAIL) {
            let reason = format!(
                "{kind} over loopback has p50 {}, p99 {}: a shared or stolen CPU",
                micros(p50_ns.cast_signed()),
                micros(p99_ns.cast_signed())
            );
            self.0.push((Verdict::Degraded, reason));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
fn micros(ns: i64) -> String {
    format!("{:.1} µs", ns as f64 / 1e3)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::floor::Lateness;
    use super::*;

    const QUIET: RoundTrip = RoundTrip {
        p50_ns: Some(10_000),
        p99_ns: Some(15_000),
    };

    /// The floor of a quiet machine.
    pub(in super::super) fn floor() -> Floor {
        Floor {
            clock_read_ns: 25,
            sleep: Lateness {
                asked_ns: 1_000_000,
                late_p50_ns: 55_000,
                late_p99_ns: 80_000,
            },
            tcp_rr: QUIET,
            udp_rr: QUIET,
        }
    }

    fn of(floor: &Floor) -> (Verdict, Vec<String>) {
        judge(&[], &[], &[], floor)
    }

    #[test]
    fn a_quiet_machine_can_measure() {
        assert_eq!(of(&floor()), (Verdict::Can, vec![]));
    }

    #[test]
    fn each_threshold_has_its_verdict_and_a_reason() {
        let slow = |clock_read_ns| Floor {
            clock_read_ns,
            ..floor()
        };
        let loopback = |p50_ns, p99_ns| Floor {
            udp_rr: RoundTrip { p50_ns, p99_ns },
            ..floor()
        };
        let mut late = floor();
        late.sleep.late_p99_ns = 1_000_001;
        for (floor, expected, reason) in [
            (slow(100), Verdict::Can, ""),
            (slow(101), Verdict::Degraded, "costs 101 ns"),
            (slow(1_001), Verdict::Cannot, "costs 1001 ns"),
            (late, Verdict::Degraded, "sleeps end"),
            (loopback(Some(10_000), Some(50_000)), Verdict::Can, ""),
            (
                loopback(Some(10_000), Some(50_001)),
                Verdict::Degraded,
                "p99 50.0 µs",
            ),
            (
                loopback(Some(100_001), Some(100_001)),
                Verdict::Degraded,
                "slow or busy",
            ),
            (
                loopback(Some(10_000), None),
                Verdict::Cannot,
                "loses requests",
            ),
        ] {
            let (verdict, reasons) = of(&floor);
            assert_eq!(verdict, expected, "{reasons:?}");
            assert_eq!(
                reasons.len(),
                usize::from(!reason.is_empty()),
                "{reasons:?}"
            );
            assert!(reasons.iter().all(|line| line.chars().count() <= 78));
            assert!(
                reasons.iter().all(|line| line.contains(reason)),
                "{reasons:?}"
            );
        }
    }

    #[test]
    fn a_wrong_answer_outweighs_a_rough_one() {
        let delay = |answer| DelayAnswer {
            kind: "udp-rr",
            declared_ns: 10_000,
            reported_ns: Some(12_000),
            allowed_ns: 1_000,
            answer,
        };
        let rough = [delay(Answer::Right), delay(Answer::Rough)];
        assert_eq!(judge(&rough, &[], &[], &floor()).0, Verdict::Degraded);
        let missing = [DelayAnswer {
            reported_ns: None,
            ..delay(Answer::Wrong)
        }];
        let count = [CountAnswer {
            what: "lost",
            declared: 8,
            reported: 9,
            answer: Answer::Wrong,
        }];
        let (verdict, reasons) = judge(&rough, &count, &missing, &floor());
        assert_eq!(verdict, Verdict::Cannot);
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(
            reasons[2].contains("9 reported where there were 8"),
            "{reasons:?}"
        );
    }
}
