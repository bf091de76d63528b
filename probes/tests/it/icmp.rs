//! ICMP echo: over loopback, and in a network namespace of the test's own where a liar answers instead of the kernel.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use pnet_packet::icmp::{IcmpPacket, checksum};
use socket2::{Domain, Protocol as Carried, Socket, Type};
use tollgate_probes::job;
use tollgate_results::agent::Job;
use tollgate_results::outcome::{Failure, JobReport, Protocol, Timed};
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Load, OpenLoad, SocketKind, Traffic};

use crate::namespace;
use crate::traffic::{MILLISECOND, measure};

fn echo(payload: u64, socket: SocketKind) -> Traffic {
    Traffic::IcmpEcho {
        payload: Bytes(payload),
        timeout: Nanoseconds(200 * MILLISECOND),
        socket,
    }
}

fn job(traffic: Traffic, host: &str) -> Job {
    crate::traffic::job(traffic, SocketAddr::new(host.parse().unwrap(), 0))
}

/// Measures through every kind of socket, in both families, as this namespace allows.
fn everywhere(kinds: &[SocketKind], check: impl Fn(&Job, JobReport)) {
    for host in ["127.0.0.1", "::1"] {
        for &kind in kinds {
            for payload in [16, 56, 57, 1_400, 20_000] {
                let job = job(echo(payload, kind), host);
                check(&job, measure(&job));
            }
        }
    }
}

/// Allows ping sockets to the groups of this user namespace.
fn allow_ping_sockets() {
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
}

#[test]
fn the_kernel_answers_over_every_kind_of_socket() {
    namespace::inside(
        "icmp",
        "the_kernel_answers_over_every_kind_of_socket",
        || {
            allow_ping_sockets();
            let kinds = [SocketKind::Raw, SocketKind::Unprivileged];
            everywhere(&kinds, |job, report| {
                let outcome = &report.outcome;
                let context = format!("{job:?}: {outcome:?}");
                assert!(outcome.replied > 0, "{context}");
                assert_eq!((outcome.lost, outcome.stray), (0, 0), "{context}");
                let Traffic::IcmpEcho {
                    payload, socket, ..
                } = job.traffic
                else {
                    unreachable!("this test sends nothing else");
                };
                assert_eq!(outcome.socket, Some(socket), "{context}");
                assert_eq!(outcome.bytes_sent, outcome.sent * payload.0, "{context}");
                assert_eq!(outcome.bytes_received, outcome.bytes_sent, "{context}");
                let flow = outcome.flow.unwrap();
                assert_eq!(flow.protocol, Protocol::Icmp, "{context}");
                assert_eq!(
                    (flow.local.ip(), flow.remote),
                    (job.target.ip(), job.target)
                );
                assert_eq!(report.histograms[&Timed::Latency].len(), outcome.replied);
            });
        },
    );
}

#[test]
fn an_open_loop_of_echoes_has_an_outcome_for_every_planned_one() {
    namespace::inside(
        "icmp",
        "an_open_loop_of_echoes_has_an_outcome_for_every_planned_one",
        || {
            allow_ping_sockets();
            for host in ["127.0.0.1", "::1"] {
                for kind in [SocketKind::Raw, SocketKind::Unprivileged] {
                    let mut job = job(echo(56, kind), host);
                    job.load = Load::Open(OpenLoad {
                        connections: 3,
                        ..OpenLoad::new(Rate(2_000))
                    });
                    let report = measure(&job);
                    let open = report.outcome.open.unwrap();
                    let context = format!("{job:?}: {:?}", report.outcome);
                    assert!(report.outcome.replied > 0, "{context}");
                    assert_eq!(open.planned, report.outcome.sent + open.unsent, "{context}");
                    assert_eq!(report.outcome.stray, 0, "{context}");
                }
            }
        },
    );
}

#[test]
fn echoes_are_split_by_the_kernels_stamps() {
    namespace::inside("icmp", "echoes_are_split_by_the_kernels_stamps", || {
        allow_ping_sockets();
        for host in ["127.0.0.1", "::1"] {
            for kind in [SocketKind::Raw, SocketKind::Unprivileged] {
                let mut job = job(echo(56, kind), host);
                job.timestamps = true;
                job.warmup = Nanoseconds(50 * MILLISECOND);
                let report = measure(&job);
                let stamps = report.outcome.stamps.unwrap();
                let context = format!("{job:?}: {stamps:?} {:?}", report.outcome);
                assert!(report.outcome.replied > 0, "{context}");
                assert!(stamps.unsplit * 20 <= report.outcome.replied, "{context}");
                let split = report.histograms[&Timed::DriverToDriver].len();
                assert_eq!(split + stamps.unsplit, report.outcome.replied, "{context}");
                assert!(!report.histograms.contains_key(&Timed::FarEnd), "{context}");
            }
        }
    });
}

/// What a liar did.
#[derive(Debug, Default)]
struct Lies {
    damaged: AtomicU64,
    cut: AtomicU64,
    twice: AtomicU64,
    beyond: AtomicU64,
    prohibited: AtomicU64,
    stopped: AtomicBool,
}

