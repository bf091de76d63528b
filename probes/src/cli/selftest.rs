//! Runs the self-test and prints what it found.

use std::io::{self, Write};
use std::process::ExitCode;

use tollgate_probes::error::ProbeError;
use tollgate_probes::selftest::{self, Answer, DelayAnswer, Findings, Floor, RoundTrip, Verdict};

use super::args::SelftestArgs;
use super::print;

/// This machine can't measure.
const CANNOT: u8 = 4;

/// Runs it; the exit code says whether this machine can measure.
pub(super) fn run(args: &SelftestArgs) -> Result<ExitCode, ProbeError> {
    let findings = selftest::run(args.cpu)?;
    if args.json {
        print::json(&findings);
    } else {
        // A reader who went away is no error.
        let _ = write_findings(&mut io::stdout().lock(), &findings);
    }
    Ok(match findings.verdict {
        Verdict::Can | Verdict::Degraded => ExitCode::SUCCESS,
        Verdict::Cannot => ExitCode::from(CANNOT),
    })
}

fn write_findings(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let Findings {
        cpu,
        counts,
        floor,
        verdict,
        reasons,
        ..
    } = findings;
    if counts.is_empty() {
        writeln!(out, "self-test on CPU {cpu}: loopback doesn't answer")?;
    } else {
        writeln!(out, "self-test on CPU {cpu}: known answers\n")?;
        write_answers(out, findings)?;
    }
    write_floor(out, floor)?;
    let said = match verdict {
        Verdict::Can => "this machine can measure",
        Verdict::Degraded => "this machine measures, but less well than it should:",
        Verdict::Cannot => "this machine can't measure:",
    };
    writeln!(out, "\n{said}")?;
    for reason in reasons {
        writeln!(out, "- {reason}")?;
    }
    Ok(())
}

fn write_answers(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let header = ["", "declared", "reported", "allowed"];
    row(out, header, "")?;
    for delay in &findings.delays {
        write_delay(out, "delay", delay)?;
    }
    for stall in &findings.stalls {
        write_delay(out, "stall", stall)?;
    }
    for count in &findings.counts {
        let figures = [count.declared.to_string(), count.reported.to_string()];
        let [declared, reported] = &figures;
        row(
            out,
            [count.what, declared, reported, "exact"],
            word(count.answer),
        )?;
    }
    Ok(())
}

fn write_floor(out: &mut impl Write, floor: &Floor) -> io::Result<()> {
    writeln!(out, "\nthis machine's floor\n")?;
    writeln!(
        out,
        "{:<24} {} ns",
        "reading the clock", floor.clock_read_ns
    )?;
    let sleep = floor.sleep;
    writeln!(
        out,
        "{:<24} p50 {}, p99 {} late",
        format!("sleeping for {}", time(sleep.asked_ns.cast_signed())),
        time(sleep.late_p50_ns.cast_signed()),
        time(sleep.late_p99_ns.cast_signed()),
    )?;
    for (kind, RoundTrip { p50_ns, p99_ns }) in [("tcp-rr", floor.tcp_rr), ("udp-rr", floor.udp_rr)]
    {
        let percentile =
            |ns: Option<u64>| ns.map_or_else(|| "lost".to_owned(), |ns| time(ns.cast_signed()));
        writeln!(
            out,
            "{:<24} p50 {}, p99 {}",
            format!("{kind} over loopback"),
            percentile(p50_ns),
            percentile(p99_ns)
        )?;
    }
    Ok(())
}

fn write_delay(out: &mut impl Write, what: &str, delay: &DelayAnswer) -> io::Result<()> {
    let name = format!("{what}, {}", delay.kind);
    let declared = time(delay.declared_ns.cast_signed());
    let reported = delay.reported_ns.map_or_else(|| "-".to_owned(), time);
    let allowed = format!("± {}", time(delay.allowed_ns.cast_signed()));
    row(
        out,
        [&name, &declared, &reported, &allowed],
        word(delay.answer),
    )
}

fn row(out: &mut impl Write, columns: [&str; 4], answer: &str) -> io::Result<()> {
    let [name, declared, reported, allowed] = columns;
    let line = format!("{name:<24} {declared:>12} {reported:>12} {allowed:>12}  {answer}");
    writeln!(out, "{}", line.trim_end())
}

const fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Right => "right",
        Answer::Rough => "rough",
        Answer::Wrong => "wrong",
    }
}

/// Says a time in the unit that suits it.
#[expect(clippy::cast_precision_loss, reason = "for show")]
fn time(ns: i64) -> String {
    if ns.abs() >= 1_000_000 {
        format!("{:.2} ms", ns as f64 / 1e6)
    } else {
        format!("{:.2} µs", ns as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_probes::selftest::{CountAnswer, Lateness};

    use super::*;

    #[test]
    fn people_see_what_was_known_and_what_was_reported() {
        let delay = |declared_ns, reported_ns, answer| DelayAnswer {
            kind: "udp-rr",
            declared_ns,
            reported_ns,
            allowed_ns: declared_ns / 50,
            answer,
        };
        let round_trip = RoundTrip {
            p50_ns: Some(9_000),
            p99_ns: None,
        };
        let findings = Findings {
            cpu: 1,
            delays: vec![
                delay(50_000, Some(50_090), Answer::Right),
                delay(200_000, Some(-1_000), Answer::Wrong),
            ],
            counts: vec![CountAnswer {
                what: "requests of the script",
                declared: 80,
                reported: 80,
                answer: Answer::Right,
            }],
            stalls: vec![delay(200_063_000, None, Answer::Wrong)],
            floor: Floor {
                clock_read_ns: 24,
                sleep: Lateness {
                    asked_ns: 1_000_000,
                    late_p50_ns: 55_000,
                    late_p99_ns: 81_000,
                },
                tcp_rr: round_trip,
                udp_rr: round_trip,
            },
            verdict: Verdict::Cannot,
            reasons: vec!["udp-rr loses requests over loopback".to_owned()],
        };
        let mut out = Vec::new();
        write_findings(&mut out, &findings).unwrap();
        let expected = "\
self-test on CPU 1: known answers

                             declared     reported      allowed
delay, udp-rr                50.00 µs     50.09 µs    ± 1.00 µs  right
delay, udp-rr               200.00 µs     -1.00 µs    ± 4.00 µs  wrong
stall, udp-rr               200.06 ms            -    ± 4.00 ms  wrong
requests of the script             80           80        exact  right

this machine's floor

reading the clock        24 ns
sleeping for 1.00 ms     p50 55.00 µs, p99 81.00 µs late
tcp-rr over loopback     p50 9.00 µs, p99 lost
udp-rr over loopback     p50 9.00 µs, p99 lost

this machine can't measure:
- udp-rr loses requests over loopback
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
