//! The thread that reads packets from both devices, holds them, and writes each when it is due.
//!
//! It sleeps until a packet comes or shortly before one is due, and then looks again and again: what a sleeping thread
//! gets up late by would be added to every delay. In its loop it neither allocates nor locks.
#![expect(unsafe_code, reason = "real-time scheduling is set by a plain call")]

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;
use nix::unistd::{Pid, read, write};

use super::direction::Direction;
use super::rising;
use crate::clock;
use crate::error::{Doing as _, LabError};

/// How long before a packet is due the thread stops sleeping. Sleeping threads of virtual machines get up 10 to 50 µs
/// late; a thread that looks for much longer would take a CPU for itself.
const LOOK_NS: u64 = 50_000;
/// A call that finds a packet waiting is over by then.
const ASKING_NS: u64 = 3_000;
/// Most packets that are read from one device before those of the other, and those that are due, have their turn.
const BATCH: usize = 64;
/// Longest frame: the largest MTU with its Ethernet header.
const LONGEST_FRAME: usize = 65_535 + 18;

/// The thread of a line. It ends with this value.
#[derive(Debug)]
pub(super) struct Drive {
    stop: Arc<AtomicBool>,
    /// Closing it wakes the thread up.
    awake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    placed: Placed,
    /// How long the thread takes to rise when a packet comes: 0 until that is found.
    rise_ns: Arc<AtomicU64>,
}

/// How the thread runs.
#[derive(Debug, Clone, Copy, Default)]
struct Placed {
    cpu: Option<u32>,
    realtime: bool,
}

impl Drive {
    /// Starts a thread that carries what comes from the first device to the second by the first direction, and back by
    /// the second.
    pub(super) fn start(directions: [Direction; 2], taps: [OwnedFd; 2]) -> Result<Self, LabError> {
        let doing = || "start the line between the nodes";
        let (asleep, awake) = io::pipe().doing(doing)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, starts) = std::sync::mpsc::sync_channel(1);
        let ends = Arc::clone(&stop);
        let rise_ns = Arc::new(AtomicU64::new(0));
        let rises = Arc::clone(&rise_ns);
        let run = move || {
            // The starter waits for it.
            let _ = told.send(place());
            let mut loop_ = Loop {
                taps,
                directions,
                asleep,
                stop: ends,
                start: clock::now(),
                rise_ns: rises,
                slept_ns: None,
                frame: vec![0; LONGEST_FRAME].into_boxed_slice(),
            };
            loop_.run();
        };
        let thread = thread::Builder::new()
            .name("lab-line".to_owned())
            .spawn(run)
            .doing(doing)?;
        Ok(Self {
            stop,
            awake: Some(awake),
            thread: Some(thread),
            // One that fell over has ended.
            placed: starts.recv().unwrap_or_default(),
            rise_ns,
        })
    }

    /// Finds how long the thread takes to rise, which is taken off the delay from then on. Whatever else the machine does
    /// meanwhile makes it longer.
    pub(super) fn find_rise(&self) -> Result<(), LabError> {
        let doing = || "find how long the line's thread takes to rise";
        let rise_ns = rising::find(place).doing(doing)?;
        self.rise_ns.store(rise_ns, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the CPU that the thread is kept to.
    pub(super) const fn cpu(&self) -> Option<u32> {
        self.placed.cpu
    }

    /// Returns how long the thread takes to rise when a packet comes, in nanoseconds; that is taken off the delay. 0 until
    /// it is found.
    pub(super) fn rise_ns(&self) -> u64 {
        self.rise_ns.load(Ordering::Relaxed)
    }

    /// Returns whether it runs before all ordinary programs.
    pub(super) const fn is_realtime(&self) -> bool {
        self.placed.realtime
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.awake.take());
        if let Some(thread) = self.thread.take() {
            // A thread that fell over has ended.
            let _ = thread.join();
        }
    }
}

/// Puts the calling thread on the first CPU, before all ordinary programs: probes take the last CPUs, and a line that
/// waits for a CPU has another delay than it is set to.
fn place() -> Placed {
    // Only by this much may the kernel put a wake-up off.
    let _ = prctl::set_timerslack(1);
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap_or_else(|_| CpuSet::new());
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let cpu = match cpus.as_slice() {
        [first, _, ..] => Some(*first),
        _ => None,
    };
    let pinned = cpu.filter(|cpu| {
        let mut only = CpuSet::new();
        only.set(*cpu).is_ok() && sched_setaffinity(this, &only).is_ok()
    });
    Placed {
        cpu: pinned.and_then(|cpu| u32::try_from(cpu).ok()),
        // On the only CPU it would starve the ends that it serves.
        realtime: pinned.is_some() && real_time(),
    }
}

