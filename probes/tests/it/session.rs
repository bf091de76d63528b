//! A responder with a key: who has it is answered as ever, everybody else not at all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use tollgate_probes::job;
use tollgate_probes::responder::Responder;
use tollgate_probes::session::{Key, Message, Step};
use tollgate_probes::wire::{Header, Kind};
use tollgate_results::agent::{Job, Serve};
use tollgate_results::door::Secret;
use tollgate_results::stream::{Direction, UdpStream};
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Connections, Http, Traffic};

use crate::traffic::job;

const KEY: [u8; 32] = [3; 32];

fn responder() -> (Responder, SocketAddr) {
    responder_on(Ipv4Addr::LOCALHOST)
}

fn responder_on(bind: Ipv4Addr) -> (Responder, SocketAddr) {
    let bind = bind.into();
    let serve = Serve {
        bind,
        port: 0,
        cpu: None,
        name: None,
        planted: None,
        key: Some(Secret::new(KEY)),
    };
    let responder = Responder::start(&serve).unwrap();
    let address = SocketAddr::new(bind, responder.port());
    (responder, address)
}

fn keyed(traffic: Traffic, target: SocketAddr, key: [u8; 32]) -> Job {
    Job {
        key: Some(Secret::new(key)),
        ..job(traffic, target)
    }
}

fn traffics() -> [Traffic; 4] {
    let (payload, timeout) = (Bytes(64), Nanoseconds(200_000_000));
    [
        Traffic::TcpRr { payload },
        Traffic::UdpRr { payload, timeout },
        Traffic::UdpStream(UdpStream {
            payload,
            direction: Direction::Both,
            rate: Some(Rate(1_000)),
            ..UdpStream::default()
        }),
        Traffic::Http(Http::new(Connections::Kept, payload)),
    ]
}

/// A socket that waits a moment for answers.
fn socket(target: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(target).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    socket
}

fn is_silent(socket: &UdpSocket) -> bool {
    let waited = socket.recv(&mut [0; 2048]);
    waited.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn who_has_the_key_is_answered() {
    let (responder, target) = responder();
    for traffic in traffics() {
        let report = job::arm(&keyed(traffic, target, KEY)).unwrap().run();
        assert!(report.outcome.replied > 0);
        assert_eq!(report.outcome.lost, 0);
    }
    assert_eq!(responder.ignored().datagrams, 0);
}

/// The route to loopback would choose 127.0.0.1, which nobody asked.
#[test]
fn a_responder_on_all_addresses_answers_from_the_one_that_was_asked() {
    let (responder, address) = responder_on(Ipv4Addr::UNSPECIFIED);
    let asked = Ipv4Addr::new(127, 0, 0, 2).into();
    for traffic in traffics() {
        let target = SocketAddr::new(asked, address.port());
        let report = job::arm(&keyed(traffic, target, KEY)).unwrap().run();
        assert!(report.outcome.replied > 0);
        assert_eq!(report.outcome.lost, 0);
    }
    let answered = responder.answered();
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!(answered[0].address, asked);
    assert!(answered[0].connections >= 3 && answered[0].datagrams > 0);
}

#[test]
fn who_has_another_key_is_told_nothing() {
    let (responder, target) = responder();
    let [traffic, ..] = traffics();
    let line = job::arm(&keyed(traffic, target, [4; 32]))
        .unwrap_err()
        .line();
    assert!(
        line.contains("let in") && line.contains("firewall"),
        "{line}"
    );
    assert!(responder.ignored().datagrams > 0);
}

#[test]
fn strangers_get_not_one_byte() {
    let (responder, target) = responder();
    let key = Key::new(&Secret::new(KEY));
    let socket = socket(target);
    let mut request = [0; 64];
    let (kind, token, sequence) = (Kind::Request, 1, 1);
    Header {
        kind,
        token,
        sequence,
    }
    .write_to(&mut request);
    let valid = |step| {
        let (number, cookie) = ([1; 16], [0; 16]);
        Message {
            step,
            number,
            cookie,
        }
        .encode(&key)
    };
    let hello = valid(Step::Hello);
    let long = [&hello[..], &[0; 1000]].concat();
    // A proof without its cookie, and what only a responder sends.
    let others = [Step::Proof, Step::Challenge, Step::Welcome].map(valid);
    let strange = [&request[..], b"TLGS", b"", &hello[..63], &long, &[0; 9000]];
    for bytes in strange
        .into_iter()
        .chain(others.iter().map(|bytes| &bytes[..]))
    {
        socket.send(bytes).unwrap();
        assert!(is_silent(&socket), "{bytes:?} was answered");
    }
    for bytes in [&b"GET /bytes/64 HTTP/1.1\r\n\r\n"[..], b"TLGT"] {
        let mut stream = TcpStream::connect(target).unwrap();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert!(responder.ignored().datagrams >= 8);
    assert_eq!(responder.ignored().connections, 2);
}

#[test]
fn an_answer_is_never_longer_than_what_came() {
    let (_responder, target) = responder();
    let key = Key::new(&Secret::new(KEY));
    let socket = socket(target);
    let hello = Message {
        step: Step::Hello,
        number: [9; 16],
        cookie: [0; 16],
    };
    let sent = hello.encode(&key);
    socket.send(&sent).unwrap();
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(len, sent.len());
    let challenge = Message::decode(&buffer[..len], &key).unwrap();
    assert_eq!(
        (challenge.step, challenge.number),
        (Step::Challenge, [9; 16])
    );
    // The challenge of one socket is no use to another.
    let other = super::session::socket(target);
    let proof = Message {
        step: Step::Proof,
        ..challenge
    };
    other.send(&proof.encode(&key)).unwrap();
    assert!(is_silent(&other));
}

#[test]
fn a_thousand_unfinished_handshakes_keep_nobody_out() {
    let (_responder, target) = responder();
    let key = Key::new(&Secret::new(KEY));
    for number in 0..1_000_u16 {
        let mut hello = Message {
            step: Step::Hello,
            number: [0; 16],
            cookie: [0; 16],
        };
        hello.number[..2].copy_from_slice(&number.to_be_bytes());
        let peer = socket(target);
        peer.send(&hello.encode(&key)).unwrap();
    }
    for traffic in traffics() {
        let report = job::arm(&keyed(traffic, target, KEY)).unwrap().run();
        assert!(report.outcome.replied > 0);
    }
}
