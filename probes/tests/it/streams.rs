//! Streams over real sockets on loopback, and through a relay that loses, copies and reorders.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tollgate_probes::job::{self, Aborter};
use tollgate_probes::responder::Responder;
use tollgate_probes::wire::{Header, Kind, MAX_DATAGRAM, Mode, Preamble};
use tollgate_results::agent::Serve;
use tollgate_results::outcome::{Failure, JobReport, Outcome, Protocol, Timed};
use tollgate_results::stream::{
    Direction, OneWay, Receiving, Sending, TcpOptions, TcpSample, UdpStream,
};
use tollgate_results::units::{BitRate, Bytes, Nanoseconds, Rate};
use tollgate_results::workload::Traffic;

use crate::traffic::{MILLISECOND, job, measure, responder};

const DIRECTIONS: [Direction; 3] = [Direction::Up, Direction::Down, Direction::Both];

fn udp(change: impl FnOnce(&mut UdpStream)) -> Traffic {
    let mut stream = UdpStream {
        payload: Bytes(64),
        ..UdpStream::default()
    };
    change(&mut stream);
    Traffic::UdpStream(stream)
}

fn paced(direction: Direction, rate: u64) -> Traffic {
    udp(|stream| (stream.direction, stream.rate) = (direction, Some(Rate(rate))))
}

fn tcp(flows: u32, payload: u64, options: TcpOptions) -> Traffic {
    let payload = Bytes(payload);
    Traffic::TcpStream {
        flows,
        payload,
        options,
    }
}

/// Returns both ways, and checks what must hold on any machine.
fn ways(outcome: &Outcome, direction: Direction) -> (Option<OneWay>, Option<OneWay>) {
    let both = outcome.datagrams.clone().unwrap();
    assert_eq!(both.up.is_some(), direction.is_up(), "{both:?}");
    assert_eq!(both.down.is_some(), direction.is_down(), "{both:?}");
    for way in [both.up, both.down].into_iter().flatten() {
        assert!(way.sent > 0 && way.received > 0, "{way:?}");
        assert_eq!(way.received + way.lost, way.sent, "{way:?}");
        assert!(way.receive_room > 0 && way.send_calls > 0, "{way:?}");
        assert!(way.send_buffers <= way.sent && way.send_calls <= way.send_buffers);
        assert!(way.receive_calls <= way.receive_buffers, "{way:?}");
    }
    let sum = |count: fn(&OneWay) -> u64| {
        let ways = [both.up, both.down];
        ways.iter().flatten().map(count).sum::<u64>()
    };
    assert_eq!(outcome.sent, sum(|way| way.sent));
    assert_eq!(outcome.replied, sum(|way| way.received));
    assert_eq!(outcome.lost, sum(|way| way.lost));
    (both.up, both.down)
}

#[test]
fn datagrams_go_either_way_over_both_families() {
    for bind in ["127.0.0.1", "::1"] {
        let (_responder, target) = responder(bind);
        for direction in DIRECTIONS {
            for traffic in [
                udp(|stream| stream.direction = direction),
                udp(|stream| (stream.direction, stream.batch) = (direction, 1)),
                udp(|stream| (stream.direction, stream.gso) = (direction, 32)),
                udp(|stream| (stream.direction, stream.gro) = (direction, true)),
                udp(|stream| {
                    (stream.direction, stream.gso, stream.gro) = (direction, 64, true);
                    stream.payload = Bytes(1_000);
                }),
                udp(|stream| (stream.direction, stream.zerocopy) = (direction, true)),
                udp(|stream| (stream.direction, stream.payload) = (direction, Bytes(64_000))),
                paced(direction, 2_000),
            ] {
                let mut job = job(traffic.clone(), target);
                job.warmup = Nanoseconds(10 * MILLISECOND);
                job.duration = Nanoseconds(60 * MILLISECOND);
                let outcome = measure(&job).outcome;
                let context = format!("{traffic:?} over {bind}: {outcome:?}");
                assert!(outcome.failures.is_empty(), "{context}");
                ways(&outcome, direction);
                let flow = outcome.flow.expect(&context);
                assert_eq!((flow.protocol, flow.remote), (Protocol::Udp, target));
                assert!(outcome.window_ns > 0, "{context}");
                let totals = outcome.stream.expect(&context);
                assert_eq!(totals.bytes_up > 0, direction.is_up(), "{context}");
                assert_eq!(totals.bytes_down > 0, direction.is_down(), "{context}");
                assert!(totals.near_cpu_ns > 0 && totals.far_cpu_ns > 0, "{context}");
            }
        }
    }
}

