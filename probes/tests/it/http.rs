//! HTTP against real servers (hyper), and against those that do it wrong: counts are exact.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use http_body_util::Full;
use hyper::body::{Bytes as Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsAcceptor;
use tollgate_probes::tls::{self, Identity};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Failure, JobReport, Outcome, Timed};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Connections, Http, HttpVersion, Resource, Traffic, Trust};

use crate::traffic::{MILLISECOND, job, measure, responder};

/// What a server counted.
#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    connections: AtomicU64,
}

/// Answers the request of this number.
type Answer = fn(u64, Request<Incoming>) -> Response<Full<Body>>;

/// Serves by hyper, over TLS where there are protocols to agree on.
fn server(
    version: HttpVersion,
    tls: Option<(&Identity, &[&[u8]])>,
    answer: Answer,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    let acceptor = tls.map(|(identity, protocols)| {
        TlsAcceptor::from(Arc::new(identity.server(protocols).unwrap()))
    });
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                stream.set_nodelay(true).unwrap();
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    match acceptor {
                        None => serve(version, stream, seen, answer).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(version, stream, seen, answer).await;
                            }
                        }
                    }
                });
            }
        });
    });
    (address, seen)
}

async fn serve<S>(version: HttpVersion, stream: S, seen: Arc<Seen>, answer: Answer)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let number = seen.requests.fetch_add(1, Ordering::SeqCst);
        let response = answer(number, request);
        async move { Ok::<_, Infallible>(response) }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is the client's affair.
    match version {
        HttpVersion::Http1 => drop(
            http1::Builder::new()
                .serve_connection(stream, service)
                .await,
        ),
        HttpVersion::Http2 => drop(
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await,
        ),
    }
}

fn plain(status: u16, body: &'static str) -> Response<Full<Body>> {
    let response = Response::builder().status(status);
    response
        .body(Full::new(Body::from_static(body.as_bytes())))
        .unwrap()
}

/// Asks any server for `/x?y`, by its name `localhost`.
fn any(target: SocketAddr, http: Http) -> Http {
    Http {
        resource: Some(Resource {
            authority: format!("localhost:{}", target.port()),
            path: "/x?y".to_owned(),
        }),
        ..http
    }
}

/// Runs for 100 ms without warm-up, so that both ends count the same requests.
fn run(http: &Http, target: SocketAddr) -> JobReport {
    let mut job = job(Traffic::Http(http.clone()), target);
    job.warmup = Nanoseconds(0);
    job.duration = Nanoseconds(100 * MILLISECOND);
    measure(&job)
}

fn kinds() -> Vec<Http> {
    let mut kinds = Vec::new();
    for (connections, parallel, streams, version) in [
        (Connections::Kept, 1, 1, HttpVersion::Http1),
        (Connections::Kept, 16, 1, HttpVersion::Http1),
        (Connections::New, 1, 1, HttpVersion::Http1),
        (Connections::New, 3, 1, HttpVersion::Http1),
        (Connections::Kept, 1, 1, HttpVersion::Http2),
        (Connections::Kept, 3, 4, HttpVersion::Http2),
        (Connections::New, 2, 1, HttpVersion::Http2),
    ] {
        for tls in [None, Some(Trust::Any)] {
            kinds.push(Http {
                parallel,
                streams,
                version,
                tls,
                ..Http::new(connections, Bytes(3_000))
            });
        }
    }
    kinds
}

fn http_of(outcome: &Outcome) -> &tollgate_results::outcome::HttpOutcome {
    outcome.http.as_ref().expect("http is counted")
}

#[test]
fn the_responder_answers_every_kind_and_says_who_it_is() {
    let (_responder, target) = responder("127.0.0.1");
    for http in kinds() {
        let JobReport {
            outcome,
            histograms,
            ..
        } = run(&http, target);
        let context = format!("{http:?} {outcome:?}");
        assert!(outcome.replied > 0, "{context}");
        assert!(outcome.failures.is_empty(), "{context}");
        assert_eq!(outcome.bytes_received, outcome.replied * 3_000, "{context}");
        let counted = http_of(&outcome);
        assert_eq!(
            counted.statuses,
            [(200, outcome.replied)].into(),
            "{context}"
        );
        assert_eq!(counted.backends.len(), 1, "{context}");
        assert_eq!(
            counted.backends.values().sum::<u64>(),
            outcome.replied,
            "{context}"
        );
        assert_eq!(outcome.flow.expect(&context).remote, target);
        let new = http.connections == Connections::New;
        let timed = |timed| histograms.get(&timed).map(Histogram::len);
        let all = Some(outcome.replied);
        for (what, expected) in [
            (Timed::Latency, all),
            (Timed::FirstByte, all),
            (Timed::LastByte, all),
            (Timed::Connect, all.filter(|_| new)),
            (Timed::Tls, all.filter(|_| new && http.tls.is_some())),
        ] {
            assert_eq!(timed(what), expected, "{what:?} {context}");
        }
    }
}

