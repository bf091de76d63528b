//! Loss, copies and reordering against known answers and a simple model.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn told(numbers: &[u64], sent: u64) -> OneWay {
    let mut order = Order::new();
    for &number in numbers {
        order.take(number);
    }
    let mut counts = OneWay::default();
    order.tell(sent, &mut counts);
    counts
}

#[test]
fn nothing_one_and_all_are_counted() {
    assert_eq!(told(&[], 0), OneWay::default());
    assert_eq!(told(&[], 3).lost, 3);
    let one = told(&[0], 1);
    assert_eq!((one.received, one.lost), (1, 0));
    let all: Vec<u64> = (0..10_000).collect();
    let all = told(&all, 10_000);
    assert_eq!((all.received, all.lost, all.reordered), (10_000, 0, 0));
    assert_eq!(all.extent, None);
}

#[test]
fn a_reordered_datagram_is_no_loss_and_a_copy_cancels_none() {
    let counts = told(&[0, 2, 1, 1, 4], 6);
    assert_eq!((counts.received, counts.lost), (4, 2));
    assert_eq!((counts.duplicated, counts.reordered), (1, 1));
}

#[test]
fn the_extent_counts_from_the_first_higher_number() {
    // RFC 4737 §4.2: 4 is at place 7, 5 came at place 4: extent 3. It came after three higher ones.
    let counts = told(&[1, 2, 3, 5, 6, 7, 4, 8], 9);
    assert_eq!((counts.reordered, counts.reordered_by_3), (1, 1));
    let extent = Extent {
        p50: 3,
        p99: 3,
        max: 3,
    };
    assert_eq!(counts.extent, Some(extent));
    // By two: TCP would have waited.
    let counts = told(&[0, 2, 3, 1], 4);
    assert_eq!((counts.reordered, counts.reordered_by_3), (1, 0));
}

#[test]
fn what_is_too_far_behind_stays_lost() {
    let mut order = Order::new();
    assert_eq!(order.take(0), Place::First);
    assert_eq!(order.take(SPAN + 1), Place::First);
    assert_eq!(order.take(1), Place::Unknown);
    assert_eq!(order.take(2), Place::First);
    assert_eq!(order.take(2), Place::Copy);
    assert_eq!(order.take(u64::MAX), Place::Unknown);
    let mut counts = OneWay::default();
    order.tell(SPAN + 2, &mut counts);
    assert_eq!((counts.received, counts.late), (3, 2));
}

/// The same by remembering everything.
fn model(numbers: &[u64], sent: u64) -> OneWay {
    let mut seen = BTreeSet::new();
    let mut arrived: Vec<u64> = Vec::new();
    let mut counts = OneWay::default();
    for &number in numbers {
        if !seen.insert(number) {
            counts.duplicated += 1;
            continue;
        }
        if arrived.iter().any(|&other| other > number) {
            counts.reordered += 1;
            let before = arrived.iter().rev().take(3);
            if arrived.len() >= 3 && before.clone().all(|&other| other > number) {
                counts.reordered_by_3 += 1;
            }
            let first = arrived.iter().position(|&other| other > number).unwrap();
            let extent = counts.extent.get_or_insert_default();
            extent.max = extent.max.max((arrived.len() - first) as u64);
        }
        arrived.push(number);
    }
    counts.received = arrived.len() as u64;
    counts.lost = sent - counts.received;
    counts
}

proptest! {
    #[test]
    fn it_counts_as_one_that_remembers_everything(
        numbers in prop::collection::vec(0..400_u64, 0..300),
    ) {
        let expected = model(&numbers, 400);
        let mut counts = told(&numbers, 400);
        prop_assert_eq!(counts.sent, 0);
        let max = |counts: &OneWay| counts.extent.map(|extent| extent.max);
        prop_assert_eq!(max(&counts), max(&expected));
        counts.extent = expected.extent;
        prop_assert_eq!(counts, expected);
    }

    #[test]
    fn the_lost_are_never_fewer_than_none_nor_more_than_the_sent(
        numbers in prop::collection::vec(any::<u64>(), 0..200),
        near in prop::collection::vec(0..3 * SPAN, 0..200),
        sent in 0..1_000_u64,
    ) {
        for numbers in [numbers, near] {
            let counts = told(&numbers, sent);
            prop_assert!(counts.lost <= sent);
            prop_assert_eq!(counts.received + counts.lost, sent);
        }
    }

    #[test]
    fn jumps_leave_no_stale_marks(steps in prop::collection::vec(1..SPAN + 5_000, 1..60)) {
        let mut order = Order::new();
        let mut number = 0;
        for step in steps {
            number += step;
            prop_assert_eq!(order.take(number), Place::First);
            // None of these came, though their places in the ring may have been used before.
            for back in [1, 63, 64, 65] {
                if back < step && back < number {
                    prop_assert_eq!(order.take(number - back), Place::First, "{} - {}", number, back);
                }
            }
        }
    }
}
