//! The analysis of a campaign takes less memory than the campaign itself: no histogram is copied.

#![expect(
    unsafe_code,
    reason = "an allocator that counts is unsafe by its signature"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate_reports::synthetic::Synthetic;
use tollgate_reports::{analyse, describe};

/// Bytes in use, and the most that were.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of its callers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, hence from the system, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns what a step takes on top of what is in use, at its peak.
fn peak_of<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = step();
    (result, PEAK.load(Ordering::Relaxed) - before)
}

#[test]
fn analysing_takes_less_than_the_campaign() {
    let wide = Synthetic {
        workloads: Synthetic::quickstart().workloads,
        ..Synthetic::wide(8, 30)
    };
    let (campaign, _) = peak_of(|| wide.referenced().campaign());
    let held = IN_USE.load(Ordering::Relaxed);
    assert_eq!(campaign.slices.len(), 31 * 8 * 3);
    let (_analysis, analysing) = peak_of(|| analyse(&campaign));
    let (_description, describing) = peak_of(|| describe(&campaign, 1, 100));
    let mib = |bytes: usize| bytes >> 20;
    println!(
        "campaign {} MiB, analyse {} MiB more, describe {} MiB more",
        mib(held),
        mib(analysing),
        mib(describing)
    );
    assert!(
        analysing < held / 10,
        "{} of {} MiB",
        mib(analysing),
        mib(held)
    );
    assert!(
        describing < held / 10,
        "{} of {} MiB",
        mib(describing),
        mib(held)
    );
}
