//! An agent on the network: TLS, a token, and one runner at a time.
//!
//! A connection stands at the door until it has shown the token ([`tollgate_results::door`]), which it has to do
//! within [`DOOR`]. Only then does it get an agent of its own, which ends with it. Connections of one runner
//! belong together; another runner is told that the agent is busy. Strangers take up [`MOST_AT_THE_DOOR`]
//! places at most, of which the longest-held is given to the next: however many knock, whoever has the token
//! gets in.
//!
//! - `identity`: certificate, key and token, made at the first start
//! - `lease`: which runner is in

mod identity;
mod lease;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::NoServerSessionStorage;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tollgate_results::agent::PROTOCOL;
use tollgate_results::door::{Answer, Invitation, KNOCK_LEN, Knock, Secret, Trust};

pub use self::identity::given_token;
use self::lease::{Lease, Stay};
use crate::error::ProbeError;
use crate::host;

/// A stranger must have shown the token within this: some round trips around the world.
const DOOR: Duration = Duration::from_secs(10);

/// Strangers at the door at a time. Each holds a descriptor and some 50 KiB of TLS.
const MOST_AT_THE_DOOR: usize = 256;

/// Pause when the kernel has no descriptor or memory for another connection.
const PAUSE: Duration = Duration::from_millis(10);

/// A runner whose machine is gone is noticed within half a minute: a campaign's connections rest between slices.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 4);

/// Where and how an agent listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Without TLS: for loopback alone.
    pub plain: bool,
    /// Folder that keeps certificate, key and token.
    pub state_dir: PathBuf,
    /// File with the token; `None` keeps one in the folder.
    pub token_file: Option<PathBuf>,
}

/// An agent that listens.
#[derive(Debug)]
pub struct NetworkAgent {
    listener: std::net::TcpListener,
    invitation: Invitation,
    house: Arc<House>,
}

/// What every connection needs.
#[derive(Debug)]
struct House {
    token: Secret,
    tls: Option<Tls>,
    lease: Arc<Lease>,
}

/// A TLS acceptor, whose insides nobody wants to see.
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// What a stranger talks over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl NetworkAgent {
    /// Listens; certificate, key and token are made where there are none yet.
    ///
    /// # Errors
    ///
    /// When it shall be plain beyond loopback, the address can't be had, or what is kept can't be read.
    pub fn listen(listen: &Listen) -> Result<Self, ProbeError> {
        let address = listen.address;
        if listen.plain && !address.ip().is_loopback() {
            let why = "without TLS an agent listens on loopback only: leave --plain out, or listen on 127.0.0.1 \
                       and reach it through a tunnel";
            let context = format!("listen on {address} without TLS");
            return Err(ProbeError::invalid(context, vec![why.to_owned()]));
        }
        let token = match &listen.token_file {
            Some(file) => given_token(file)?,
            None => identity::token(&listen.state_dir)?,
        };
        let (tls, trust) = if listen.plain {
            (None, Trust::Plain)
        } else {
            let identity = identity::certificate(&listen.state_dir)?;
            let fingerprint = identity.fingerprint();
            (Some(Tls(acceptor(identity)?)), Trust::Pinned(fingerprint))
        };
        let refused = |error: io::Error| {
            let mend =
                "choose an address of this machine (`ip address` lists them) and a free port";
            ProbeError::refused(format!("listen on {address}"), error, mend)
        };
        let listener = std::net::TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let invitation = Invitation {
            address: reachable(bound).to_string(),
            trust,
            token: token.clone(),
        };
        let lease = Arc::new(Lease::default());
        let house = Arc::new(House { token, tls, lease });
        Ok(Self {
            listener,
            invitation,
            house,
        })
    }

    /// Returns what a runner needs to join.
    #[must_use]
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Serves until Ctrl-C or SIGTERM; then every job and responder ends.
    ///
    /// # Errors
    ///
    /// When the runtime can't be started.
    pub fn run(self) -> Result<(), ProbeError> {
        let refused = |error| {
            let mend = "raise the limit on open files (ulimit -n)";
            ProbeError::refused("start the agent", error, mend)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused)?;
        let result = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
            tokio::select! {
                result = self.serve() => result,
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
            }
        });
        runtime.shutdown_background();
        result
    }

    /// Serves for as long as it is polled. In a runtime.
    ///
    /// # Errors
    ///
    /// When the runtime doesn't take the listener.
    pub async fn serve(self) -> Result<(), ProbeError> {
        let listener = TcpListener::from_std(self.listener).map_err(|error| {
            let mend = "raise the limit on open files (ulimit -n)";
            ProbeError::refused("start the agent", error, mend)
        })?;
        let mut door: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            door.retain(|stranger| !stranger.is_finished());
            if door.len() >= MOST_AT_THE_DOOR
                && let Some(longest) = door.pop_front()
            {
                longest.abort();
            }
            let house = Arc::clone(&self.house);
            let stranger = tokio::spawn(async move {
                let welcomed = timeout(DOOR, house.welcome(stream, from.ip())).await;
                if let Ok(Ok(Some((stream, stay)))) = welcomed {
                    // A task of its own: a guest is no stranger, whom the next one may push out.
                    tokio::spawn(live(stream, stay));
                }
            });
            door.push_back(stranger.abort_handle());
        }
    }
}

