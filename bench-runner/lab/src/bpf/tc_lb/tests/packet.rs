//! Packets for programs that are run on them: written with right checksums, read with a look at them.

use std::net::{IpAddr, SocketAddr};

use tollgate_results::outcome::Protocol;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const ACK: u8 = 16;

const ETHERNET: usize = 14;
/// Four bytes of options that say nothing.
const NO_OPERATION: [u8; 4] = [1; 4];

/// A packet to write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
    pub(super) payload: [u8; 5],
    flags: u8,
    summed: bool,
    fragment: bool,
    options: bool,
}

/// A packet that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: [u8; 5],
    /// Whether all checksums are right.
    pub(super) is_sound: bool,
}

impl Packet {
    pub(super) fn new(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Self {
        Self {
            protocol,
            from,
            to,
            payload: *b"hello",
            flags: 0,
            summed: true,
            fragment: false,
            options: false,
        }
    }

    pub(super) fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    pub(super) fn summed(self, summed: bool) -> Self {
        Self { summed, ..self }
    }

    pub(super) fn fragment(self) -> Self {
        Self {
            fragment: true,
            ..self
        }
    }

    pub(super) fn options(self) -> Self {
        Self {
            options: true,
            ..self
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut packet = vec![2; ETHERNET];
        let kind: [u8; 2] = if self.from.is_ipv4() {
            [8, 0]
        } else {
            [0x86, 0xdd]
        };
        packet[12..].copy_from_slice(&kind);
        let transport = self.transport();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let options: &[u8] = if self.options { &NO_OPERATION } else { &[] };
                let header = 20 + options.len();
                let mut ip = vec![0; 20];
                ip[0] = 0x40 + u8::try_from(header / 4).unwrap();
                let length = u16::try_from(header + transport.len()).unwrap();
                ip[2..4].copy_from_slice(&length.to_be_bytes());
                // More fragments follow.
                ip[6] = if self.fragment { 0x20 } else { 0 };
                ip[8] = 64;
                ip[9] = self.number();
                ip[12..16].copy_from_slice(&from.octets());
                ip[16..20].copy_from_slice(&to.octets());
                ip.extend(options);
                let sum = !fold(&ip, 0);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                packet.extend(ip);
            }
            (from, to) => {
                let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else {
                    panic!("two families");
                };
                let fragment = if self.fragment {
                    vec![self.number(), 0, 0, 1, 0, 0, 0, 1]
                } else {
                    Vec::new()
                };
                let length = u16::try_from(fragment.len() + transport.len()).unwrap();
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(length.to_be_bytes());
                packet.extend([if self.fragment { 44 } else { self.number() }, 64]);
                packet.extend(from.octets());
                packet.extend(to.octets());
                packet.extend(fragment);
            }
        }
        packet.extend(transport);
        packet
    }

    fn number(&self) -> u8 {
        match self.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Icmp if self.from.is_ipv4() => 1,
            Protocol::Icmp => 58,
        }
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.from.port().to_be_bytes());
        bytes.extend(self.to.port().to_be_bytes());
        let sum_at = match self.protocol {
            Protocol::Tcp => {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, self.flags, 1, 0, 0, 0, 0, 0]);
                16
            }
            Protocol::Udp => {
                bytes.extend([0, 13, 0, 0]);
                6
            }
            Protocol::Icmp => {
                bytes.extend([0; 4]);
                return bytes;
            }
        };
        bytes.extend(self.payload);
        if self.summed {
            let pseudo = pseudo(self.from.ip(), self.to.ip(), self.number(), bytes.len());
            let sum = !fold(&bytes, pseudo);
            bytes[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

/// Reads a packet of TCP or UDP.
pub(super) fn read(packet: &[u8]) -> Read {
    let ip = &packet[ETHERNET..];
    let (from, to, protocol, header): (IpAddr, IpAddr, u8, usize) = if packet[12] == 8 {
        let address = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap().into();
        (address(12), address(16), ip[9], usize::from(ip[0] & 15) * 4)
    } else {
        let address = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).unwrap().into();
        (address(8), address(24), ip[6], 40)
    };
    let transport = &ip[header..];
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let (payload, sum_at) = if protocol == 6 { (20, 16) } else { (8, 6) };
    let pseudo = pseudo(from, to, protocol, transport.len());
    let network = from.is_ipv6() || fold(&ip[..header], 0) == u16::MAX;
    assert!(network, "the header's checksum is wrong");
    let summed = port(sum_at) != 0;
    Read {
        from: SocketAddr::new(from, port(0)),
        to: SocketAddr::new(to, port(2)),
        payload: transport[payload..].try_into().unwrap(),
        is_sound: summed && fold(transport, pseudo) == u16::MAX,
    }
}

fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> u32 {
    let octets = |address| match address {
        IpAddr::V4(address) => std::net::Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => std::net::Ipv6Addr::octets(&address).to_vec(),
    };
    let addresses = [octets(from), octets(to)].concat();
    u32::from(fold(&addresses, 0)) + u32::from(protocol) + u32::try_from(length).unwrap()
}

/// The sum of RFC 1071, not yet turned.
fn fold(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
