//! Open loops over real sockets, against the probe's responder and one that stalls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::job::{self, Aborter};
use tollgate_results::agent::Job;
use tollgate_results::outcome::{JobReport, OpenOutcome, Timed};
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Arrivals, Connections, Http, Load, OpenLoad, Traffic};

use crate::traffic::{job, measure, responder};

const MS: u64 = 1_000_000;

fn open(traffic: Traffic, target: SocketAddr, load: OpenLoad) -> Job {
    Job {
        load: Load::Open(load),
        ..job(traffic, target)
    }
}

fn every_traffic() -> [Traffic; 3] {
    let payload = Bytes(64);
    [
        Traffic::TcpRr { payload },
        Traffic::UdpRr {
            payload,
            timeout: Nanoseconds(1_000 * MS),
        },
        Traffic::Http(Http::new(Connections::Kept, payload)),
    ]
}

/// Checks what holds of every report of an open loop.
fn checked(report: &JobReport) -> OpenOutcome {
    let outcome = &report.outcome;
    let open = outcome.open.expect("it was an open loop");
    assert_eq!(open.planned, outcome.sent + open.unsent, "{outcome:?}");
    assert_eq!(outcome.replied + outcome.lost, outcome.sent, "{outcome:?}");
    let timed = |timed| report.histograms[&timed].len();
    assert_eq!(timed(Timed::FromPlan), outcome.replied);
    assert_eq!(timed(Timed::FromSend), outcome.replied);
    assert!(timed(Timed::Lateness) <= outcome.sent);
    assert!(!report.histograms.contains_key(&Timed::Latency));
    assert!(open.most_in_flight <= open.planned);
    open
}

#[test]
fn every_kind_sends_its_plan_over_one_connection_and_many() {
    for bind in ["127.0.0.1", "::1"] {
        let (_responder, target) = responder(bind);
        for traffic in every_traffic() {
            for connections in [1, 5] {
                let load = OpenLoad {
                    arrivals: Arrivals::Constant,
                    connections,
                    ..OpenLoad::new(Rate(2_000))
                };
                let report = measure(&open(traffic.clone(), target, load));
                let open = checked(&report);
                let context = format!("{traffic:?} over {connections} by {bind}: {report:?}");
                assert!((199..=201).contains(&open.planned), "{context}");
                assert_eq!((report.outcome.lost, open.unsent), (0, 0), "{context}");
                assert!(report.outcome.flow.is_some(), "{context}");
                let known: Vec<u32> = report
                    .outcome
                    .tcp
                    .iter()
                    .map(|sample| sample.flow)
                    .collect();
                let expected = match traffic {
                    Traffic::UdpRr { .. } => 0,
                    _ => connections,
                };
                assert_eq!(known, (0..expected).collect::<Vec<_>>(), "{context}");
                assert!(open.spin_ns > 0, "{context}");
            }
        }
    }
}

#[test]
fn large_requests_that_don_t_fit_the_socket_go_out_in_parts() {
    let (_responder, target) = responder("127.0.0.1");
    let payload = Bytes(1 << 20);
    let load = OpenLoad {
        connections: 2,
        ..OpenLoad::new(Rate(200))
    };
    let report = measure(&open(Traffic::TcpRr { payload }, target, load));
    let open = checked(&report);
    assert_eq!((report.outcome.lost, open.unsent), (0, 0), "{report:?}");
    assert!(open.planned > 5);
}

#[test]
fn a_target_where_nothing_listens_loses_the_whole_plan() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for traffic in every_traffic() {
        let report = measure(&open(traffic, free, OpenLoad::new(Rate(1_000))));
        let open = checked(&report);
        let outcome = &report.outcome;
        assert_eq!(
            (outcome.replied, outcome.lost_of_planned()),
            (0, open.planned),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_abort_ends_a_slow_schedule_at_once() {
    let (_responder, target) = responder("127.0.0.1");
    let mut job = open(every_traffic()[0].clone(), target, OpenLoad::new(Rate(1)));
    job.duration = Nanoseconds(60_000 * MS);
    let aborter = Aborter::default();
    let mut armed = job::arm_abortable(&job, &aborter).unwrap();
    let aborting = std::thread::spawn(move || {
        Monotonic.wait_until(Monotonic.now().plus(50 * MS));
        aborter.abort();
    });
    let started = Monotonic.now();
    checked(&armed.run());
    aborting.join().unwrap();
    assert!(Monotonic.now().since(started) < 2_000 * MS);
}

/// Answers requests of 64 bytes on one connection; stops for 200 ms before the reply to one of them.
fn stalling(stalled: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is up");
    let target = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let limit = Some(Duration::from_secs(10));
        let prepared = stream.set_nodelay(true);
        let prepared = prepared.and_then(|()| stream.set_read_timeout(limit));
        prepared.expect("it is open");
        let mut preamble = [0; 16];
        let mut request = [0; 64];
        if stream.read_exact(&mut preamble).is_err() {
            return;
        }
        for count in 1.. {
            if stream.read_exact(&mut request).is_err() {
                return;
            }
            if count == stalled {
                Monotonic.wait_until(Monotonic.now().plus(200 * MS));
            }
            if stream.write_all(&request).is_err() {
                return;
            }
        }
    });
    target
}