impl House {
    /// Lets a stranger in who has the token, if the house is free.
    async fn welcome(
        &self,
        stream: TcpStream,
        from: IpAddr,
    ) -> io::Result<Option<(Box<dyn Stream>, Stay)>> {
        stream.set_nodelay(true)?;
        let (time, interval, retries) = KEEPALIVE;
        let keepalive = TcpKeepalive::new()
            .with_time(time)
            .with_interval(interval)
            .with_retries(retries);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => Box::new(tls.0.accept(stream).await?),
            None => Box::new(stream),
        };
        let mut bytes = [0; KNOCK_LEN];
        stream.read_exact(&mut bytes).await?;
        let Some(knock) = Knock::decode(&bytes) else {
            return Ok(None);
        };
        let (answer, stay) = self.answer(&knock, from);
        stream.write_all(&answer.encode()).await?;
        stream.flush().await?;
        let Some(stay) = stay else {
            stream.shutdown().await?;
            return Ok(None);
        };
        Ok(Some((stream, stay)))
    }

    /// Nothing is told to whoever doesn't have the token, but for the version.
    fn answer(&self, knock: &Knock, from: IpAddr) -> (Answer, Option<Stay>) {
        if knock.protocol != PROTOCOL {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            return (Answer::Version(version), None);
        }
        if !self.token.matches(knock.token.bytes()) {
            return (Answer::WrongToken, None);
        }
        match self.lease.take(knock.runner, from) {
            Ok(stay) => (Answer::Welcome, Some(stay)),
            Err(busy) => (Answer::Busy(busy), None),
        }
    }
}

/// Serves a guest to the end of its connection.
async fn live(stream: Box<dyn Stream>, stay: Stay) {
    // What isn't HTTP has been answered with 400 already.
    let _ = super::serve(stream).await;
    drop(stay);
}

fn acceptor(identity: identity::Certificate) -> Result<TlsAcceptor, ProbeError> {
    let broken = |error: rustls::Error| {
        let mend = "remove the file `agent-certificate.json` of the state folder, and join again";
        ProbeError::refused("use the agent's certificate", io::Error::other(error), mend)
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(broken)?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)
        .map_err(broken)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Returns an address that others can reach, where it listens on all of them.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let serves = |ip: &IpAddr| !ip.is_loopback() && (bound.is_ipv6() || ip.is_ipv4());
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut own: Vec<IpAddr> = host::interfaces().into_iter().map(|(_, ip)| ip).collect();
    own.retain(|ip| serves(ip) && !link_local(ip));
    // IPv4 first: it is what people expect to see.
    own.sort_by_key(IpAddr::is_ipv6);
    own.first()
        .map_or(bound, |ip| SocketAddr::new(*ip, bound.port()))
}
