//! How long the line's thread takes to rise when a packet comes: another one in its place is woken some times through a
//! pipe.
//!
//! In a virtual machine that is 20 to 50 µs, more than a delay may be off. What is known of it is taken off the delay of a
//! packet that woke the thread up.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::clock;

/// How often it is woken: 16 ms in all.
const RINGS: usize = 16;
/// Time between two, in which the CPU falls asleep too.
const GAP: Duration = Duration::from_millis(1);

/// Returns how long a thread takes to rise that `place` puts where the line's is, in nanoseconds; 0 where it fell over.
pub(super) fn find<P>(place: impl FnOnce() -> P + Send) -> io::Result<u64> {
    let start = clock::now();
    let (alarm, sleeper) = pair()?;
    thread::scope(|scope| {
        // Two threads of their own, since each keeps to a CPU.
        let sleeps = thread::Builder::new().name("lab-sleeper".to_owned());
        let sleeps = sleeps.spawn_scoped(scope, move || {
            place();
            sleeper.rise_ns(start)
        })?;
        let rings = thread::Builder::new().name("lab-alarm".to_owned());
        rings.spawn_scoped(scope, move || alarm.ring(start))?;
        Ok(sleeps.join().unwrap_or(0))
    })
}

/// Wakes the sleeper.
#[derive(Debug)]
struct Alarm {
    rings: PipeWriter,
    rung_ns: Arc<AtomicU64>,
}

/// Is woken.
#[derive(Debug)]
struct Sleeper {
    rings: PipeReader,
    rung_ns: Arc<AtomicU64>,
}

/// Returns the two ends.
fn pair() -> io::Result<(Alarm, Sleeper)> {
    let (reader, writer) = io::pipe()?;
    let rung_ns = Arc::new(AtomicU64::new(0));
    let alarm = Alarm {
        rings: writer,
        rung_ns: Arc::clone(&rung_ns),
    };
    let sleeper = Sleeper {
        rings: reader,
        rung_ns,
    };
    Ok((alarm, sleeper))
}

impl Alarm {
    /// Rings until the sleeper knows enough, from the last CPU, where the ends are too; times count from `start`.
    fn ring(mut self, start: Instant) {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).unwrap_or_else(|_| CpuSet::new());
        let last = (0..CpuSet::count())
            .rev()
            .find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        let mut only = CpuSet::new();
        if last.is_some_and(|cpu| only.set(cpu).is_ok()) {
            // Elsewhere it would ring too, and be heard sooner.
            let _ = sched_setaffinity(this, &only);
        }
        for _ in 0..RINGS {
            clock::pause(GAP);
            self.rung_ns
                .store(clock::since_ns(start), Ordering::Release);
            if self.rings.write_all(&[0]).is_err() {
                return;
            }
        }
    }
}

impl Sleeper {
    /// Sleeps until the alarm has rung; returns the time to rise that three quarters of the rings took at least, in nanoseconds:
    /// a packet that is handed over a little late harms less than one that is early.
    fn rise_ns(mut self, start: Instant) -> u64 {
        let mut took_ns = Vec::with_capacity(RINGS);
        while let Ok(1..) = self.rings.read(&mut [0]) {
            let rung_ns = self.rung_ns.load(Ordering::Acquire);
            took_ns.push(clock::since_ns(start).saturating_sub(rung_ns));
        }
        lower_quartile(took_ns)
    }
}

fn lower_quartile(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 4).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_hears_every_ring_and_then_the_end() {
        let start = clock::now();
        let rise_ns = find(|| ()).unwrap();
        assert!(rise_ns > 0, "a thread takes some time to rise");
        assert!(clock::since_ns(start) >= RINGS as u64 * 1_000_000);
    }

    #[test]
    fn three_quarters_took_at_least_that() {
        assert_eq!(lower_quartile(vec![40, 10, 30, 20]), 20);
        assert_eq!(lower_quartile(Vec::new()), 0);
    }
}