#[test]
fn offloads_show_in_the_number_of_buffers() {
    let (_responder, target) = responder("127.0.0.1");
    for (gso, gro) in [(1, false), (16, false), (16, true)] {
        let traffic = udp(|stream| (stream.gso, stream.gro) = (gso, gro));
        let outcome = measure(&job(traffic, target)).outcome;
        let up = ways(&outcome, Direction::Up).0.unwrap();
        assert_eq!(up.send_buffers, up.sent / u64::from(gso), "{up:?}");
        if gro {
            assert!(up.receive_buffers <= up.received / 8, "{up:?}");
        } else {
            assert!(up.receive_buffers >= up.received, "{up:?}");
        }
    }
}

#[test]
fn delays_are_kept_of_paced_datagrams_alone() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in DIRECTIONS {
        let JobReport {
            outcome,
            histograms,
            ..
        } = measure(&job(paced(direction, 1_000), target));
        let (up, down) = ways(&outcome, direction);
        for (way, kinds) in [
            (up, [Timed::OneWayUp, Timed::PdvUp, Timed::IpdvUp]),
            (down, [Timed::OneWayDown, Timed::PdvDown, Timed::IpdvDown]),
        ] {
            let Some(way) = way else {
                assert!(kinds.iter().all(|kind| !histograms.contains_key(kind)));
                continue;
            };
            assert!(way.one_clock, "both ends are in this process");
            assert_eq!(histograms[&kinds[0]].len(), way.received);
            assert_eq!(histograms[&kinds[1]].len(), way.received);
            assert!(histograms[&kinds[2]].len() < way.received);
            // 100 ms at 1,000/s, as far as the machine could keep up.
            assert!(way.sent + way.unsent >= 98 && way.sent <= 101, "{way:?}");
            assert_eq!(
                histograms[&kinds[1]].min_ns(),
                1,
                "the least delay is the base"
            );
        }
        let sent = up.map_or(0, |way| way.sent) + down.map_or(0, |way| way.sent);
        assert_eq!(histograms[&Timed::Lateness].len(), sent);
    }
    let report = measure(&job(udp(|_| ()), target));
    assert!(report.histograms.is_empty());
}

/// What a relay does to a datagram by its number: which are passed on now, of this one and one held back.
type Behave = fn(u64, &mut Vec<Vec<u8>>, Vec<u8>) -> Vec<Vec<u8>>;

/// Loses every 10th, copies every 10th, and lets every 10th be overtaken by the two after it.
fn mean(number: u64, held: &mut Vec<Vec<u8>>, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    match number % 10 {
        3 => Vec::new(),
        5 => vec![datagram.clone(), datagram],
        6 => {
            held.push(datagram);
            Vec::new()
        }
        8 => {
            let mut both = vec![datagram];
            both.append(held);
            both
        }
        _ => vec![datagram],
    }
}

/// A relay before a responder, for TCP and UDP: the client speaks to it. It lives as long as the test.
fn relay(target: SocketAddr, behave: Behave) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = Arc::new(UdpSocket::bind(address).unwrap());
    thread::spawn(move || {
        for client in tcp.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(target).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut ways: Vec<(SocketAddr, Arc<UdpSocket>, Vec<Vec<u8>>)> = Vec::new();
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            let index = ways
                .iter()
                .position(|way| way.0 == from)
                .unwrap_or_else(|| {
                    let server = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
                    server.connect(target).unwrap();
                    relay_back(Arc::clone(&server), Arc::clone(&udp), from, behave);
                    ways.push((from, server, Vec::new()));
                    ways.len() - 1
                });
            let (_, server, held) = &mut ways[index];
            for datagram in pass(behave, held, buffer[..len].to_vec()) {
                let _ = server.send(&datagram);
            }
        }
    });
    address
}

fn relay_back(server: Arc<UdpSocket>, udp: Arc<UdpSocket>, to: SocketAddr, behave: Behave) {
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut held = Vec::new();
        while let Ok(len) = server.recv(&mut buffer) {
            for datagram in pass(behave, &mut held, buffer[..len].to_vec()) {
                let _ = udp.send_to(&datagram, to);
            }
        }
    });
}

