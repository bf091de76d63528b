//! IPVS's generic netlink messages (`linux/ip_vs.h`): numbers in host order but for ports, which are in network order.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use tollgate_results::arm::Services;
use tollgate_results::outcome::Protocol;

use crate::netlink::generic::Family;
use crate::netlink::plain::{self, ACKNOWLEDGE, CREATE, NESTED, attribute, find, number};
use crate::services::ServicePort;

/// `IPVS_GENL_NAME`.
pub(super) const NAME: &str = "IPVS";
/// `IPVS_GENL_VERSION`.
const VERSION: u8 = 1;
const NEW_SERVICE: u8 = 1;
const GET_SERVICE: u8 = 4;
const NEW_DESTINATION: u8 = 5;

const SERVICE: u16 = 1;
const DESTINATION: u16 = 2;

const SERVICE_FAMILY: u16 = 1;
const SERVICE_PROTOCOL: u16 = 2;
const SERVICE_ADDRESS: u16 = 3;
const SERVICE_PORT: u16 = 4;
const SERVICE_SCHEDULER: u16 = 6;
const SERVICE_FLAGS: u16 = 7;
const SERVICE_TIMEOUT: u16 = 8;
const SERVICE_NETMASK: u16 = 9;
const SERVICE_STATISTICS: u16 = 12;
/// `IPVS_STATS_ATTR_CONNS` in the statistics of 64 bits.
const CONNECTIONS: u16 = 1;

const DESTINATION_ADDRESS: u16 = 1;
const DESTINATION_PORT: u16 = 2;
const DESTINATION_METHOD: u16 = 3;
const DESTINATION_WEIGHT: u16 = 4;
const DESTINATION_UPPER: u16 = 5;
const DESTINATION_LOWER: u16 = 6;
const DESTINATION_FAMILY: u16 = 11;

/// `IP_VS_CONN_F_MASQ`: translated, as kube-proxy has it.
const TRANSLATED: u32 = 0;
/// `IP_VS_SVC_F_PERSISTENT`: a client stays at its endpoint.
const PERSISTENT: u32 = 1;
/// kube-proxy's default scheduler: in turn.
const IN_TURN: &[u8] = b"rr\0";

/// Writes IPVS's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Writer(pub(super) Family);

impl Writer {
    /// Adds a virtual server at an address.
    pub(super) fn add_server(self, port: &ServicePort, asked: SocketAddr) -> Vec<u8> {
        let (flags, timeout_s) = if port.affinity {
            (PERSISTENT, Services::AFFINITY_SECONDS)
        } else {
            (0, 0)
        };
        let netmask = match asked {
            SocketAddr::V4(_) => u32::MAX,
            SocketAddr::V6(_) => 128,
        };
        let mut server = server(port, asked);
        attribute(&mut server, SERVICE_SCHEDULER, IN_TURN);
        let flags = [flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
        attribute(&mut server, SERVICE_FLAGS, &flags);
        attribute(&mut server, SERVICE_TIMEOUT, &timeout_s.to_ne_bytes());
        attribute(&mut server, SERVICE_NETMASK, &netmask.to_ne_bytes());
        self.command(NEW_SERVICE, CREATE, &[(SERVICE, &server)])
    }

    /// Adds an endpoint to a virtual server.
    pub(super) fn add_endpoint(
        self,
        port: &ServicePort,
        asked: SocketAddr,
        endpoint: SocketAddr,
    ) -> Vec<u8> {
        let mut to = Vec::new();
        attribute(&mut to, DESTINATION_FAMILY, &family(endpoint).to_ne_bytes());
        attribute(&mut to, DESTINATION_ADDRESS, &address(endpoint.ip()));
        attribute(&mut to, DESTINATION_PORT, &endpoint.port().to_be_bytes());
        for (kind, value) in [
            (DESTINATION_METHOD, TRANSLATED),
            (DESTINATION_WEIGHT, 1),
            (DESTINATION_UPPER, 0),
            (DESTINATION_LOWER, 0),
        ] {
            attribute(&mut to, kind, &value.to_ne_bytes());
        }
        let server = server(port, asked);
        self.command(
            NEW_DESTINATION,
            CREATE,
            &[(SERVICE, &server), (DESTINATION, &to)],
        )
    }

    /// Asks for a virtual server and what it has counted.
    pub(super) fn ask_server(self, port: &ServicePort, asked: SocketAddr) -> Vec<u8> {
        self.command(GET_SERVICE, 0, &[(SERVICE, &server(port, asked))])
    }

    fn command(self, command: u8, flags: u16, parts: &[(u16, &[u8])]) -> Vec<u8> {
        let mut attributes = Vec::new();
        for (kind, part) in parts {
            attribute(&mut attributes, kind | NESTED, part);
        }
        self.0.request((command, VERSION), flags, &attributes)
    }
}

/// Asks for an answer to a request, which the last of several needs.
pub(super) fn acknowledge(request: &mut [u8]) {
    if let Some(flags) = request.get_mut(6..8) {
        let asked = u16::from_ne_bytes([flags[0], flags[1]]) | ACKNOWLEDGE;
        flags.copy_from_slice(&asked.to_ne_bytes());
    }
}

/// Reads how many connections a virtual server has had.
pub(super) fn connections(answer: &[u8]) -> Result<u64, Errno> {
    let attributes = plain::read(answer)?.attributes;
    let counted = find(attributes, SERVICE)
        .and_then(|server| find(server, SERVICE_STATISTICS))
        .and_then(|statistics| find(statistics, CONNECTIONS))
        .and_then(|count| number(count, 0));
    counted.map(u64::from_ne_bytes).ok_or(Errno::EBADMSG)
}

/// Writes what a virtual server is known by.
fn server(port: &ServicePort, asked: SocketAddr) -> Vec<u8> {
    let protocol: u16 = match port.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    };
    let mut server = Vec::new();
    attribute(&mut server, SERVICE_FAMILY, &family(asked).to_ne_bytes());
    attribute(&mut server, SERVICE_PROTOCOL, &protocol.to_ne_bytes());
    attribute(&mut server, SERVICE_ADDRESS, &address(asked.ip()));
    attribute(&mut server, SERVICE_PORT, &asked.port().to_be_bytes());
    server
}