#[test]
fn a_server_sees_as_many_requests_as_are_counted() {
    let identity = Identity::generate(&["localhost"]).unwrap();
    for http in kinds() {
        let secure = http.tls.is_some();
        let tls = secure.then_some((&identity, &[tls::HTTP2, tls::HTTP1][..]));
        let (target, seen) = server(http.version, tls, |_, request| {
            assert_eq!(request.uri().path_and_query().unwrap().as_str(), "/x?y");
            plain(200, "hello")
        });
        // As strict as can be: the name and the certificate must fit.
        let trust = secure.then(|| Trust::Authorities(identity.pem().to_owned()));
        let http = any(target, Http { tls: trust, ..http });
        let outcome = run(&http, target).outcome;
        let context = format!("{http:?} {outcome:?} {seen:?}");
        assert!(outcome.failures.is_empty(), "{context}");
        assert_eq!(
            seen.requests.load(Ordering::SeqCst),
            outcome.sent,
            "{context}"
        );
        assert_eq!(outcome.bytes_received, outcome.replied * 5, "{context}");
        let connections = seen.connections.load(Ordering::SeqCst);
        let expected = match http.connections {
            Connections::Kept => http.parallel.into(),
            Connections::New => outcome.sent,
        };
        assert_eq!(connections, expected, "{context}");
    }
}

#[test]
fn a_weighted_split_and_error_statuses_are_counted() {
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        for parallel in [1, 4] {
            let (target, seen) = server(version, None, |number, _| {
                let status = if number % 5 == 4 { 503 } else { 302 };
                let mut response = plain(status, "");
                let name = if number % 4 == 0 { "light" } else { "heavy" };
                let headers = response.headers_mut();
                headers.insert("location", "/elsewhere".parse().unwrap());
                headers.insert("x-tollgate-backend", name.parse().unwrap());
                response
            });
            let http = Http {
                parallel,
                version,
                ..Http::new(Connections::Kept, Bytes(0))
            };
            let outcome = run(&any(target, http), target).outcome;
            let context = format!("{version:?} {parallel} {outcome:?}");
            let all = seen.requests.load(Ordering::SeqCst);
            let failed = all / 5;
            assert_eq!((outcome.sent, outcome.lost), (all, failed), "{context}");
            assert_eq!(outcome.failures[&Failure::Status], failed, "{context}");
            let counted = http_of(&outcome);
            assert_eq!(
                counted.statuses,
                [(302, all - failed), (503, failed)].into(),
                "{context}"
            );
            // What failed is in no split.
            let light = (0..all).filter(|n| n % 4 == 0 && n % 5 != 4).count() as u64;
            assert_eq!(counted.backends["light"], light, "{context}");
            assert_eq!(counted.backends["heavy"], all - failed - light, "{context}");
            let connections = seen.connections.load(Ordering::SeqCst);
            assert_eq!(
                connections,
                u64::from(parallel),
                "kept after an error: {context}"
            );
        }
    }
}

/// Runs what must fail; returns the cause and the reason.
fn fault(http: Http, target: SocketAddr) -> (Failure, String) {
    let outcome = run(&any(target, http), target).outcome;
    assert_eq!(outcome.replied, 0, "{outcome:?}");
    assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    let cause = *outcome.failures.keys().next().unwrap();
    (cause, http_of(&outcome).fault.clone().unwrap_or_default())
}

