//! HTTP/2, and HTTP over TLS: one thread with a runtime of its own serves them all.
//!
//! A connection comes here with the bytes by which it was recognised. Each has a time for its TLS handshake and for
//! its first request, and one from response to response; a peer that takes longer is closed and holds nobody up.
//! The thread starts, and makes its certificate, with the first such connection.

mod answer;

use std::cell::Cell;
use std::future::Future;
use std::io::Cursor;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use self::answer::Answers;
use super::http::{MAX_HEAD, MAX_HEADERS};
use super::{Limits, MAX_CONNECTIONS};
use crate::error::ProbeError;
use crate::thread::{self, Started};
use crate::tls::{self, Identity};

/// Most requests under way on a connection of HTTP/2.
const MAX_STREAMS: u32 = 256;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// TLS, and in it what ALPN says.
    Tls,
    /// HTTP/2 in plain text.
    Http2,
}

/// A connection, and what was read of it.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    pub(super) read: Vec<u8>,
    pub(super) speech: Speech,
}

/// The thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Web {
    /// `None` once it is to end.
    guests: Option<UnboundedSender<Guest>>,
    started: Option<Started>,
}

impl Web {
    /// Starts to serve under this name.
    pub(super) fn start(cpu: Option<u32>, limits: Limits, name: &str) -> Result<Self, ProbeError> {
        let identity = Identity::generate(&["localhost", "127.0.0.1", "::1"])?;
        let config = Arc::new(identity.server(&[tls::HTTP2, tls::HTTP1])?);
        let refused = |error| {
            let mend = "raise the limit on open files (ulimit -n)";
            ProbeError::refused("start to answer HTTP/2 and TLS", error, mend)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused)?;
        let (guests, arrivals) = mpsc::unbounded_channel();
        let name = name.to_owned();
        let started = thread::spawn("tg-web", cpu, move || {
            let house = Rc::new(House {
                acceptor: TlsAcceptor::from(config),
                answers: Answers::new(&name, &limits),
                limits,
                present: Cell::new(0),
            });
            let local = LocalSet::new();
            local.block_on(&runtime, house.welcome(arrivals));
        })?;
        Ok(Self {
            guests: Some(guests),
            started: Some(started),
        })
    }

    pub(super) fn tid(&self) -> Option<i32> {
        self.started.as_ref().map(|started| started.tid)
    }

    /// Hands a connection over.
    pub(super) fn welcome(&self, guest: Guest) {
        if let Some(guests) = &self.guests {
            // A thread that is gone closes it.
            let _ = guests.send(guest);
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.guests = None;
        if let Some(started) = self.started.take() {
            started.join();
        }
    }
}

/// What the connections share.
struct House {
    acceptor: TlsAcceptor,
    answers: Answers,
    limits: Limits,
    present: Cell<usize>,
}

impl House {
    /// Serves whoever comes until the channel closes; then all connections are dropped with the set of tasks.
    async fn welcome(self: Rc<Self>, mut arrivals: UnboundedReceiver<Guest>) {
        while let Some(guest) = arrivals.recv().await {
            if self.present.get() >= MAX_CONNECTIONS {
                continue;
            }
            self.present.set(self.present.get() + 1);
            let house = Rc::clone(&self);
            spawn_local(async move {
                house.serve(guest).await;
                house.present.set(house.present.get() - 1);
            });
        }
    }

    async fn serve(&self, guest: Guest) {
        let Guest {
            stream,
            read,
            speech,
        } = guest;
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpStream::from_std(stream));
        let Ok(stream) = stream else {
            return;
        };
        let (reader, writer) = stream.into_split();
        let stream = tokio::io::join(Cursor::new(read).chain(reader), writer);
        if speech == Speech::Http2 {
            return self.two(stream).await;
        }
        let greeting = Duration::from_nanos(self.limits.greeting_ns);
        let Ok(Ok(stream)) = timeout(greeting, self.acceptor.accept(stream)).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
            self.two(stream).await;
        } else {
            self.one(stream).await;
        }
    }

    /// Serves HTTP/1.1.
    async fn one<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, stream: S) {
        let served = Rc::new(Cell::new(0));
        let service = self.answers.service(Rc::clone(&served));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_nanos(self.limits.idle_ns))
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        self.while_it_serves(&served, connection).await;
    }

    /// Serves HTTP/2.
    async fn two<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, stream: S) {
        let served = Rc::new(Cell::new(0));
        let service = self.answers.service(Rc::clone(&served));
        let connection = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), service);
        self.while_it_serves(&served, connection).await;
    }

    /// Serves a connection for as long as it brings requests; how it ends is its own affair.
    async fn while_it_serves<E>(
        &self,
        served: &Cell<u64>,
        connection: impl Future<Output = Result<(), E>>,
    ) {
        let idle = async {
            let mut before = u64::MAX;
            while served.get() != before {
                before = served.get();
                sleep(Duration::from_nanos(self.limits.idle_ns)).await;
            }
        };
        tokio::select! {
            _ = connection => {}
            () = idle => {}
        }
    }
}

/// Runs what hyper starts on this thread.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