fn family(address: SocketAddr) -> u16 {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    u16::try_from(family).unwrap_or_default()
}

/// Writes `union nf_inet_addr`: an IPv4 address comes first in it.
fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut union = [0; 16];
            union[..4].copy_from_slice(&address.octets());
            union
        }
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> ServicePort {
        ServicePort {
            name: "tollgate/server:p80".to_owned(),
            protocol: Protocol::Tcp,
            address: "10.96.0.10:80".parse().unwrap(),
            endpoints: vec!["10.244.1.2:8080".parse().unwrap()],
            node_port: None,
            affinity: true,
        }
    }

    #[test]
    fn a_server_is_written_as_the_kernel_reads_it() {
        let port = port();
        let mut message = Writer(Family(33)).add_server(&port, port.address);
        acknowledge(&mut message);
        assert_eq!(u16::from_ne_bytes([message[6], message[7]]), 1 | 4 | 0x600);
        assert_eq!(message[16..20], [NEW_SERVICE, 1, 0, 0]);
        let answer = plain::read(&message).unwrap();
        assert_eq!(answer.kind, 33);
        let server = find(answer.attributes, SERVICE).unwrap();
        assert_eq!(find(server, SERVICE_FAMILY), Some(&2_u16.to_ne_bytes()[..]));
        assert_eq!(find(server, SERVICE_PORT), Some(&[0, 80][..]));
        assert_eq!(
            find(server, SERVICE_ADDRESS).unwrap()[..5],
            [10, 96, 0, 10, 0]
        );
        assert_eq!(find(server, SERVICE_SCHEDULER), Some(&b"rr\0"[..]));
        assert_eq!(
            find(server, SERVICE_TIMEOUT),
            Some(&10_800_u32.to_ne_bytes()[..])
        );
        assert_eq!(
            find(server, SERVICE_FLAGS).unwrap()[..4],
            1_u32.to_ne_bytes()
        );
        let message = Writer(Family(33)).add_endpoint(&port, port.address, port.endpoints[0]);
        let answer = plain::read(&message).unwrap();
        let to = find(answer.attributes, DESTINATION).unwrap();
        assert_eq!(
            find(to, DESTINATION_PORT),
            Some(&8_080_u16.to_be_bytes()[..])
        );
        assert_eq!(find(to, DESTINATION_METHOD), Some(&0_u32.to_ne_bytes()[..]));
        assert!(find(answer.attributes, SERVICE).is_some());
    }

    #[test]
    fn connections_are_read_from_the_statistics() {
        let (mut statistics, mut server, mut all) = (Vec::new(), Vec::new(), Vec::new());
        attribute(&mut statistics, CONNECTIONS, &77_u64.to_ne_bytes());
        attribute(&mut server, SERVICE_STATISTICS | NESTED, &statistics);
        attribute(&mut all, SERVICE | NESTED, &server);
        let answer = plain::request(33, 0, [NEW_SERVICE, 1, 0, 0], &all);
        assert_eq!(connections(&answer), Ok(77));
        assert_eq!(connections(&answer[..24]), Err(Errno::EBADMSG));
    }
}
