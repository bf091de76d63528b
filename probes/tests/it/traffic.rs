//! Every kind of traffic over real sockets on loopback.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;

use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::job::{self, Aborter};
use tollgate_probes::responder::Responder;
use tollgate_probes::wire::{Header, MAX_DATAGRAM};
use tollgate_results::agent::{Job, Serve};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Failure, JobReport, Protocol, Timed};
use tollgate_results::stream::TcpOptions;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Close, Connections, Http, Load, Traffic};

pub(crate) const MILLISECOND: u64 = 1_000_000;

pub(crate) fn tcp_rr(payload: u64) -> Traffic {
    Traffic::TcpRr {
        payload: Bytes(payload),
    }
}

pub(crate) fn tcp_crr(payload: u64, close: Close) -> Traffic {
    let payload = Bytes(payload);
    Traffic::TcpCrr { payload, close }
}

pub(crate) fn tcp_stream(flows: u32, payload: u64) -> Traffic {
    let payload = Bytes(payload);
    let options = TcpOptions::default();
    Traffic::TcpStream {
        flows,
        payload,
        options,
    }
}

pub(crate) fn udp_rr(payload: u64, timeout_ms: u64) -> Traffic {
    Traffic::UdpRr {
        payload: Bytes(payload),
        timeout: Nanoseconds(timeout_ms * MILLISECOND),
    }
}

pub(crate) fn http(connections: Connections, response: u64) -> Traffic {
    let response = Bytes(response);
    Traffic::Http(Http::new(connections, response))
}

pub(crate) fn job(traffic: Traffic, target: SocketAddr) -> Job {
    Job {
        traffic,
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        target,
        warmup: Nanoseconds(0),
        duration: Nanoseconds(100 * MILLISECOND),
        cpu: None,
        seed: 1,
        key: None,
    }
}

pub(crate) fn measure(job: &Job) -> JobReport {
    let report = job::arm(job).unwrap().run();
    let outcome = &report.outcome;
    assert_eq!(outcome.replied + outcome.lost, outcome.sent, "{outcome:?}");
    assert!(outcome.late <= outcome.lost, "{outcome:?}");
    report
}

pub(crate) fn responder(bind: &str) -> (Responder, SocketAddr) {
    let bind: IpAddr = bind.parse().unwrap();
    let serve = Serve {
        bind,
        port: 0,
        cpu: None,
        name: None,
        planted: None,
        key: None,
    };
    let responder = Responder::start(&serve).unwrap();
    let address = SocketAddr::new(bind, responder.port());
    (responder, address)
}

#[test]
fn every_kind_of_traffic_is_answered_over_both_families() {
    for bind in ["127.0.0.1", "::1"] {
        let (_responder, target) = responder(bind);
        for traffic in [
            tcp_rr(1),
            tcp_rr(64),
            tcp_rr(1 << 20),
            tcp_crr(64, Close::Rst),
            tcp_crr(64, Close::Fin),
            tcp_crr(1 << 20, Close::Rst),
            tcp_stream(1, 1),
            tcp_stream(3, 100_000),
            udp_rr(32, 1000),
            udp_rr(64_000, 1000),
            http(Connections::Kept, 0),
            http(Connections::Kept, 1 << 20),
            http(Connections::New, 100),
        ] {
            let mut job = job(traffic.clone(), target);
            job.warmup = Nanoseconds(20 * MILLISECOND);
            job.duration = Nanoseconds(50 * MILLISECOND);
            let JobReport {
                outcome,
                histograms,
                ..
            } = measure(&job);
            let context = format!("{traffic:?} over {bind}: {outcome:?}");
            assert!(outcome.replied > 0, "{context}");
            assert!(outcome.failures.is_empty(), "{context}");
            assert!(outcome.window_ns >= job.duration.0, "{context}");
            assert!(outcome.window_ns < 3_000 * MILLISECOND, "{context}");
            let flow = outcome.flow.expect(&context);
            assert_eq!(flow.remote, target, "{context}");
            assert_eq!(flow.local.ip(), target.ip(), "{context}");
            let udp = matches!(traffic, Traffic::UdpRr { .. });
            assert_eq!(flow.protocol == Protocol::Udp, udp, "{context}");
            let timed = |timed| histograms.get(&timed).map(Histogram::len);
            match traffic {
                Traffic::TcpStream { payload, .. } => {
                    assert!(histograms.is_empty(), "{context}");
                    assert_eq!(
                        outcome.bytes_received,
                        outcome.sent * payload.0,
                        "{context}"
                    );
                }
                Traffic::TcpCrr { .. }
                | Traffic::Http(Http {
                    connections: Connections::New,
                    ..
                }) => {
                    assert_eq!(timed(Timed::Latency), Some(outcome.replied), "{context}");
                    assert_eq!(timed(Timed::Connect), Some(outcome.replied), "{context}");
                }
                _ => {
                    assert_eq!(timed(Timed::Latency), Some(outcome.replied), "{context}");
                    assert_eq!(timed(Timed::Connect), None, "{context}");
                }
            }
        }
    }
}

