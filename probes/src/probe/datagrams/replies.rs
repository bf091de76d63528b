//! Tells late, duplicated, reordered and foreign datagrams apart.

use crate::recorder::Counts;

/// How many requests back a reply is recognised: at 1 ms per lost request more than a minute.
const SPAN: u64 = 1 << 16;

/// The requests of a job and which of the last [`SPAN`] were answered. Allocates only in [`Replies::new`].
#[derive(Debug)]
pub(super) struct Replies {
    /// The request that is under way.
    present: u64,
    /// First request of the window.
    first: u64,
    /// Highest request that was answered.
    highest: u64,
    answered: Vec<u64>,
}

impl Replies {
    /// Starts with no request made.
    pub(super) fn new() -> Self {
        let words = usize::try_from(SPAN / 64).expect("a small constant");
        Self {
            present: 0,
            first: 0,
            highest: 0,
            answered: vec![0; words],
        }
    }

    /// Starts a window: replies to earlier requests no longer count.
    pub(super) const fn start_window(&mut self) {
        self.first = self.present + 1;
    }

    /// Returns the number of the next request.
    #[inline]
    pub(super) fn ask(&mut self) -> u64 {
        self.present += 1;
        let (word, bit) = place(self.present);
        self.answered[word] &= !bit;
        self.present
    }

    /// Returns whether what came is the reply to the present request, and in time; counts what it is otherwise.
    /// `sequence` is the request that it answers, `None` for a datagram that answers none of the job's.
    #[inline]
    pub(super) fn sort(
        &mut self,
        sequence: Option<u64>,
        in_time: bool,
        counts: &mut Counts,
    ) -> bool {
        let known =
            sequence.filter(|&sequence| sequence <= self.present && self.present - sequence < SPAN);
        let Some(sequence) = known else {
            counts.stray += 1;
            return false;
        };
        let (word, bit) = place(sequence);
        let again = self.answered[word] & bit != 0;
        self.answered[word] |= bit;
        let overtaken = sequence < self.highest;
        self.highest = self.highest.max(sequence);
        if sequence == self.present && in_time && !again {
            return true;
        }
        if sequence >= self.first {
            if again {
                counts.duplicated += 1;
            } else {
                counts.late += 1;
                counts.reordered += u64::from(overtaken);
            }
        }
        false
    }
}

/// Finds the word and the bit of a request.
#[inline]
const fn place(sequence: u64) -> (usize, u64) {
    let slot = sequence % SPAN;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands in a reply; returns whether it was the awaited one.
    fn reply(replies: &mut Replies, counts: &mut Counts, sequence: u64, in_time: bool) -> bool {
        replies.sort(Some(sequence), in_time, counts)
    }

    #[test]
    fn late_duplicated_and_reordered_are_told_apart() {
        let mut replies = Replies::new();
        let mut counts = Counts::default();
        replies.start_window();
        for _ in 1..=3 {
            replies.ask();
        }
        assert!(reply(&mut replies, &mut counts, 3, true));
        assert_eq!((counts.late, counts.duplicated), (0, 0));
        reply(&mut replies, &mut counts, 2, true);
        assert_eq!((counts.late, counts.reordered), (1, 1));
        reply(&mut replies, &mut counts, 2, true);
        reply(&mut replies, &mut counts, 3, true);
        assert_eq!((counts.late, counts.duplicated), (1, 2));
        replies.ask();
        assert!(!reply(&mut replies, &mut counts, 4, false));
        assert_eq!(
            (counts.late, counts.reordered),
            (2, 1),
            "late, but in order"
        );
        assert_eq!(counts.stray, 0);
    }

    #[test]
    fn replies_from_before_the_window_do_not_count() {
        let mut replies = Replies::new();
        let mut counts = Counts::default();
        replies.ask();
        replies.start_window();
        replies.ask();
        reply(&mut replies, &mut counts, 1, true);
        assert_eq!((counts.late, counts.duplicated, counts.stray), (0, 0, 0));
    }

    #[test]
    fn what_answers_no_request_of_the_job_is_stray() {
        let mut replies = Replies::new();
        let mut counts = Counts::default();
        replies.start_window();
        let request = replies.ask();
        assert!(!replies.sort(None, true, &mut counts));
        assert!(
            !reply(&mut replies, &mut counts, request + 1, true),
            "not asked yet"
        );
        assert_eq!(counts.stray, 2);
    }

    #[test]
    fn a_slot_is_used_again_after_the_span() {
        let mut replies = Replies::new();
        let mut counts = Counts::default();
        replies.start_window();
        replies.ask();
        assert!(reply(&mut replies, &mut counts, 1, true));
        for _ in 0..SPAN {
            replies.ask();
        }
        reply(&mut replies, &mut counts, 1, true);
        assert_eq!((counts.stray, counts.duplicated), (1, 0));
        assert!(reply(&mut replies, &mut counts, 1 + SPAN, true));
    }
}
