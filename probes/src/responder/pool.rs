//! Threads that accept connections from one listener and serve each to its end.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

use super::connection::serve;
use super::peer::{Buffers, Peer};
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
    limits: Limits,
    stopping: AtomicBool,
    /// Threads that wait for a connection, or soon will.
    idle: AtomicUsize,
    ignored: AtomicU64,
    workers: Mutex<Vec<Worker>>,
}

/// One thread and the connection that it serves.
#[derive(Debug)]
struct Worker {
    started: Started,
    slot: Slot,
}

/// The connection that a thread serves, for whoever stops the pool.
#[derive(Debug, Clone, Default)]
struct Slot(Arc<Mutex<Option<Arc<TcpStream>>>>);

impl Pool {
    /// Starts with one thread.
    pub(super) fn start(
        listener: TcpListener,
        cpu: Option<u32>,
        limits: Limits,
    ) -> Result<Arc<Self>, ProbeError> {
        let pool = Arc::new(Self {
            listener,
            cpu,
            limits,
            stopping: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
            ignored: AtomicU64::new(0),
            workers: Mutex::new(Vec::new()),
        });
        pool.grow()?;
        Ok(pool)
    }

    pub(super) fn thread_ids(&self) -> Vec<i32> {
        let workers = lock(&self.workers);
        workers.iter().map(|worker| worker.started.tid).collect()
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
            if let Some(stream) = &*lock(&worker.slot.0) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        for worker in workers {
            worker.started.join();
        }
    }

    /// Adds a thread, unless there are enough.
    fn grow(self: &Arc<Self>) -> Result<(), ProbeError> {
        let mut workers = lock(&self.workers);
        if workers.len() >= MAX_CONNECTIONS || self.is_stopping() {
            return Ok(());
        }
        let slot = Slot::default();
        let (pool, own) = (Arc::clone(self), slot.clone());
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
                Ok((stream, _)) => Arc::new(stream),
                Err(error) => {
                    match error.kind() {
                        ErrorKind::WouldBlock
                        | ErrorKind::Interrupted
                        | ErrorKind::ConnectionAborted => {}
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
            *lock(&slot.0) = Some(Arc::clone(&stream));
            // Looked at after the slot is filled: either this sees the end, or `stop` sees the slot.
            if !self.is_stopping() {
                let peer = Peer::new(&stream, &self.limits, &self.stopping);
                if serve(&peer, &mut buffers).is_err() {
                    self.ignored.fetch_add(1, Ordering::Relaxed);
                }
            }
            *lock(&slot.0) = None;
            drop(stream);
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Locks; a thread that panicked leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
