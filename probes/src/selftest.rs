//! Measures what is known beforehand: whether the probes report it, and whether this machine can measure.
//!
//! A responder of its own, on loopback, delays, loses, duplicates, reorders and stalls by a declared script; the
//! probe measures it as any job does, and must report just that. Client and responder share one CPU, since a
//! wake-up across CPUs takes longer the longer the CPU was idle, and would be taken for a part of a delay.
//!
//! - `script`: what the responder does, and what therefore has to be reported
//! - `responder`: does it
//! - `known`: compares what was declared with what was reported
//! - `floor`: what this machine costs where nothing is measured
//! - `verdict`: whether it can measure, by documented thresholds

mod floor;
mod known;
mod responder;
mod script;
mod verdict;

use serde::Serialize;

pub use self::floor::{Floor, Lateness, RoundTrip};
pub use self::known::{Answer, CountAnswer, DelayAnswer};
pub use self::verdict::Verdict;
use crate::error::ProbeError;
use crate::thread::usable_cpus;

/// What a self-test found. Serialises with the unit of each figure in its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// CPU that client and responder shared.
    pub cpu: u32,
    /// Known delays, each by tcp-rr and udp-rr. Nothing known is measured where loopback doesn't answer.
    pub delays: Vec<DelayAnswer>,
    /// Known faults.
    pub counts: Vec<CountAnswer>,
    /// A stall of 200 ms in the middle of a window, by tcp-rr and udp-rr.
    pub stalls: Vec<DelayAnswer>,
    /// What this machine costs where nothing is measured.
    pub floor: Floor,
    /// Whether this machine can measure.
    pub verdict: Verdict,
    /// Why it can't, or not well: one sentence each.
    pub reasons: Vec<String>,
}

/// Runs the self-test: about 10 s, on one CPU; `None` takes the last one that this process may use, since
/// interrupts tend to go to the first.
///
/// # Errors
///
/// When loopback can't be used, or a thread cannot be started or pinned.
pub fn run(cpu: Option<u32>) -> Result<Findings, ProbeError> {
    let cpu = cpu.or_else(|| usable_cpus().last().copied()).unwrap_or(0);
    let floor = floor::measure(cpu)?;
    let (mut delays, mut counts, mut stalls) = (Vec::new(), Vec::new(), Vec::new());
    // Behind a firewall that swallows loopback each question would only wait for its time-out.
    if floor.tcp_rr.is_answered() && floor.udp_rr.is_answered() {
        delays = known::delays(cpu)?;
        counts = known::counts(cpu, &script::FAULTS, &script::FAULTS)?;
        stalls = known::stalls(cpu)?;
    }
    let (verdict, reasons) = verdict::judge(&delays, &counts, &stalls, &floor);
    Ok(Findings {
        cpu,
        delays,
        counts,
        stalls,
        floor,
        verdict,
        reasons,
    })
}
