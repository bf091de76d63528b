//! Packets stamped by the kernel (`SO_TIMESTAMPING`), in nanoseconds of its wall clock.
//!
//! A socket accepts options for stamps that no driver delivers: what there is shows only by sending. Nothing
//! here allocates but [`Control::new`].

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrLike, TimestampingFlag, recvmsg,
    setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

/// Room for the two control messages of a stamp, with the address of either family, in bytes.
const CONTROL_LEN: usize = 256;

/// `SCM_TSTAMP_SND` of linux/errqueue.h: stamped as the driver took it.
const BY_DRIVER: u32 = 0;

/// `SCM_TSTAMP_SCHED` of linux/errqueue.h: stamped as it was handed to the queueing discipline.
const BEFORE_QUEUE: u32 = 1;

/// Room for control messages.
#[derive(Debug)]
pub(crate) struct Control(Vec<u8>);

impl Control {
    pub(crate) fn new() -> Self {
        Self(vec![0; CONTROL_LEN])
    }

    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// A datagram or bytes that were received.
#[derive(Debug)]
pub(crate) struct Received<A> {
    pub(crate) len: usize,
    pub(crate) from: Option<A>,
    /// When the driver handed over the (last) packet.
    pub(crate) wall_ns: Option<u64>,
    /// To which of this machine's addresses it was sent, where the socket was told to say.
    pub(crate) to: Option<Place>,
}

/// An address of this machine, to send a reply from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Place {
    /// Returns it.
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::V4(info) => Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr)).into(),
            Self::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr).to_canonical(),
        }
    }

    /// Returns it as an order to the kernel. The way out is the route's to choose: the device is left open.
    pub(crate) fn order(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

/// The stamp of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Which datagram, or which byte of a connection, counted from 0.
    pub(crate) key: u32,
    pub(crate) point: Point,
    pub(crate) wall_ns: u64,
}

/// Where a packet was stamped on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// As it was handed to the queueing discipline.
    Queue,
    /// As the driver took it.
    Driver,
}

/// Asks for stamps of what is received.
pub(crate) fn stamp_received(socket: &impl AsFd) -> Result<(), Errno> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
    setsockopt(socket, sockopt::Timestamping, &flags)
}

/// Asks for stamps of what is sent and received. A connection has to stand.
pub(crate) fn stamp_all(socket: &impl AsFd) -> Result<(), Errno> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::from_bits_retain(libc::SOF_TIMESTAMPING_TX_SCHED)
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    setsockopt(socket, sockopt::Timestamping, &flags)
}

/// Asks for no more stamps.
pub(crate) fn stamp_nothing(socket: &impl AsFd) -> Result<(), Errno> {
    setsockopt(socket, sockopt::Timestamping, &TimestampingFlag::empty())
}

/// Receives as `recv` does, with the stamp.
#[inline]
pub(crate) fn receive<A: SockaddrLike>(
    socket: &impl AsFd,
    buffer: &mut [u8],
    control: &mut Control,
) -> Result<Received<A>, Errno> {
    let mut pieces = [IoSliceMut::new(buffer)];
    let (fd, flags) = (socket.as_fd().as_raw_fd(), MsgFlags::empty());
    let message = recvmsg::<A>(fd, &mut pieces, Some(&mut control.0), flags)?;
    let mut received = Received {
        len: message.bytes,
        from: None,
        wall_ns: None,
        to: None,
    };
    for said in message.cmsgs().into_iter().flatten() {
        match said {
            ControlMessageOwned::ScmTimestampsns(stamps) => {
                received.wall_ns = wall_ns(stamps.system);
            }
            ControlMessageOwned::Ipv4PacketInfo(mut info) => {
                info.ipi_ifindex = 0;
                received.to = Some(Place::V4(info));
            }
            ControlMessageOwned::Ipv6PacketInfo(mut info) => {
                info.ipi6_ifindex = 0;
                received.to = Some(Place::V6(info));
            }
            _ => {}
        }
    }
    received.from = message.address;
    Ok(received)
}

/// Takes the oldest stamp of what was sent; `None` when there is none. Never blocks.
#[inline]
pub(crate) fn take_sent(socket: &impl AsFd, control: &mut Control) -> Option<Sent> {
    loop {
        let (fd, flags) = (
            socket.as_fd().as_raw_fd(),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        );
        // Fails when the queue is empty.
        let message = recvmsg::<()>(fd, &mut [], Some(&mut control.0), flags).ok()?;
        let (mut stamp, mut place) = (None, None);
        for message in message.cmsgs().ok()? {
            match message {
                ControlMessageOwned::ScmTimestampsns(stamps) => stamp = wall_ns(stamps.system),
                ControlMessageOwned::Ipv4RecvErr(report, _)
                | ControlMessageOwned::Ipv6RecvErr(report, _) => place = point(&report),
                _ => {}
            }
        }
        // What else the queue holds is none of this module's business.
        if let (Some(wall_ns), Some((key, point))) = (stamp, place) {
            return Some(Sent {
                key,
                point,
                wall_ns,
            });
        }
    }
}

/// Reads what a stamp belongs to.
fn point(report: &libc::sock_extended_err) -> Option<(u32, Point)> {
    if report.ee_origin != libc::SO_EE_ORIGIN_TIMESTAMPING {
        return None;
    }
    let point = match report.ee_info {
        BY_DRIVER => Point::Driver,
        BEFORE_QUEUE => Point::Queue,
        _ => return None,
    };
    Some((report.ee_data, point))
}

/// Converts a time; all zeros say that there is no stamp of this kind.
fn wall_ns(time: TimeSpec) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let ns = seconds.checked_mul(1_000_000_000)?;
    let ns = ns.checked_add(u64::try_from(time.tv_nsec()).ok()?)?;
    (ns > 0).then_some(ns)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::clock::{Clock as _, Monotonic};

    #[test]
    fn a_datagram_is_stamped_on_its_way_out_and_in() {
        let (left, right) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        left.connect(right.local_addr().unwrap()).unwrap();
        stamp_all(&left).unwrap();
        stamp_received(&right).unwrap();
        let mut control = Control::new();
        let mut found = 0;
        // Stamps start a little after they were asked for: the kernel patches itself meanwhile.
        for key in 0..1_000 {
            left.send(b"hello").unwrap();
            let mut buffer = [0; 16];
            let received: Received<()> = receive(&right, &mut buffer, &mut control).unwrap();
            assert_eq!(received.len, 5);
            let sent: Vec<Sent> = std::iter::from_fn(|| take_sent(&left, &mut control)).collect();
            assert!(sent.iter().all(|sent| sent.key == key), "{sent:?}");
            if let (Some(received_ns), [queue, driver]) = (received.wall_ns, &sent[..]) {
                assert_eq!((queue.point, driver.point), (Point::Queue, Point::Driver));
                assert!(queue.wall_ns <= driver.wall_ns && driver.wall_ns <= received_ns);
                found += 1;
            }
            if found == 10 {
                break;
            }
            Monotonic.wait_until(Monotonic.now().plus(1_000_000));
        }
        assert!(found > 0, "the loopback device stamps packets");
        stamp_nothing(&left).unwrap();
        left.send(b"hello").unwrap();
        assert_eq!(take_sent(&left, &mut control), None);
    }

    #[test]
    fn no_stamp_is_no_time() {
        assert_eq!(wall_ns(TimeSpec::new(0, 0)), None);
        assert_eq!(wall_ns(TimeSpec::new(-1, 0)), None);
        assert_eq!(wall_ns(TimeSpec::new(2, 3)), Some(2_000_000_003));
    }
}
