//! One direction of a line: its schedule, the packets that it holds, and what is counted of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_results::line::{Line, LineDirection};

use super::held::Held;
use super::schedule::{Fate, Schedule};

/// Memory of a direction without a rate: 16 MiB are 20 ms of 6 Gbit/s.
const UNBOUNDED: usize = 16 << 20;
/// Memory beside what the line's numbers ask for: for the gap where packets start again at the front, and for packets
/// that are late.
const SPARE: usize = 512 << 10;

/// Counts that another thread may read at any time.
#[derive(Debug, Default)]
pub(super) struct Counts {
    entered: AtomicU64,
    left: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
    unroomed: AtomicU64,
    latest_ns: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> LineDirection {
        // What has left is read first, so that no reading shows more leave than enter.
        let of = |count: &AtomicU64| count.load(Ordering::Acquire);
        let (left, lost) = (of(&self.left), of(&self.lost));
        let (overflowed, unroomed) = (of(&self.overflowed), of(&self.unroomed));
        LineDirection {
            entered: of(&self.entered),
            left,
            lost,
            overflowed,
            unroomed,
            latest_ns: of(&self.latest_ns),
        }
    }
}

/// Counts one more. Only the line's own thread writes.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Release);
}

/// One direction of a line.
#[derive(Debug)]
pub(super) struct Direction {
    schedule: Schedule,
    held: Held,
    counts: Arc<Counts>,
}

impl Direction {
    pub(super) fn new(line: &Line, seed: u64, counts: Arc<Counts>) -> Self {
        let held = line.held_bytes().map_or(UNBOUNDED, |bytes| {
            usize::try_from(bytes.min(Line::MOST_HELD.0)).unwrap_or(UNBOUNDED)
        });
        Self {
            schedule: Schedule::new(line, seed),
            held: Held::new(held + SPARE),
            counts,
        }
    }

    /// Takes a packet in.
    pub(super) fn enter(&mut self, now_ns: u64, packet: &[u8]) {
        count(&self.counts.entered);
        match self.schedule.offer(now_ns, packet.len()) {
            Fate::Leaves { at_ns } => {
                if !self.held.put(at_ns, packet) {
                    count(&self.counts.unroomed);
                }
            }
            Fate::Lost => count(&self.counts.lost),
            Fate::Overflowed => count(&self.counts.overflowed),
        }
    }

    /// Returns when the next packet leaves.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.held.due_ns()
    }

    /// Hands over the next packet if it is due; says whether it was. `out` says whether it took the packet.
    pub(super) fn leave(&mut self, now_ns: u64, out: impl FnOnce(&[u8]) -> bool) -> bool {
        let Some((due_ns, packet)) = self.held.due_ns().zip(self.held.first()) else {
            return false;
        };
        if due_ns > now_ns {
            return false;
        }
        let took = out(packet);
        self.held.drop_first();
        if took {
            self.counts
                .latest_ns
                .fetch_max(now_ns - due_ns, Ordering::Release);
            count(&self.counts.left);
        } else {
            count(&self.counts.unroomed);
        }
        true
    }

    /// Returns how many packets are under way.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.held.count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_results::line::Queue;
    use tollgate_results::units::{BitRate, Bytes, Nanoseconds};

    use super::*;

    /// A line that is a line: any delay, jitter, rate, queue and loss within reach of a few thousand packets.
    fn lines() -> impl Strategy<Value = Line> {
        let rate = prop::option::of((1_000_000_u64..1_000_000_000, 2_000_u64..200_000));
        let loss = (0_u32..400_000, prop::option::of(2_u32..20));
        let times = (0_u64..50_000_000, 0_u64..5_000_000);
        (times, rate, loss).prop_map(|((delay, jitter), rate, (loss_ppm, burst))| Line {
            delay: Nanoseconds(delay),
            jitter: Nanoseconds(jitter),
            rate: rate.map(|(rate, _)| BitRate(rate)),
            queue: rate.map(|(_, queue)| Queue::Bytes(Bytes(queue))),
            loss_ppm,
            burst,
            seed: None,
        })
    }

    /// Packets by the gap before each and its length.
    fn packets() -> impl Strategy<Value = Vec<(u64, usize)>> {
        prop::collection::vec((0_u64..200_000, 60_usize..1_515), 1..600)
    }

    /// A packet that left: its number, when it entered, when it left, its length.
    type Passed = Vec<(usize, u64, u64, u64)>;

    /// Sends packets through; time goes on from event to event. Returns those that left, and the direction.
    fn pass(line: &Line, seed: u64, packets: &[(u64, usize)]) -> (Passed, Direction) {
        let mut direction = Direction::new(line, seed, Arc::default());
        let mut passed = Vec::new();
        let mut entered = Vec::new();
        let mut now = 0;
        let mut drain = |direction: &mut Direction, entered: &[u64], until: u64| {
            while let Some(due) = direction.due_ns().filter(|due| *due <= until) {
                direction.leave(due, |packet| {
                    let number = usize::from(u16::from_ne_bytes([packet[0], packet[1]]));
                    passed.push((number, entered[number], due, packet.len() as u64));
                    true
                });
            }
        };
        for (number, (gap, length)) in packets.iter().enumerate() {
            now += gap;
            drain(&mut direction, &entered, now);
            let mut packet = vec![0; *length];
            packet[..2].copy_from_slice(&u16::try_from(number).unwrap().to_ne_bytes());
            entered.push(now);
            direction.enter(now, &packet);
        }
        // Half of the time that the rest needs, so that some are held.
        let last = now + line.delay.0 / 2;
        drain(&mut direction, &entered, last);
        (passed, direction)
    }

    proptest! {
        #[test]
        fn order_is_kept_and_no_packet_is_early(line in lines(), seed: u64, packets in packets()) {
            let (passed, _) = pass(&line, seed, &packets);
            for pair in passed.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0 && pair[0].2 <= pair[1].2);
            }
            for (_, entered, left, bytes) in passed {
                prop_assert!(left >= entered + line.delay.0 + line.sending_ns(bytes));
            }
        }

        #[test]
        fn what_enters_leaves_is_lost_or_is_held(line in lines(), seed: u64, packets in packets()) {
            let (passed, direction) = pass(&line, seed, &packets);
            let counts = direction.counts.read();
            prop_assert_eq!(counts.left, passed.len() as u64);
            prop_assert_eq!(counts.entered, packets.len() as u64);
            let gone = counts.left + counts.lost + counts.overflowed + counts.unroomed;
            prop_assert_eq!(counts.entered, gone + direction.held() as u64);
            prop_assert_eq!(counts.unroomed, 0, "there is room for what the numbers allow");
        }

        /// From the start of sending one packet to the end of sending another no more passes than the rate carries.
        #[test]
        fn the_rate_is_never_exceeded(line in lines(), seed: u64, packets in packets()) {
            let line = Line { jitter: Nanoseconds(0), ..line };
            let Some(BitRate(rate)) = line.rate else { return Ok(()) };
            let (passed, _) = pass(&line, seed, &packets);
            for (index, first) in passed.iter().enumerate().step_by(7) {
                let mut bytes = first.3;
                for next in &passed[index + 1..] {
                    let within = next.2 - first.2;
                    // The first packet's own sending lies before the time that is looked at.
                    let carried = u128::from(within) * u128::from(rate) / 8_000_000_000;
                    prop_assert!(u128::from(bytes - first.3 + next.3) <= carried + 1, "{within} ns");
                    bytes += next.3;
                }
            }
        }
    }
}
