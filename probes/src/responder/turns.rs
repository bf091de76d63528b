//! When requests were turned into replies, where somebody asks for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tollgate_results::agent::{Log, Turns as Taken};

use crate::clock::{Clock as _, Monotonic};

/// The times of turns, from all threads of a responder. While none are kept, a turn costs one look at a flag.
#[derive(Debug, Default)]
pub(super) struct Turns {
    keeping: AtomicBool,
    /// Turns since keeping started.
    count: AtomicUsize,
    most: AtomicUsize,
    /// Room for [`Log::MOST`], taken when somebody asks first.
    at_ns: OnceLock<Box<[AtomicU64]>>,
}

impl Turns {
    /// Keeps turns from now on: at most so many, and not more than there is room for.
    pub(super) fn keep(&self, most: u32) {
        let room = self
            .at_ns
            .get_or_init(|| (0..Log::MOST).map(|_| AtomicU64::new(0)).collect());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.most.store(most.min(room.len()), Ordering::SeqCst);
        self.count.store(0, Ordering::SeqCst);
        self.keeping.store(true, Ordering::SeqCst);
    }

    /// Notes a turn at this moment: a request is in, its reply is not yet out.
    #[inline]
    pub(super) fn note(&self) {
        if self.keeping.load(Ordering::Relaxed) {
            self.note_now();
        }
    }

    fn note_now(&self) {
        let place = self.count.fetch_add(1, Ordering::Relaxed);
        if place < self.most.load(Ordering::Relaxed)
            && let Some(at_ns) = self.at_ns.get().and_then(|room| room.get(place))
        {
            at_ns.store(Monotonic.now().ns(), Ordering::Relaxed);
        }
    }

    /// Returns the turns since keeping started, and keeps no more.
    pub(super) fn take(&self) -> Taken {
        self.keeping.store(false, Ordering::SeqCst);
        let count = self.count.swap(0, Ordering::SeqCst);
        let kept = count.min(self.most.load(Ordering::SeqCst));
        let room = self.at_ns.get().map_or(&[][..], |room| room);
        let at_ns = room.iter().take(kept);
        let mut at_ns: Vec<u64> = at_ns.map(|at| at.load(Ordering::SeqCst)).collect();
        // Threads that answer at once may have swapped places.
        at_ns.sort_unstable();
        let missed = count.saturating_sub(at_ns.len());
        Taken {
            at_ns,
            missed: u64::try_from(missed).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_kept_from_the_asking_to_the_taking() {
        let turns = Turns::default();
        turns.note();
        assert_eq!(turns.take(), Taken::default());
        turns.keep(2);
        let before = Monotonic.now().ns();
        for _ in 0..3 {
            turns.note();
        }
        let after = Monotonic.now().ns();
        let taken = turns.take();
        assert_eq!((taken.at_ns.len(), taken.missed), (2, 1));
        assert!(taken.at_ns.is_sorted());
        assert!(taken.at_ns.iter().all(|at| (before..=after).contains(at)));
        turns.note();
        assert_eq!(turns.take(), Taken::default());
        turns.keep(u32::MAX);
        turns.note();
        assert_eq!(turns.take().at_ns.len(), 1);
    }
}
