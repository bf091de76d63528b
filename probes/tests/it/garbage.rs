//! Peers that answer garbage, half a message, nothing, or close: data in the outcome, in time, never an error.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;

use socket2::{Domain, SockRef, Socket, Type};
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_results::outcome::{Failure, Outcome};
use tollgate_results::workload::{Close, Connections, Traffic};

use crate::traffic::{MILLISECOND, http, job, measure, tcp_crr, tcp_rr, tcp_stream, udp_rr};

/// Longest time that a job may take beyond its window of 100 ms; twice what is promised.
const IN_TIME: u64 = 4_000 * MILLISECOND;

/// Serves every connection with `behave`, for as long as the test runs.
fn peer(behave: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || behave(stream));
        }
    });
    address
}

/// Runs a job that gets no reply; returns what it counted.
fn fruitless(traffic: &Traffic, target: SocketAddr) -> Outcome {
    let before = Monotonic.now();
    let outcome = measure(&job(traffic.clone(), target)).outcome;
    let took = Monotonic.now().since(before);
    assert!(took < IN_TIME, "{took} ns: {traffic:?} {outcome:?}");
    assert_eq!(outcome.replied, 0, "{traffic:?} {outcome:?}");
    assert!(outcome.lost > 0, "{traffic:?} {outcome:?}");
    assert!(outcome.lost <= 25, "a busy loop: {traffic:?} {outcome:?}");
    assert_eq!(outcome.bytes_received, 0, "{traffic:?} {outcome:?}");
    outcome
}

fn exchanges() -> [Traffic; 5] {
    [
        tcp_rr(64),
        tcp_crr(64, Close::Rst),
        tcp_crr(64, Close::Fin),
        http(Connections::Kept, 64),
        http(Connections::New, 64),
    ]
}

/// Runs several jobs at a time, since each takes seconds.
fn all_time_out(traffic: &[Traffic], target: SocketAddr) {
    thread::scope(|scope| {
        for traffic in traffic {
            scope.spawn(move || {
                let outcome = fruitless(traffic, target);
                assert_eq!(
                    outcome.failures[&Failure::TimedOut],
                    outcome.lost,
                    "{traffic:?}"
                );
            });
        }
    });
}

fn read_some(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 8192]);
}

#[test]
fn garbage_is_malformed() {
    let target = peer(|mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(&vec![0xA5; 100_000]);
        read_some(&mut stream);
    });
    for traffic in exchanges() {
        let outcome = fruitless(&traffic, target);
        assert_eq!(outcome.failures[&Failure::Malformed], outcome.lost);
    }
    let outcome = fruitless_stream(target);
    assert!(!outcome.failures.is_empty());
}

#[test]
fn http_that_is_not_what_was_asked_for_is_malformed() {
    let answers: [fn(TcpStream); 3] = [
        |stream| answer(stream, "200 OK\r\nContent-Length: 63"),
        |stream| {
            answer(
                stream,
                "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0",
            );
        },
        |stream| answer(stream, "200 OK\r\nContent-Length: 18446744073709551615"),
    ];
    for behave in answers {
        let target = peer(behave);
        let outcome = fruitless(&http(Connections::Kept, 64), target);
        assert_eq!(outcome.failures[&Failure::Malformed], outcome.lost);
    }
}

fn answer(mut stream: TcpStream, head: &str) {
    read_some(&mut stream);
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
    read_some(&mut stream);
}

#[test]
fn half_a_reply_and_then_the_end_is_a_reset() {
    let target = peer(|mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConte");
    });
    for traffic in exchanges() {
        let outcome = fruitless(&traffic, target);
        assert_eq!(
            outcome.failures[&Failure::Reset],
            outcome.lost,
            "{traffic:?}"
        );
    }
}

#[test]
fn half_a_reply_and_then_nothing_times_out() {
    let target = peer(|mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConte");
        read_some(&mut stream);
    });
    all_time_out(&exchanges(), target);
}

#[test]
fn closing_and_resetting_at_once_is_a_reset() {
    let closing = peer(drop);
    let resetting = peer(|stream| {
        let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    });
    for target in [closing, resetting] {
        for traffic in exchanges() {
            let outcome = fruitless(&traffic, target);
            assert_eq!(
                outcome.failures[&Failure::Reset],
                outcome.lost,
                "{traffic:?}"
            );
        }
        let outcome = fruitless_stream(target);
        assert!(outcome.failures[&Failure::Reset] > 0, "{outcome:?}");
    }
}

