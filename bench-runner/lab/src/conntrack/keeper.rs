//! A table at its limit, as on a node with too many connections: it has room only half of the time.
//!
//! The limit is the machine's, and stays as it is: the namespace's own table is filled up to it. Then, in turns of 10 ms, a
//! few entries go, as if their connections had ended, and what is free is taken again, as by other clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use super::table::Entries;
use crate::clock;
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

/// The machine's limit, for the table of each namespace.
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// Largest limit up to which a table is filled: an entry takes some 400 B of the kernel's memory.
const MOST: u32 = 1 << 20;
/// How long the table has room, and how long it has not.
const TURN: Duration = Duration::from_millis(10);
/// Entries that go in each turn.
const ROOM: u32 = 64;

/// Keeps a table at its limit as long as this value lives.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    limit: u32,
}

impl Keeper {
    /// Fills the table of a namespace, which must have connection tracking, and keeps it at its limit.
    pub(crate) fn start(netns: &NetNs) -> Result<Self, LabError> {
        let doing = || "fill the connection-tracking table";
        let limit = limit().doing(doing)?;
        if limit > MOST {
            let why = format!(
                "its limit is {limit} entries, more than the {MOST} that are filled up; lower {LIMIT} on the machine"
            );
            return Err(LabError::said(doing(), why));
        }
        let mut entries = Entries::open(netns)?;
        // One more than the limit would fit if an entry went meanwhile.
        entries.fill(limit)?;
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let turn = move || {
            while !ends.load(Ordering::Acquire) {
                // A table that somebody flushed, or a namespace that goes: the evidence says so.
                if entries.take(ROOM).is_err() {
                    return;
                }
                clock::pause(TURN);
                if entries.fill(limit).is_err() {
                    return;
                }
                clock::pause(TURN);
            }
        };
        let thread = thread::Builder::new()
            .name("lab-conntrack".to_owned())
            .spawn(turn)
            .doing(doing)?;
        Ok(Self {
            stop,
            thread: Some(thread),
            limit,
        })
    }

    /// Returns the number of entries that the table is kept at.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that fell over has ended.
            let _ = thread.join();
        }
    }
}

/// Reads the machine's limit.
fn limit() -> io::Result<u32> {
    let text = fs::read_to_string(LIMIT)?;
    text.trim()
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
