//! Opens the kernel's counter files and asks it for the length of a tick.

use std::fs::File;
use std::io::Read as _;

use nix::unistd::{SysconfVar, sysconf};

/// Room for most files of `/proc` in one read; they don't tell their size.
const ROOM: usize = 16 * 1024;

/// Returns the text of a file, or `None` if it can't be read for any reason.
pub(super) fn text(path: &str) -> Option<String> {
    let mut text = String::with_capacity(ROOM);
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Returns `USER_HZ`, the unit of the times in `/proc/stat`.
pub(super) fn ticks_per_second() -> Option<u64> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0)
}
