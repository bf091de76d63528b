use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::*;
use crate::clock::{Clock as _, Monotonic};
use crate::wire::{Header, Kind, Mode, PREAMBLE_LEN, Preamble};

const MILLISECOND: u64 = 1_000_000;

/// Deadlines short enough for a test.
fn impatient() -> Limits {
    Limits {
        turn_ns: 20 * MILLISECOND,
        greeting_ns: 100 * MILLISECOND,
        idle_ns: 200 * MILLISECOND,
        ..Limits::default()
    }
}

fn on(bind: IpAddr) -> Serve {
    Serve {
        bind,
        port: 0,
        cpu: None,
        name: None,
        planted: None,
        key: None,
    }
}

fn start(limits: Limits) -> (Responder, SocketAddr) {
    let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let responder = Responder::start_limited(&on(bind), limits).unwrap();
    let address = SocketAddr::new(bind, responder.port());
    (responder, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let long = Duration::from_secs(5);
    stream.set_read_timeout(Some(long)).unwrap();
    stream.set_write_timeout(Some(long)).unwrap();
    stream
}

fn greeting(mode: Mode, size: u32) -> [u8; PREAMBLE_LEN] {
    Preamble { mode, size }.encode()
}

/// Returns what the responder sends until it closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // A reset is a way to close: there was more to read for the responder.
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    bytes
}

#[test]
fn requests_in_one_piece_and_in_many_are_answered() {
    let (_responder, address) = start(Limits::default());
    let mut stream = connect(address);
    let mut first = greeting(Mode::RequestResponse, 4).to_vec();
    // Three requests with the preamble, the third one cut.
    first.extend_from_slice(b"onE.twO.th");
    stream.write_all(&first).unwrap();
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"onE.twO.");
    for byte in b"r3" {
        stream.write_all(&[*byte]).unwrap();
    }
    stream.read_exact(&mut reply[..4]).unwrap();
    assert_eq!(&reply[..4], b"thr3");
}

#[test]
fn a_large_reply_has_the_size_and_the_start_of_its_request() {
    let (_responder, address) = start(Limits::default());
    let mut stream = connect(address);
    let size = 200_000;
    let request: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[0] ^ 0x55).collect();
    stream
        .write_all(&greeting(Mode::RequestResponse, size))
        .unwrap();
    for _ in 0..3 {
        stream.write_all(&request).unwrap();
        let mut reply = vec![0; request.len()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..crate::wire::ECHOED], request[..crate::wire::ECHOED]);
    }
}

#[test]
fn a_wrong_preamble_closes_the_connection_at_once_and_is_counted() {
    let (responder, address) = start(Limits::default());
    let good = greeting(Mode::RequestResponse, 64);
    let mut version = good;
    version[7] = 9;
    let mut mode = good;
    mode[8] = 99;
    let sizes = [0, u32::MAX, 1 << 21].map(|size| greeting(Mode::Stream, size).to_vec());
    let mut stream = connect(address);
    stream.write_all(&version).unwrap();
    assert_eq!(rest(stream), Preamble::refusal(), "it says its own version");
    let mut bad = vec![mode.to_vec(), vec![0xFF; 70_000]];
    bad.push(b"POST / HTTP/1.1\r\n\r\n".to_vec());
    bad.extend(sizes);
    for bytes in &bad {
        let before = Monotonic.now();
        let mut stream = connect(address);
        // The responder may have closed before all of it is written.
        let _ = stream.write_all(bytes);
        assert_eq!(rest(stream), b"");
        let took = Monotonic.now().since(before);
        assert!(took < 4_000 * MILLISECOND, "not at once: {took} ns");
    }
    assert_eq!(responder.ignored().connections, bad.len() as u64 + 1);
}

#[test]
fn silent_and_dribbling_peers_are_closed_in_time() {
    let (_responder, address) = start(impatient());
    // Nothing at all.
    let silent = connect(address);
    // A greeting that never ends.
    let mut slow = connect(address);
    slow.write_all(b"TLG").unwrap();
    // A request that never ends.
    let mut half = connect(address);
    half.write_all(&greeting(Mode::RequestResponse, 64))
        .unwrap();
    half.write_all(&[0; 10]).unwrap();
    // A head that never ends.
    let mut head = connect(address);
    head.write_all(b"GET / HT").unwrap();
    for stream in [silent, slow, half, head] {
        assert_eq!(rest(stream), b"");
    }
    // Byte after byte, each in time, but not all of them together.
    let mut dribble = connect(address);
    dribble
        .write_all(&greeting(Mode::RequestResponse, 1000))
        .unwrap();
    let closed = (0..1000).any(|_| {
        Monotonic.wait_until(Monotonic.now().plus(10 * MILLISECOND));
        dribble.write_all(&[0]).is_err()
    });
    assert!(closed);
}

