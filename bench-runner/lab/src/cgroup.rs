//! Control groups of clients: what a socket load balancer attaches to.
//!
//! Each lab has one directory, `tollgate-lab.PID.START`, named by its janitor's process and that process's
//! start time, with one directory in it for each arm. A kernel keeps such directories after their makers, so
//! the janitor removes them, and the next lab removes those whose janitor is gone.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;

/// First part of the name of every lab's directory.
const PREFIX: &str = "tollgate-lab";

/// The hierarchy of version 2, whether or where it is mounted.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    root: OwnedFd,
}

impl Hierarchy {
    /// Opens the hierarchy: a private mount of it, else where it is mounted.
    pub(crate) fn open() -> io::Result<Self> {
        private_mount()
            .or_else(|_| mounted())
            .map(|root| Self { root })
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.root.as_raw_fd()).into()
    }

    /// Removes directories of labs that are gone.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.path()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_stale(&name, start_time) {
                self.remove(&name);
            }
        }
    }

    /// Removes a lab's directory with those of its arms. What still holds a process is left.
    pub(crate) fn remove(&self, lab: &str) {
        let directory = self.path().join(lab);
        // A process that just died leaves its group a moment later.
        clock::wait_until(Duration::from_secs(1), Duration::from_millis(5), || {
            if let Ok(entries) = fs::read_dir(&directory) {
                let arms = entries
                    .flatten()
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                arms.for_each(|arm| drop(fs::remove_dir(arm.path())));
            }
            match fs::remove_dir(&directory) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            }
        });
    }

    /// Makes a lab's directory.
    pub(crate) fn make(&self, lab: &str) -> io::Result<()> {
        fs::create_dir(self.path().join(lab))
    }

    /// Makes the directory of a lab's arm.
    pub(crate) fn arm(&self, lab: &str, arm: &str) -> io::Result<ArmGroup> {
        let path = self.path().join(lab).join(arm);
        fs::create_dir_all(&path)?;
        Ok(ArmGroup {
            directory: File::open(&path)?.into(),
            processes: File::options()
                .write(true)
                .open(path.join("cgroup.procs"))?,
        })
    }
}

/// The control group of an arm's client.
#[derive(Debug)]
pub(crate) struct ArmGroup {
    /// What an eBPF program attaches to.
    pub(crate) directory: OwnedFd,
    /// Where a process writes `0` to join.
    pub(crate) processes: File,
}

/// Returns the name of the directory of the lab whose janitor is the process `pid`.
pub(crate) fn lab_name(pid: u32) -> String {
    format!("{PREFIX}.{pid}.{}", start_time(pid).unwrap_or(0))
}

/// Says whether a directory belongs to a lab whose janitor is gone.
fn is_stale(name: &str, start_time: impl Fn(u32) -> Option<u64>) -> bool {
    let mut parts = name.split('.');
    if parts.next() != Some(PREFIX) {
        return false;
    }
    let (Some(pid), Some(start), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    match (pid.parse(), start.parse::<u64>()) {
        (Ok(pid), Ok(start)) => start_time(pid) != Some(start),
        _ => false,
    }
}

/// Returns when a process started, in ticks since the boot; `None` if there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold spaces; the start time is the 20th field after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

/// Mounts the hierarchy for this process alone: visible nowhere, gone when closed.
#[expect(
    unsafe_code,
    reason = "neither std nor nix has the mount descriptors' calls"
)]
fn private_mount() -> io::Result<OwnedFd> {
    let checked = |result: libc::c_long| {
        let fd = RawFd::try_from(result).map_err(io::Error::other)?;
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(fd)
        }
    };
    // SAFETY: all pointers are to constants that end in NUL or are null where the kernel allows it, and each
    // descriptor is taken over as soon as it exists.
    unsafe {
        let context = checked(libc::syscall(
            libc::SYS_fsopen,
            c"cgroup2".as_ptr(),
            libc::FSOPEN_CLOEXEC,
        ))?;
        let context = OwnedFd::from_raw_fd(context);
        checked(libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            libc::FSCONFIG_CMD_CREATE,
            std::ptr::null::<libc::c_char>(),
            std::ptr::null::<libc::c_void>(),
            0,
        ))?;
        let mount = checked(libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            libc::FSMOUNT_CLOEXEC,
            0,
        ))?;
        Ok(OwnedFd::from_raw_fd(mount))
    }
}

/// Finds where the hierarchy is mounted.
fn mounted() -> io::Result<OwnedFd> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts = table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after
            .starts_with("cgroup2 ")
            .then(|| before.split(' ').nth(4))?
    });
    let place = mounts.next().ok_or(io::ErrorKind::NotFound)?;
    Ok(File::open(place)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_dead_labs_are_stale() {
        let lives = |pid| (pid == 7).then_some(100);
        assert!(!is_stale("tollgate-lab.7.100", lives));
        assert!(
            is_stale("tollgate-lab.7.99", lives),
            "the number was given to another process"
        );
        assert!(is_stale("tollgate-lab.8.100", lives));
        for other in [
            "system.slice",
            "tollgate-lab",
            "tollgate-lab.8",
            "tollgate-lab.x.1",
            "x.8.1",
        ] {
            assert!(!is_stale(other, lives), "{other}");
        }
    }

    #[test]
    fn this_process_has_a_start_time() {
        assert!(start_time(std::process::id()).is_some_and(|ticks| ticks > 0));
        assert!(!is_stale(&lab_name(std::process::id()), start_time));
    }
}
