//! One probe: a packet of a given size that must not be fragmented.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use tollgate_results::outcome::Failure;
use tollgate_results::workload::SocketKind;

use super::kernel::never_fragment;
use super::search::Fate;
use crate::clock::{Clock as _, Monotonic};
use crate::complaint::{self, Complaint};
use crate::probe::icmp::{Echoes, Form, HEADER_LEN, IcmpDial, IcmpLink};
use crate::probe::open::talk::{Datagrams, Heard, Talk};
use crate::probe::socket::{Begin as _, UdpDial};
use crate::probe::transport::Transport;
use crate::probe::wake::Wake;
use crate::stamps::Control;

/// Length of an IP header without options, of either family, in bytes.
const IP_HEADER: [u32; 2] = [20, 40];

/// Length of a UDP header, in bytes.
const UDP_HEADER: u32 = 8;

/// Whom probes go to, and how.
#[derive(Debug)]
pub(super) enum Peer {
    Icmp(IcmpLink, Form),
    Udp(UdpSocket, bool),
}

impl Peer {
    /// Opens a socket: with a kind for ICMP, else for UDP.
    pub(super) fn open(
        target: SocketAddr,
        icmp: Option<SocketKind>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let is_ipv6 = target.is_ipv6();
        if let Some(kind) = icmp {
            let mut dial = IcmpDial::new(target, kind, Wake::within(timeout));
            let link = dial.begin()?;
            never_fragment(&link, is_ipv6)?;
            return Ok(Self::Icmp(link, dial.form()));
        }
        let socket = UdpDial::new(target, Wake::within(timeout)).begin()?;
        complaint::keep(&socket, is_ipv6)?;
        never_fragment(&socket, is_ipv6)?;
        Ok(Self::Udp(socket, is_ipv6))
    }

    fn is_ipv6(&self) -> bool {
        match self {
            Self::Icmp(_, form) => form.is_ipv6,
            Self::Udp(_, is_ipv6) => *is_ipv6,
        }
    }
}

/// Probes of one search.
#[derive(Debug)]
pub(super) struct Attempts {
    peer: Peer,
    timeout: Duration,
    tries: u32,
    made: u32,
    control: Control,
    buffer: Vec<u8>,
}

impl Attempts {
    pub(super) fn new(peer: Peer, timeout: Duration, tries: u32) -> Self {
        Self {
            peer,
            timeout,
            tries,
            made: 0,
            control: Control::new(),
            buffer: vec![0; 1 << 16],
        }
    }

    /// Returns how many probes were sent.
    pub(super) const fn made(&self) -> u32 {
        self.made
    }

    /// Sends packets of a size, IP header included, until one has an answer or all were in vain.
    pub(super) fn make(&mut self, size: u32) -> Fate {
        let (v4, v6) = (IP_HEADER[0], IP_HEADER[1]);
        let inside = size - if self.peer.is_ipv6() { v6 } else { v4 };
        for _ in 0..self.tries {
            self.made += 1;
            let seed = RandomState::new().hash_one(self.made);
            let payload = |header: u32| (inside - header) as usize;
            let fate = match &mut self.peer {
                Peer::Icmp(link, form) => {
                    let header = u32::try_from(HEADER_LEN).unwrap_or(0);
                    let talk = Echoes::new(*form, payload(header), seed);
                    let room = (&mut self.control, &mut self.buffer[..]);
                    exchange(link, talk, self.made, self.timeout, room)
                }
                Peer::Udp(socket, _) => {
                    let talk = Datagrams::new(payload(UDP_HEADER), seed);
                    let room = (&mut self.control, &mut self.buffer[..]);
                    exchange(socket, talk, self.made, self.timeout, room)
                }
            };
            if fate != Fate::Silence {
                return fate;
            }
        }
        Fate::Silence
    }
}

/// Sends one probe and waits for what comes of it.
fn exchange<L: Transport + AsFd, T: Talk<Ear = ()>>(
    link: &mut L,
    mut talk: T,
    number: u32,
    timeout: Duration,
    (control, buffer): (&mut Control, &mut [u8]),
) -> Fate {
    let number = u64::from(number);
    let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let deadline = Monotonic.now().plus(timeout_ns);
    let mut sent = false;
    while Monotonic.now() < deadline {
        let called = if sent {
            link.recv(buffer)
        } else {
            link.send(talk.ask(number, true))
        };
        match called {
            Ok(len) if sent => {
                let heard = talk.hear(&mut (), 0, &buffer[..len]);
                if matches!(heard, Ok((_, Heard::Reply(reply))) if reply == number) {
                    return Fate::Through;
                }
            }
            Ok(_) => sent = true,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // What is said beside "too big" is no answer: the probe is lost.
            Err(_) => {
                let mut complaints = std::iter::from_fn(|| complaint::take(link, control));
                let too_big = complaints.find(|complaint| complaint.failure == Failure::TooBig);
                if let Some(Complaint { by, mtu, .. }) = too_big {
                    return Fate::TooBig { by, mtu };
                }
                if !sent {
                    return Fate::Silence;
                }
            }
        }
    }
    Fate::Silence
}
