//! A line between the nodes: delay, rate and loss made by a thread of the holder between two TAP devices.
//!
//! - `schedule`: when a packet leaves, or why it doesn't; pure
//! - `held`: the packets under way, in memory that is taken once
//! - `direction`: both together, with what is counted
//! - `tap`: the two devices
//! - `drive`: the thread
//! - `rising`: how long the thread takes to get up
//! - `calibrate`: how far the line is from what it is set to

mod calibrate;
mod direction;
mod drive;
mod held;
mod rising;
mod schedule;
mod tap;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tollgate_results::arm::Family;
use tollgate_results::line::{Line, LineCounters, LineFacts};

use self::direction::{Counts, Direction};
use self::drive::Drive;
use crate::error::LabError;
use crate::netns::NetNs;

pub(crate) use self::tap::{available, open};

/// What sets the two directions apart in the random numbers.
const BACK: u64 = 0x6261_636b;

/// A line that carries packets as long as this value lives.
#[derive(Debug)]
pub(crate) struct RunningLine {
    line: Line,
    there: Arc<Counts>,
    back: Arc<Counts>,
    drive: Drive,
}

impl RunningLine {
    /// Starts a line between two devices, the client's node's first. `seed` is taken where the line names none.
    pub(crate) fn start(line: &Line, seed: u64, taps: [OwnedFd; 2]) -> Result<Self, LabError> {
        let seed = line.seed.unwrap_or(seed);
        let (there, back) = (Arc::default(), Arc::default());
        let directions = [
            Direction::new(line, seed, Arc::clone(&there)),
            Direction::new(line, seed ^ BACK, Arc::clone(&back)),
        ];
        let drive = Drive::start(directions, taps)?;
        Ok(Self {
            line: *line,
            there,
            back,
            drive,
        })
    }

    /// Finds how long the line's thread takes to rise, sends packets over the line, which must have its addresses, and says
    /// how late they came. It is all timed: nothing else may go on meanwhile.
    pub(crate) fn calibrate(
        &self,
        nodes: [&NetNs; 2],
        family: Family,
    ) -> Result<LineFacts, LabError> {
        self.drive.find_rise()?;
        let lateness = calibrate::measure(&self.line, nodes, family)?;
        Ok(LineFacts {
            sent: lateness.sent,
            arrived: lateness.arrived(),
            late_p50_ns: lateness.quantile(0.5),
            late_p95_ns: lateness.quantile(0.95),
            cpu: self.drive.cpu(),
            realtime: self.drive.is_realtime(),
            limits: self.limits(),
        })
    }

    /// Says what the line cannot do.
    fn limits(&self) -> Vec<String> {
        let mut limits = vec![
            "every packet crosses by itself and its checksum is computed: segmentation offloads end at it"
                .to_owned(),
        ];
        if self.drive.rise_ns() > 0 {
            limits.push(format!(
                "its thread rises {} µs after a packet comes, which is taken off the delay",
                self.drive.rise_ns() / 1_000
            ));
        }
        if self.line.rate.is_none() {
            limits.push(
                "without a rate it carries what one CPU copies, and its devices drop the rest"
                    .to_owned(),
            );
        }
        if self.line.jitter.0 > 0 {
            limits.push("its jitter is in the lateness that was found".to_owned());
        }
        if !self.drive.is_realtime() {
            limits.push(
                "it runs among ordinary programs, and is late where they keep its CPU".to_owned(),
            );
        }
        if self.drive.cpu().is_none() {
            limits.push("it shares the only CPU with the two ends".to_owned());
        }
        limits
    }

    /// Returns what became of all packets so far.
    pub(crate) fn counters(&self) -> LineCounters {
        LineCounters {
            there: self.there.read(),
            back: self.back.read(),
        }
    }
}
