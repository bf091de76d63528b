//! What running a program costs, from the kernel's own statistics.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::privileges::{Needs, SYS_ADMIN};
use super::raw;
use crate::error::LabError;

/// How often one eBPF program ran, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRuns {
    /// Where it is attached: `node a`, `node b` or `client`.
    pub place: String,
    /// Its function's name.
    pub program: String,
    /// The kernel's number for it (`bpftool prog show id N`).
    pub id: u32,
    /// Whether the lab attached it: of some objects not all programs are needed.
    pub attached: bool,
    /// Times that it ran.
    pub runs: u64,
    /// Nanoseconds that it ran in all.
    pub time_ns: u64,
    /// The devices that it is attached to, in the order in which it was; none for a program of a control group.
    #[serde(default)]
    pub seats: Vec<Seat>,
    /// Whether what it takes in leaves it past the stack, as far as the packet is its matter.
    #[serde(default)]
    pub redirects: bool,
}

/// A program's place at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Inode number of the device's network namespace.
    pub namespace: u32,
    /// Index of the device.
    pub device: u32,
    /// Whether the program sees what the device sends; else what it takes in.
    pub sends: bool,
}

impl ProgramRuns {
    /// Returns what was counted between an earlier list and a later one, for each program in both.
    #[must_use]
    pub fn between(earlier: &[Self], later: Vec<Self>) -> Vec<Self> {
        let since = later.into_iter().filter_map(|program| {
            let before = earlier.iter().find(|before| {
                before.place == program.place && before.program == program.program
            })?;
            Some(Self {
                runs: program.runs.checked_sub(before.runs)?,
                time_ns: program.time_ns.checked_sub(before.time_ns)?,
                ..program
            })
        });
        since.collect()
    }
}

/// Makes the kernel count and time the runs of all programs of the machine, for as long as the descriptor is open.
///
/// It slows every one of them down: never while latency is measured.
///
/// # Errors
/// The kernel refuses: the error names what is missing.
pub fn count_runs() -> Result<OwnedFd, LabError> {
    const NEEDS: Needs = Needs {
        capabilities: &[SYS_ADMIN],
        kernel: "version 5.8 or newer",
    };
    raw::count_runs().map_err(|error| {
        LabError::said(
            "count the runs of eBPF programs",
            NEEDS.reason(&error.to_string()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_lists_have_is_compared() {
        let one = |place: &str, runs, time_ns| ProgramRuns {
            place: place.to_owned(),
            program: "from_pod".to_owned(),
            id: 7,
            attached: true,
            runs,
            time_ns,
            seats: Vec::new(),
            redirects: false,
        };
        let earlier = [one("node a", 5, 500), one("node b", 9, 900)];
        let later = vec![
            one("node a", 7, 760),
            one("node b", 2, 200),
            one("client", 1, 1),
        ];
        assert_eq!(
            ProgramRuns::between(&earlier, later),
            [one("node a", 2, 260)]
        );
    }
}
