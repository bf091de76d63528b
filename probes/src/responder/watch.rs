//! Ends connections that take too long, so that the threads that serve them need neither time-outs, which
//! would cost a kernel timer at each request, nor a clock.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::Limits;
use super::pool::lock;
use crate::clock::Moment;

/// The connection that a thread serves, and how far it got.
#[derive(Debug, Default)]
pub(super) struct Slot {
    stream: Mutex<Option<Arc<TcpStream>>>,
    /// Changes with each connection and each request. Only the serving thread writes it.
    steps: AtomicU64,
    /// The step at which the present connection had not said what it wants.
    greeting: AtomicU64,
}

impl Slot {
    /// Takes a new connection in.
    pub(super) fn fill(&self, stream: &Arc<TcpStream>) {
        self.advance();
        self.greeting
            .store(self.steps.load(Ordering::Relaxed), Ordering::Relaxed);
        *lock(&self.stream) = Some(Arc::clone(stream));
    }

    /// Lets the connection go.
    pub(super) fn empty(&self) {
        *lock(&self.stream) = None;
    }

    /// Starts the time of the connection anew.
    #[inline]
    pub(super) fn advance(&self) {
        let next = self.steps.load(Ordering::Relaxed).wrapping_add(1);
        self.steps.store(next, Ordering::Relaxed);
    }

    /// Ends the connection, if there is one: its thread finds it closed.
    pub(super) fn shut_down(&self) {
        if let Some(stream) = &*lock(&self.stream) {
            // It fails when the peer was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Does the same unless something happened since this step.
    fn shut_down_at(&self, step: u64) {
        // A new connection changes the step before it takes the place of the old one.
        if let Some(stream) = &*lock(&self.stream)
            && self.steps.load(Ordering::Relaxed) == step
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn is_greeting(&self, step: u64) -> bool {
        self.greeting.load(Ordering::Relaxed) == step
    }
}

/// What was seen of a slot, and since when it stands there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    step: u64,
    since: Moment,
}

impl Seen {
    /// Looks at a slot again; ends its connection when it stood still for too long.
    pub(super) fn look(before: Option<Self>, slot: &Slot, limits: &Limits, now: Moment) -> Self {
        let step = slot.steps.load(Ordering::Relaxed);
        let since = match before {
            Some(before) if before.step == step => before.since,
            _ => now,
        };
        let limit = if slot.is_greeting(step) {
            limits.greeting_ns
        } else {
            limits.idle_ns
        };
        if now.since(since) >= limit {
            slot.shut_down_at(step);
        }
        Self { step, since }
    }
}
