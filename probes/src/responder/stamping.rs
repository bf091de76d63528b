//! Receives datagrams: with the kernel's timestamps while somebody asks for them, and with the address that they
//! were sent to where the socket is bound to all of them.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, recvfrom, setsockopt, sockopt};

use crate::clock::{Clock as _, Moment, Monotonic, WallClock};
use crate::stamps::{Control, Received, receive, stamp_nothing, stamp_received};

/// Stamps cost time, also of those who didn't ask: they end when nobody asked for this long. A job's warm-up is
/// longer. It bounds, too, how often a stranger can have the kernel switch stamps on and off.
const IDLE_NS: u64 = 100_000_000;

/// A socket that stamps on demand.
#[derive(Debug)]
pub(super) struct Stamping<'a> {
    socket: &'a UdpSocket,
    control: Control,
    /// Whether the socket is bound to every address of this machine: replies leave from the one that was asked.
    is_everywhere: bool,
    /// When somebody asked last; `None` while nothing is stamped.
    asked: Option<Moment>,
}

impl<'a> Stamping<'a> {
    pub(super) fn new(socket: &'a UdpSocket) -> Self {
        let local = socket.local_addr();
        let unspecified = local.is_ok_and(|local| local.ip().is_unspecified());
        Self {
            socket,
            control: Control::new(),
            // Without it the route chooses the address, as it does for most programs.
            is_everywhere: unspecified && say_place(socket).is_ok(),
            asked: None,
        }
    }

    /// Receives a datagram.
    #[inline]
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Received<SockaddrStorage>, Errno> {
        if self.asked.is_some() || self.is_everywhere {
            return receive(self.socket, buffer, &mut self.control);
        }
        // Not `UdpSocket::recv_from`: it panics when a shutdown wakes it without an address.
        let (len, from) = recvfrom(self.socket.as_raw_fd(), buffer)?;
        Ok(Received {
            len,
            from,
            wall_ns: None,
            to: None,
        })
    }

    /// Returns how long a datagram has been here for somebody who asks, in nanoseconds. The first one to ask
    /// learns nothing yet.
    pub(super) fn dwell_ns(&mut self, received_ns: Option<u64>) -> Option<u64> {
        let now = Monotonic.now();
        if self.asked.is_none() && stamp_received(self.socket).is_err() {
            return None;
        }
        self.asked = Some(now);
        WallClock::now_ns().checked_sub(received_ns?)
    }

    /// Takes note of a datagram by somebody who doesn't ask.
    #[inline]
    pub(super) fn note_plain(&mut self) {
        if let Some(asked) = self.asked
            && Monotonic.now().since(asked) > IDLE_NS
        {
            // Should it fail, stamps merely cost time.
            let _ = stamp_nothing(self.socket);
            self.asked = None;
        }
    }
}

/// Has the kernel say where each datagram was sent to. A socket for `::` takes IPv4, too, and says that likewise.
fn say_place(socket: &UdpSocket) -> Result<(), Errno> {
    match socket.local_addr() {
        Ok(SocketAddr::V6(_)) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        _ => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Sends a datagram and says whether it was stamped on arrival.
    fn is_stamped(stamping: &mut Stamping<'_>, socket: &UdpSocket) -> bool {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sender
            .send_to(b"hello", socket.local_addr().unwrap())
            .unwrap();
        let received = stamping.receive(&mut [0; 16]).unwrap();
        assert_eq!(received.len, 5);
        assert!(received.from.is_some());
        received.wall_ns.is_some()
    }

    #[test]
    fn stamps_start_when_asked_for_and_end_when_nobody_asks() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stamping = Stamping::new(&socket);
        let pause = |ns| Monotonic.wait_until(Monotonic.now().plus(ns));
        assert!(!is_stamped(&mut stamping, &socket));
        assert_eq!(stamping.dwell_ns(None), None);
        // The kernel takes a moment to start.
        let mut tries = 0..1_000;
        while !is_stamped(&mut stamping, &socket) {
            assert!(tries.next().is_some(), "the loopback device stamps packets");
            pause(1_000_000);
        }
        let dwell_ns = stamping.dwell_ns(Some(WallClock::now_ns()));
        assert!(dwell_ns.is_some());
        stamping.note_plain();
        assert!(stamping.asked.is_some(), "somebody asked just now");
        pause(IDLE_NS + 10_000_000);
        stamping.note_plain();
        assert!(stamping.asked.is_none());
        assert!(!is_stamped(&mut stamping, &socket));
    }
}
