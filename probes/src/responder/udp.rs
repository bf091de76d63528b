//! Answers datagrams of the probe's protocol, each with one of its own size.

use std::io::IoSlice;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendmsg, sendto};
use socket2::SockRef;

use super::admission::{Admission, Last};
use super::sessions::Sessions;
use super::stamping::Stamping;
use super::tally::{self, Tally};
use super::toll::Toll;
use super::turns::Turns;
use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
use crate::session;
use crate::stamps::{Place, Received};
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
    turns: Arc<Turns>,
    sessions: Arc<Sessions>,
    /// Whom to answer; everybody where there is none.
    admission: Option<Arc<Admission>>,
    /// Counts datagrams where the responder has several addresses.
    tally: Option<Arc<Tally>>,
    stopping: AtomicBool,
    ignored: AtomicU64,
}

impl UdpThread {
    pub(super) fn start(
        socket: UdpSocket,
        sessions: Arc<Sessions>,
        cpu: Option<u32>,
        admission: Option<Arc<Admission>>,
        tally: Option<Arc<Tally>>,
        toll: Toll,
        turns: Arc<Turns>,
    ) -> Result<Self, ProbeError> {
        let shared = Arc::new(Shared {
            socket,
            toll,
            turns,
            sessions,
            admission,
            tally,
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
        let mut last = Last::default();
        let mut last_address = tally::Last::default();
        while !self.stopping.load(Ordering::Relaxed) {
            match stamping.receive(&mut buffer) {
                Ok(received) => {
                    let datagram = &mut buffer[..received.len];
                    if let Some(admission) = &self.admission
                        && !self.passes(admission, datagram, &received, &mut last)
                    {
                        continue;
                    }
                    if let (Some(tally), Some(to)) = (&self.tally, &received.to) {
                        tally.datagram(to, &mut last_address);
                    }
                    self.answer(datagram, &received, &mut stamping);
                }
                Err(Errno::EINTR) => {}
                Err(_) => Monotonic.wait_until(Monotonic.now().plus(PAUSE_NS)),
            }
        }
    }

    /// Answers the hello of a session that exists, by a datagram of its size. The client asks again where it is lost.
    fn greet(
        &self,
        datagram: &mut [u8],
        hello: Header,
        received: &Received<SockaddrStorage>,
    ) -> bool {
        let from = received.from.filter(|_| hello.kind == Kind::Hello);
        let asked = received.to.as_ref().map(Place::address);
        let number = from
            .and_then(address)
            .and_then(|from| self.sessions.hello(hello.token, from, asked));
        let (Some(from), Some(sequence)) = (from, number) else {
            return false;
        };
        let reply = Header {
            kind: Kind::HelloReply,
            sequence,
            ..hello
        };
        reply.write_to(datagram);
        self.send(datagram, &from, received);
        true
    }

    /// Returns whether a datagram is a guest's traffic; answers those of a handshake.
    #[inline]
    fn passes(
        &self,
        admission: &Admission,
        datagram: &[u8],
        received: &Received<SockaddrStorage>,
        last: &mut Last,
    ) -> bool {
        let Some((raw, from)) = received.from.and_then(|raw| Some((raw, address(raw)?))) else {
            return false;
        };
        if !session::is_session(datagram) && admission.knows_again(from.ip(), last) {
            return true;
        }
        match admission.take(datagram, from) {
            // An answer that the kernel refuses is lost, as it may be on the wire: the peer asks again.
            Some(answer) => self.send(&answer, &raw, received),
            None => {
                self.ignored.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }

    fn answer(
        &self,
        datagram: &mut [u8],
        received: &Received<SockaddrStorage>,
        stamping: &mut Stamping<'_>,
    ) {
        let header = Header::read_from(datagram);
        let kind = header.map(|header| header.kind);
        // A reply is never answered: two responders can't be set on each other.
        let (Ok(kind @ (Kind::Request | Kind::StampedRequest)), Some(from)) = (kind, received.from)
        else {
            let greeted = header.is_ok_and(|header| self.greet(datagram, header, received));
            self.ignored
                .fetch_add(u64::from(!greeted), Ordering::Relaxed);
            if let Some(from) = received.from.filter(|_| Header::refuse(datagram)) {
                self.send(datagram, &from, received);
            }
            return;
        };
        self.toll.exact();
        self.turns.note();
        Header::turn(datagram);
        if kind == Kind::StampedRequest {
            Header::write_far_end(datagram, stamping.dwell_ns(received.wall_ns));
        } else {
            stamping.note_plain();
        }
        self.send(datagram, &from, received);
    }

    /// Answers from the address that was asked. What the kernel refuses is lost, as it may be on the wire.
    fn send(&self, datagram: &[u8], to: &SockaddrStorage, received: &Received<SockaddrStorage>) {
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let _ = match &received.to {
            None => sendto(fd, datagram, to, flags),
            Some(place) => sendmsg(
                fd,
                &[IoSlice::new(datagram)],
                &[place.order()],
                flags,
                Some(to),
            ),
        };
    }
}

/// Reads an address of either family.
fn address(from: SockaddrStorage) -> Option<SocketAddr> {
    let four = from
        .as_sockaddr_in()
        .map(|from| SocketAddr::V4((*from).into()));
    let six = || {
        from.as_sockaddr_in6()
            .map(|from| SocketAddr::V6((*from).into()))
    };
    four.or_else(six)
}
