//! TCP-SYN ping: a SYN through a raw socket, and the SYN-ACK or RST that answers it. No connection comes of it.
//!
//! The kernel knows nothing of the SYN: it answers a SYN-ACK with a RST by itself, which ends the half-open
//! connection at the far end, and that is just what is wanted. So that no other program of this machine has the same
//! port, an ordinary socket holds it, which neither listens nor connects. Segments of the target alone reach the raw
//! socket, by a filter in the kernel.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::tcp::{
    MutableTcpPacket, TcpFlags, TcpOption, TcpPacket, ipv4_checksum, ipv6_checksum,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use socket2::{Domain, Protocol as Carried, SockFilter, Socket, Type};
use tollgate_results::outcome::{Failure, Flow, Protocol};
use tollgate_results::workload::SocketKind;

use super::open::talk::{Heard, Talk};
use super::transport::{Dial, Transport, cause};
use super::wake::{Wake, wait_for};
use super::window::{Fault, Patience};
use crate::clock::Clock;
use crate::complaint;
use crate::error::ProbeError;
use crate::stamps::Control;

/// Length of the TCP header of a SYN with one option, in bytes.
const SYN_LEN: usize = 24;

/// The header's length in words of four bytes.
const SYN_WORDS: u8 = 6;

/// Maximum segment size that a SYN offers, that of an Ethernet path: without any, some firewalls drop it.
const SEGMENT: u16 = 1460;

/// Finds out whether SYNs go through a raw socket here, or by `connect`: what was asked for, or for
/// [`SocketKind::Auto`] raw where it is allowed.
///
/// # Errors
///
/// When raw sockets were asked for and are not allowed, with the way to mend it.
pub(crate) fn choose(target: SocketAddr, asked: SocketKind) -> Result<SocketKind, ProbeError> {
    if asked == SocketKind::Unprivileged {
        return Ok(asked);
    }
    match raw(target) {
        Ok(_) => Ok(SocketKind::Raw),
        Err(error) if error.kind() == ErrorKind::PermissionDenied && asked == SocketKind::Auto => {
            Ok(SocketKind::Unprivileged)
        }
        Err(error) => {
            let mend = "run as root, or `setcap cap_net_raw+ep` the program; or have it connect (--socket unprivileged)";
            Err(ProbeError::refused("open a raw TCP socket", error, mend))
        }
    }
}

fn raw(target: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(target), Type::RAW, Some(Carried::TCP))
}

/// SYNs, and the segments that answer them.
#[derive(Debug)]
pub(crate) struct Syns {
    frame: [u8; SYN_LEN],
    is_ipv6: bool,
    /// Initial sequence number of the request 0; each later one has the next.
    first: u32,
    /// The last request.
    last: u64,
}

impl Syns {
    /// Prepares SYNs, their sequence numbers drawn from `seed`.
    pub(crate) fn new(is_ipv6: bool, seed: u64) -> Self {
        let mut frame = [0; SYN_LEN];
        let mut packet = MutableTcpPacket::new(&mut frame).expect("it has room");
        packet.set_data_offset(SYN_WORDS);
        packet.set_flags(TcpFlags::SYN);
        packet.set_window(u16::MAX);
        packet.set_options(&[TcpOption::mss(SEGMENT)]);
        Self {
            frame,
            is_ipv6,
            first: ChaCha8Rng::seed_from_u64(seed).next_u32(),
            last: 0,
        }
    }

    const fn number(&self, request: u64) -> u32 {
        self.first.wrapping_add(low_half(request))
    }

    /// Reads what a segment answers; the ports are the filter's business.
    fn read(&self, received: &[u8]) -> Option<Heard> {
        let segment = if self.is_ipv6 {
            received
        } else {
            let packet = Ipv4Packet::new(received)?;
            let header = usize::from(packet.get_header_length()) * 4;
            let is_tcp = packet.get_next_level_protocol() == IpNextHeaderProtocols::Tcp;
            received
                .get(header..)
                .filter(|_| is_tcp && header >= Ipv4Packet::minimum_packet_size())?
        };
        let packet = TcpPacket::new(segment)?;
        let flags = packet.get_flags();
        let answered = packet.get_acknowledgement().wrapping_sub(1);
        let ago = self.number(self.last).wrapping_sub(answered);
        let request = self.last.checked_sub(u64::from(ago))?;
        if flags & TcpFlags::ACK == 0 || request == 0 {
            None
        } else if flags & TcpFlags::RST != 0 {
            Some(Heard::Refused(request))
        } else {
            (flags & TcpFlags::SYN != 0).then_some(Heard::Reply(request))
        }
    }
}