fn pass(behave: Behave, held: &mut Vec<Vec<u8>>, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    match Header::read_from(&datagram) {
        Ok(header) if header.kind == Kind::Stream => behave(header.sequence, held, datagram),
        _ => vec![datagram],
    }
}

#[test]
fn known_loss_copies_and_reordering_are_what_is_counted() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in DIRECTIONS {
        let relay = relay(target, mean);
        let mut job = job(paced(direction, 2_000), relay);
        job.duration = Nanoseconds(300 * MILLISECOND);
        let outcome = measure(&job).outcome;
        let (up, down) = ways(&outcome, direction);
        for way in [up, down].into_iter().flatten() {
            let count = |digit: u64| (0..way.sent).filter(|n| n % 10 == digit).count() as u64;
            // One that is held back waits for the one after next.
            let overtaken = count(8);
            assert_eq!(way.lost, count(3) + count(6) - overtaken, "{way:?}");
            assert_eq!(way.duplicated, count(5), "{way:?}");
            assert_eq!(way.reordered, overtaken, "{way:?}");
            assert_eq!(way.reordered_by_3, 0, "{way:?}");
            let extent = way.extent.unwrap();
            assert_eq!((extent.p50, extent.max), (2, 2), "{way:?}");
            assert_eq!((way.late, way.stray), (0, 0), "{way:?}");
        }
    }
}

#[test]
fn a_stream_that_never_arrives_is_lost_and_said_to_be() {
    let (_responder, target) = responder("127.0.0.1");
    let nothing: Behave = |_, _, _| Vec::new();
    let relay = relay(target, nothing);
    for traffic in [paced(Direction::Up, 1_000), paced(Direction::Down, 1_000)] {
        let outcome = measure(&job(traffic, relay)).outcome;
        assert!(outcome.sent >= 90, "{outcome:?}");
        assert_eq!((outcome.replied, outcome.lost), (0, outcome.sent));
        assert!(
            outcome.failures.is_empty(),
            "the counts came by TCP: {outcome:?}"
        );
    }
}

#[test]
fn garbage_and_forged_datagrams_are_strays() {
    let (_responder, target) = responder("127.0.0.1");
    let garbage: Behave = |number, _, datagram| {
        if number >= 10 {
            return vec![datagram];
        }
        let mut forged = datagram.clone();
        forged[16] ^= 0x80;
        let long = [&datagram[..], &[0; 1_000]].concat();
        vec![
            b"garbage".to_vec(),
            datagram[..40].to_vec(),
            forged,
            long,
            Vec::new(),
            datagram,
        ]
    };
    for direction in [Direction::Up, Direction::Down] {
        let relay = relay(target, garbage);
        let outcome = measure(&job(paced(direction, 1_000), relay)).outcome;
        let (up, down) = ways(&outcome, direction);
        let way = up.or(down).unwrap();
        assert_eq!(way.lost, 0, "{way:?}");
        // An empty datagram holds nothing that could be counted.
        assert_eq!(way.stray, 40, "{way:?}");
    }
}

#[test]
fn bulk_data_goes_either_way_however_it_is_sent() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in DIRECTIONS {
        for (send, receive) in [
            (Sending::Copy, Receiving::Copy),
            (Sending::Zerocopy, Receiving::Copy),
            (Sending::Sendfile, Receiving::Copy),
            (Sending::Copy, Receiving::Truncate),
            (Sending::Sendfile, Receiving::Truncate),
        ] {
            for (flows, payload) in [(1, 128 << 10), (2, 10_000), (1, 7)] {
                let options = TcpOptions {
                    direction,
                    send,
                    receive,
                    ..TcpOptions::default()
                };
                let mut job = job(tcp(flows, payload, options), target);
                job.warmup = Nanoseconds(10 * MILLISECOND);
                job.duration = Nanoseconds(40 * MILLISECOND);
                let outcome = measure(&job).outcome;
                let context = format!("{:?}: {outcome:?}", job.traffic);
                assert!(outcome.failures.is_empty(), "{context}");
                assert!(outcome.replied > 0, "{context}");
                assert_eq!(
                    outcome.bytes_received,
                    outcome.replied * payload,
                    "{context}"
                );
                let totals = outcome.stream.expect(&context);
                assert_eq!(totals.bytes_up > 0, direction.is_up(), "{context}");
                assert_eq!(totals.bytes_down > 0, direction.is_down(), "{context}");
                assert_eq!(totals.bytes_up + totals.bytes_down, outcome.bytes_received);
                assert!(totals.near_cpu_ns > 0 && totals.far_cpu_ns > 0, "{context}");
                let lanes = if direction == Direction::Both { 2 } else { 1 } * flows;
                let mut seen: Vec<u32> = outcome.tcp.iter().map(|sample| sample.flow).collect();
                seen.dedup();
                assert_eq!(seen, (0..lanes).collect::<Vec<_>>(), "{context}");
            }
        }
    }
}

