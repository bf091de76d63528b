//! When a packet leaves a line, or why it doesn't: arithmetic on the time that is passed in.
//!
//! A packet waits for the bottleneck, is sent by it, may be lost by chance behind it, and travels. One that would
//! overtake another leaves with it.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tollgate_results::line::Line;

/// Length of the scale on which chances are drawn.
const ONE: f64 = 4_294_967_296.0;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It leaves at this time.
    Leaves { at_ns: u64 },
    /// It is lost by chance.
    Lost,
    /// It found the queue full.
    Overflowed,
}

/// One direction of a line.
#[derive(Debug)]
pub(super) struct Schedule {
    line: Line,
    /// Time that the bottleneck takes for a full queue.
    room_ns: u64,
    random: ChaCha8Rng,
    chance: Chance,
    /// When the bottleneck has sent all that it took.
    free_ns: u64,
    /// When the latest packet leaves.
    last_ns: u64,
}

impl Schedule {
    pub(super) fn new(line: &Line, seed: u64) -> Self {
        Self {
            line: *line,
            room_ns: line.queue_bytes().map_or(0, |room| line.sending_ns(room)),
            random: ChaCha8Rng::seed_from_u64(seed),
            chance: Chance::of(line),
            free_ns: 0,
            last_ns: 0,
        }
    }

    /// Takes a packet of so many bytes in at a time that is no earlier than that of the call before.
    pub(super) fn offer(&mut self, now_ns: u64, bytes: usize) -> Fate {
        let mut sent_ns = now_ns;
        if self.line.rate.is_some() {
            let takes_ns = self.line.sending_ns(bytes as u64);
            let waits_ns = self.free_ns.saturating_sub(now_ns);
            // An idle bottleneck takes every packet, however small its queue.
            if waits_ns > 0 && waits_ns.saturating_add(takes_ns) > self.room_ns {
                return Fate::Overflowed;
            }
            sent_ns = now_ns.saturating_add(waits_ns).saturating_add(takes_ns);
            self.free_ns = sent_ns;
        }
        if self.chance.loses(&mut self.random) {
            return Fate::Lost;
        }
        let jitter_ns = match self.line.jitter.0 {
            0 => 0,
            most => self.random.random_range(0..=most),
        };
        let at_ns = sent_ns
            .saturating_add(self.line.delay.0)
            .saturating_add(jitter_ns)
            .max(self.last_ns);
        self.last_ns = at_ns;
        Fate::Leaves { at_ns }
    }
}

/// Loss by chance. Probabilities are shares of 2^32.
#[derive(Debug, Clone, Copy)]
enum Chance {
    Never,
    /// Each packet by itself.
    Even {
        lost: u64,
    },
    /// Gilbert's model: all packets are lost in the bad state and none in the good one.
    Bursts {
        bad: bool,
        worsens: u64,
        mends: u64,
    },
}

impl Chance {
    fn of(line: &Line) -> Self {
        let lost = f64::from(line.loss_ppm.min(Line::MOST_LOSS_PPM)) / 1e6;
        match line.burst {
            _ if line.loss_ppm == 0 => Self::Never,
            None => Self::Even { lost: share(lost) },
            Some(burst) => {
                // In balance as many bursts begin as end: (1 − lost) · worsens = lost · mends.
                let mends = 1.0 / f64::from(burst.max(1));
                Self::Bursts {
                    bad: false,
                    worsens: share(lost * mends / (1.0 - lost)),
                    mends: share(mends),
                }
            }
        }
    }

    fn loses(&mut self, random: &mut ChaCha8Rng) -> bool {
        let mut happens = |share: u64| u64::from(random.random::<u32>()) < share;
        match self {
            Self::Never => false,
            Self::Even { lost } => happens(*lost),
            Self::Bursts {
                bad,
                worsens,
                mends,
            } => {
                *bad = if *bad {
                    !happens(*mends)
                } else {
                    happens(*worsens)
                };
                *bad
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a probability times 2^32"
)]
fn share(probability: f64) -> u64 {
    (probability.clamp(0.0, 1.0) * ONE).round() as u64
}

#[cfg(test)]
mod tests {
    use tollgate_results::units::{BitRate, Nanoseconds};

    use super::*;

    const MS: u64 = 1_000_000;

    fn losses(line: &Line, packets: u32) -> Vec<bool> {
        let mut schedule = Schedule::new(line, 7);
        (0..packets)
            .map(|n| schedule.offer(u64::from(n), 100) == Fate::Lost)
            .collect()
    }

    #[test]
    fn a_plain_line_lets_packets_through_at_once() {
        let mut schedule = Schedule::new(&Line::default(), 1);
        assert_eq!(schedule.offer(5, 1514), Fate::Leaves { at_ns: 5 });
    }

    #[test]
    fn a_bottleneck_sends_one_after_the_other_and_has_so_much_room() {
        let line = Line {
            delay: Nanoseconds(20 * MS),
            rate: Some(BitRate(8_000_000)),
            queue: Some("2500 B".parse().unwrap()),
            ..Line::default()
        };
        let mut schedule = Schedule::new(&line, 1);
        // 1,000 B take 1 ms.
        assert_eq!(schedule.offer(0, 1000), Fate::Leaves { at_ns: 21 * MS });
        assert_eq!(schedule.offer(0, 1000), Fate::Leaves { at_ns: 22 * MS });
        assert_eq!(schedule.offer(0, 1000), Fate::Overflowed);
        assert_eq!(
            schedule.offer(0, 500),
            Fate::Leaves {
                at_ns: 22 * MS + MS / 2
            }
        );
        assert_eq!(
            schedule.offer(MS, 1000),
            Fate::Leaves {
                at_ns: 23 * MS + MS / 2
            }
        );
    }

    #[test]
    fn so_many_are_lost_as_is_said() {
        let line = Line {
            loss_ppm: 10_000,
            ..Line::default()
        };
        let lost = losses(&line, 1_000_000)
            .iter()
            .filter(|lost| **lost)
            .count();
        // Mean 10,000, deviation 99.5: six of them.
        assert!((9_400..10_600).contains(&lost), "{lost}");
    }

    #[test]
    fn bursts_are_as_long_as_is_said_and_lose_no_more() {
        let line = Line {
            loss_ppm: 50_000,
            burst: Some(5),
            ..Line::default()
        };
        let losses = losses(&line, 1_000_000);
        let lost = losses.iter().filter(|lost| **lost).count();
        let bursts = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((47_000..53_000).contains(&lost), "{lost}");
        let mean =
            f64::from(u32::try_from(lost).unwrap()) / f64::from(u32::try_from(bursts).unwrap());
        assert!((4.7..5.3).contains(&mean), "{mean}");
    }

    #[test]
    fn the_same_seed_loses_the_same() {
        let line = Line {
            loss_ppm: 300_000,
            jitter: Nanoseconds(MS),
            ..Line::default()
        };
        assert_eq!(losses(&line, 1_000), losses(&line, 1_000));
    }
}