const fn low_half(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Talk for Syns {
    type Ear = ();

    const DATAGRAMS: bool = true;

    fn ear(&self) {}

    #[inline]
    fn ask(&mut self, sequence: u64, _first: bool) -> &[u8] {
        self.last = sequence;
        let number = self.number(sequence);
        let mut packet = MutableTcpPacket::new(&mut self.frame).expect("it has room");
        packet.set_sequence(number);
        &self.frame
    }

    #[inline]
    fn hear(&self, _ear: &mut (), _oldest: u64, bytes: &[u8]) -> Result<(usize, Heard), Failure> {
        Ok((bytes.len(), self.read(bytes).unwrap_or(Heard::Stray)))
    }

    fn reply(&self) -> u64 {
        0
    }
}

/// Opens raw sockets with the target as their only peer.
#[derive(Debug)]
pub(crate) struct SynDial {
    target: SocketAddr,
    wake: Wake,
}

/// A raw socket, and the port that it sends from.
#[derive(Debug)]
pub(crate) struct SynLink {
    socket: Socket,
    local: SocketAddr,
    target: SocketAddr,
    /// Keeps the port.
    _holder: Socket,
    control: Control,
}

impl SynDial {
    pub(crate) const fn new(target: SocketAddr, wake: Wake) -> Self {
        Self { target, wake }
    }

    fn link(&self) -> io::Result<SynLink> {
        let mut peer = self.target;
        peer.set_port(0);
        let socket = raw(self.target)?;
        socket.connect(&peer.into())?;
        let unknown = || io::Error::from(ErrorKind::AddrNotAvailable);
        let own = socket.local_addr()?.as_socket().ok_or_else(unknown)?;
        let holder = Socket::new(Domain::for_address(own), Type::STREAM, None)?;
        let mut any = own;
        any.set_port(0);
        holder.bind(&any.into())?;
        let local = holder.local_addr()?.as_socket().ok_or_else(unknown)?;
        socket.attach_filter(&between(self.target.port(), local.port(), own.is_ipv6()))?;
        self.wake.set(&socket)?;
        complaint::keep(&socket, own.is_ipv6())?;
        Ok(SynLink {
            socket,
            local,
            target: self.target,
            _holder: holder,
            control: Control::new(),
        })
    }
}

/// Builds a filter for the segments from one port to another: a raw socket is given a copy of every one.
fn between(from: u16, to: u16, is_ipv6: bool) -> Vec<SockFilter> {
    use libc::{
        BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET,
    };
    let word = |code: u32| u16::try_from(code).unwrap_or(0);
    // A raw IPv4 socket sees the IP header, whose length goes into the index register; a raw IPv6 socket doesn't.
    let (header, place) = if is_ipv6 {
        (None, BPF_ABS)
    } else {
        let length = SockFilter::new(word(BPF_LDX | BPF_B | BPF_MSH), 0, 0, 0);
        (Some(length), BPF_IND)
    };
    let rest = [
        SockFilter::new(word(BPF_LD | BPF_H | place), 0, 0, 0),
        SockFilter::new(word(BPF_JMP | BPF_JEQ | BPF_K), 0, 3, u32::from(from)),
        SockFilter::new(word(BPF_LD | BPF_H | place), 0, 0, 2),
        SockFilter::new(word(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, u32::from(to)),
        SockFilter::new(word(BPF_RET | BPF_K), 0, 0, u32::MAX),
        SockFilter::new(word(BPF_RET | BPF_K), 0, 0, 0),
    ];
    header.into_iter().chain(rest).collect()
}

impl Dial for SynDial {
    type Link = SynLink;

    fn dial<C: Clock>(&mut self, _patience: &Patience<'_, C>) -> Result<(SynLink, u64), Fault> {
        let link = self.link();
        let link = link.map_err(|error| Fault::Failed(cause(&error)))?;
        Ok((link, 0))
    }

    fn flow(&self, link: &SynLink) -> Option<Flow> {
        Some(Flow {
            protocol: Protocol::Tcp,
            local: link.local,
            remote: self.target,
            incoming_cpu: None,
        })
    }

    fn hang_up(&mut self, link: SynLink) {
        drop(link);
    }
}

impl AsFd for SynLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Transport for SynLink {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(frame) = bytes.first_chunk::<SYN_LEN>() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let mut frame = *frame;
        address(&mut frame, self.local, self.target);
        self.socket.send(&frame)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.socket, buffer)
    }

    fn wait(&mut self, ns: u64) {
        wait_for(&self.socket, ns);
    }

    fn cause(&mut self, error: &io::Error) -> Option<Failure> {
        let port = self.local.port().to_be_bytes();
        let mut any = false;
        while let Some(complaint) = complaint::take(&self.socket, &mut self.control) {
            if complaint.by.is_none() || complaint.quoted().starts_with(&port) {
                return Some(complaint.failure);
            }
            any = true;
        }
        // A raw socket hears of others' segments to the same host, too.
        (!any).then(|| cause(error))
    }
}

