//! Jobs, responder and counters as a service over a byte stream: the far side of
//! [`tollgate_results::agent`].
//!
//! An [`Agent`] has one job and one responder at a time, and any number of connections. A connection
//! serves one request after the other, as HTTP/1.1 does; who wants to end a job that runs asks on another
//! connection, or closes the one on which it runs. A connection may be silent for as long as it likes.
//!
//! Control runs on one thread, in tokio; what blocks (arming, running, stopping) on threads of its own, so that
//! every request is answered at any time, and nothing but the job runs in a measured window.
//!
//! - `pipe`: carries bytes between the stream and HTTP, and notices that the far end has gone
//! - `routes`: which request does what
//! - `state`: the job and the responder
//! - `limits`: what an agent accepts
//! - `names`: where a name leads
//! - `refusal`: what it answers else
//! - `descriptor`: takes over an inherited socket
//! - `network`: lets runners in over TCP

mod descriptor;
mod limits;
mod names;
mod network;
mod pipe;
mod refusal;
mod routes;
mod state;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::ProbeError;

pub use self::network::{Listen, NetworkAgent, given_token};
use self::state::State;

/// Takes over an inherited Unix stream socket, and serves on it until its far end closes it.
///
/// Returns within 200 ms of that, whatever ran; the threads of a job or a responder may then be on their
/// way out still, and end with the process at the latest. For the `main` of a program: it takes the
/// descriptor away from whoever else might think to have it.
///
/// # Errors
///
/// When `fd` isn't a Unix stream socket, or what comes over it isn't HTTP.
pub fn run_on_fd(fd: i32) -> Result<(), ProbeError> {
    let stream = descriptor::take(fd)?;
    let refused = |error| {
        let mend = "raise the limit on open files (ulimit -n)";
        ProbeError::refused("start the agent", error, mend)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused)?;
    let result = runtime.block_on(async {
        serve(tokio::net::UnixStream::from_std(stream).map_err(refused)?).await
    });
    runtime.shutdown_background();
    result
}

/// Serves an agent of its own on one stream until the far end closes it, then ends its job and responder.
///
/// # Errors
///
/// When what comes over the stream isn't HTTP.
pub async fn serve<S>(stream: S) -> Result<(), ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let agent = Agent::default();
    let result = agent.connection(stream).await;
    agent.end().await;
    result
}

/// One job, one responder, and the counters of this process.
#[derive(Debug, Clone, Default)]
pub struct Agent(Arc<State>);

impl Agent {
    /// Serves one connection until its far end closes it. A job that it was running is aborted then; what
    /// only stands (an armed job, the responder) stays for other connections.
    ///
    /// # Errors
    ///
    /// When what comes over the stream isn't HTTP.
    pub async fn connection<S>(&self, stream: S) -> Result<(), ProbeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = |request| routes::answer(Arc::clone(&self.0), request);
        pipe::serve(stream, answer).await.map_err(|error| {
            let mend = "send HTTP/1.1 requests of the agent's protocol";
            ProbeError::refused("read a request", std::io::Error::other(error), mend)
        })
    }

    /// Ends job and responder, for good: what is asked afterwards is refused. Returns within 100 ms.
    pub async fn end(&self) {
        self.0.end().await;
    }
}

/// Returns whether an agent would take a job.
#[cfg(any(test, fuzzing))]
pub(crate) fn accepts_job(job: &tollgate_results::agent::Job) -> bool {
    limits::check_job(job).is_ok()
}

/// Returns whether an agent would start a responder.
#[cfg(any(test, fuzzing))]
pub(crate) fn accepts_serve(serve: &tollgate_results::agent::Serve) -> bool {
    limits::check_serve(serve).is_ok()
}
