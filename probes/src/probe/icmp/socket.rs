//! Raw and ping sockets behind the [`Transport`] seam.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use socket2::{Domain, Protocol as Carried, SockFilter, Socket, Type};
use tollgate_results::outcome::{Failure, Flow, Protocol};
use tollgate_results::workload::SocketKind;

use super::Form;
use super::message::{identify, reply_type};
use crate::clock::Clock;
use crate::complaint;
use crate::error::ProbeError;
use crate::probe::socket::{Begin, incoming_cpu};
use crate::probe::transport::{Dial, Transport, cause};
use crate::probe::wake::{Wake, wait_for};
use crate::probe::window::{Fault, Patience};
use crate::stamps::Control;

/// Opens sockets with the target as their only peer.
#[derive(Debug)]
pub(crate) struct IcmpDial {
    target: SocketAddr,
    form: Form,
    wake: Wake,
    /// The identifier of the next raw socket.
    next_id: u16,
}

/// A socket.
#[derive(Debug)]
pub(crate) struct IcmpLink {
    socket: Socket,
    /// The identifier of its requests, where the kernel leaves it to the probe.
    id: Option<u16>,
    control: Control,
}

/// Finds out which kind of socket is allowed here: what was asked for, or for [`SocketKind::Auto`] raw, else
/// unprivileged.
///
/// # Errors
///
/// When it is not allowed, with the way to mend it.
pub(crate) fn choose(target: SocketAddr, asked: SocketKind) -> Result<SocketKind, ProbeError> {
    let attempt = |kind| open(target, kind).map(|_| kind);
    let raw = || attempt(SocketKind::Raw);
    let unprivileged = || attempt(SocketKind::Unprivileged);
    let chosen = match asked {
        SocketKind::Raw => raw(),
        SocketKind::Unprivileged => unprivileged(),
        SocketKind::Auto => match raw() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => unprivileged(),
            other => other,
        },
    };
    chosen.map_err(|error| refused(asked, error))
}

fn refused(asked: SocketKind, error: io::Error) -> ProbeError {
    const RAW: &str = "run as root, or `setcap cap_net_raw+ep` the program";
    const PING: &str = "`sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"` in this network namespace allows ping \
                        sockets to everyone";
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let (what, mend) = match asked {
        _ if !denied => (
            "an ICMP socket",
            "is the address family switched on?".to_owned(),
        ),
        SocketKind::Raw => ("a raw ICMP socket", RAW.to_owned()),
        SocketKind::Unprivileged => ("a ping socket", PING.to_owned()),
        SocketKind::Auto => ("a raw or a ping socket", format!("{RAW}; or {PING}")),
    };
    ProbeError::refused(format!("open {what}"), error, mend)
}

fn open(target: SocketAddr, kind: SocketKind) -> io::Result<Socket> {
    let protocol = if target.is_ipv4() {
        Carried::ICMPV4
    } else {
        Carried::ICMPV6
    };
    let of_kind = match kind {
        SocketKind::Unprivileged => Type::DGRAM,
        SocketKind::Raw | SocketKind::Auto => Type::RAW,
    };
    Socket::new(Domain::for_address(target), of_kind, Some(protocol))
}

impl IcmpDial {
    /// Prepares sockets of a kind that was chosen.
    pub(crate) fn new(target: SocketAddr, kind: SocketKind, wake: Wake) -> Self {
        let mut target = target;
        target.set_port(0);
        // Identifiers are any program's to use, most of all those from 1 on.
        let drawn = RandomState::new().hash_one(0_u8).to_ne_bytes();
        Self {
            target,
            form: Form {
                is_ipv6: target.is_ipv6(),
                is_raw: kind != SocketKind::Unprivileged,
            },
            wake,
            next_id: u16::from_ne_bytes([drawn[0], drawn[1]]),
        }
    }

    /// Returns how messages over these sockets are made and read.
    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    fn link(&mut self) -> io::Result<IcmpLink> {
        let kind = if self.form.is_raw {
            SocketKind::Raw
        } else {
            SocketKind::Unprivileged
        };
        let socket = open(self.target, kind)?;
        let id = self.form.is_raw.then_some(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        if let Some(id) = id {
            socket.attach_filter(&only_replies(self.form.is_ipv6, id))?;
        }
        self.wake.set(&socket)?;
        complaint::keep(&socket, self.form.is_ipv6)?;
        socket.connect(&self.target.into())?;
        Ok(IcmpLink {
            socket,
            id,
            control: Control::new(),
        })
    }
}

/// Builds a filter that lets replies with this identifier through: a raw socket is given a copy of every ICMP
/// message that the machine receives.
fn only_replies(is_ipv6: bool, id: u16) -> Vec<SockFilter> {
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
    let reply = u32::from(reply_type(is_ipv6).0);
    let rest = [
        SockFilter::new(word(BPF_LD | BPF_B | place), 0, 0, 0),
        SockFilter::new(word(BPF_JMP | BPF_JEQ | BPF_K), 0, 3, reply),
        SockFilter::new(word(BPF_LD | BPF_H | place), 0, 0, 4),
        SockFilter::new(word(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, u32::from(id)),
        SockFilter::new(word(BPF_RET | BPF_K), 0, 0, u32::MAX),
        SockFilter::new(word(BPF_RET | BPF_K), 0, 0, 0),
    ];
    header.into_iter().chain(rest).collect()
}

impl Dial for IcmpDial {
    type Link = IcmpLink;

    fn dial<C: Clock>(&mut self, _patience: &Patience<'_, C>) -> Result<(IcmpLink, u64), Fault> {
        let link = self.link();
        let link = link.map_err(|error| Fault::Failed(cause(&error)))?;
        Ok((link, 0))
    }

    fn flow(&self, link: &IcmpLink) -> Option<Flow> {
        let mut local = link.socket.local_addr().ok()?.as_socket()?;
        if let Some(id) = link.id {
            local.set_port(id);
        }
        Some(Flow {
            protocol: Protocol::Icmp,
            local,
            remote: self.target,
            incoming_cpu: incoming_cpu(link.as_fd()),
        })
    }

    fn hang_up(&mut self, link: IcmpLink) {
        drop(link);
    }
}

impl Begin for IcmpDial {
    fn begin(&mut self) -> io::Result<IcmpLink> {
        self.link()
    }

    fn unblock(link: &IcmpLink) -> io::Result<()> {
        link.socket.set_nonblocking(true)
    }
}

impl AsFd for IcmpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Transport for IcmpLink {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some((id, (header, rest))) = self.id.zip(bytes.split_first_chunk()) else {
            return self.socket.send(bytes);
        };
        let mut header = *header;
        identify(&mut header, id);
        let pieces = [IoSlice::new(&header), IoSlice::new(rest)];
        self.socket.send_vectored(&pieces)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.socket, buffer)
    }

    fn wait(&mut self, ns: u64) {
        wait_for(&self.socket, ns);
    }

    fn cause(&mut self, error: &io::Error) -> Option<Failure> {
        let own = |quoted: &[u8]| {
            let id = quoted.get(4..6).and_then(<[u8]>::first_chunk);
            self.id.is_none_or(|own| id == Some(&own.to_be_bytes()))
        };
        let mut any = false;
        while let Some(complaint) = complaint::take(&self.socket, &mut self.control) {
            if complaint.by.is_none() || own(complaint.quoted()) {
                return Some(complaint.failure);
            }
            any = true;
        }
        // A raw socket hears of others' messages to the same host, too.
        (!any).then(|| cause(error))
    }
}
