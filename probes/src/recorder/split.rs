//! Splits round trips into parts by the kernel's timestamps.

use tollgate_results::outcome::{Stamps, Timed};

use super::Recorder;
use crate::clock::{Moment, WallClock};

/// The kernel's timestamps of one request and its reply, in nanoseconds of its wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_field_names, reason = "each name says its unit")]
pub(crate) struct KernelStamps {
    /// The request's last packet is handed to the queueing discipline.
    pub(crate) queue_ns: Option<u64>,
    /// The driver takes it.
    pub(crate) sent_ns: Option<u64>,
    /// The driver hands over the reply's last packet.
    pub(crate) received_ns: Option<u64>,
}

/// What is kept while round trips are split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split {
    wall: WallClock,
    pub(super) stamps: Stamps,
}

/// Everything that is timed of a round trip that is split.
const PARTS: [Timed; 5] = [
    Timed::UserToDriver,
    Timed::InQueue,
    Timed::DriverToDriver,
    Timed::FarEnd,
    Timed::DriverToUser,
];

impl Recorder {
    /// Starts to split round trips; `wall` was read just now.
    pub(crate) fn start_split(&mut self, wall: WallClock) {
        let stamps = Stamps::default();
        self.split = Some(Split { wall, stamps });
    }

    /// Splits the round trip of a reply that was recorded. `far_end_ns` is what the far end says that it took.
    #[inline]
    pub(crate) fn split(
        &mut self,
        started: Moment,
        done: Moment,
        stamps: &KernelStamps,
        far_end_ns: Option<u64>,
    ) {
        let Some(Split { wall, stamps: came }) = &mut self.split else {
            return;
        };
        came.queue += u64::from(stamps.queue_ns.is_some());
        came.sent += u64::from(stamps.sent_ns.is_some());
        came.received += u64::from(stamps.received_ns.is_some());
        came.far_end += u64::from(far_end_ns.is_some());
        let moment = |ns: Option<u64>| ns.map(|ns| wall.moment(ns));
        let both = moment(stamps.sent_ns).zip(moment(stamps.received_ns));
        let queued = moment(stamps.queue_ns);
        // Stamps of other packets, as after a retransmission, are out of order.
        let Some((sent, received)) = both
            .filter(|&(sent, received)| started <= sent && sent <= received && received <= done)
        else {
            came.unsplit += 1;
            return;
        };
        let path_ns = received.since(sent);
        self.record(Timed::UserToDriver, sent.since(started));
        self.record(Timed::DriverToDriver, path_ns);
        self.record(Timed::DriverToUser, done.since(received));
        if let Some(queued) = queued.filter(|&queued| started <= queued && queued <= sent) {
            self.record(Timed::InQueue, sent.since(queued));
        }
        if let Some(far_end_ns) = far_end_ns.filter(|&ns| ns <= path_ns) {
            self.record(Timed::FarEnd, far_end_ns);
        }
    }

    /// Ends it; `wall` was read just now. Parts that were measured while the clock was set are dropped.
    pub(crate) fn end_split(&mut self, wall: WallClock) {
        let replied = self.replied;
        let Some(split) = &mut self.split else {
            return;
        };
        split.stamps.clock_error_ns = split.wall.error_until(wall);
        if split.stamps.clock_error_ns.is_none() {
            split.stamps.unsplit = replied;
            for part in PARTS {
                if let Some(histogram) = &mut self.times[part as usize] {
                    histogram.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wall clock is 1,000 ns ahead.
    const WALL: WallClock = WallClock::new(1_000, 20);

    const STAMPS: KernelStamps = KernelStamps {
        queue_ns: Some(1_112),
        sent_ns: Some(1_115),
        received_ns: Some(1_140),
    };

    fn split(stamps: &KernelStamps, far_end_ns: Option<u64>, end: WallClock) -> Recorder {
        let mut recorder = Recorder::new(&Timed::ALL);
        recorder.start_split(WALL);
        let (started, done) = (Moment::from_ns(100), Moment::from_ns(150));
        recorder.replied(done.since(started));
        recorder.split(started, done, stamps, far_end_ns);
        recorder.end_split(end);
        recorder
    }

    fn parts(recorder: Recorder) -> (Vec<u64>, Stamps) {
        let report = Recorder::report(&[recorder]);
        let parts = PARTS.map(|part| report.histograms[&part].max_ns());
        (parts.to_vec(), report.outcome.stamps.unwrap())
    }

    #[test]
    fn the_parts_are_the_whole() {
        let (parts, stamps) = parts(split(&STAMPS, Some(7), WALL));
        assert_eq!(parts, [15, 3, 25, 7, 10]);
        let [to_driver, _, path, _, to_user] = parts[..] else {
            panic!("{parts:?}");
        };
        assert_eq!(to_driver + path + to_user, 50);
        let expected = Stamps {
            queue: 1,
            sent: 1,
            received: 1,
            far_end: 1,
            unsplit: 0,
            clock_error_ns: Some(20),
        };
        assert_eq!(stamps, expected);
    }

    #[test]
    fn what_is_missing_or_out_of_order_is_not_split() {
        let early = KernelStamps {
            sent_ns: Some(1_099),
            ..STAMPS
        };
        let late = KernelStamps {
            received_ns: Some(1_151),
            ..STAMPS
        };
        let crossed = KernelStamps {
            received_ns: Some(1_114),
            ..STAMPS
        };
        let missing = KernelStamps {
            received_ns: None,
            ..STAMPS
        };
        for stamps in [early, late, crossed, missing, KernelStamps::default()] {
            let (parts, came) = parts(split(&stamps, Some(7), WALL));
            assert_eq!(parts, [0; 5], "{stamps:?}");
            assert_eq!(came.unsplit, 1);
        }
    }

    #[test]
    fn a_far_end_that_says_too_much_is_not_believed() {
        let (parts, _) = parts(split(&STAMPS, Some(26), WALL));
        assert_eq!(parts, [15, 3, 25, 0, 10]);
    }

    #[test]
    fn nothing_is_split_while_the_clock_is_set() {
        let (parts, stamps) = parts(split(&STAMPS, Some(7), WallClock::new(1_041, 20)));
        assert_eq!(parts, [0; 5]);
        assert_eq!((stamps.unsplit, stamps.clock_error_ns), (1, None));
        let (_, stamps) = self::parts(split(&STAMPS, Some(7), WallClock::new(1_040, 30)));
        assert_eq!(stamps.clock_error_ns, Some(30));
    }

    #[test]
    fn without_a_start_there_are_no_stamps() {
        let mut recorder = Recorder::new(&[Timed::Latency]);
        let now = Moment::from_ns(1);
        recorder.split(now, now, &STAMPS, None);
        recorder.end_split(WALL);
        assert_eq!(Recorder::report(&[recorder]).outcome.stamps, None);
    }
}
