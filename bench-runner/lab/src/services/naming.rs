//! kube-proxy's names: chains carry a hash of what they serve.

use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};

use super::{ServicePort, protocol_name};

/// How the name of an endpoint's iptables chain begins.
pub(crate) const ENDPOINT_CHAIN: &str = "KUBE-SEP-";

/// Alphabet of RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Returns the iptables chain of a service port.
pub(crate) fn service_chain(port: &ServicePort) -> String {
    let hash = hash::<2>(&[&port.name, protocol_name(port.protocol)]);
    format!("KUBE-SVC-{hash}")
}

/// Returns the iptables chain of what comes to a service port from outside of the cluster's addresses.
pub(super) fn external_chain(port: &ServicePort) -> String {
    let hash = hash::<2>(&[&port.name, protocol_name(port.protocol)]);
    format!("KUBE-EXT-{hash}")
}

/// Returns the iptables chain of one endpoint of a service port.
pub(super) fn endpoint_chain(port: &ServicePort, endpoint: SocketAddr) -> String {
    let protocol = protocol_name(port.protocol);
    let hash = hash::<2>(&[&port.name, protocol, &endpoint.to_string()]);
    format!("{ENDPOINT_CHAIN}{hash}")
}

/// Returns the nftables chain of a service port, without its `service-`.
pub(super) fn nft_service(port: &ServicePort) -> String {
    prefixed(&nft_port(port))
}

/// Returns the nftables chain of one endpoint of a service port, without its `endpoint-`.
pub(super) fn nft_endpoint(port: &ServicePort, endpoint: SocketAddr) -> String {
    // A chain's name cannot hold a colon.
    let ip = endpoint.ip().to_string().replace(':', ".");
    prefixed(&format!("{}__{ip}/{}", nft_port(port), endpoint.port()))
}

/// `namespace/service/protocol/port`.
fn nft_port(port: &ServicePort) -> String {
    port.name
        .replace(':', &format!("/{}/", protocol_name(port.protocol)))
}

fn prefixed(name: &str) -> String {
    format!("{}-{name}", hash::<1>(&[name]))
}

/// Returns the first `8 * BLOCKS` base32 characters of the SHA-256 of the joined parts.
fn hash<const BLOCKS: usize>(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.as_bytes());
    }
    let digest = sha.finalize();
    let mut text = String::with_capacity(8 * BLOCKS);
    // Five bytes are eight characters of five bits.
    for block in digest.chunks_exact(5).take(BLOCKS) {
        let bits = block
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            text.push(char::from(BASE32[digit]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tollgate_results::outcome::Protocol;

    use super::*;

    /// The vectors are those of kube-proxy's own tests.
    #[test]
    fn names_are_kube_proxys() {
        let endpoint = "10.180.0.1:80".parse().unwrap();
        let port = ServicePort {
            name: "ns1/svc1:p80".to_owned(),
            protocol: Protocol::Tcp,
            address: "172.30.0.41:80".parse().unwrap(),
            endpoints: vec![endpoint],
            node_port: None,
            affinity: false,
        };
        assert_eq!(service_chain(&port), "KUBE-SVC-XPGD46QRK7WJZT7O");
        assert_eq!(external_chain(&port), "KUBE-EXT-XPGD46QRK7WJZT7O");
        assert_eq!(endpoint_chain(&port, endpoint), "KUBE-SEP-SXIVWICOYRO3J4NJ");
        assert_eq!(nft_service(&port), "ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(
            nft_endpoint(&port, endpoint),
            "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
        );
    }

    #[test]
    fn an_ipv6_endpoint_has_no_colon_in_its_chain() {
        let port = ServicePort {
            name: "ns1/svc1:p80".to_owned(),
            protocol: Protocol::Udp,
            address: "[fd00::1]:80".parse().unwrap(),
            endpoints: Vec::new(),
            node_port: None,
            affinity: false,
        };
        let name = nft_endpoint(&port, "[fd00::2]:8080".parse().unwrap());
        assert!(name.ends_with("-ns1/svc1/udp/p80__fd00..2/8080"), "{name}");
    }
}