#[test]
fn a_thousand_half_open_peers_keep_nobody_out() {
    // Both ends of every connection are here.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(4096)), hard).unwrap();
    let (responder, address) = start(Limits::default());
    let started: [&[u8]; 4] = [
        b"",
        b"TLG",
        b"GET / HT",
        &[&greeting(Mode::RequestResponse, 64)[..], &[0; 10]].concat(),
    ];
    let peers = (0..1_000).map(|number| {
        let mut peer = connect(address);
        peer.write_all(started[number % started.len()]).unwrap();
        peer
    });
    let peers: Vec<TcpStream> = peers.collect();
    let mut client = connect(address);
    client
        .write_all(&greeting(Mode::RequestResponse, 8))
        .unwrap();
    for request in 0..100_u64 {
        client.write_all(&request.to_be_bytes()).unwrap();
        let mut reply = [0; 8];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(reply, request.to_be_bytes());
    }
    // They were there all the time, each with a thread that waits for it.
    assert!(responder.thread_ids().len() > peers.len());
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (responder, address) = start(impatient());
    let mut stream = connect(address);
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    stream
        .write_all(&greeting(Mode::RequestResponse, 64))
        .unwrap();
    let block = vec![0; 64 * 1024];
    let closed = (0..1_000_000).any(|_| stream.write_all(&block).is_err());
    assert!(closed);
    // Nobody else was held up.
    let mut other = connect(address);
    let mut request = greeting(Mode::RequestResponse, 1).to_vec();
    request.push(7);
    other.write_all(&request).unwrap();
    other.read_exact(&mut [0; 1]).unwrap();
    drop(responder);
}

#[test]
fn a_stream_is_counted_and_never_answered_with_more_than_it_sent() {
    let (_responder, address) = start(Limits::default());
    let mut stream = connect(address);
    stream.write_all(&greeting(Mode::Stream, 1000)).unwrap();
    let mut blocks = vec![0; 10_000];
    blocks[9_000] = 1;
    stream.write_all(&blocks).unwrap();
    let mut count = [0; 8];
    stream.read_exact(&mut count).unwrap();
    assert_eq!(u64::from_be_bytes(count), 10_000);
    // Blocks of one byte that all ask: 8 bytes for each would be more than what came.
    let mut stream = connect(address);
    stream.write_all(&greeting(Mode::Stream, 1)).unwrap();
    let mut sent = PREAMBLE_LEN;
    while stream.write_all(&[1]).is_ok() && sent < 1000 {
        sent += 1;
        Monotonic.wait_until(Monotonic.now().plus(MILLISECOND));
    }
    assert!(rest(stream).len() <= sent);
    assert!(sent < 1000, "it was never cut off");
}

#[test]
fn http_is_answered_pipelined_and_bounded() {
    let (_responder, address) = start(Limits::default());
    let mut stream = connect(address);
    let text =
        "GET /bytes/3 HTTP/1.1\r\n\r\nGET /bytes/70000 HTTP/1.1\r\n\r\nGET /never HTTP/1.1\r\n\r\n";
    stream.write_all(text.as_bytes()).unwrap();
    let reply = String::from_utf8(rest(stream)).unwrap();
    let (first, second) = reply.split_once("...").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    assert!(first.contains("\r\nContent-Length: 3\r\n"), "{first}");
    assert!(first.contains("\r\nx-tollgate-backend: "), "{first}");
    assert!(second.starts_with("HTTP/1.1 403 "), "{second}");
    assert!(!second.contains("404"), "a refusal ends the connection");
}

#[test]
fn an_authorised_session_may_ask_for_more() {
    let responder = Responder::start(&on(Ipv4Addr::LOCALHOST.into())).unwrap();
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], responder.port())));
    stream
        .write_all(b"GET /bytes/1048576 HTTP/1.0\r\n\r\n")
        .unwrap();
    let reply = rest(stream);
    assert!(reply.starts_with(b"HTTP/1.1 200"));
    assert!(reply.len() > 1_048_576 && reply.len() < 1_048_576 + 256);
}

#[test]
fn only_whole_requests_of_this_version_are_echoed() {
    let (responder, address) = start(Limits::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let header = Header {
        kind: Kind::Request,
        token: 1,
        sequence: 2,
    };
    let mut good = [0xAA; 100];
    header.write_to(&mut good);
    let mut reply = good;
    Header::turn(&mut reply);
    let mut version = good;
    version[7] += 1;
    let mut refused = version;
    assert!(Header::refuse(&mut refused));
    socket.send(&version).unwrap();
    let mut said = [0; 200];
    let len = socket.recv(&mut said).unwrap();
    assert_eq!(said[..len], refused, "it says its own version");
    let bad: [&[u8]; 6] = [b"", b"hello", &good[..32], &good[..99], &reply, &refused];
    for datagram in bad {
        socket.send(datagram).unwrap();
        assert!(socket.recv(&mut [0; 200]).is_err(), "{datagram:?}");
    }
    assert_eq!(responder.ignored().datagrams, bad.len() as u64 + 1);
    socket.send(&good).unwrap();
    let mut buffer = [0; 200];
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..len], reply);
}