/// Puts ports and checksum into a SYN.
fn address(frame: &mut [u8; SYN_LEN], local: SocketAddr, target: SocketAddr) {
    let mut packet = MutableTcpPacket::new(frame).expect("it has room");
    packet.set_source(local.port());
    packet.set_destination(target.port());
    packet.set_checksum(0);
    let packet = packet.to_immutable();
    let sum = match (local.ip(), target.ip()) {
        (IpAddr::V4(local), IpAddr::V4(target)) => ipv4_checksum(&packet, &local, &target),
        (IpAddr::V6(local), IpAddr::V6(target)) => ipv6_checksum(&packet, &local, &target),
        // The kernel connects one family to itself only.
        _ => 0,
    };
    let mut packet = MutableTcpPacket::new(frame).expect("it has room");
    packet.set_checksum(sum);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The segment that answers a SYN, without IP header.
    fn answer(syn: &[u8], flags: u8) -> Vec<u8> {
        let number = TcpPacket::new(syn).unwrap().get_sequence();
        let mut segment = vec![0; 20];
        let mut packet = MutableTcpPacket::new(&mut segment).unwrap();
        packet.set_data_offset(5);
        packet.set_flags(flags);
        packet.set_acknowledgement(number.wrapping_add(1));
        segment
    }

    fn heard(syns: &Syns, bytes: &[u8]) -> Heard {
        syns.hear(&mut (), 0, bytes).unwrap().1
    }

    #[test]
    fn syn_acks_and_resets_are_told_from_other_segments() {
        for seed in 0..20 {
            let mut syns = Syns::new(true, seed);
            let early = syns.ask(1, false).to_vec();
            let syn = syns.ask(u64::from(u32::MAX) + 7, false).to_vec();
            let request = u64::from(u32::MAX) + 7;
            let (syn_ack, reset) = (TcpFlags::SYN | TcpFlags::ACK, TcpFlags::RST | TcpFlags::ACK);
            assert_eq!(heard(&syns, &answer(&syn, syn_ack)), Heard::Reply(request));
            assert_eq!(heard(&syns, &answer(&syn, reset)), Heard::Refused(request));
            for flags in [TcpFlags::ACK, TcpFlags::SYN, TcpFlags::RST, 0] {
                assert_eq!(heard(&syns, &answer(&syn, flags)), Heard::Stray, "{flags}");
            }
            let mut syns = Syns::new(true, seed);
            syns.ask(3, false);
            assert_eq!(heard(&syns, &answer(&early, syn_ack)), Heard::Reply(1));
            assert_eq!(
                heard(&syns, &answer(&syn, syn_ack)),
                Heard::Stray,
                "not asked"
            );
        }
    }

    #[test]
    fn a_syn_has_the_checksum_that_the_kernel_expects() {
        let mut syns = Syns::new(false, 1);
        let mut frame: [u8; SYN_LEN] = syns.ask(1, false).try_into().unwrap();
        let local: SocketAddr = "10.0.0.1:1000".parse().unwrap();
        let target: SocketAddr = "10.0.0.2:80".parse().unwrap();
        address(&mut frame, local, target);
        let packet = TcpPacket::new(&frame).unwrap();
        assert_eq!((packet.get_source(), packet.get_destination()), (1000, 80));
        let (IpAddr::V4(from), IpAddr::V4(to)) = (local.ip(), target.ip()) else {
            unreachable!("both are IPv4");
        };
        assert_eq!(packet.get_checksum(), ipv4_checksum(&packet, &from, &to));
    }

    proptest! {
        #[test]
        fn nothing_received_makes_it_panic(bytes: Vec<u8>, is_ipv6: bool) {
            let mut syns = Syns::new(is_ipv6, 1);
            syns.ask(5, false);
            let _ = heard(&syns, &bytes);
        }
    }
}
