//! Keys and peers of WireGuard devices, over the kernel's generic netlink family of that name (`linux/wireguard.h`).
//!
//! The kernel itself turns a private key into the public one, so that no cryptography is needed here.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use crate::error::{Doing as _, LabError};
use crate::netlink::generic::{Family, Generic};
use crate::netlink::plain::{self, ACKNOWLEDGE, DUMP, NESTED, attribute, find, number};
use crate::netns::NetNs;
use crate::topology::{WIREGUARD_PORT, WireguardPeer};

/// `WG_GENL_NAME` and `WG_GENL_VERSION`.
const NAME: &str = "wireguard";
const VERSION: u8 = 1;
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;

const DEVICE_INDEX: u16 = 1;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_PUBLIC_KEY: u16 = 4;
const DEVICE_LISTEN_PORT: u16 = 6;
const DEVICE_PEERS: u16 = 8;

const PEER_PUBLIC_KEY: u16 = 1;
const PEER_ENDPOINT: u16 = 4;
const PEER_ALLOWED: u16 = 9;

const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_PREFIX: u16 = 3;

/// Length of a key.
const KEY_BYTES: usize = 32;

/// Gives the WireGuard devices of two nodes a key each, and makes each other's peer.
pub(crate) fn join(nodes: [(&NetNs, &WireguardPeer); 2]) -> Result<(), LabError> {
    let mut keys = Vec::new();
    for (netns, peer) in nodes {
        keys.push(netns.enter(|| give_key(peer.device))?);
    }
    for ((netns, peer), other) in nodes.into_iter().zip(keys.into_iter().rev()) {
        netns.enter(|| tell(peer, &other).doing(|| "tell a WireGuard device of its peer"))?;
    }
    Ok(())
}

/// Gives a device of the caller's namespace a new private key and the port that both nodes use, and returns the public
/// key.
pub(crate) fn give_key(device: u32) -> Result<[u8; KEY_BYTES], LabError> {
    let give = || -> io::Result<[u8; KEY_BYTES]> {
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let generic = Generic::open(NAME)?;
        let family = generic.family();
        plain::read(&generic.ask(&key_of(family, device, &key))?)?;
        // The first message is the device; of what follows nothing is asked.
        let answer = generic.ask(&device_of(family, device))?;
        let shown = plain::read(&answer)?;
        let public = find(shown.attributes, DEVICE_PUBLIC_KEY).and_then(|key| number(key, 0));
        public.ok_or_else(|| io::Error::other("the kernel shows no public key"))
    };
    give().doing(|| "give a WireGuard device its key")
}

/// Tells a device of the caller's namespace of the other node.
fn tell(peer: &WireguardPeer, key: &[u8; KEY_BYTES]) -> Result<(), Errno> {
    let generic = Generic::open(NAME)?;
    let answer = generic.ask(&peer_of(generic.family(), peer, key))?;
    plain::read(&answer).map(drop)
}

/// Writes a request for all that the kernel knows of a device.
fn device_of(family: Family, device: u32) -> Vec<u8> {
    let mut attributes = Vec::new();
    attribute(&mut attributes, DEVICE_INDEX, &device.to_ne_bytes());
    family.request((GET_DEVICE, VERSION), DUMP, &attributes)
}

/// Writes a request that gives a device its private key and port.
fn key_of(family: Family, device: u32, key: &[u8; KEY_BYTES]) -> Vec<u8> {
    let mut attributes = Vec::new();
    attribute(&mut attributes, DEVICE_INDEX, &device.to_ne_bytes());
    attribute(&mut attributes, DEVICE_PRIVATE_KEY, key);
    let port = WIREGUARD_PORT.to_ne_bytes();
    attribute(&mut attributes, DEVICE_LISTEN_PORT, &port);
    family.request((SET_DEVICE, VERSION), ACKNOWLEDGE, &attributes)
}

