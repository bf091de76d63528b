//! A line between the nodes of an arm: delay, rate and loss that a pair of virtual devices has not.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{BitRate, Bytes, Nanoseconds};

/// A line, the same in both directions, each of which has its own queue and its own chance. Packets keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// What each packet takes at least, one way: 0 to 10 s.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay: Nanoseconds,
    /// What a packet takes more, drawn evenly from 0 to this: 0 to 10 s. One that would overtake another leaves right
    /// behind it.
    #[serde(skip_serializing_if = "is_zero")]
    pub jitter: Nanoseconds,
    /// Bits per second, Ethernet headers included: 10 kbit/s to 10 Gbit/s. `None` for a line as fast as it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<BitRate>,
    /// Room before the bottleneck; a packet that finds it full is lost. `None` without a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Packets lost by chance, in millionths: 0 to 500,000.
    #[serde(skip_serializing_if = "is_none_lost")]
    pub loss_ppm: u32,
    /// Mean number of packets that are lost in a row, 2 to 1,000, by Gilbert's model; `None` loses each by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Source of jitter and loss; `None` takes the campaign's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
const fn is_zero(time: &Nanoseconds) -> bool {
    time.0 == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
const fn is_none_lost(ppm: &u32) -> bool {
    *ppm == 0
}

impl Line {
    /// Longest [`Line::delay`] and [`Line::jitter`].
    pub const LONGEST: Nanoseconds = Nanoseconds(10_000_000_000);
    /// Range of [`Line::rate`].
    pub const RATES: (BitRate, BitRate) = (BitRate(10_000), BitRate(10_000_000_000));
    /// Most of [`Line::loss_ppm`]: half of all packets.
    pub const MOST_LOSS_PPM: u32 = 500_000;
    /// Range of [`Line::burst`].
    pub const BURSTS: (u32, u32) = (2, 1_000);
    /// Range of a queue in bytes: one packet to what [`Line::MOST_HELD`] leaves.
    pub const QUEUES: (Bytes, Bytes) = (Bytes(2_000), Bytes(64 << 20));
    /// Range of a queue in time.
    pub const QUEUE_TIMES: (Nanoseconds, Nanoseconds) =
        (Nanoseconds(100_000), Nanoseconds(10_000_000_000));
    /// Queue of a line with a rate where none is named: between a switch's few and a home router's hundreds of ms.
    pub const QUEUE: Queue = Queue::Time(Nanoseconds(50_000_000));
    /// Most bytes that a direction of a line may have to hold: what is queued, and what is under way.
    pub const MOST_HELD: Bytes = Bytes(64 << 20);

    /// Returns the room before the bottleneck in bytes; `None` without a rate.
    #[must_use]
    pub fn queue_bytes(&self) -> Option<u64> {
        let rate = self.rate?;
        Some(match self.queue.unwrap_or(Self::QUEUE) {
            Queue::Bytes(bytes) => bytes.0,
            Queue::Time(time) => carried(rate, time),
        })
    }

    /// Returns the most bytes that one direction holds at a time; `None` without a rate, which alone bounds it.
    #[must_use]
    pub fn held_bytes(&self) -> Option<u64> {
        let under_way = Nanoseconds(self.delay.0.saturating_add(self.jitter.0));
        let queued = self.queue_bytes()?;
        Some(queued.saturating_add(carried(self.rate?, under_way)))
    }

    /// Returns how long the bottleneck sends at a packet of so many bytes, in whole nanoseconds, rounded up; 0 without a
    /// rate.
    #[must_use]
    pub fn sending_ns(&self, bytes: u64) -> u64 {
        let Some(BitRate(rate)) = self.rate else {
            return 0;
        };
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        u64::try_from(bits.div_ceil(u128::from(rate.max(1)))).unwrap_or(u64::MAX)
    }
}

/// Returns how many bytes pass at a rate in some time.
fn carried(rate: BitRate, time: Nanoseconds) -> u64 {
    let bits = u128::from(rate.0) * u128::from(time.0) / 1_000_000_000;
    u64::try_from(bits / 8).unwrap_or(u64::MAX)
}

impl fmt::Display for Line {
    /// Says the line in a few words: `line of 20 ms + 1 ms, 100 Mbit/s with a queue of 50 ms, 1 % lost`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line of {}", self.delay.words())?;
        if self.jitter.0 > 0 {
            write!(f, " + {}", self.jitter.words())?;
        }
        if let Some(rate) = self.rate {
            let queue = self.queue.unwrap_or(Self::QUEUE);
            write!(f, ", {rate} with a queue of {queue}")?;
        }
        if self.loss_ppm > 0 {
            write!(f, ", {} % lost", f64::from(self.loss_ppm) / 1e4)?;
        }
        if let Some(burst) = self.burst {
            write!(f, " in bursts of {burst}")?;
        }
        Ok(())
    }
}

/// Room before a bottleneck, written as an amount (`"256 KiB"`) or as the time that it takes to drain (`"50ms"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Queue {
    /// So many bytes.
    Bytes(Bytes),
    /// As many bytes as the rate carries in this time.
    Time(Nanoseconds),
}

/// A queue that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an amount of data nor a time; write for example \"256 KiB\" or \"50ms\"")]
pub struct QueueError(String);

impl FromStr for Queue {
    type Err = QueueError;

    fn from_str(input: &str) -> Result<Self, QueueError> {
        let bytes = input.parse().map(Self::Bytes);
        bytes
            .or_else(|_| input.parse().map(Self::Time))
            .map_err(|_| QueueError(input.to_owned()))
    }
}

