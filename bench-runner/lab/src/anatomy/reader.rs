//! Takes the packet clock's records out of the ring while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libbpf_rs::{Map, RingBuffer, RingBufferBuilder};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::clock;
use crate::error::{Doing as _, LabError};

/// How often the ring is looked at: a second of packets fits into it many times over.
const TURN: Duration = Duration::from_millis(20);

/// Most bytes that are kept: some 500,000 packets. Further records are counted as lost.
const MOST_BYTES: usize = 128 << 20;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Records back to back.
    pub(super) bytes: Vec<u8>,
    /// Records for which there was no room.
    pub(super) lost: u64,
}

impl Kept {
    fn take(&mut self, record: &[u8]) {
        if self.bytes.len() + record.len() > MOST_BYTES {
            self.lost += 1;
        } else {
            self.bytes.extend_from_slice(record);
        }
    }
}

/// A thread that reads; it ends when dropped.
#[derive(Debug)]
pub(super) struct Reader {
    stopping: Arc<AtomicBool>,
    kept: Arc<Mutex<Kept>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts to read a ring, away from a CPU. The ring must outlive the reader.
    pub(super) fn start(map: &Map<'_>, away_from: Option<u32>) -> Result<Self, LabError> {
        const DOING: &str = "read the packet clock's ring";
        let kept = Arc::new(Mutex::new(Kept::default()));
        let taken = Arc::clone(&kept);
        let mut rings = RingBufferBuilder::new();
        rings
            .add(map, move |record| {
                let mut kept = taken.lock().unwrap_or_else(PoisonError::into_inner);
                kept.take(record);
                0
            })
            .doing(|| DOING)?;
        let ring = rings.build().doing(|| DOING)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = thread::spawn(move || {
            if let Some(cpu) = away_from {
                keep_away(cpu);
            }
            read(&ring, &stop);
        });
        Ok(Self {
            stopping,
            kept,
            thread: Some(thread),
        })
    }

    /// Reads what is still there, and returns everything.
    pub(super) fn end(mut self) -> Kept {
        self.join();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }

    fn join(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A thread that fell over leaves what it has read.
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.join();
    }
}

fn read(ring: &RingBuffer<'_>, stopping: &AtomicBool) {
    loop {
        // Looked at before the ring: what was written before the end is read after it.
        let last = stopping.load(Ordering::SeqCst);
        let _ = ring.consume();
        if last {
            return;
        }
        clock::wait_until(TURN, Duration::from_millis(5), || {
            stopping.load(Ordering::SeqCst)
        });
    }
}

/// Leaves a CPU to what is measured there. On a machine with one CPU there is no other.
fn keep_away(cpu: u32) {
    let this = Pid::from_raw(0);
    let own = sched_getaffinity(this);
    if let (Ok(mut set), Ok(cpu)) = (own, usize::try_from(cpu)) {
        let _ = set.unset(cpu);
        let left = (0..CpuSet::count()).any(|cpu| set.is_set(cpu).unwrap_or(false));
        if left {
            // A reader in the way costs a few trips, not the measurement.
            let _ = sched_setaffinity(this, &set);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut kept = Kept::default();
        kept.take(&[1; 24]);
        kept.bytes.resize(MOST_BYTES - 8, 0);
        kept.take(&[2; 24]);
        kept.take(&[3; 8]);
        kept.take(&[4; 8]);
        assert_eq!((kept.bytes.len(), kept.lost), (MOST_BYTES, 2));
    }
}
