//! Where one packet spends its time: from what the packet clock saw to hops, waterfalls and differences.
//!
//! - [`assemble`]: one slice: trips are joined with the exchanges of the client and the turns of the server, by time, and
//!   taken apart into hops
//! - [`analyse`]: all slices of an `AnatomyRecord`: waterfalls, the clock's own effect, whether the sums agree with
//!   round trips that nobody watched, and the difference between arms by hop
//!
//! The clock's cost is taken off as it is stated: so much for each event and each packet (reference/ebpf §1.4). It is
//! never hidden: figures as they were seen stand beside.

mod analysis;
mod assembly;
mod difference;
mod hops;
mod model;
mod programs;
#[cfg(test)]
mod tests;

pub use self::analysis::analyse;
pub use self::assembly::{Seen, assemble};
pub use self::model::{
    Anatomy, ArmAnatomy, CountedPrograms, Difference, HopAnatomy, HopDifference, Judged,
    ProgramAnatomy, Subject, WayAnatomy, WayDifference,
};

/// Largest relative difference, at the median, between the sum of all hops less the stated cost and the round trips
/// without the clock.
pub const TOLERANCE: f64 = 0.05;