#[test]
fn each_job_has_a_port_of_its_own() {
    let (_responder, target) = responder("127.0.0.1");
    for traffic in [tcp_rr(64), udp_rr(64, 100)] {
        let job = job(traffic, target);
        let ports: Vec<u16> = (0..4)
            .map(|_| measure(&job).outcome.flow.unwrap().local.port())
            .collect();
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert!(unique.len() > 1, "{ports:?}");
    }
}

#[test]
fn threads_stay_until_the_job_is_dropped_and_windows_repeat() {
    let (_responder, target) = responder("127.0.0.1");
    let mut armed = job::arm(&job(tcp_stream(4, 1000), target)).unwrap();
    let threads = armed.threads();
    let alive = |threads: &[i32]| {
        let there = |tid: &&i32| Path::new(&format!("/proc/self/task/{tid}")).exists();
        threads.iter().filter(there).count()
    };
    assert_eq!(threads.len(), 4);
    for _ in 0..2 {
        assert!(armed.run().outcome.bytes_received > 0);
        assert_eq!(alive(&threads), 4);
    }
    drop(armed);
    assert_eq!(alive(&threads), 0);
}

#[test]
fn a_pinned_job_runs_on_its_cpu() {
    let (_responder, target) = responder("127.0.0.1");
    let mut job = job(tcp_rr(64), target);
    job.cpu = Some(0);
    let armed = job::arm(&job).unwrap();
    let path = format!("/proc/self/task/{}/status", armed.threads()[0]);
    let status = std::fs::read_to_string(path).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    assert!(status.contains("Name:\ttg-send-0\n"), "{status}");
    job.cpu = Some(4000);
    let line = job::arm(&job).unwrap_err().line();
    assert!(line.contains("CPU 4000"), "{line}");
}

/// Echoes datagrams as `behave` says for each sequence number, until the socket is idle for a second.
fn udp_peer(
    behave: impl Fn(u64, &UdpSocket, &[u8], SocketAddr) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let idle = std::time::Duration::from_secs(1);
    socket.set_read_timeout(Some(idle)).unwrap();
    let handle = thread::spawn(move || {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let datagram = &mut buffer[..len];
            let sequence = Header::read_from(datagram).unwrap().sequence;
            Header::turn(datagram);
            behave(sequence, &socket, datagram, from);
        }
    });
    (address, handle)
}

#[test]
fn known_loss_duplication_and_strays_are_what_is_counted() {
    let (target, peer) = udp_peer(|sequence, socket, reply, from| {
        let send = |bytes: &[u8]| {
            socket.send_to(bytes, from).unwrap();
        };
        match sequence % 10 {
            3 => {}
            5 => {
                send(reply);
                send(reply);
            }
            7 => {
                send(b"garbage");
                let mut forged = reply.to_vec();
                forged[16] ^= 1;
                send(&forged);
                send(&reply[..40]);
                send(reply);
            }
            _ => send(reply),
        }
    });
    let mut job = job(udp_rr(64, 20), target);
    job.duration = Nanoseconds(500 * MILLISECOND);
    let outcome = measure(&job).outcome;
    let per_ten = outcome.sent / 10;
    assert!(per_ten >= 2, "stalled: {outcome:?}");
    assert!(outcome.lost.abs_diff(per_ten) <= 1, "{outcome:?}");
    assert_eq!(outcome.failures[&Failure::TimedOut], outcome.lost);
    // The last ones may come when nobody listens any more.
    assert!(outcome.duplicated.abs_diff(per_ten) <= 1, "{outcome:?}");
    assert!(outcome.stray.abs_diff(3 * per_ten) <= 3, "{outcome:?}");
    assert_eq!((outcome.late, outcome.reordered), (0, 0), "{outcome:?}");
    peer.join().unwrap();
}

