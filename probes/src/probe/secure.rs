//! TLS over TCP behind the [`Transport`] seam.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use tollgate_results::outcome::{Failure, Flow};

use super::http::tally::Tally;
use super::socket::{Begin, TcpDial};
use super::transport::{Dial, Transport, cause, is_again};
use super::window::{Fault, Patience};
use crate::clock::Clock;

/// Opens TLS connections, each with a whole handshake.
#[derive(Debug)]
pub(crate) struct SecureDial {
    tcp: TcpDial,
    setup: Setup,
    tally: Rc<Tally>,
}

/// How TLS is spoken to a target.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) config: Arc<ClientConfig>,
    /// What the certificate must be for.
    pub(crate) name: ServerName<'static>,
}

/// A TLS connection.
#[derive(Debug)]
pub(crate) struct SecureLink {
    stream: TcpStream,
    tls: ClientConnection,
    handshake_ns: Option<u64>,
}

impl SecureDial {
    pub(crate) const fn new(tcp: TcpDial, setup: Setup, tally: Rc<Tally>) -> Self {
        Self { tcp, setup, tally }
    }

    fn wrap(&self, stream: TcpStream) -> io::Result<SecureLink> {
        let Setup { config, name } = self.setup.clone();
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(SecureLink {
            stream,
            tls,
            handshake_ns: None,
        })
    }

    fn failed(&self, error: &io::Error) -> Fault {
        Fault::Failed(self.cause(error))
    }
}

impl Dial for SecureDial {
    type Link = SecureLink;

    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(SecureLink, u64), Fault> {
        let (stream, connect_ns) = self.tcp.dial(patience)?;
        let before = patience.clock.now();
        let mut link = self.wrap(stream).map_err(|error| self.failed(&error))?;
        loop {
            match link.shake() {
                Ok(()) => break,
                Err(error) if is_again(&error) => patience.check()?,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        link.handshake_ns = Some(patience.clock.now().since(before));
        Ok((link, connect_ns))
    }

    fn flow(&self, link: &SecureLink) -> Option<Flow> {
        self.tcp.flow(&link.stream)
    }

    fn hang_up(&mut self, mut link: SecureLink) {
        link.tls.send_close_notify();
        // A peer that went away is told nothing.
        let _ = link.flush();
        self.tcp.hang_up(link.stream);
    }
}

impl Begin for SecureDial {
    fn begin(&mut self) -> io::Result<SecureLink> {
        let stream = self.tcp.begin()?;
        self.wrap(stream)
    }

    fn unblock(link: &SecureLink) -> io::Result<()> {
        link.stream.set_nonblocking(true)
    }

    fn stands(link: &mut SecureLink) -> io::Result<bool> {
        if !TcpDial::stands(&mut link.stream)? {
            return Ok(false);
        }
        match link.shake() {
            Ok(()) => Ok(true),
            Err(error) if is_again(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn cause(&self, error: &io::Error) -> Failure {
        explain(error, self.tcp.target(), &self.tally)
    }
}

impl SecureLink {
    /// Goes on with the handshake until it is over.
    fn shake(&mut self) -> io::Result<()> {
        loop {
            self.flush()?;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            self.fetch()?;
        }
    }

    /// Sends what TLS has to say.
    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Receives what is there for TLS.
    fn fetch(&mut self) -> io::Result<()> {
        let received = self.tls.read_tls(&mut self.stream)?;
        if let Err(error) = self.tls.process_new_packets() {
            // The peer is told why, if it still listens.
            let _ = self.flush();
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        if received == 0 && self.tls.is_handshaking() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsFd for SecureLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Transport for SecureLink {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        match self.flush() {
            // TLS has taken it, and `recv` sends the rest.
            Err(error) if !is_again(&error) => Err(error),
            _ => Ok(taken),
        }
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.flush()?;
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.fetch()?,
                // Without a farewell it may have been cut short.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(ErrorKind::ConnectionReset.into());
                }
                other => return other,
            }
        }
    }

    fn handshake_ns(&self) -> Option<u64> {
        self.handshake_ns
    }
}

/// Sorts an error of TLS, and says in the tally what it means.
pub(crate) fn explain(error: &io::Error, target: SocketAddr, tally: &Tally) -> Failure {
    use rustls::Error as Tls;
    let source = error.get_ref();
    let Some(tls) = source.and_then(|source| source.downcast_ref::<Tls>()) else {
        return cause(error);
    };
    match tls {
        Tls::InvalidCertificate(why) => tally.fail(Failure::Tls, || {
            format!(
                "the certificate of {target} was not accepted ({why}); name its authority with --ca FILE, or accept \
                 any with --insecure"
            )
        }),
        Tls::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Tls::NoApplicationProtocol => tally.fail(Failure::Version, || {
            format!("{target} does not speak this version of HTTP over TLS (ALPN); choose another --version")
        }),
        Tls::InvalidMessage(_) => tally.fail(Failure::Tls, || {
            format!("{target} does not speak TLS on this port; ask it by http://")
        }),
        other => tally.fail(Failure::Tls, || {
            format!("the TLS handshake with {target} failed: {other}")
        }),
    }
}
