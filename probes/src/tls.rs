//! Certificates and TLS set-ups: an [`Identity`] that a process makes for itself, and whom a client trusts.
//!
//! rustls on ring. Sessions are never resumed, so that each handshake is a whole one and costs the same.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tollgate_results::workload::Trust;

use crate::error::ProbeError;

/// The name of HTTP/1.1 in ALPN.
pub const HTTP1: &[u8] = b"http/1.1";
/// The name of HTTP/2 in ALPN.
pub const HTTP2: &[u8] = b"h2";

/// A certificate that vouches for itself, and its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Identity {
    /// Makes a key (ECDSA on P-256, drawn by the system's generator) and a certificate for these DNS names and IP
    /// addresses.
    ///
    /// # Errors
    ///
    /// When a name can't stand in a certificate, or the system has no randomness.
    pub fn generate(names: &[&str]) -> Result<Self, ProbeError> {
        let refused = |error: rcgen::Error| {
            let mend = "give names that DNS allows";
            ProbeError::refused("make a certificate", std::io::Error::other(error), mend)
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().map_err(refused)?;
        let params = CertificateParams::new(names).map_err(refused)?;
        let certificate = params.self_signed(&key).map_err(refused)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.into(),
            key,
        })
    }

    /// Returns the certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the certificate in DER.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the key, in PKCS #8.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Returns a set-up that serves under this identity, with these protocols in its order of choice.
    ///
    /// # Errors
    ///
    /// When the cryptography refuses the key, which it made itself.
    pub fn server(&self, protocols: &[&[u8]]) -> Result<ServerConfig, ProbeError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(broken)?
            .with_no_client_auth();
        let chain = vec![self.certificate.clone()];
        let mut config = config.with_single_cert(chain, self.key()).map_err(broken)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// Returns a client's set-up, which offers one protocol.
///
/// # Errors
///
/// When there are no authorities to trust.
pub fn client(trust: &Trust, protocol: &[u8]) -> Result<ClientConfig, ProbeError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let roots = match trust {
        Trust::Any => None,
        Trust::System => Some(system()?),
        Trust::Authorities(pem) => Some(authorities(pem)?),
    };
    let mut config = match roots {
        Some(roots) => config.with_root_certificates(roots).with_no_client_auth(),
        None => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Says why a list of authorities in PEM can't be used; `None` if it can.
pub(crate) fn fault_of_authorities(pem: &str) -> Option<String> {
    let error = authorities(pem).err()?;
    let source = std::error::Error::source(&error).map(ToString::to_string);
    Some(source.unwrap_or_else(|| error.to_string()))
}

fn authorities(pem: &str) -> Result<RootCertStore, ProbeError> {
    let refused = |why: String| ProbeError::invalid("read the authorities to trust", vec![why]);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| refused(format!("not PEM: {error:?}")))?;
        let added = roots.add(certificate);
        added.map_err(|error| refused(format!("not a certificate: {error}")))?;
    }
    if roots.is_empty() {
        let why = "there is no certificate in it; give certificates in PEM (BEGIN CERTIFICATE)";
        return Err(refused(why.to_owned()));
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, ProbeError> {
    let mut roots = RootCertStore::empty();
    // What of the list isn't usable vouches for nobody; the rest does.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "this machine has no list of authorities; name the server's with --ca FILE, or accept any with --insecure";
        return Err(ProbeError::invalid(
            "trust the server",
            vec![why.to_owned()],
        ));
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn broken(error: rustls::Error) -> ProbeError {
    let mend = "this is a fault of the probe, please report it";
    ProbeError::refused("set TLS up", std::io::Error::other(error), mend)
}

/// Accepts any certificate of which the server has the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_and_can_be_trusted_by_name() {
        let identity = Identity::generate(&["localhost", "127.0.0.1"]).unwrap();
        let server = identity.server(&[HTTP2, HTTP1]).unwrap();
        assert_eq!(server.alpn_protocols, [HTTP2, HTTP1]);
        let trust = Trust::Authorities(identity.pem().to_owned());
        let client = client(&trust, HTTP2).unwrap();
        assert_eq!(client.alpn_protocols, [HTTP2]);
    }

    #[test]
    fn authorities_that_are_none_are_refused() {
        for (pem, told) in [
            ("", "no certificate"),
            ("hello", "no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "not a certificate",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
                "not PEM",
            ),
        ] {
            let why = fault_of_authorities(pem).unwrap();
            assert!(why.contains(told), "{why}");
        }
    }
}
