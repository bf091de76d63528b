//! Answers datagrams of the probe's protocol, each with one of its own size.

use std::io::IoSlice;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendmsg, sendto};
use socket2::SockRef;

use super::stamping::Stamping;
use super::toll::Toll;
use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
use crate::stamps::Received;
use crate::thread::{self, Started};
use crate::wire::{Header, Kind, MAX_DATAGRAM};

/// Pause after an error of the kernel that may come back at once.
const PAUSE_NS: u64 = 10_000_000;

/// The thread that answers datagrams; ends when dropped.
#[derive(Debug)]
pub(super) struct UdpThread {
    shared: Arc<Shared>,
    started: Option<Started>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    toll: Toll,
    stopping: AtomicBool,
    ignored: AtomicU64,
}

impl UdpThread {
    pub(super) fn start(
        socket: UdpSocket,
        cpu: Option<u32>,
        toll: Toll,
    ) -> Result<Self, ProbeError> {
        let shared = Arc::new(Shared {
            socket,
            toll,
            stopping: AtomicBool::new(false),
            ignored: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        let started = thread::spawn("tg-udp", cpu, move || own.work())?;
        Ok(Self {
            shared,
            started: Some(started),
        })
    }

    pub(super) fn tid(&self) -> Option<i32> {
        self.started.as_ref().map(|started| started.tid)
    }

    pub(super) fn ignored(&self) -> u64 {
        self.shared.ignored.load(Ordering::Relaxed)
    }
}

impl Drop for UdpThread {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Says "not connected", and wakes the thread all the same.
        let _ = SockRef::from(&self.shared.socket).shutdown(Shutdown::Both);
        if let Some(started) = self.started.take() {
            started.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        // One byte more than the longest datagram, so that a longer one shows.
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        let mut stamping = Stamping::new(&self.socket);
        while !self.stopping.load(Ordering::Relaxed) {
            match stamping.receive(&mut buffer) {
                Ok(received) => {
                    let datagram = &mut buffer[..received.len];
                    self.answer(datagram, &received, &mut stamping);
                }
                Err(Errno::EINTR) => {}
                Err(_) => Monotonic.wait_until(Monotonic.now().plus(PAUSE_NS)),
            }
        }
    }

    fn answer(
        &self,
        datagram: &mut [u8],
        received: &Received<SockaddrStorage>,
        stamping: &mut Stamping<'_>,
    ) {
        let kind = Header::read_from(datagram).map(|header| header.kind);
        // A reply is never answered: two responders can't be set on each other.
        let (Ok(kind @ (Kind::Request | Kind::StampedRequest)), Some(from)) = (kind, received.from)
        else {
            self.ignored.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.toll.exact();
        Header::turn(datagram);
        if kind == Kind::StampedRequest {
            Header::write_far_end(datagram, stamping.dwell_ns(received.wall_ns));
        } else {
            stamping.note_plain();
        }
        // A reply that the kernel refuses is lost, as it may be on the wire.
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let _ = match &received.to {
            None => sendto(fd, datagram, &from, flags),
            Some(place) => sendmsg(
                fd,
                &[IoSlice::new(datagram)],
                &[place.order()],
                flags,
                Some(&from),
            ),
        };
    }
}