#[test]
fn dropping_ends_every_thread_whatever_it_waits_for() {
    let (responder, address) = start(Limits::default());
    let silent: Vec<TcpStream> = (0..20).map(|_| connect(address)).collect();
    let mut busy = connect(address);
    busy.write_all(&greeting(Mode::RequestResponse, 1)).unwrap();
    while responder.thread_ids().len() < 22 {
        Monotonic.wait_until(Monotonic.now().plus(MILLISECOND));
    }
    let before = Monotonic.now();
    drop(responder);
    let took = Monotonic.now().since(before);
    assert!(took < 900 * MILLISECOND, "waited for a deadline: {took} ns");
    for stream in silent {
        assert_eq!(rest(stream), b"");
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn threads_are_added_for_connections_and_kept() {
    let (responder, address) = start(Limits::default());
    let first = responder.thread_ids();
    let connections: Vec<TcpStream> = (0..5).map(|_| connect(address)).collect();
    while responder.thread_ids().len() < first.len() + 5 {
        Monotonic.wait_until(Monotonic.now().plus(MILLISECOND));
    }
    drop(connections);
    let ids = responder.thread_ids();
    assert!(first.iter().all(|id| ids.contains(id)));
}

#[test]
fn one_port_serves_both_families_when_bound_to_all() {
    let responder = Responder::start(&on(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED))).unwrap();
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        let mut stream = connect(SocketAddr::new(ip, responder.port()));
        stream
            .write_all(b"GET /bytes/0 HTTP/1.1\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert!(rest(stream).starts_with(b"HTTP/1.1 200"), "{ip}");
    }
}

#[test]
fn a_datagram_is_answered_from_the_address_that_was_asked() {
    let every_address = [
        // The route to loopback would choose 127.0.0.1.
        ("0.0.0.0", "127.0.0.2", "127.0.0.1:0"),
        ("::", "127.0.0.3", "127.0.0.1:0"),
        ("::", "::1", "[::1]:0"),
    ];
    for (bind, asked, client) in every_address {
        let responder = Responder::start(&on(bind.parse().unwrap())).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), responder.port());
        let socket = UdpSocket::bind(client).unwrap();
        let mut stream = connect(asked);
        stream
            .write_all(b"GET /bytes/0 HTTP/1.1\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert!(rest(stream).starts_with(b"HTTP/1.1 200"));
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        // Both with and without the time at the far end, which has the kernel say more.
        for (sequence, kind) in [
            (1, Kind::Request),
            (2, Kind::StampedRequest),
            (3, Kind::Request),
        ] {
            let mut request = [0; 64];
            let header = Header {
                kind,
                token: 7,
                sequence,
            };
            header.write_to(&mut request);
            socket.send_to(&request, asked).unwrap();
            let mut reply = [0; 65];
            let (len, from) = socket.recv_from(&mut reply).unwrap();
            assert_eq!(from, asked, "bound to {bind}");
            let header = Header::read_from(&reply[..len]).unwrap();
            assert_eq!((header.kind, header.sequence), (Kind::Reply, sequence));
        }
        let expected = Answered {
            address: asked.ip(),
            connections: 1,
            datagrams: 3,
        };
        assert_eq!(responder.answered(), [expected], "bound to {bind}");
    }
}

#[test]
fn silent_peers_of_http2_and_tls_are_closed_and_hold_nobody_up() {
    let (responder, address) = start(impatient());
    // A handshake that never ends, and one that is garbage.
    let mut half = connect(address);
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    let mut garbage = connect(address);
    garbage.write_all(&[0x16, 3, 3, 0, 4, 9, 9, 9, 9]).unwrap();
    // A connection without a request, one with garbage after its beginning.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut idle = connect(address);
    idle.write_all(preface).unwrap();
    let mut after = connect(address);
    after.write_all(preface).unwrap();
    after.write_all(&[0xA5; 5_000]).unwrap();
    for stream in [half, garbage, idle, after] {
        let before = Monotonic.now();
        let said = rest(stream);
        assert!(said.len() < 100, "{said:?}");
        let took = Monotonic.now().since(before);
        assert!(took < 4_000 * MILLISECOND, "not in time: {took} ns");
    }
    // One thread serves them all, and ends with the responder.
    let mut idle = connect(address);
    idle.write_all(preface).unwrap();
    let mut stream = connect(address);
    stream.write_all(b"GET /bytes/1 HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(stream).starts_with(b"HTTP/1.1 200"));
    drop(responder);
    assert!(rest(idle).len() < 100);
}

#[test]
fn a_name_is_said_and_checked() {
    let named = |name: &str| {
        let serve = Serve {
            name: Some(name.to_owned()),
            ..on(IpAddr::V4(Ipv4Addr::LOCALHOST))
        };
        Responder::start(&serve)
    };
    let responder = named("pod-7.b").unwrap();
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], responder.port())));
    stream.write_all(b"GET /nothing HTTP/1.0\r\n\r\n").unwrap();
    let reply = String::from_utf8(rest(stream)).unwrap();
    assert!(reply.contains("x-tollgate-backend: pod-7.b\r\n"), "{reply}");
    for name in ["", "a b", "a\r\nb", &"x".repeat(65)] {
        let line = named(name).unwrap_err().line();
        assert!(line.contains("1 to 64"), "{line}");
    }
}