impl TryFrom<String> for Queue {
    type Error = QueueError;

    fn try_from(input: String) -> Result<Self, QueueError> {
        input.parse()
    }
}

impl From<Queue> for String {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::Bytes(bytes) => bytes.to_string(),
            Queue::Time(time) => time.to_string(),
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Time(time) => f.write_str(&time.words()),
        }
    }
}

/// How far a line is from what it is set to, found with packets of its own before anything else crossed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LineFacts {
    /// Packets that were sent over it, both directions together.
    pub sent: u32,
    /// Those of them that arrived.
    pub arrived: u32,
    /// How much later than set they arrived, one way, from the sender's call to the receiver's: the median, in
    /// nanoseconds. The two ends' own part is in it. `None` where none arrived.
    pub late_p50_ns: Option<u64>,
    /// The same for 95 % of them.
    pub late_p95_ns: Option<u64>,
    /// The CPU that the line is kept to; `None` leaves it to the scheduler.
    pub cpu: Option<u32>,
    /// Whether it runs before all ordinary programs.
    pub realtime: bool,
    /// What it cannot do, one sentence each.
    pub limits: Vec<String>,
}

impl LineFacts {
    /// Says how late its packets came in one line: `line: packets 21 µs late at the median, 40 µs at 95 %`.
    #[must_use]
    pub fn words(&self) -> String {
        let found = format!("{} of {} datagrams", self.arrived, self.sent);
        match self.late_p50_ns.zip(self.late_p95_ns) {
            Some((p50, p95)) => format!(
                "line: packets came {} late at the median and {} at 95 %, the two ends' own part included ({found})",
                tens(p50),
                tens(p95)
            ),
            None => {
                format!("line: how late its packets come is unknown, since none came ({found})")
            }
        }
    }
}

/// Writes a lateness without digits that say nothing.
fn tens(ns: u64) -> String {
    Nanoseconds(ns - ns % 100).words()
}

/// What became of the packets that entered a line. `entered == left + lost + overflowed + unroomed + held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LineCounters {
    /// Client's node to server's.
    pub there: LineDirection,
    /// Server's node to client's.
    pub back: LineDirection,
}

/// What became of the packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LineDirection {
    /// Packets that entered.
    pub entered: u64,
    /// Packets that left at the other end.
    pub left: u64,
    /// Packets lost by chance, as set.
    pub lost: u64,
    /// Packets that found the queue before the bottleneck full.
    pub overflowed: u64,
    /// Packets that the line had no memory for, or that the far end's device refused: its own failure.
    pub unroomed: u64,
    /// Most that a packet has left later than it should have, in nanoseconds: in a difference, of all time.
    pub latest_ns: u64,
}

impl LineCounters {
    /// Returns what was counted between an earlier reading and this one; `None` where a count fell.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            there: self.there.since(&earlier.there)?,
            back: self.back.since(&earlier.back)?,
        })
    }
}

impl LineDirection {
    fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            entered: self.entered.checked_sub(earlier.entered)?,
            left: self.left.checked_sub(earlier.left)?,
            lost: self.lost.checked_sub(earlier.lost)?,
            overflowed: self.overflowed.checked_sub(earlier.overflowed)?,
            unroomed: self.unroomed.checked_sub(earlier.unroomed)?,
            latest_ns: self.latest_ns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is() {
        let line = Line {
            delay: Nanoseconds(20_000_000),
            jitter: Nanoseconds(1_000_000),
            rate: Some(BitRate(100_000_000)),
            queue: Some(Queue::Bytes(Bytes(262_144))),
            loss_ppm: 12_500,
            burst: Some(4),
            seed: None,
        };
        assert_eq!(
            line.to_string(),
            "line of 20 ms + 1 ms, 100 Mbit/s with a queue of 256 KiB, 1.25 % lost in bursts of 4"
        );
        assert_eq!(Line::default().to_string(), "line of 0 s");
        assert_eq!(serde_json::to_string(&Line::default()).unwrap(), "{}");
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn lateness_is_said_in_one_line() {
        let facts = LineFacts {
            sent: 100,
            arrived: 98,
            late_p50_ns: Some(21_345),
            late_p95_ns: Some(1_500_000),
            ..LineFacts::default()
        };
        assert!(
            facts
                .words()
                .starts_with("line: packets came 21.3 µs late at the median and 1.5 ms at 95 %")
        );
        assert!(LineFacts::default().words().contains("unknown"));
    }

    #[test]
    fn a_queue_is_an_amount_or_a_time() {
        assert_eq!("50ms".parse(), Ok(Queue::Time(Nanoseconds(50_000_000))));
        assert_eq!("2 kB".parse(), Ok(Queue::Bytes(Bytes(2_000))));
        let error = "50".parse::<Queue>().unwrap_err().to_string();
        assert!(error.contains("\"50ms\""), "{error}");
    }

    #[test]
    fn a_rate_bounds_what_is_held() {
        let line = Line {
            delay: Nanoseconds(100_000_000),
            rate: Some(BitRate(8_000_000)),
            queue: Some(Queue::Time(Nanoseconds(50_000_000))),
            ..Line::default()
        };
        assert_eq!(line.queue_bytes(), Some(50_000));
        assert_eq!(line.held_bytes(), Some(150_000));
        assert_eq!(line.sending_ns(1_000), 1_000_000);
        assert_eq!(Line::default().held_bytes(), None);
        assert_eq!(Line::default().sending_ns(1_000), 0);
    }
}