#[test]
fn a_lost_reply_takes_its_time_out_and_no_longer() {
    let (target, peer) = udp_peer(|sequence, socket, reply, from| {
        // The first one tells the peer whom it has.
        if sequence % 50 == 0 {
            socket.send_to(reply, from).unwrap();
        }
    });
    for timeout_ms in [20, 50] {
        let mut job = job(udp_rr(64, timeout_ms), target);
        job.duration = Nanoseconds(1_000 * MILLISECOND);
        // On a machine that is busy elsewhere each may take longer, now and then.
        let took = (0..3).map(|_| {
            let outcome = measure(&job).outcome;
            assert!(outcome.lost > 0, "{outcome:?}");
            outcome.window_ns / outcome.lost / MILLISECOND
        });
        let took: Vec<u64> = took.collect();
        let least = took.iter().min().unwrap();
        assert!(
            (timeout_ms - 1..timeout_ms + timeout_ms / 5).contains(least),
            "{timeout_ms}: {took:?}"
        );
    }
    drop(peer);
}

#[test]
fn late_and_overtaken_replies_are_what_is_counted() {
    let held = std::sync::Mutex::new(Vec::new());
    let (target, peer) = udp_peer(move |sequence, socket, reply, from| {
        let send = |bytes: &[u8]| {
            socket.send_to(bytes, from).unwrap();
        };
        match sequence % 10 {
            // The reply to 3 comes after the one to 4, which overtakes it. The one to 8 comes when 9 is
            // already sent, but not answered: late, in order.
            3 | 8 => *held.lock().unwrap() = reply.to_vec(),
            5 | 9 => {
                send(&held.lock().unwrap());
                send(reply);
            }
            _ => send(reply),
        }
    });
    let mut job = job(udp_rr(64, 20), target);
    job.duration = Nanoseconds(500 * MILLISECOND);
    let outcome = measure(&job).outcome;
    let per_ten = outcome.sent / 10;
    assert!(per_ten >= 2, "stalled: {outcome:?}");
    assert!(outcome.lost.abs_diff(2 * per_ten) <= 2, "{outcome:?}");
    assert!(outcome.late.abs_diff(2 * per_ten) <= 2, "{outcome:?}");
    assert!(outcome.reordered.abs_diff(per_ten) <= 1, "{outcome:?}");
    assert_eq!((outcome.duplicated, outcome.stray), (0, 0), "{outcome:?}");
    peer.join().unwrap();
}

#[test]
fn an_abort_ends_arming_and_running_at_once_and_keeps_what_is_done() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_responder, live) = responder("127.0.0.1");
    let tcp = silent.local_addr().unwrap();
    for (traffic, target) in [
        (tcp_rr(64), tcp),
        (tcp_crr(64, Close::Rst), tcp),
        (tcp_stream(2, 1 << 20), tcp),
        (http(Connections::Kept, 64), tcp),
        (udp_rr(64, 10_000), mute.local_addr().unwrap()),
        (tcp_rr(64), live),
        (tcp_stream(2, 1 << 20), live),
    ] {
        for (warmup, duration) in [(10_000, 100), (0, 10_000)] {
            let mut job = job(traffic.clone(), target);
            job.warmup = Nanoseconds(warmup * MILLISECOND);
            job.duration = Nanoseconds(duration * MILLISECOND);
            let aborter = Aborter::default();
            let other = aborter.clone();
            let timer = thread::spawn(move || {
                Monotonic.wait_until(Monotonic.now().plus(200 * MILLISECOND));
                other.abort();
                Monotonic.now()
            });
            let mut armed = job::arm_abortable(&job, &aborter).unwrap();
            let outcome = armed.run().outcome;
            drop(armed);
            let ended = Monotonic.now();
            let late = ended.since(timer.join().unwrap());
            let context = format!("{traffic:?}, warm-up {warmup} ms: {outcome:?}");
            // Twice what is promised: the machine may be busy.
            assert!(late < 200 * MILLISECOND, "{late} ns late: {context}");
            if target == live && warmup == 0 {
                assert!(outcome.replied > 0, "{context}");
            }
        }
    }
}
