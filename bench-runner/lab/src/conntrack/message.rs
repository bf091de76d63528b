//! ctnetlink messages: attributes in network order inside headers in host order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use tollgate_results::evidence::ConntrackRefusals;
use tollgate_results::outcome::{Flow, Protocol};

use super::{Entry, Tuple};

/// Length of a netlink header.
const HEADER: usize = 16;
/// Length of the header that all netfilter messages share: family, version, resource.
const NETFILTER_HEADER: usize = 4;
/// `NFNL_SUBSYS_CTNETLINK` in the upper byte of a message's type.
const CONNTRACK: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: how an entry is answered.
const NEW: u16 = CONNTRACK;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = CONNTRACK | 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = CONNTRACK | 2;
/// `IPCTNL_MSG_CT_GET_STATS_CPU`.
const GET_STATS_CPU: u16 = CONNTRACK | 4;
/// `IPCTNL_MSG_CT_GET_STATS`.
const GET_STATS: u16 = CONNTRACK | 5;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_DUMP`.
const DUMP: u16 = 0x300;
/// `NLM_F_EXCL` and `NLM_F_CREATE`.
const CREATE: u16 = 0x600;
const ERROR: u16 = 2;
/// Ends the answers to a dump.
const DONE: u16 = 3;

/// Marks an attribute that holds attributes.
const NESTED: u16 = 1 << 15;
const TYPE_MASK: u16 = (1 << 14) - 1;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// Identifier, type and code of an ICMP message, of each family.
const ICMP: [u16; 3] = [4, 5, 6];
const ICMPV6: [u16; 3] = [7, 8, 9];
/// Type of an echo request, of each family.
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const STATS_ENTRIES: u16 = 1;
const STATUS: u16 = 3;
const PROTOCOL_INFO: u16 = 4;
const TIMEOUT: u16 = 7;
const INFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
/// `TCP_CONNTRACK_ESTABLISHED`.
const ESTABLISHED: u8 = 3;
/// `IPS_SEEN_REPLY`, `IPS_ASSURED` and `IPS_CONFIRMED`: never given up to make room.
const ASSURED: u32 = 2 | 4 | 8;
/// Seconds that an entry lasts if nobody takes it away: longer than a campaign is worth waiting for.
const LASTS: u32 = 86_400;
const STATS_INSERT_FAILED: u16 = 9;
const STATS_DROP: u16 = 10;
const STATS_EARLY_DROP: u16 = 11;

/// `AF_INET`.
const INET: u8 = 2;

/// What the kernel answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Entry(Entry),
    Count(u32),
    /// Something that was not asked for.
    Other,
}

/// Asks for the entry whose original direction is `flow`.
pub(super) fn get(flow: &Flow) -> Vec<u8> {
    let mut addresses = Vec::new();
    match (flow.local.ip(), flow.remote.ip()) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            attribute(&mut addresses, V4_SOURCE, &local.octets());
            attribute(&mut addresses, V4_DESTINATION, &remote.octets());
        }
        (local, remote) => {
            attribute(&mut addresses, V6_SOURCE, &to_v6(local).octets());
            attribute(&mut addresses, V6_DESTINATION, &to_v6(remote).octets());
        }
    }
    let number = match flow.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp if flow.remote.is_ipv4() => 1,
        Protocol::Icmp => 58,
    };
    let mut protocol = Vec::new();
    attribute(&mut protocol, PROTOCOL_NUMBER, &[number]);
    let local = flow.local.port().to_be_bytes();
    if flow.protocol == Protocol::Icmp {
        let ([id, kind, code], request) = if flow.remote.is_ipv4() {
            (ICMP, ECHO_REQUEST)
        } else {
            (ICMPV6, ECHO_REQUEST_V6)
        };
        attribute(&mut protocol, id, &local);
        attribute(&mut protocol, kind, &[request]);
        attribute(&mut protocol, code, &[0]);
    } else {
        let remote = flow.remote.port().to_be_bytes();
        attribute(&mut protocol, SOURCE_PORT, &local);
        attribute(&mut protocol, DESTINATION_PORT, &remote);
    }
    let mut tuple = Vec::new();
    attribute(&mut tuple, TUPLE_IP | NESTED, &addresses);
    attribute(&mut tuple, TUPLE_PROTOCOL | NESTED, &protocol);
    let mut attributes = Vec::new();
    attribute(&mut attributes, TUPLE_ORIGINAL | NESTED, &tuple);
    let family = if flow.remote.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    request(GET, u8::try_from(family).unwrap_or_default(), &attributes)
}

/// Asks for the number of entries.
pub(super) fn count() -> Vec<u8> {
    request(GET_STATS, 0, &[])
}

/// Asks for a new entry: an established TCP connection over IPv4.
pub(super) fn new_connection(tuple: &Tuple) -> Vec<u8> {
    let mut attributes = Vec::new();
    let reverse = Tuple {
        source: tuple.destination,
        destination: tuple.source,
    };
    tcp(&mut attributes, TUPLE_ORIGINAL, tuple);
    tcp(&mut attributes, TUPLE_REPLY, &reverse);
    attribute(&mut attributes, STATUS, &ASSURED.to_be_bytes());
    let (mut state, mut info) = (Vec::new(), Vec::new());
    attribute(&mut state, TCP_STATE, &[ESTABLISHED]);
    attribute(&mut info, INFO_TCP | NESTED, &state);
    attribute(&mut attributes, PROTOCOL_INFO | NESTED, &info);
    attribute(&mut attributes, TIMEOUT, &LASTS.to_be_bytes());
    request_with(NEW, CREATE, INET, &attributes)
}

/// Asks for an entry to go.
pub(super) fn delete(tuple: &Tuple) -> Vec<u8> {
    let mut attributes = Vec::new();
    tcp(&mut attributes, TUPLE_ORIGINAL, tuple);
    request_with(DELETE, 0, INET, &attributes)
}

/// Asks for the statistics of each CPU.
pub(super) fn statistics() -> Vec<u8> {
    request_with(GET_STATS_CPU, DUMP, 0, &[])
}

/// Appends one direction of a TCP connection over IPv4.
fn tcp(to: &mut Vec<u8>, direction: u16, tuple: &Tuple) {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let (mut addresses, mut protocol, mut both) = (Vec::new(), Vec::new(), Vec::new());
    attribute(&mut addresses, V4_SOURCE, &octets(tuple.source));
    attribute(&mut addresses, V4_DESTINATION, &octets(tuple.destination));
    attribute(&mut protocol, PROTOCOL_NUMBER, &[6]);
    attribute(
        &mut protocol,
        SOURCE_PORT,
        &tuple.source.port().to_be_bytes(),
    );
    attribute(
        &mut protocol,
        DESTINATION_PORT,
        &tuple.destination.port().to_be_bytes(),
    );
    attribute(&mut both, TUPLE_IP | NESTED, &addresses);
    attribute(&mut both, TUPLE_PROTOCOL | NESTED, &protocol);
    attribute(to, direction | NESTED, &both);
}

/// Adds the statistics of the CPUs in one answer; says whether it was the last.
pub(super) fn add_statistics(
    mut answer: &[u8],
    sum: &mut ConntrackRefusals,
) -> Result<bool, Errno> {
    while !answer.is_empty() {
        let length = number::<4>(answer, 0).map(u32::from_ne_bytes);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length
            .filter(|length| *length >= HEADER)
            .ok_or(Errno::EBADMSG)?;
        let message = answer.get(..length).ok_or(Errno::EBADMSG)?;
        let kind = number::<2>(message, 4).map(u16::from_ne_bytes);
        match kind {
            Some(DONE) => return Ok(true),
            Some(ERROR) => {
                read(message)?;
            }
            _ => {
                let attributes = message.get(HEADER + NETFILTER_HEADER..).unwrap_or_default();
                let of = |kind| {
                    let value = find(attributes, kind).and_then(|value| number::<4>(value, 0));
                    value.map_or(0, |value| u64::from(u32::from_be_bytes(value)))
                };
                sum.insert_failed += of(STATS_INSERT_FAILED);
                sum.dropped += of(STATS_DROP);
                sum.early_dropped += of(STATS_EARLY_DROP);
            }
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn request(kind: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    request_with(kind, 0, family, attributes)
}

fn request_with(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + NETFILTER_HEADER + attributes.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    // Sequence and port: the socket asks one question only.
    message.extend([0; 8]);
    message.extend([family, 0, 0, 0]);
    message.extend(attributes);
    message
}

/// Appends an attribute, padded to four bytes.
fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Reads an answer; the kernel's refusal is the error.
pub(super) fn read(message: &[u8]) -> Result<Answer, Errno> {
    let kind = number::<2>(message, 4)
        .map(u16::from_ne_bytes)
        .ok_or(Errno::EBADMSG)?;
    if kind == ERROR {
        let errno = number::<4>(message, HEADER)
            .map(i32::from_ne_bytes)
            .ok_or(Errno::EBADMSG)?;
        return match errno.checked_neg() {
            Some(0) | None => Ok(Answer::Other),
            Some(errno) => Err(Errno::from_raw(errno)),
        };
    }
    let attributes = message
        .get(HEADER + NETFILTER_HEADER..)
        .ok_or(Errno::EBADMSG)?;
    Ok(match kind {
        NEW => entry(attributes).map_or(Answer::Other, Answer::Entry),
        GET_STATS => find(attributes, STATS_ENTRIES)
            .and_then(|value| number::<4>(value, 0))
            .map_or(Answer::Other, |entries| {
                Answer::Count(u32::from_be_bytes(entries))
            }),
        _ => Answer::Other,
    })
}

fn entry(attributes: &[u8]) -> Option<Entry> {
    Some(Entry {
        original: tuple(find(attributes, TUPLE_ORIGINAL)?)?,
        reply: tuple(find(attributes, TUPLE_REPLY)?)?,
    })
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let addresses = find(attributes, TUPLE_IP)?;
    let protocol = find(attributes, TUPLE_PROTOCOL)?;
    let [source, destination] = ports(protocol)?;
    let ip = |v4, v6| -> Option<IpAddr> {
        if let Some(value) = find(addresses, v4) {
            return Some(Ipv4Addr::from(number::<4>(value, 0)?).into());
        }
        Some(Ipv6Addr::from(number::<16>(find(addresses, v6)?, 0)?).into())
    };
    Some(Tuple {
        source: SocketAddr::new(ip(V4_SOURCE, V6_SOURCE)?, source),
        destination: SocketAddr::new(ip(V4_DESTINATION, V6_DESTINATION)?, destination),
    })
}

/// Reads the ports of a tuple. As in a [`Flow`], the identifier of an ICMP message stands in place of the port of
/// the side that asks.
fn ports(protocol: &[u8]) -> Option<[u16; 2]> {
    let number = |kind| Some(u16::from_be_bytes(number(find(protocol, kind)?, 0)?));
    for ([id, kind, _], request) in [(ICMP, ECHO_REQUEST), (ICMPV6, ECHO_REQUEST_V6)] {
        if let Some(id) = number(id) {
            let asks = find(protocol, kind)?.first() == Some(&request);
            return Some(if asks { [id, 0] } else { [0, id] });
        }
    }
    Some([number(SOURCE_PORT)?, number(DESTINATION_PORT)?])
}

/// Returns the value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(number(attributes, 0)?));
        let kind = u16::from_ne_bytes(number(attributes, 2)?);
        let value = attributes.get(4..length)?;
        if kind & TYPE_MASK == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(protocol: Protocol, local: &str, remote: &str) -> Flow {
        Flow {
            protocol,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            incoming_cpu: None,
        }
    }

    /// An answer made of the request's own tuple in both directions.
    fn echo(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[4..6].copy_from_slice(&NEW.to_ne_bytes());
        let attributes = request[HEADER + NETFILTER_HEADER..].to_vec();
        let at = answer.len();
        answer.extend(attributes);
        answer[at + 2..at + 4].copy_from_slice(&(TUPLE_REPLY | NESTED).to_ne_bytes());
        answer
    }

    #[test]
    fn a_tuple_is_read_as_it_was_written() {
        for (local, remote) in [
            ("10.244.0.2:40000", "10.96.0.10:80"),
            ("[fd00:10:244::2]:40000", "[fd00:10:96::a]:80"),
        ] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let flow = flow(protocol, local, remote);
                let tuple = Tuple {
                    source: flow.local,
                    destination: flow.remote,
                };
                let answer = read(&echo(&get(&flow)));
                assert_eq!(
                    answer,
                    Ok(Answer::Entry(Entry {
                        original: tuple,
                        reply: tuple
                    }))
                );
            }
        }
    }

    #[test]
    fn an_echo_request_is_found_by_its_identifier() {
        for (local, remote) in [
            ("10.244.0.2:77", "10.244.1.2:0"),
            ("[fd00:10:244::2]:77", "[fd00:10:244:1::2]:0"),
        ] {
            let flow = flow(Protocol::Icmp, local, remote);
            let asked = get(&flow);
            let mut answer = echo(&asked);
            // The reply has the type of a reply.
            let types = if flow.local.is_ipv4() { ICMP } else { ICMPV6 };
            let mut kind = Vec::new();
            attribute(
                &mut kind,
                types[1],
                &[if flow.local.is_ipv4() { 8 } else { 128 }],
            );
            let last = answer.windows(kind.len()).rposition(|bytes| bytes == kind);
            answer[last.unwrap() + 4] = if flow.local.is_ipv4() { 0 } else { 129 };
            let Ok(Answer::Entry(entry)) = read(&answer) else {
                panic!("{answer:?}");
            };
            assert_eq!(entry.original.source, flow.local);
            assert_eq!(entry.original.destination, flow.remote);
            assert_eq!(entry.reply.source.port(), 0);
            assert_eq!(entry.reply.destination.port(), 77);
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut message = request(ERROR, 0, &[]);
        message[HEADER..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(read(&message), Err(Errno::ENOENT));
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(mut message: Vec<u8>, kind in prop::sample::select(vec![NEW, GET_STATS, ERROR])) {
            if message.len() > 5 {
                message[4..6].copy_from_slice(&kind.to_ne_bytes());
            }
            let _ = read(&message);
            let _ = add_statistics(&message, &mut ConntrackRefusals::default());
        }
    }
}