#[test]
fn certificates_that_are_not_vouched_for_are_refused() {
    let identity = Identity::generate(&["elsewhere.example"]).unwrap();
    let other = Identity::generate(&["localhost"]).unwrap();
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let (target, seen) = server(
            version,
            Some((&identity, &[tls::HTTP2, tls::HTTP1])),
            |_, _| plain(200, ""),
        );
        for (connections, parallel) in [
            (Connections::Kept, 1),
            (Connections::Kept, 2),
            (Connections::New, 1),
        ] {
            for pem in [identity.pem(), other.pem()] {
                let http = Http {
                    parallel,
                    version,
                    tls: Some(Trust::Authorities(pem.to_owned())),
                    ..Http::new(connections, Bytes(0))
                };
                let (cause, why) = fault(http, target);
                assert_eq!(cause, Failure::Tls, "{why}");
                assert!(
                    why.contains("was not accepted") && why.contains("--ca"),
                    "{why}"
                );
            }
        }
        assert_eq!(seen.requests.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn another_version_is_said_to_be_one() {
    let identity = Identity::generate(&["localhost"]).unwrap();
    let http = |version, tls: Option<Trust>| Http {
        version,
        tls,
        ..Http::new(Connections::Kept, Bytes(0))
    };
    // Over TLS the two don't agree, whoever notices.
    for (served, asked, protocols) in [
        (HttpVersion::Http1, HttpVersion::Http2, &[tls::HTTP1][..]),
        (HttpVersion::Http1, HttpVersion::Http2, &[][..]),
        (HttpVersion::Http2, HttpVersion::Http1, &[tls::HTTP2][..]),
    ] {
        let (target, _) = server(served, Some((&identity, protocols)), |_, _| plain(200, ""));
        let (cause, why) = fault(http(asked, Some(Trust::Any)), target);
        assert_eq!(cause, Failure::Version, "{why}");
        assert!(why.contains("ALPN") && why.contains("--version"), "{why}");
    }
    // In plain text the answer shows it.
    let target = by_hand(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let (cause, why) = fault(http(HttpVersion::Http2, None), target);
    assert_eq!(cause, Failure::Version, "{why}");
    assert!(why.contains("HTTP/1"), "{why}");
    // A server without TLS.
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let (cause, why) = fault(http(version, Some(Trust::Any)), target);
        assert_eq!(cause, Failure::Tls, "{why}");
        assert!(why.contains("http://"), "{why}");
    }
}

/// Answers each request of a connection with this, by hand.
fn by_hand(answer: fn(u64, &mut TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in (0..).zip(listener.incoming().flatten()) {
            thread::spawn(move || {
                let mut stream = stream;
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    answer(number, &mut stream);
                }
            });
        }
    });
    address
}

fn kept(parallel: u32) -> Http {
    Http {
        parallel,
        ..Http::new(Connections::Kept, Bytes(0))
    }
}

#[test]
fn bodies_in_chunks_and_until_the_end_are_counted() {
    for parallel in [1, 3] {
        let target = by_hand(|_, stream| {
            let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n";
            for piece in text.as_bytes().chunks(11) {
                let _ = stream.write_all(piece);
            }
        });
        let outcome = run(&any(target, kept(parallel)), target).outcome;
        assert!(outcome.replied > 0 && outcome.lost == 0, "{outcome:?}");
        assert_eq!(outcome.bytes_received, outcome.replied * 7);
        let target = by_hand(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
            let _ = stream.shutdown(std::net::Shutdown::Write);
        });
        let outcome = run(&any(target, kept(parallel)), target).outcome;
        assert!(outcome.replied > 0 && outcome.lost == 0, "{outcome:?}");
        assert_eq!(outcome.bytes_received, outcome.replied * 13);
    }
}

#[test]
fn one_connection_that_is_slow_holds_no_other_up() {
    let target = by_hand(|number, stream| {
        if number != 1 {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    let outcome = run(&any(target, kept(4)), target).outcome;
    assert!(outcome.replied > 30, "{outcome:?}");
    assert_eq!(
        outcome.failures,
        [(Failure::TimedOut, 1)].into(),
        "{outcome:?}"
    );
}

#[test]
fn many_connections_meet_garbage_as_one_does() {
    let garbage = by_hand(|_, stream| drop(stream.write_all(&[0xA5; 9_000])));
    let more = by_hand(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    });
    let half = by_hand(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConte");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let endless = by_hand(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"A: b\r\n").is_ok() {}
    });
    for (target, cause) in [
        (garbage, Failure::Malformed),
        (more, Failure::Malformed),
        (half, Failure::Reset),
        (endless, Failure::Malformed),
    ] {
        for parallel in [1, 3] {
            let outcome = run(&any(target, kept(parallel)), target).outcome;
            assert_eq!(
                outcome.failures,
                [(cause, outcome.sent)].into(),
                "{outcome:?}"
            );
            assert!(outcome.sent <= 40, "a busy loop: {outcome:?}");
        }
    }
    let http = Http {
        version: HttpVersion::Http2,
        ..kept(1)
    };
    let outcome = run(&any(garbage, http), garbage).outcome;
    assert!(outcome.replied == 0 && outcome.lost > 0, "{outcome:?}");
    assert!(outcome.sent <= 40, "a busy loop: {outcome:?}");
}
