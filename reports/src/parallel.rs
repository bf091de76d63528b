//! Work on many items at once, with the result that one after the other gives.

use std::num::NonZero;
use std::thread;

/// Fewer items than this for a thread are not worth starting it.
const FEWEST_EACH: usize = 8;

/// Most threads: an analysis has some hundred items, and reports are made beside other work.
const MOST_THREADS: usize = 8;

/// Applies a function to all items and returns the results in the items' order, whatever thread made them.
pub(crate) fn map<'a, T: Sync, R: Send>(
    items: &'a [T],
    apply: impl Fn(&'a T) -> R + Sync,
) -> Vec<R> {
    map_on(threads(), items, apply)
}

fn threads() -> usize {
    #[cfg(test)]
    if let Some(threads) = tests::THREADS.get() {
        return threads;
    }
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    cpus.min(MOST_THREADS)
}

/// The same on this many threads, or fewer where there are few items.
fn map_on<'a, T: Sync, R: Send>(
    threads: usize,
    items: &'a [T],
    apply: impl Fn(&'a T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.min(items.len() / FEWEST_EACH);
    if threads < 2 {
        return items.iter().map(apply).collect();
    }
    // Each thread takes every so-manieth item: neighbours cost about the same, the first and the last may not.
    let share = |first: usize| items.iter().skip(first).step_by(threads);
    let apply = &apply;
    let mut shares: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|first| {
                let work = move || share(first).map(apply).collect::<Vec<R>>();
                // Where the system starts no thread, this one does the work.
                let started = thread::Builder::new().spawn_scoped(scope, work);
                (first, started)
            })
            .collect();
        let own: Vec<R> = share(0).map(apply).collect();
        let others = others.into_iter().map(|(first, started)| match started {
            Ok(thread) => match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            },
            Err(_) => share(first).map(apply).collect(),
        });
        std::iter::once(own)
            .chain(others)
            .map(Vec::into_iter)
            .collect()
    });
    let next = |index: usize| shares[index % threads].next();
    (0..items.len()).filter_map(next).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::synthetic::Synthetic;
    use crate::{analyse, describe};

    thread_local! {
        /// How many threads this one's work is given to, whatever the machine has.
        pub(super) static THREADS: Cell<Option<usize>> = const { Cell::new(None) };
    }

    #[test]
    fn an_analysis_is_the_same_on_any_number_of_threads() {
        for campaign in [
            Synthetic::quickstart(),
            Synthetic::scaling(),
            Synthetic::wide(5, 8),
        ] {
            let campaign = campaign.campaign();
            let json = |threads: usize| {
                THREADS.set(Some(threads));
                let analysis = serde_json::to_string(&analyse(&campaign)).unwrap();
                (
                    analysis,
                    serde_json::to_string(&describe(&campaign, 3, 50)).unwrap(),
                )
            };
            let serial = json(1);
            for threads in [2, 3, 8] {
                assert!(json(threads) == serial, "{threads} threads");
            }
        }
    }

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        for count in [0, 1, 7, 8, 15, 16, 17, 100, 1_001] {
            let items: Vec<usize> = (0..count).collect();
            let serial: Vec<String> = items.iter().map(usize::to_string).collect();
            for threads in [0, 1, 2, 3, 8, 64] {
                assert_eq!(map_on(threads, &items, usize::to_string), serial);
            }
            assert_eq!(map(&items, usize::to_string), serial);
        }
    }

    #[test]
    #[should_panic(expected = "item 90")]
    fn a_panic_is_handed_on() {
        let items: Vec<usize> = (0..100).collect();
        map_on(4, &items, |&item| assert!(item != 90, "item {item}"));
    }
}