/// A stream may write a lot before it learns that nobody reads.
fn fruitless_stream(target: SocketAddr) -> Outcome {
    let outcome = measure(&job(tcp_stream(1, 1000), target)).outcome;
    assert_eq!(
        (outcome.replied, outcome.bytes_received),
        (0, 0),
        "{outcome:?}"
    );
    outcome
}

#[test]
fn a_refusing_port_is_refused() {
    let target = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for traffic in exchanges()
        .into_iter()
        .chain([tcp_stream(2, 10), udp_rr(64, 100)])
    {
        let outcome = fruitless(&traffic, target);
        assert_eq!(
            outcome.failures[&Failure::Refused],
            outcome.lost,
            "{traffic:?}"
        );
    }
}

#[test]
fn a_target_that_drops_every_syn_ends_in_time() {
    // A queue of one that is full: further SYNs are dropped.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let target = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = std::time::Duration::from_millis(50);
    let full: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&target, wait))
        .collect();
    assert!(full.iter().any(Result::is_err), "the queue never fills");
    all_time_out(&exchanges(), target);
    all_time_out(&[tcp_stream(2, 10)], target);
}

#[test]
fn a_silent_udp_target_loses_all_at_the_rate_of_the_time_out() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    let outcome = fruitless(&udp_rr(64, 10), target);
    assert_eq!(outcome.failures[&Failure::TimedOut], outcome.lost);
    assert!((4..=11).contains(&outcome.lost), "{outcome:?}");
}

#[test]
fn a_stream_that_nobody_confirms_counts_nothing() {
    let target = peer(|mut stream| {
        let mut buffer = [0; 8192];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let outcome = fruitless_stream(target);
    assert!(outcome.lost > 0);
    assert_eq!(outcome.failures[&Failure::TimedOut], 1);
}

#[test]
fn a_confirmation_of_more_than_was_sent_is_malformed() {
    let target = peer(|mut stream| {
        let mut buffer = [0; 8192];
        loop {
            match stream.read(&mut buffer) {
                Ok(1..) => {}
                _ => return,
            }
            if buffer.contains(&1) && stream.write_all(&[0xFF; 8]).is_err() {
                return;
            }
        }
    });
    let outcome = fruitless_stream(target);
    assert!(outcome.failures[&Failure::Malformed] > 0, "{outcome:?}");
}

/// Stops the child that a test started.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_thousand_silent_connections_block_nobody() {
    // A process of its own: the descriptors of both ends are too many for one.
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("tollgate-probe"))
        .args(["serve", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let _serving = Serving(child);
    let port = serde_json::from_str::<serde_json::Value>(&line).unwrap()["port"].clone();
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    // Fewer where the machine allows fewer descriptors.
    let silent: Vec<TcpStream> = (0..1000)
        .map_while(|_| TcpStream::connect(target).ok())
        .collect();
    assert!(silent.len() >= 900, "{}", silent.len());
    for traffic in exchanges()
        .into_iter()
        .chain([tcp_stream(1, 1000), udp_rr(64, 1000)])
    {
        let outcome = measure(&job(traffic.clone(), target)).outcome;
        assert!(outcome.replied > 0, "{traffic:?} {outcome:?}");
        assert_eq!(outcome.lost, 0, "{traffic:?} {outcome:?}");
    }
}

/// A far end of another version, which answers as every version does.
#[test]
fn a_far_end_of_another_version_is_said_to_be_one() {
    let target = peer(|mut stream| {
        read_some(&mut stream);
        let _ = stream.write_all(b"TLGT\0\0\0\x63");
    });
    for traffic in [tcp_rr(64), tcp_crr(64, Close::Rst), tcp_rr(8)] {
        let outcome = fruitless(&traffic, target);
        assert_eq!(outcome.failures[&Failure::Version], outcome.lost);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            buffer[7] = 0x63;
            buffer[8] = 2;
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    let outcome = fruitless(&udp_rr(64, 1_000), target);
    assert_eq!(outcome.failures[&Failure::Version], outcome.lost);
}