/// Answers echo requests on IPv4 in place of the kernel, now and then wrongly, until it is stopped.
fn lie(socket: &Socket, lies: &Lies) {
    let home = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into();
    let say = |message: &mut Vec<u8>| {
        message[2..4].fill(0);
        let sum = checksum(&IcmpPacket::new(message).unwrap());
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        // The kernel may be out of room: then the request is lost, as it may be.
        let _ = socket.send_to(message, &home);
    };
    let count = |counter: &AtomicU64| _ = counter.fetch_add(1, Ordering::SeqCst);
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0; 2_000];
    while !lies.stopped.load(Ordering::SeqCst) {
        let Ok(len) = (&mut &*socket).read(&mut buffer) else {
            continue;
        };
        let packet = buffer[..len].to_vec();
        let request = packet[20..].to_vec();
        if request[0] != 8 {
            continue;
        }
        let mut reply = request.clone();
        reply[0] = 0;
        let complain = |kind, code| {
            let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
            message.extend(&packet[..20 + 24]);
            message
        };
        match request[7] % 8 {
            1 => {
                count(&lies.damaged);
                let mut bad = reply.clone();
                let last = bad.len() - 1;
                bad[last] ^= 0x55;
                say(&mut bad);
                say(&mut reply);
            }
            2 => {
                count(&lies.cut);
                say(&mut reply[..20].to_vec());
                say(&mut reply);
            }
            3 => {
                // Another's: the kernel's filter keeps it away.
                let mut other = reply.clone();
                other[4] ^= 1;
                say(&mut other);
                say(&mut reply);
            }
            4 => {
                count(&lies.twice);
                say(&mut reply.clone());
                say(&mut reply);
            }
            5 => {
                count(&lies.beyond);
                say(&mut complain(11, 0));
            }
            6 => {
                count(&lies.prohibited);
                say(&mut complain(3, 13));
            }
            _ => say(&mut reply),
        }
    }
}

#[test]
fn bad_replies_are_stray_and_complaints_are_failures_by_their_cause() {
    namespace::inside(
        "icmp",
        "bad_replies_are_stray_and_complaints_are_failures_by_their_cause",
        || {
            allow_ping_sockets();
            fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1").unwrap();
            for kind in [SocketKind::Raw, SocketKind::Unprivileged] {
                let lies = Arc::new(Lies::default());
                let own = Arc::clone(&lies);
                let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Carried::ICMPV4)).unwrap();
                let liar = thread::spawn(move || lie(&socket, &own));
                let mut job = job(echo(56, kind), "127.0.0.1");
                job.duration = Nanoseconds(500 * MILLISECOND);
                let outcome = measure(&job).outcome;
                lies.stopped.store(true, Ordering::SeqCst);
                liar.join().unwrap();
                let told = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
                let context = format!("{kind:?}: {outcome:?} {lies:?}");
                assert!(outcome.replied > 10, "{context}");
                // The request in which the window ends may not wait for all that is said of it.
                let about = |told: u64, counted: u64| counted <= told && told <= counted + 1;
                let stray = told(&lies.damaged) + told(&lies.cut);
                assert!(about(stray, outcome.stray), "{context}");
                assert!(about(told(&lies.twice), outcome.duplicated), "{context}");
                let failed = |failure| outcome.failures.get(&failure).copied().unwrap_or(0);
                let beyond = failed(Failure::HopsExceeded);
                assert!(beyond > 0 && about(told(&lies.beyond), beyond), "{context}");
                let forbidden = failed(Failure::Prohibited);
                assert!(
                    forbidden > 0 && about(told(&lies.prohibited), forbidden),
                    "{context}"
                );
                assert_eq!(outcome.lost, beyond + forbidden, "{context}");
            }
        },
    );
}

/// Runs the probe without any capability.
fn without_privilege(arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    command.arg(env!("CARGO_BIN_EXE_tollgate-probe"));
    command.args(arguments).output().unwrap()
}

#[test]
fn without_privilege_one_line_says_how_to_mend_it_and_ping_sockets_do() {
    namespace::inside(
        "icmp",
        "without_privilege_one_line_says_how_to_mend_it_and_ping_sockets_do",
        || {
            let echo = ["icmp-echo", "127.0.0.1", "--duration", "50ms", "--json"];
            for (kind, told) in [
                ("auto", &["cap_net_raw", "ping_group_range"][..]),
                ("raw", &["cap_net_raw"]),
                ("unprivileged", &["ping_group_range"]),
            ] {
                let output = without_privilege(&[&echo[..], &["--socket", kind]].concat());
                let line = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(2), "{line}");
                assert_eq!(line.lines().count(), 1, "{line}");
                assert!(
                    told.iter().all(|word| line.contains(word)),
                    "{kind}: {line}"
                );
            }
            allow_ping_sockets();
            for kind in ["auto", "unprivileged"] {
                let output = without_privilege(&[&echo[..], &["--socket", kind]].concat());
                let line = String::from_utf8(output.stdout).unwrap();
                assert_eq!(output.status.code(), Some(0), "{line}");
                let summary: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(summary["socket"], "unprivileged", "{line}");
                assert!(summary["replied"].as_u64() > Some(0), "{line}");
            }
        },
    );
}

#[test]
fn a_job_without_room_for_its_mark_is_refused() {
    let error = job::arm(&job(echo(15, SocketKind::Auto), "127.0.0.1")).unwrap_err();
    assert!(error.line().contains("payload is 15 B"), "{}", error.line());
}
