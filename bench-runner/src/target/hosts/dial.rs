//! Reaches an agent on the network: TCP, TLS with the pinned certificate, the door.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tollgate_results::door::{Fingerprint, Invitation, Knock, Trust};

use crate::agent::door;

/// From the first packet to the welcome: some round trips around the world.
const LIMIT: Duration = Duration::from_secs(10);

/// An agent whose machine is gone is noticed within half a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 4);

/// A byte stream to an agent, whatever carries it.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Connects to an agent and is let in. `runner` is drawn once for each campaign.
///
/// # Errors
///
/// When the address can't be reached in 10 s, answers with another certificate, or doesn't let us in.
pub async fn dial(
    invitation: &Invitation,
    runner: [u8; 16],
) -> anyhow::Result<Box<dyn ByteStream>> {
    let address = &invitation.address;
    timeout(LIMIT, connect(invitation, runner))
        .await
        .with_context(|| {
            let seconds = LIMIT.as_secs();
            format!("no answer within {seconds} s; is the agent up, and its port open in every firewall?")
        })
        .flatten()
        .with_context(|| format!("agent at {address}"))
}

async fn connect(invitation: &Invitation, runner: [u8; 16]) -> anyhow::Result<Box<dyn ByteStream>> {
    let stream = TcpStream::connect(&invitation.address)
        .await
        .context("failed to connect; is the agent up?")?;
    stream.set_nodelay(true)?;
    let (time, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new()
        .with_time(time)
        .with_interval(interval)
        .with_retries(retries);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let mut stream: Box<dyn ByteStream> = match invitation.trust {
        Trust::Plain => {
            ensure!(
                stream.peer_addr()?.ip().is_loopback(),
                "an invitation without TLS is for loopback addresses; start the agent without --plain"
            );
            Box::new(stream)
        }
        Trust::Pinned(fingerprint) => Box::new(secure(stream, fingerprint).await?),
    };
    let knock = Knock::new(runner, invitation.token.clone());
    door::enter(&mut stream, &knock).await?;
    Ok(stream)
}

/// Speaks TLS 1.3 with whoever holds the key of the pinned certificate, and with nobody else.
async fn secure(
    stream: TcpStream,
    pinned: Fingerprint,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pin = Arc::new(Pin {
        provider: Arc::clone(&provider),
        pinned,
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    // The name stands for nothing: the certificate itself is known.
    let name = ServerName::try_from("tollgate-agent")?;
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    match connected {
        Ok(stream) => Ok(stream),
        Err(error) => match other_certificate(&error) {
            Some(why) => bail!("{why}"),
            None => Err(error).context("TLS failed; is this a tollgate-probe agent's port?"),
        },
    }
}

/// Says which certificate came instead of the pinned one.
fn other_certificate(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = inner else {
        return None;
    };
    Some(other.0.downcast_ref::<OtherCertificate>()?.to_string())
}

/// Trusts one certificate.
#[derive(Debug)]
struct Pin {
    provider: Arc<CryptoProvider>,
    pinned: Fingerprint,
}

/// Another certificate than the pinned one.
#[derive(Debug)]
struct OtherCertificate {
    pinned: Fingerprint,
    found: Fingerprint,
}

impl fmt::Display for OtherCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its certificate is {}, not the pinned {}: either the agent was set up anew (then join it \
             again), or something stands in between",
            self.found, self.pinned
        )
    }
}

impl std::error::Error for OtherCertificate {}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint(Sha256::digest(certificate).into());
        if found == self.pinned {
            return Ok(ServerCertVerified::assertion());
        }
        let pinned = self.pinned;
        let other = rustls::OtherError(Arc::new(OtherCertificate { pinned, found }));
        Err(rustls::CertificateError::Other(other).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
