//! A responder that follows a script. It shares nothing with the real one but the format of the traffic.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::script::{Fate, STALL_NS, Script};
use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
use crate::thread::{self, Started};
use crate::wire::{Header, Kind, MAX_DATAGRAM, PREAMBLE_LEN, Preamble};

/// How long a call blocks before the responder looks whether it is to end.
const TURN: Duration = Duration::from_millis(10);

/// The protocol that a responder speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// tcp-rr.
    Tcp,
    /// udp-rr.
    Udp,
}

/// A responder on loopback; ends when dropped.
#[derive(Debug)]
pub(super) struct Scripted {
    target: SocketAddr,
    stopping: Arc<AtomicBool>,
    done: Receiver<Done>,
    thread: Option<Started>,
}

/// What a responder did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Requests that arrived.
    pub(super) requests: u64,
    /// How long the stall took by the responder's own clock, in nanoseconds; 0 without one.
    pub(super) stalled_ns: u64,
}

impl Scripted {
    /// Starts a thread that follows `script`.
    pub(super) fn start(speaks: Speaks, script: Script, cpu: u32) -> Result<Self, ProbeError> {
        let refused = |error: io::Error| {
            let mend = "check that the loopback device is up (`ip link set lo up`)";
            ProbeError::refused("listen on loopback for the self-test", error, mend)
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let (report, done) = mpsc::sync_channel(1);
        let actor = Actor {
            script,
            stopping: Arc::clone(&stopping),
            done: Done::default(),
        };
        let any = (Ipv4Addr::LOCALHOST, 0);
        let (target, body): (_, Box<dyn FnOnce(Actor) -> Done + Send>) = match speaks {
            Speaks::Udp => {
                let socket = UdpSocket::bind(any).map_err(refused)?;
                socket.set_read_timeout(Some(TURN)).map_err(refused)?;
                let target = socket.local_addr().map_err(refused)?;
                (
                    target,
                    Box::new(move |actor| actor.answer_datagrams(&socket)),
                )
            }
            Speaks::Tcp => {
                let listener = TcpListener::bind(any).map_err(refused)?;
                let target = listener.local_addr().map_err(refused)?;
                (
                    target,
                    Box::new(move |actor| actor.answer_connection(&listener)),
                )
            }
        };
        let thread = thread::spawn("tg-scripted", Some(cpu), move || {
            // Nobody may wait for it any more.
            let _ = report.send(body(actor));
        })?;
        Ok(Self {
            target,
            stopping,
            done,
            thread: Some(thread),
        })
    }

    /// Returns where it listens.
    pub(super) const fn target(&self) -> SocketAddr {
        self.target
    }

    /// Ends it and returns what it did.
    pub(super) fn finish(mut self) -> Done {
        self.stop();
        self.done.recv().unwrap_or_default()
    }

    fn stop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The responder's thread.
struct Actor {
    script: Script,
    stopping: Arc<AtomicBool>,
    done: Done,
}

impl Actor {
    fn answer_datagrams(mut self, socket: &UdpSocket) -> Done {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut held: Option<Vec<u8>> = None;
        // What the kernel refuses to send shows as a loss that was not declared.
        let send = |reply: &[u8], client| drop(socket.send_to(reply, client));
        while !self.is_over() {
            let Ok((len, client)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let datagram = &mut buffer[..len];
            if !Header::read_from(datagram).is_ok_and(|header| header.kind == Kind::Request) {
                continue;
            }
            Header::turn(datagram);
            match self.take_time() {
                Fate::Lost => {}
                Fate::Overtaken => held = Some(datagram.to_vec()),
                Fate::Twice => {
                    send(datagram, client);
                    send(datagram, client);
                }
                Fate::Answered | Fate::Stalled => {
                    send(datagram, client);
                    if let Some(overtaken) = held.take() {
                        send(&overtaken, client);
                    }
                }
            }
        }
        self.done
    }

    /// Serves one connection; the faults of datagrams don't exist here.
    fn answer_connection(mut self, listener: &TcpListener) -> Done {
        // An end of the connection is the client's; the figures show one that came too early.
        let _ = self.converse(listener);
        self.done
    }

    fn converse(&mut self, listener: &TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if self.is_over() => return Ok(()),
                Err(_) => Monotonic.wait_until(Monotonic.now().plus(100_000)),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TURN))?;
        let mut start = [0; PREAMBLE_LEN];
        stream.read_exact(&mut start)?;
        let preamble = Preamble::decode(&start).map_err(io::Error::other)?;
        let mut request = vec![0; preamble.size as usize];
        while !self.is_over() {
            match stream.read_exact(&mut request) {
                Ok(()) => {}
                // Requests come whole: a time-out never tears one.
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            self.take_time();
            stream.write_all(&request)?;
        }
        Ok(())
    }

    /// Spends the time that the script has for the next request; returns what else is done to it.
    fn take_time(&mut self) -> Fate {
        let start = Monotonic.now();
        self.done.requests += 1;
        let fate = self.script.fate(self.done.requests);
        if fate == Fate::Stalled {
            Monotonic.wait_until(start.plus(STALL_NS));
            self.done.stalled_ns = Monotonic.now().since(start);
        } else {
            // Reads the clock once where there is no delay too: the readings cancel out of the difference.
            let end = start.plus(self.script.delay_ns);
            while Monotonic.now() < end {
                std::hint::spin_loop();
            }
        }
        fate
    }

    fn is_over(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