/// Lets the calling thread run before all ordinary programs; says whether it may.
fn real_time() -> bool {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the parameter, which lives until it returns; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0 }
}

/// What the thread works on.
struct Loop {
    taps: [OwnedFd; 2],
    directions: [Direction; 2],
    asleep: PipeReader,
    stop: Arc<AtomicBool>,
    start: Instant,
    rise_ns: Arc<AtomicU64>,
    /// When the thread went to sleep from which a packet has woken it.
    slept_ns: Option<u64>,
    frame: Box<[u8]>,
}

/// Why the thread ends: a device has gone.
struct Gone;

impl Loop {
    fn run(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let Ok(more) = self.turn() else { return };
            if !more && self.sleep().is_err() {
                return;
            }
        }
    }

    /// Takes in what has come and hands over what is due; says whether there may be more at once.
    fn turn(&mut self) -> Result<bool, Gone> {
        let mut more = false;
        for (tap, direction) in self.taps.iter().zip(&mut self.directions) {
            let mut count = 0;
            while count < BATCH {
                match read(tap, &mut self.frame) {
                    Ok(length) => {
                        let now_ns = clock::since_ns(self.start);
                        // Whatever came while it rose has waited as long; of later ones nobody knows.
                        let came_ns = self.slept_ns.take().map_or(now_ns, |slept_ns| {
                            let rise_ns = self.rise_ns.load(Ordering::Relaxed);
                            now_ns.saturating_sub(rise_ns).max(slept_ns)
                        });
                        direction.enter(came_ns, &self.frame[..length]);
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => continue,
                    Err(_) => return Err(Gone),
                }
                count += 1;
            }
            more |= count == BATCH;
        }
        let [there, back] = &mut self.directions;
        let [near, far] = &self.taps;
        for (direction, to) in [(there, far), (back, near)] {
            // A bounded number, so that what comes in meanwhile has its turn.
            for _ in 0..BATCH {
                let now_ns = clock::since_ns(self.start);
                // A device that is down refuses packets, which is as if the line had lost them.
                if !direction.leave(now_ns, |packet| write(to, packet).is_ok()) {
                    break;
                }
            }
        }
        Ok(more)
    }

    /// Sleeps until a packet comes, one is nearly due, or the line ends; not at all where one is nearly due now.
    fn sleep(&mut self) -> Result<(), Gone> {
        self.slept_ns = None;
        let due_ns = self.directions.iter().filter_map(Direction::due_ns).min();
        let timeout = match due_ns {
            None => None,
            Some(due_ns) => {
                let left_ns = due_ns.saturating_sub(clock::since_ns(self.start));
                if left_ns <= LOOK_NS {
                    return Ok(());
                }
                Some(TimeSpec::from(Duration::from_nanos(left_ns - LOOK_NS)))
            }
        };
        let [near, far] = &self.taps;
        let mut ends = [
            PollFd::new(near.as_fd(), PollFlags::POLLIN),
            PollFd::new(far.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.asleep.as_fd(), PollFlags::empty()),
        ];
        let slept_ns = clock::since_ns(self.start);
        match ppoll(&mut ends, timeout, None) {
            // No more than it takes to ask: there was a packet already, and nobody has slept.
            Ok(1..) if clock::since_ns(self.start) - slept_ns > ASKING_NS => {
                self.slept_ns = Some(slept_ns);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Err(Gone),
        }
        let failed = PollFlags::POLLERR | PollFlags::POLLNVAL;
        let gone = ends[..2].iter().any(|end| {
            end.revents()
                .is_some_and(|events| events.intersects(failed))
        });
        if gone { Err(Gone) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tollgate_results::line::Line;

    use super::*;

    #[test]
    fn a_line_carries_packets_before_and_after_it_is_found_how_its_thread_rises() {
        let [(near, near_tap), (far, far_tap)] = [(); 2].map(|()| UnixDatagram::pair().unwrap());
        for tap in [&near_tap, &far_tap] {
            tap.set_nonblocking(true).unwrap();
        }
        let directions = [1, 2].map(|seed| Direction::new(&Line::default(), seed, Arc::default()));
        let drive = Drive::start(directions, [near_tap.into(), far_tap.into()]).unwrap();
        let crosses = || {
            let mut frame = [0; 64];
            near.send(&[7; 60]).unwrap();
            assert_eq!(far.recv(&mut frame).unwrap(), 60);
        };
        // Arms start their lines side by side, where nothing is timed.
        assert_eq!(drive.rise_ns(), 0);
        crosses();
        drive.find_rise().unwrap();
        assert!(drive.rise_ns() > 0, "a thread takes some time to rise");
        crosses();
    }
}
