//! The other end of every kind of traffic, on one port, TCP and UDP.
//!
//! TCP connections are served by blocking threads, one each, so that a request costs one read and one
//! write; threads are added when the last idle one is taken, up to [`MAX_CONNECTIONS`]. The first bytes of a
//! connection tell the probe's own protocol from HTTP/1.1, HTTP/2 and TLS; the last two have a thread of their own.
//! Every wait has an end, every buffer a fixed size, and nothing is sent beyond what was received, but for HTTP
//! responses up to a bound and streams to whom it is allowed. With a key, nobody is
//! answered whose address hasn't passed the handshake of [`crate::session`].

mod admission;
mod arranged;
mod connection;
mod http;
mod listen;
mod peer;
mod pool;
mod sessions;
mod stamping;
mod tally;
mod toll;
mod turns;
mod udp;
mod watch;
mod web;

use std::sync::Arc;

use tollgate_results::agent::Serve;
use tollgate_results::counters::Answered;
use tollgate_results::outcome::HttpOutcome;

use self::admission::Admission;
use self::listen::listen;
use self::pool::{Pool, Shared};
use self::sessions::Sessions;
use self::tally::Tally;
use self::toll::Toll;
use self::turns::Turns;
use self::udp::UdpThread;
use crate::error::ProbeError;
use crate::wire::MAX_TCP_PAYLOAD;

/// Most TCP connections at a time; further ones wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;

/// Largest HTTP response to somebody who wasn't authorised, in bytes.
pub const OPEN_RESPONSE: u32 = 64 * 1024;

/// Longest name in HTTP responses, in bytes.
const LONGEST_NAME: usize = HttpOutcome::LONGEST_BACKEND;

/// A running responder; ends when dropped.
#[derive(Debug)]
pub struct Responder {
    port: u16,
    pool: Arc<Pool>,
    udp: UdpThread,
    turns: Arc<Turns>,
    tally: Option<Arc<Tally>>,
}

/// What a responder turned away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Connections that spoke neither the probe's protocol nor HTTP, or not in time.
    pub connections: u64,
    /// Datagrams that were not requests of this protocol version.
    pub datagrams: u64,
}

impl Responder {
    /// Starts to answer on behalf of an authorised session: HTTP responses may have any size that a
    /// job can ask for (1 MiB), and streams go to whoever asks for them over TCP.
    ///
    /// # Errors
    ///
    /// When the port cannot be had for both TCP and UDP, or a thread cannot be started or pinned.
    pub fn start(serve: &Serve) -> Result<Self, ProbeError> {
        Self::start_bounded(serve, MAX_TCP_PAYLOAD, true)
    }

    /// Starts to answer whoever asks: HTTP responses have at most `max_response` bytes, at most 1 MiB; streams are
    /// sent to this machine, and with `send_streams` to whoever asks for them over TCP.
    ///
    /// # Errors
    ///
    /// See [`Responder::start`].
    pub fn start_bounded(
        serve: &Serve,
        max_response: u32,
        send_streams: bool,
    ) -> Result<Self, ProbeError> {
        let limits = Limits {
            max_response: max_response.min(MAX_TCP_PAYLOAD),
            toll: Toll::of(serve),
            send_streams,
            ..Limits::default()
        };
        Self::start_limited(serve, limits)
    }

    fn start_limited(serve: &Serve, limits: Limits) -> Result<Self, ProbeError> {
        let (tcp, udp, port) = listen(serve)?;
        let second = udp.try_clone().map_err(|error| {
            let mend = "raise the limit on open files (ulimit -n)";
            ProbeError::refused("listen for datagrams", error, mend)
        })?;
        let sessions = Arc::new(Sessions::new(second));
        let admission = serve
            .key
            .as_ref()
            .map(Admission::new)
            .transpose()?
            .map(Arc::new);
        let turns = Arc::<Turns>::default();
        let tally = Tally::of(serve.bind);
        let udp = UdpThread::start(
            udp,
            Arc::clone(&sessions),
            serve.cpu,
            admission.clone(),
            tally.clone(),
            limits.toll,
            Arc::clone(&turns),
        )?;
        let pool = Pool::start(
            tcp,
            serve.cpu,
            admission,
            limits,
            Shared {
                sessions,
                tally: tally.clone(),
                turns: Arc::clone(&turns),
                name: name(serve.name.as_deref())?,
            },
        )?;
        Ok(Self {
            port,
            pool,
            udp,
            turns,
            tally,
        })
    }

    /// Returns the port, the same for TCP and UDP.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the OS ids of the responding threads. Threads are added under load; none ends before the
    /// responder.
    #[must_use]
    pub fn thread_ids(&self) -> Vec<i32> {
        let mut threads = self.pool.thread_ids();
        threads.extend(self.udp.tid());
        threads
    }

    /// Keeps the time of each reply to a request of the probe's own protocol from now on: at most so many.
    pub fn keep_turns(&self, most: u32) {
        self.turns.keep(most);
    }

    /// Returns the turns that were kept, and keeps no more.
    #[must_use]
    pub fn take_turns(&self) -> tollgate_results::agent::Turns {
        self.turns.take()
    }

    /// Returns what came to each of its addresses so far; nothing where it is bound to one.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        self.tally
            .as_ref()
            .map_or_else(Vec::new, |tally| tally.read())
    }

    /// Returns what was turned away so far.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        Ignored {
            connections: self.pool.ignored(),
            datagrams: self.udp.ignored(),
        }
    }
}

/// Returns the name in HTTP responses: the one that is wanted, else the host's.
fn name(wanted: Option<&str>) -> Result<String, ProbeError> {
    let fits = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)
    };
    match wanted {
        Some(name) if fits(name) => Ok(name.to_owned()),
        Some(_) => {
            let fault = format!("the name must have 1 to {LONGEST_NAME} of A-Z a-z 0-9 . - _ :");
            Err(ProbeError::invalid("start to answer", vec![fault]))
        }
        None => {
            let host = nix::unistd::gethostname().ok();
            let host = host.and_then(|host| host.into_string().ok());
            Ok(host
                .filter(|host| fits(host))
                .unwrap_or_else(|| "responder".to_owned()))
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.pool.stop();
    }
}

/// Bounds of what a peer can take up. Times are in nanoseconds, and hold to within `turn_ns`.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How often connections are looked at.
    turn_ns: u64,
    /// A connection must say what it wants within this.
    greeting_ns: u64,
    /// From one reply to the next, or from one piece of a stream to the next, a connection may take this.
    idle_ns: u64,
    /// Largest HTTP response, in bytes.
    max_response: u32,
    /// What is planted before each reply.
    toll: Toll,
    /// Whether everybody may be sent streams, not this machine alone.
    send_streams: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turn_ns: 1_000_000_000,
            greeting_ns: 5_000_000_000,
            idle_ns: 30_000_000_000,
            max_response: OPEN_RESPONSE,
            toll: Toll::default(),
            send_streams: false,
        }
    }
}

/// The decoders of this module, for the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod doors {
    use std::net::SocketAddr;

    use tollgate_results::door::Secret;

    /// Hands a datagram to a responder with a key.
    pub(crate) fn session(secret: &Secret, datagram: &[u8], from: SocketAddr) -> bool {
        let admission = super::Admission::new(secret).expect("the system has randomness");
        admission.take(datagram, from).is_some()
    }

    pub(crate) use super::connection::doors::{blocks, greeting};
    pub(crate) use super::http::doors::request;
}

#[cfg(test)]
mod tests;
