//! Opens the kernel's counter files and asks it for the length of a tick.

use nix::unistd::{SysconfVar, sysconf};

/// Returns the text of a file, or `None` if it can't be read for any reason.
pub(super) fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Returns `USER_HZ`, the unit of the times in `/proc/stat`.
pub(super) fn ticks_per_second() -> Option<u64> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0)
}
