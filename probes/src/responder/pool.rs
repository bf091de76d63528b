//! Threads that accept connections from one listener and serve each to its end.

use std::io::ErrorKind;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use super::admission::Admission;
use super::connection::{Served, serve};
use super::peer::{Buffers, Peer};
use super::sessions::Sessions;
use super::tally::Tally;
use super::turns::Turns;
use super::watch::{Seen, Slot};
use super::web::{Guest, Speech, Web};
use super::{Limits, MAX_CONNECTIONS};
use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
use crate::thread::{self, Started};

/// Pause when the kernel has no descriptor or memory for another connection.
const PAUSE_NS: u64 = 10_000_000;

/// The threads and what they share.
#[derive(Debug)]
pub(super) struct Pool {
    listener: TcpListener,
    cpu: Option<u32>,
    /// Whom to answer; everybody where there is none.
    admission: Option<Arc<Admission>>,
    limits: Limits,
    shared: Shared,
    stopping: AtomicBool,
    /// Threads that wait for a connection, or soon will.
    idle: AtomicUsize,
    ignored: AtomicU64,
    workers: Mutex<Vec<Worker>>,
    watch: Mutex<Option<Watch>>,
    /// Once there was a connection for it.
    web: Mutex<Option<Web>>,
}

/// What all connections of a responder share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Streams of datagrams.
    pub(super) sessions: Arc<Sessions>,
    /// Counts connections where the responder has several addresses.
    pub(super) tally: Option<Arc<Tally>>,
    /// When it was whose turn, for who asks.
    pub(super) turns: Arc<Turns>,
    /// What HTTP responses say who answered.
    pub(super) name: String,
}

/// One thread and the connection that it serves.
#[derive(Debug)]
struct Worker {
    started: Started,
    slot: Arc<Slot>,
}

/// The thread that ends overdue connections; it ends itself when the channel does.
#[derive(Debug)]
struct Watch {
    started: Started,
    alive: mpsc::Sender<()>,
}

impl Pool {
    /// Starts with one thread, and one that watches it.
    pub(super) fn start(
        listener: TcpListener,
        cpu: Option<u32>,
        admission: Option<Arc<Admission>>,
        limits: Limits,
        shared: Shared,
    ) -> Result<Arc<Self>, ProbeError> {
        let pool = Arc::new(Self {
            listener,
            cpu,
            admission,
            limits,
            shared,
            stopping: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
            ignored: AtomicU64::new(0),
            workers: Mutex::new(Vec::new()),
            watch: Mutex::new(None),
            web: Mutex::new(None),
        });
        let (alive, end) = mpsc::channel();
        let own = Arc::clone(&pool);
        let started = thread::spawn("tg-watch", cpu, move || own.watch(&end))?;
        *lock(&pool.watch) = Some(Watch { started, alive });
        match pool.grow() {
            Ok(()) => Ok(pool),
            Err(error) => {
                pool.stop();
                Err(error)
            }
        }
    }

    pub(super) fn thread_ids(&self) -> Vec<i32> {
        let workers = lock(&self.workers);
        let mut threads: Vec<i32> = workers.iter().map(|worker| worker.started.tid).collect();
        threads.extend(lock(&self.web).as_ref().and_then(Web::tid));
        threads
    }

    pub(super) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    /// Ends every thread, whatever it waits for.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Failures mean that there is nothing to wake any more.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        let workers = std::mem::take(&mut *lock(&self.workers));
        for worker in &workers {
            worker.slot.shut_down();
        }
        for worker in workers {
            worker.started.join();
        }
        drop(lock(&self.web).take());
        if let Some(Watch { started, alive }) = lock(&self.watch).take() {
            drop(alive);
            started.join();
        }
    }

    /// Adds a thread, unless there are enough.
    fn grow(self: &Arc<Self>) -> Result<(), ProbeError> {
        let mut workers = lock(&self.workers);
        if workers.len() >= MAX_CONNECTIONS || self.is_stopping() {
            return Ok(());
        }
        let slot = Arc::new(Slot::default());
        let (pool, own) = (Arc::clone(self), Arc::clone(&slot));
        let name = format!("tg-tcp-{}", workers.len());
        self.idle.fetch_add(1, Ordering::SeqCst);
        match thread::spawn(&name, self.cpu, move || pool.work(&own)) {
            Ok(started) => {
                workers.push(Worker { started, slot });
                Ok(())
            }
            Err(error) => {
                self.idle.fetch_sub(1, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    fn work(self: &Arc<Self>, slot: &Slot) {
        let mut buffers = Buffers::new();
        while !self.is_stopping() {
            let stream = match self.listener.accept() {
                Ok((_, from)) if self.is_stranger(from.ip()) => {
                    self.ignored.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok((stream, _)) => Arc::new(stream),
                Err(error) => {
                    match error.kind() {
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                        _ if self.is_stopping() => return,
                        _ => Monotonic.wait_until(Monotonic.now().plus(PAUSE_NS)),
                    }
                    continue;
                }
            };
            if self.idle.fetch_sub(1, Ordering::SeqCst) == 1 {
                // Without another thread, connections wait for this one: slower, not wrong.
                let _ = self.grow();
            }
            if let Some(tally) = &self.shared.tally {
                tally.connection(&stream);
            }
            slot.fill(&stream);
            // Looked at after the slot is filled: either this sees the end, or `stop` sees the slot.
            if !self.is_stopping() {
                let Shared {
                    sessions, turns, ..
                } = &self.shared;
                let shared = (sessions, &**turns);
                let peer = Peer::new(&stream, slot, &self.limits, shared, &self.shared.name);
                match serve(&peer, &mut buffers) {
                    Ok(Served::Whole) => {}
                    Ok(Served::HandOver(speech, have)) => {
                        slot.empty();
                        self.hand_over(stream, &buffers.inbox[..have], speech);
                        self.idle.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    Err(_) => drop(self.ignored.fetch_add(1, Ordering::Relaxed)),
                }
            }
            slot.empty();
            drop(stream);
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Gives a connection to the thread of HTTP/2 and TLS, which starts with the first one. Where it can't, the
    /// connection is closed and counted as turned away.
    fn hand_over(&self, stream: Arc<TcpStream>, read: &[u8], speech: Speech) {
        let mut web = lock(&self.web);
        // `stop` takes it away after this is set.
        if web.is_none() && !self.is_stopping() {
            *web = Web::start(self.cpu, self.limits, &self.shared.name).ok();
        }
        match (&*web, Arc::try_unwrap(stream)) {
            (Some(web), Ok(stream)) => web.welcome(Guest {
                stream,
                read: read.to_vec(),
                speech,
            }),
            _ => drop(self.ignored.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Looks at every connection now and then until the channel ends.
    fn watch(&self, end: &Receiver<()>) {
        let mut seen: Vec<Seen> = Vec::new();
        let turn = Duration::from_nanos(self.limits.turn_ns);
        while end.recv_timeout(turn) == Err(RecvTimeoutError::Timeout) {
            let now = Monotonic.now();
            let workers = lock(&self.workers);
            let looks = workers.iter().enumerate().map(|(index, worker)| {
                let before = seen.get(index).copied();
                Seen::look(before, &worker.slot, &self.limits, now)
            });
            seen = looks.collect();
        }
    }

    fn is_stranger(&self, address: IpAddr) -> bool {
        let admission = self.admission.as_ref();
        admission.is_some_and(|admission| !admission.knows(address))
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Locks; a thread that panicked leaves nothing half done here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
