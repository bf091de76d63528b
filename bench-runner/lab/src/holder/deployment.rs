//! Many arms at once: side by side where nothing is timed, one after the other where something is.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tollgate_results::facts::ArmFacts;

use crate::arm::{Arm, Rising, Wanted};
use crate::error::LabError;

/// Arms that are worked on at the same time, for each CPU: making devices waits for the kernel's own locks and grace
/// periods half of the time.
const FOR_EACH_CPU: usize = 2;
/// Most of them, however many CPUs there are: the kernel has one lock for all devices.
const MOST: usize = 8;

/// Deploys arms, and returns what became of each, in their order. `seed` decides what datapaths leave to chance, files of
/// the arms' own go into `scratch`. An arm that fails disturbs no other, and nothing is left of it.
pub(super) fn deploy(
    wanted: Vec<Result<Wanted, LabError>>,
    seed: u64,
    scratch: &Path,
) -> Vec<Result<(Arm, ArmFacts), LabError>> {
    let risen = side_by_side(wanted, |arm| Rising::stand(arm?, seed));
    // How long programming takes is a figure of the arm.
    let programmed = risen.into_iter().map(|arm| arm?.program()).collect();
    let completed = side_by_side(programmed, |arm: Result<Rising, LabError>| {
        arm?.complete(scratch)
    });
    // A line's error is one, too, and how long its thread takes to rise is taken off its delay.
    completed.into_iter().map(|arm| arm?.finish()).collect()
}

/// Does some work on each item, on a few threads that take them in order; returns the results in the items' order.
pub(super) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let threads = (FOR_EACH_CPU * cpus).min(MOST).min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, item)) = next() {
                    let result = work(item);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_results_keep_their_order() {
        let worked = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100).collect();
        let results = side_by_side(items, |item| {
            worked.fetch_add(1, Ordering::SeqCst);
            if item % 7 == 0 {
                thread::yield_now();
            }
            item * 2
        });
        assert_eq!(worked.into_inner(), 100);
        assert!(results.into_iter().eq((0..100).map(|item| item * 2)));
        assert!(side_by_side(Vec::<usize>::new(), |item| item).is_empty());
    }
}
