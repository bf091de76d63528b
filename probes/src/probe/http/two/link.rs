//! Connections of HTTP/2: TCP, TLS with ALPN, and the handshake of the protocol.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_results::outcome::{Failure, Flow, Protocol};

use crate::clock::{Clock as _, Monotonic};
use crate::probe::http::tally::Tally;
use crate::probe::secure::{Setup, explain};
use crate::probe::socket::incoming_cpu;
use crate::probe::transport::cause;
use crate::tls;

/// Bytes of a stream, and of all streams of a connection, that the far end may send ahead: more than the largest
/// response of the probe's own responder, so that flow control is no part of what is measured.
const WINDOW: u32 = 1 << 21;
const CONNECTION_WINDOW: u32 = 1 << 26;

/// How a server that speaks HTTP/1 begins whatever it says.
const HTTP1: [u8; 5] = *b"HTTP/";

/// Opens connections to one target.
#[derive(Debug)]
pub(crate) struct Linker {
    target: SocketAddr,
    setup: Option<Setup>,
    /// The first bytes that came over the last connection in plain text.
    heard: Rc<Cell<[u8; HTTP1.len()]>>,
    flow: Cell<Option<Flow>>,
}

/// A connection that stands.
pub(super) struct Linked {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) connect_ns: u64,
    pub(super) tls_ns: Option<u64>,
    pub(super) flow: Option<Flow>,
}

impl Linker {
    pub(crate) fn new(target: SocketAddr, setup: Option<Setup>) -> Self {
        Self {
            target,
            setup,
            heard: Rc::default(),
            flow: Cell::new(None),
        }
    }

    pub(super) const fn is_secure(&self) -> bool {
        self.setup.is_some()
    }

    /// Returns the last connection that was opened.
    pub(super) const fn flow(&self) -> Option<Flow> {
        self.flow.get()
    }

    /// Opens a connection, to be called on a `LocalSet`, which drives it from then on; `reset` ends it by RST.
    pub(super) async fn link(&self, reset: bool, tally: &Tally) -> Result<Linked, Failure> {
        let before = Monotonic.now();
        let stream = TcpStream::connect(self.target).await;
        let stream = stream.map_err(|error| cause(&error))?;
        let connect_ns = Monotonic.now().since(before);
        stream.set_nodelay(true).map_err(|error| cause(&error))?;
        if reset {
            // A FIN would fill the table of local ports with TIME_WAIT within seconds.
            let socket = socket2::SockRef::from(&stream);
            let set = socket.set_linger(Some(Duration::ZERO));
            set.map_err(|error| cause(&error))?;
        }
        let flow = stream.local_addr().ok().map(|local| Flow {
            protocol: Protocol::Tcp,
            local,
            remote: self.target,
            incoming_cpu: incoming_cpu(stream.as_fd()),
        });
        self.flow.set(flow);
        let before = Monotonic.now();
        let (sender, tls_ns) = match &self.setup {
            None => {
                let heard = Rc::clone(&self.heard);
                heard.take();
                let stream = Listening {
                    stream,
                    heard,
                    len: 0,
                };
                (self.shake_hands(stream, tally).await?, None)
            }
            Some(Setup { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| explain(&error, self.target, tally))?;
                let tls_ns = Monotonic.now().since(before);
                if stream.get_ref().1.alpn_protocol() != Some(tls::HTTP2) {
                    return Err(tally.fail(Failure::Version, || {
                        let target = self.target;
                        format!(
                            "{target} did not agree to HTTP/2 over TLS (ALPN); try --version 1.1"
                        )
                    }));
                }
                (self.shake_hands(stream, tally).await?, Some(tls_ns))
            }
        };
        Ok(Linked {
            sender,
            connect_ns,
            tls_ns,
            flow,
        })
    }

    async fn shake_hands<S>(&self, stream: S, tally: &Tally) -> Result<SendRequest<Bytes>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let shaken = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await;
        let (sender, connection) = shaken.map_err(|error| match error.get_io() {
            Some(error) => self.cause(error, tally),
            None => Failure::Malformed,
        })?;
        tokio::task::spawn_local(async move {
            // How it ends shows in its requests.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Sorts an error of the connection.
    pub(super) fn cause(&self, error: &io::Error, tally: &Tally) -> Failure {
        if let Some(failure) = self.version(tally) {
            return failure;
        }
        explain(error, self.target, tally)
    }

    /// Says whether the far end answered in another version of HTTP.
    pub(super) fn version(&self, tally: &Tally) -> Option<Failure> {
        (self.heard.get() == HTTP1).then(|| {
            tally.fail(Failure::Version, || {
                let target = self.target;
                format!(
                    "{target} answered in HTTP/1; try --version 1.1, or https:// to agree by ALPN"
                )
            })
        })
    }
}

/// A stream of which the first bytes are noted.
struct Listening {
    stream: TcpStream,
    heard: Rc<Cell<[u8; HTTP1.len()]>>,
    len: usize,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if self.len < HTTP1.len() && !new.is_empty() {
            let mut heard = self.heard.get();
            let taken = new.len().min(HTTP1.len() - self.len);
            heard[self.len..][..taken].copy_from_slice(&new[..taken]);
            self.len += taken;
            self.heard.set(heard);
        }
        polled
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