/// Returns how many requests took longer than 20 ms.
fn slow(report: &JobReport, kind: Timed) -> u64 {
    let times = &report.histograms[&kind];
    let mut slow = 0;
    for rank in 1..=times.len() {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let quantile = rank as f64 / times.len() as f64;
        slow += u64::from(times.quantile_of_sent(quantile, 0) > Some(20 * MS));
    }
    slow
}

/// Coordinated omission for real (statistics §4.4): the same stall, seen by both loops.
#[test]
fn a_stall_is_seen_by_every_request_that_was_due_in_it() {
    let payload = Bytes(64);
    let load = OpenLoad {
        arrivals: Arrivals::Constant,
        ..OpenLoad::new(Rate(1_000))
    };
    let mut job = open(Traffic::TcpRr { payload }, stalling(100), load);
    job.duration = Nanoseconds(600 * MS);
    let report = measure(&job);
    let open = checked(&report);
    assert_eq!(
        (open.planned, open.unsent, report.outcome.lost),
        (600, 0, 0)
    );
    // 180 of the 200 requests that were planned in the stall, and more where the machine is busy.
    let seen = slow(&report, Timed::FromPlan);
    assert!(seen >= 178, "{seen}");
    assert!(report.histograms[&Timed::FromPlan].max_ns() >= 199 * MS);

    (job.load, job.target) = (Load::Closed, stalling(100));
    let report = measure(&job);
    let seen = slow(&report, Timed::Latency);
    // One request met the stall; those that would have come meanwhile were never made.
    assert!(
        (1..=20).contains(&seen),
        "{seen} of {}",
        report.outcome.replied
    );
}

/// Runs the program; returns its exit code, JSON or text, and complaints.
fn run(args: &str) -> (Option<i32>, String, String) {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("tollgate-probe"))
        .args(args.split_whitespace())
        .output()
        .expect("the program is built");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_command_line_tells_plan_service_and_lateness_apart() {
    let (_responder, target) = responder("127.0.0.1");
    for kind in [
        "tcp-rr --connections 2",
        "udp-rr --connections 2",
        "http --connections 2",
    ] {
        let common = format!("{kind} {target} --duration 200ms --warmup 10ms");
        let open = format!("{common} --rate 1k/s --arrivals constant --seed 7");
        let (code, out, _) = run(&format!("{open} --json"));
        assert_eq!(code, Some(0), "{out}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(said["load"], "open");
        assert_eq!(said["planned"], 200);
        for key in [
            "p50_ns",
            "p99_ns",
            "service_p50_ns",
            "service_p99_ns",
            "lateness_p50_ns",
            "lateness_p99_ns",
            "most_in_flight",
            "spin_ns",
        ] {
            assert!(said[key].as_u64().is_some_and(|ns| ns > 0), "{key}: {out}");
        }
        let offered = said["offered_per_s"].as_f64().unwrap();
        assert!((999.0..1_001.0).contains(&offered), "{offered}");
        assert!(said["achieved_per_s"].as_f64().unwrap() > 100.0);
        assert!(said.get("bottleneck").is_some());
        let (_, out, _) = run(&open);
        for word in ["from plan", "service", "lateness", "offered", "in flight"] {
            assert!(out.contains(word), "{word}: {out}");
        }
    }
    let (_, out, _) = run(&format!("tcp-rr {target} --duration 50ms --json"));
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["load"], "closed");
    assert!(said.get("lateness_p50_ns").is_none(), "{out}");
}

#[test]
fn an_open_loop_that_cannot_be_is_refused_at_the_command_line() {
    for (args, told) in [
        (
            "tcp-rr 127.0.0.1:9 --rate 10000",
            "\"10000/s\" for each second",
        ),
        (
            "tcp-rr 127.0.0.1:9 --rate 2M/s",
            "rate is 2M/s (allowed: 1/s to 1M/s)",
        ),
        ("tcp-rr 127.0.0.1:9 --connections 4", "--rate"),
        (
            "udp-rr 127.0.0.1:9 --rate 1k/s --connections 4000",
            "connections is 4000",
        ),
        (
            "http 127.0.0.1:9 --rate 1k/s --connections new",
            "kept connections",
        ),
        (
            "tcp-rr 127.0.0.1:9 --rate 1k/s --in-flight 0",
            "in-flight is 0",
        ),
        ("tcp-crr 127.0.0.1:9 --rate 1k/s", "--rate"),
    ] {
        let (code, _, complaint) = run(args);
        assert_eq!(code, Some(2), "{args}: {complaint}");
        assert!(complaint.contains(told), "{args}: {complaint}");
    }
}