#[test]
fn a_sender_without_room_for_pages_under_way_waits_for_it() {
    const INSIDE: &str = "TOLLGATE_TEST_LITTLE_LOCKED";
    let name = "streams::a_sender_without_room_for_pages_under_way_waits_for_it";
    if std::env::var_os(INSIDE).is_none() {
        // Pages that are sent without a copy are locked; root may lock as many as it wants.
        let limit = "ulimit -l 64; [ $(id -u) != 0 ] || set -- setpriv --bounding-set=-all --inh-caps=-all \"$@\"; \
                     exec \"$@\"";
        let output = Command::new("sh")
            .args(["-c", limit, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let (_responder, target) = responder("127.0.0.1");
    for direction in DIRECTIONS {
        let options = TcpOptions {
            direction,
            send: Sending::Zerocopy,
            ..TcpOptions::default()
        };
        let mut job = job(tcp(2, 32 << 10, options), target);
        job.duration = Nanoseconds(100 * MILLISECOND);
        let outcome = measure(&job).outcome;
        assert!(outcome.failures.is_empty(), "{outcome:?}");
        assert!(outcome.replied > 0, "{outcome:?}");
    }
}

#[test]
fn pacing_and_congestion_control_are_the_sending_ends() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in [Direction::Up, Direction::Down] {
        let options = TcpOptions {
            direction,
            congestion: Some("reno".to_owned()),
            pacing: Some(BitRate(80_000_000)),
            ..TcpOptions::default()
        };
        let mut job = job(tcp(1, 10_000, options), target);
        job.duration = Nanoseconds(500 * MILLISECOND);
        let outcome = measure(&job).outcome;
        // 5 MB at 10 MB/s, and what TCP may send at once at the start; unpaced it would be gigabytes.
        assert!(outcome.bytes_received < 20_000_000, "{outcome:?}");
        assert!(outcome.bytes_received > 1_000_000, "{outcome:?}");
        assert!(outcome.tcp.len() >= 4, "{outcome:?}");
        let acked: Vec<u64> = outcome.tcp.iter().map(|sample| sample.acked).collect();
        assert!(acked.is_sorted(), "{outcome:?}");
        assert!(outcome.tcp.len() <= TcpSample::MOST);
    }
}

#[test]
fn what_an_end_refuses_is_one_line_at_arming() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in [Direction::Up, Direction::Down] {
        let options = TcpOptions {
            direction,
            congestion: Some("nonesuch".to_owned()),
            ..TcpOptions::default()
        };
        let line = job::arm(&job(tcp(2, 100, options), target))
            .unwrap_err()
            .line();
        assert!(line.contains("nonesuch") && line.contains("reno"), "{line}");
        assert_eq!(line.matches("nonesuch").count(), 1, "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn all_faults_of_a_stream_are_named_at_once() {
    let traffic = Traffic::UdpStream(UdpStream {
        payload: Bytes(39),
        rate: Some(Rate(0)),
        batch: 0,
        gso: 65,
        ..UdpStream::default()
    });
    let line = job::arm(&job(traffic, "127.0.0.1:9".parse().unwrap()))
        .unwrap_err()
        .line();
    for part in ["payload is 39 B", "rate is 0/s", "batch is 0", "gso is 65"] {
        assert!(line.contains(part), "{line}");
    }
    let traffic = udp(|stream| (stream.payload, stream.gso) = (Bytes(1_400), 64));
    let line = job::arm(&job(traffic, "127.0.0.1:9".parse().unwrap()))
        .unwrap_err()
        .line();
    assert!(line.contains("make gso 45 or less"), "{line}");
}

#[test]
fn nobody_listening_is_a_failure_and_no_hang() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for direction in DIRECTIONS {
        let options = TcpOptions {
            direction,
            ..TcpOptions::default()
        };
        for traffic in [paced(direction, 100), tcp(1, 100, options)] {
            let outcome = measure(&job(traffic, free)).outcome;
            assert!(outcome.failures[&Failure::Refused] > 0, "{outcome:?}");
            assert_eq!(outcome.bytes_received, 0, "{outcome:?}");
        }
    }
}

#[test]
fn an_abort_ends_a_stream_at_once_and_keeps_what_is_done() {
    let (_responder, target) = responder("127.0.0.1");
    for direction in DIRECTIONS {
        let options = TcpOptions {
            direction,
            ..TcpOptions::default()
        };
        for traffic in [paced(direction, 1_000), tcp(1, 100_000, options)] {
            let mut job = job(traffic.clone(), target);
            job.duration = Nanoseconds(20_000 * MILLISECOND);
            let aborter = Aborter::default();
            let mut armed = job::arm_abortable(&job, &aborter).unwrap();
            let other = aborter.clone();
            let timer = thread::spawn(move || {
                thread::park_timeout(Duration::from_millis(200));
                other.abort();
            });
            let outcome = armed.run().outcome;
            timer.join().unwrap();
            assert!(outcome.window_ns < 5_000 * MILLISECOND, "{traffic:?}");
            assert!(outcome.replied > 0, "{traffic:?}: {outcome:?}");
        }
    }
}

/// Opens an arranged stream by hand and says something; returns what comes back until the end.
fn say(target: SocketAddr, messages: &[&[u8]]) -> Vec<u8> {
    let mut line = TcpStream::connect(target).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mode = Mode::Arranged;
    let _ = line.write_all(&Preamble { mode, size: 64 }.encode());
    for message in messages {
        let _ = line.write_all(message);
    }
    let _ = line.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = line.read_to_end(&mut answer);
    answer
}

fn framed(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn bad_words_end_their_connection_and_no_other() {
    let (responder, target) = responder("127.0.0.1");
    let long = "[".repeat(4_000);
    for message in [
        &u32::MAX.to_be_bytes()[..],
        &0_u32.to_be_bytes(),
        &65_536_u32.to_be_bytes(),
        &framed("null"),
        &framed(&long),
        &framed(r#"{"tell":1}"#),
        &framed(r#"{"bind":{"number":1,"one_clock":true}}"#),
        &framed(r#"{"datagrams":{"stream":{"payload":"64 B"},"clock":null}}"#),
        &framed(r#"{"bulk":{"options":{"direction":"both"},"interval_ns":0}}"#),
        &framed("{\"bulk\":")[..7],
    ] {
        assert!(say(target, &[message]).is_empty());
    }
    // One that agrees, but then doesn't prove its address.
    let stream = serde_json::to_string(&UdpStream {
        payload: Bytes(64),
        direction: Direction::Down,
        ..UdpStream::default()
    });
    let first = framed(&format!(
        r#"{{"datagrams":{{"stream":{},"clock":null}}}}"#,
        stream.unwrap()
    ));
    let mut line = TcpStream::connect(target).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mode = Mode::Arranged;
    line.write_all(&Preamble { mode, size: 64 }.encode())
        .unwrap();
    line.write_all(&first).unwrap();
    let mut answer = [0; 4_096];
    let len = line.read(&mut answer).unwrap();
    let told = String::from_utf8_lossy(&answer[..len]).into_owned();
    assert!(told.contains("open"), "{told}");
    line.write_all(&framed(r#"{"bind":{"number":1,"one_clock":true}}"#))
        .unwrap();
    let len = line.read(&mut answer).unwrap();
    let told = String::from_utf8_lossy(&answer[..len]).into_owned();
    assert!(told.contains("not proven"), "{told}");
    let outcome = measure(&job(paced(Direction::Both, 1_000), target)).outcome;
    ways(&outcome, Direction::Both);
    drop(responder);
}

#[test]
fn whoever_is_not_authorised_is_sent_nothing_from_afar() {
    let bind = "127.0.0.1".parse().unwrap();
    let serve = Serve {
        bind,
        port: 0,
        cpu: None,
        name: None,
        planted: None,
        key: None,
    };
    // Loopback is this machine itself, which may be sent anything.
    let responder = Responder::start_bounded(&serve, 0, false).unwrap();
    let target = SocketAddr::new(bind, responder.port());
    let outcome = measure(&job(paced(Direction::Down, 1_000), target)).outcome;
    ways(&outcome, Direction::Down);
}
