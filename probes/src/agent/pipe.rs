//! Carries bytes between a stream and the HTTP server, and notices at once that the far end has gone.
//!
//! The HTTP server reads nothing while it works on a request that others wait behind, and so can't see
//! the end of the stream. A pipe between the two reads all the time.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, duplex, split,
};
use tokio::time::timeout;

/// What may wait for the HTTP server: the largest body, and some.
const PIPE_BYTES: usize = 128 * 1024;

/// Largest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const HEADERS: usize = 64;

/// A far end that sends on while its earlier request is being worked on, until the pipe is full, and that doesn't
/// wait after this time either, isn't served any longer.
const STALL: Duration = Duration::from_secs(5);

/// How long an answer that ends the connection may take to leave.
const LINGER: Duration = Duration::from_secs(1);

/// Serves requests until the far end closes the stream, or sends what isn't HTTP.
///
/// # Errors
///
/// When it isn't HTTP; after a 400 has been sent where there is one to send.
pub(super) async fn serve<S, A, F>(stream: S, answer: A) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let (near, far) = duplex(PIPE_BYTES);
    let (from_client, mut to_client) = split(stream);
    let (mut from_server, to_server) = split(far);
    let server = hyper::server::conn::http1::Builder::new()
        // Idle connections are legal for as long as a campaign lasts.
        .header_read_timeout(None)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(near), service_fn(answer));
    let answers = async {
        // An error means that the far end has gone: `forward` sees that too.
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let serving = async {
        let mut answers = pin!(answers);
        let result = tokio::select! {
            result = server => result,
            () = &mut answers => return Ok(()),
        };
        let _ = timeout(LINGER, answers).await;
        result
    };
    tokio::select! {
        biased;
        result = serving => result,
        () = forward(from_client, to_server) => Ok(()),
    }
}

/// Passes on what the far end sends; returns when it has gone or must go.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; HEAD_BYTES];
    let mut open = true;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !open {
            // Read and thrown away, so that the last answer isn't lost behind unread bytes.
            continue;
        }
        match timeout(STALL, to.write_all(&buffer[..length])).await {
            Ok(passed) => open = passed.is_ok(),
            Err(_) => return,
        }
    }
}
