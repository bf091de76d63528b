//! What routers, hosts and the kernel say of packets that didn't get through.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, setsockopt, sockopt,
};
use tollgate_results::outcome::Failure;

use crate::probe::transport::cause;
use crate::stamps::Control;

/// How much of the packet is read that a complaint quotes: its ICMP, TCP or UDP header and the first bytes after.
const QUOTED: usize = 64;

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Why the packet didn't get through.
    pub(crate) failure: Failure,
    /// Who says so; `None` for this machine.
    pub(crate) by: Option<IpAddr>,
    /// For what is too big: the largest packet that gets through, in bytes, by what was said.
    pub(crate) mtu: u32,
    quoted: [u8; QUOTED],
    quoted_len: usize,
}

impl Complaint {
    /// Returns the beginning of the packet, from after its IP header on.
    pub(crate) fn quoted(&self) -> &[u8] {
        &self.quoted[..self.quoted_len]
    }
}

/// Has the kernel keep complaints about what a socket sends.
pub(crate) fn keep(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    }
    Ok(())
}

/// Takes the oldest complaint; `None` when there is none. Never blocks. Timestamps on the way are dropped.
pub(crate) fn take(socket: &impl AsFd, control: &mut Control) -> Option<Complaint> {
    loop {
        let mut quoted = [0; QUOTED];
        let mut pieces = [IoSliceMut::new(&mut quoted)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = socket.as_fd().as_raw_fd();
        // Fails when the queue is empty.
        let message = recvmsg::<()>(fd, &mut pieces, Some(control.room()), flags).ok()?;
        let quoted_len = message.bytes.min(QUOTED);
        let read = |message| match message {
            ControlMessageOwned::Ipv4RecvErr(report, by) => {
                let by = by.map(|by| IpAddr::V4(SockaddrIn::from(by).ip()));
                Some((report, by))
            }
            ControlMessageOwned::Ipv6RecvErr(report, by) => {
                let by = by.map(|by| IpAddr::V6(SockaddrIn6::from(by).ip()));
                Some((report, by))
            }
            _ => None,
        };
        let found = message.cmsgs().ok()?.find_map(read);
        if let Some((report, by)) = found
            && let Some(failure) = failure(&report)
        {
            return Some(Complaint {
                failure,
                by: by.filter(|by| {
                    report.ee_origin != libc::SO_EE_ORIGIN_LOCAL && !by.is_unspecified()
                }),
                mtu: report.ee_info,
                quoted,
                quoted_len,
            });
        }
    }
}

/// Sorts a complaint; `None` for what is none.
fn failure(report: &libc::sock_extended_err) -> Option<Failure> {
    match report.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => Some(of_icmp(report.ee_type, report.ee_code)),
        libc::SO_EE_ORIGIN_ICMP6 => Some(of_icmpv6(report.ee_type, report.ee_code)),
        libc::SO_EE_ORIGIN_LOCAL => {
            let errno = i32::try_from(report.ee_errno).unwrap_or(0);
            Some(cause(&io::Error::from_raw_os_error(errno)))
        }
        _ => None,
    }
}

/// Sorts ICMP messages: RFC 792, and RFC 1812 §5.2.7.1 for what is prohibited.
const fn of_icmp(kind: u8, code: u8) -> Failure {
    match (kind, code) {
        (3, 3) => Failure::Refused,
        (3, 4) => Failure::TooBig,
        (3, 9 | 10 | 13) => Failure::Prohibited,
        (11, _) => Failure::HopsExceeded,
        _ => Failure::Unreachable,
    }
}

/// Sorts messages of IPv6: RFC 4443 §3.
const fn of_icmpv6(kind: u8, code: u8) -> Failure {
    match (kind, code) {
        (1, 4) => Failure::Refused,
        (1, 1 | 5 | 6) => Failure::Prohibited,
        (2, _) => Failure::TooBig,
        (3, _) => Failure::HopsExceeded,
        _ => Failure::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::clock::{Clock as _, Monotonic};

    #[test]
    fn a_closed_port_is_complained_of_by_its_host() {
        for (host, is_ipv6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
            let closed = UdpSocket::bind(host).unwrap();
            let target = closed.local_addr().unwrap();
            drop(closed);
            let socket = UdpSocket::bind(host).unwrap();
            keep(&socket, is_ipv6).unwrap();
            socket.connect(target).unwrap();
            let mut control = Control::new();
            assert_eq!(take(&socket, &mut control), None);
            socket.send(b"hello").unwrap();
            Monotonic.wait_until(Monotonic.now().plus(10_000_000));
            let complaint = take(&socket, &mut control).unwrap();
            assert_eq!(complaint.failure, Failure::Refused);
            assert_eq!(complaint.by, Some(target.ip()));
            assert!(complaint.quoted().starts_with(b"hello"), "{complaint:?}");
            assert_eq!(take(&socket, &mut control), None);
        }
    }

    #[test]
    fn messages_are_sorted_by_their_cause() {
        for (kind, code, failure) in [
            (3, 0, Failure::Unreachable),
            (3, 1, Failure::Unreachable),
            (3, 3, Failure::Refused),
            (3, 4, Failure::TooBig),
            (3, 13, Failure::Prohibited),
            (11, 0, Failure::HopsExceeded),
            (12, 0, Failure::Unreachable),
        ] {
            assert_eq!(of_icmp(kind, code), failure, "{kind}, {code}");
        }
        for (kind, code, failure) in [
            (1, 0, Failure::Unreachable),
            (1, 1, Failure::Prohibited),
            (1, 4, Failure::Refused),
            (2, 0, Failure::TooBig),
            (3, 0, Failure::HopsExceeded),
            (4, 1, Failure::Unreachable),
        ] {
            assert_eq!(of_icmpv6(kind, code), failure, "v6 {kind}, {code}");
        }
    }
}