/// Writes a request that gives a device a peer.
fn peer_of(family: Family, peer: &WireguardPeer, key: &[u8; KEY_BYTES]) -> Vec<u8> {
    let (address, prefix) = peer.allowed;
    let mut range = Vec::new();
    let (number, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    attribute(&mut range, ALLOWED_FAMILY, &address_family(number));
    attribute(&mut range, ALLOWED_ADDRESS, &octets);
    attribute(&mut range, ALLOWED_PREFIX, &[prefix]);
    let mut own = Vec::new();
    attribute(&mut own, PEER_PUBLIC_KEY, key);
    attribute(&mut own, PEER_ENDPOINT, &socket_address(peer.endpoint));
    attribute(&mut own, PEER_ALLOWED | NESTED, &only(&range));
    let mut attributes = Vec::new();
    attribute(&mut attributes, DEVICE_INDEX, &peer.device.to_ne_bytes());
    attribute(&mut attributes, DEVICE_PEERS | NESTED, &only(&own));
    family.request((SET_DEVICE, VERSION), ACKNOWLEDGE, &attributes)
}

/// Writes a list of one.
fn only(item: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    attribute(&mut list, NESTED, item);
    list
}

fn address_family(number: libc::c_int) -> [u8; 2] {
    u16::try_from(number).unwrap_or_default().to_ne_bytes()
}

/// Writes `struct sockaddr_in` or `struct sockaddr_in6`.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address_family(libc::AF_INET));
            bytes.extend(address.port().to_be_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend(address_family(libc::AF_INET6));
            bytes.extend(address.port().to_be_bytes());
            bytes.extend(address.flowinfo().to_be_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use netlink_packet_generic::GenlMessage;
    use netlink_packet_wireguard::{
        WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
        WireguardCmd, WireguardMessage, WireguardPeer as Theirs, WireguardPeerAttribute,
    };
    use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};

    use super::*;

    fn peer(endpoint: &str, allowed: (&str, u8)) -> WireguardPeer {
        WireguardPeer {
            device: 51,
            endpoint: endpoint.parse().unwrap(),
            allowed: (allowed.0.parse().unwrap(), allowed.1),
        }
    }

    #[test]
    fn a_peer_is_written_as_the_kernel_reads_it() {
        for (endpoint, allowed, length) in [
            ("192.168.77.2:51820", ("10.244.1.0", 24), 16),
            ("[fd00:77::2]:51820", ("fd00:10:244:1::", 64), 28),
        ] {
            let message = peer_of(Family(33), &peer(endpoint, allowed), &[7; KEY_BYTES]);
            assert_eq!(message[16..20], [SET_DEVICE, VERSION, 0, 0]);
            let answer = plain::read(&message).unwrap();
            assert_eq!(answer.kind, 33);
            let device = find(answer.attributes, DEVICE_INDEX).unwrap();
            assert_eq!(device, 51_u32.to_ne_bytes());
            let peers = find(answer.attributes, DEVICE_PEERS).unwrap();
            let first = find(peers, 0).unwrap();
            assert_eq!(find(first, PEER_PUBLIC_KEY), Some(&[7; KEY_BYTES][..]));
            let to = find(first, PEER_ENDPOINT).unwrap();
            assert_eq!((to.len(), &to[2..4]), (length, &[0xca, 0x6c][..]));
            let range = find(find(first, PEER_ALLOWED).unwrap(), 0).unwrap();
            assert_eq!(find(range, ALLOWED_PREFIX), Some(&[allowed.1][..]));
            let start: IpAddr = allowed.0.parse().unwrap();
            let octets = match start {
                IpAddr::V4(start) => start.octets().to_vec(),
                IpAddr::V6(start) => start.octets().to_vec(),
            };
            assert_eq!(find(range, ALLOWED_ADDRESS), Some(&octets[..]));
        }
    }

    #[test]
    fn a_key_is_given_and_a_device_asked_for() {
        let message = key_of(Family(33), 51, &[9; KEY_BYTES]);
        let given = plain::read(&message).unwrap().attributes;
        assert_eq!(find(given, DEVICE_PRIVATE_KEY), Some(&[9; KEY_BYTES][..]));
        let port = find(given, DEVICE_LISTEN_PORT).unwrap();
        assert_eq!(port, 51_820_u16.to_ne_bytes());
        let message = device_of(Family(33), 51);
        assert_eq!(message[16..20], [GET_DEVICE, VERSION, 0, 0]);
        let flags = u16::from_ne_bytes([message[6], message[7]]);
        assert_eq!(flags, 0x301);
    }

    /// What another implementation of the family's messages writes.
    fn written(cmd: WireguardCmd, flags: u16, mut attributes: Vec<WireguardAttribute>) -> Vec<u8> {
        attributes.insert(0, WireguardAttribute::IfIndex(51));
        let mut inner = GenlMessage::from_payload(WireguardMessage { cmd, attributes });
        inner.set_resolved_family_id(33);
        let mut message = NetlinkMessage::from(inner);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut request = vec![0; message.buffer_len()];
        message.serialize(&mut request);
        request
    }

    #[test]
    fn requests_are_those_of_another_implementation() {
        for (endpoint, allowed, family) in [
            (
                "192.168.77.2:51820",
                ("10.244.1.0", 24),
                WireguardAddressFamily::Ipv4,
            ),
            (
                "[fd00:77::2]:51820",
                ("fd00:10:244:1::", 64),
                WireguardAddressFamily::Ipv6,
            ),
        ] {
            let peer = peer(endpoint, allowed);
            let (address, prefix) = peer.allowed;
            let range = WireguardAllowedIp(vec![
                WireguardAllowedIpAttr::Family(family),
                WireguardAllowedIpAttr::IpAddr(address),
                WireguardAllowedIpAttr::Cidr(prefix),
            ]);
            let peers = WireguardAttribute::Peers(vec![Theirs(vec![
                WireguardPeerAttribute::PublicKey([7; KEY_BYTES]),
                WireguardPeerAttribute::Endpoint(peer.endpoint),
                WireguardPeerAttribute::AllowedIps(vec![range]),
            ])]);
            assert_eq!(
                written(WireguardCmd::SetDevice, NLM_F_ACK, vec![peers]),
                peer_of(Family(33), &peer, &[7; KEY_BYTES])
            );
        }
        let key = vec![
            WireguardAttribute::PrivateKey([9; KEY_BYTES]),
            WireguardAttribute::ListenPort(WIREGUARD_PORT),
        ];
        assert_eq!(
            written(WireguardCmd::SetDevice, NLM_F_ACK, key),
            key_of(Family(33), 51, &[9; KEY_BYTES])
        );
        assert_eq!(
            written(WireguardCmd::GetDevice, NLM_F_DUMP, Vec::new()),
            device_of(Family(33), 51)
        );
    }

    #[test]
    fn numbers_are_the_kernels() {
        let Ok(shown) = std::fs::read_to_string("/usr/include/linux/wireguard.h") else {
            return eprintln!("SKIPPED, NOTHING WAS TESTED: no kernel headers");
        };
        let place = |list: &str, name: &str| {
            let (_, after) = shown.split_once(&format!("\tWG{list}_A_UNSPEC,")).unwrap();
            let mut names = after.lines().map(|line| line.trim().trim_end_matches(','));
            let found = names.position(|line| line == format!("WG{list}_A_{name}"));
            u16::try_from(found.unwrap()).unwrap()
        };
        for (list, name, number) in [
            ("DEVICE", "IFINDEX", DEVICE_INDEX),
            ("DEVICE", "PRIVATE_KEY", DEVICE_PRIVATE_KEY),
            ("DEVICE", "PUBLIC_KEY", DEVICE_PUBLIC_KEY),
            ("DEVICE", "LISTEN_PORT", DEVICE_LISTEN_PORT),
            ("DEVICE", "PEERS", DEVICE_PEERS),
            ("PEER", "PUBLIC_KEY", PEER_PUBLIC_KEY),
            ("PEER", "ENDPOINT", PEER_ENDPOINT),
            ("PEER", "ALLOWEDIPS", PEER_ALLOWED),
            ("ALLOWEDIP", "FAMILY", ALLOWED_FAMILY),
            ("ALLOWEDIP", "IPADDR", ALLOWED_ADDRESS),
            ("ALLOWEDIP", "CIDR_MASK", ALLOWED_PREFIX),
        ] {
            assert_eq!(place(list, name), number, "{list} {name}");
        }
        assert!(shown.contains("WG_CMD_GET_DEVICE,\n\tWG_CMD_SET_DEVICE,"));
    }
}
