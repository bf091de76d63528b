//! Answers datagrams of the probe's protocol, each with one of its own size.

use std::io::ErrorKind;
use std::net::{Shutdown, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use socket2::SockRef;

use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
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
    stopping: AtomicBool,
    ignored: AtomicU64,
}

impl UdpThread {
    pub(super) fn start(socket: UdpSocket, cpu: Option<u32>) -> Result<Self, ProbeError> {
        let shared = Arc::new(Shared {
            socket,
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

    pub(super) fn tid(&self) -> i32 {
        self.started.as_ref().map_or(0, |started| started.tid)
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
            let _ = started.handle.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        // One byte more than the longest datagram, so that a longer one shows.
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        while !self.stopping.load(Ordering::Relaxed) {
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    let datagram = &mut buffer[..len];
                    // A reply is never answered: two responders can't be set on each other.
                    if Header::read_from(datagram).is_ok_and(|h| h.kind == Kind::Request) {
                        Header::turn(datagram);
                        // A reply that the kernel refuses is lost, as it may be on the wire.
                        let _ = self.socket.send_to(datagram, from);
                    } else {
                        self.ignored.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => Monotonic.wait_until(Monotonic.now().plus(PAUSE_NS)),
            }
        }
    }
}
