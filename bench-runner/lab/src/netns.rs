//! Network namespaces, held by a descriptor.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::fstat;

use crate::clock;
use crate::error::{Doing as _, LabError};

/// How long room for a namespace is waited for: the kernel gives it back a moment after another one has gone.
const ROOM_LIMIT: Duration = Duration::from_secs(1);

/// How many namespaces a user may have.
const MOST: &str = "/proc/sys/user/max_net_namespaces";

/// A network namespace that lives as long as this value or a process in it.
#[derive(Debug)]
pub(crate) struct NetNs {
    file: File,
}

impl NetNs {
    /// Makes a new namespace.
    pub(crate) fn new() -> Result<Self, LabError> {
        const DOING: &str = "make a network namespace";
        let mut made = make();
        let is_full = |made: &io::Result<File>| {
            let error = made.as_ref().err();
            error.is_some_and(|error| error.raw_os_error() == Some(libc::ENOSPC))
        };
        clock::wait_until(ROOM_LIMIT, Duration::from_millis(20), || {
            if is_full(&made) {
                made = make();
            }
            !is_full(&made)
        });
        if is_full(&made) {
            return Err(LabError::said(DOING, no_room()));
        }
        Ok(Self {
            file: made.doing(|| DOING)?,
        })
    }

    /// Returns the number by which the kernel's own code tells the namespace.
    pub(crate) fn number(&self) -> Result<u32, LabError> {
        const DOING: &str = "tell a network namespace's number";
        let inode = fstat(self).doing(|| DOING)?.st_ino;
        u32::try_from(inode).map_err(|error| LabError::said(DOING, error))
    }

    /// Does some work in the namespace, on a thread of its own. Programs that the work starts run in the
    /// namespace too.
    pub(crate) fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        thread::scope(|scope| {
            let inside = || {
                setns(&self.file, CloneFlags::CLONE_NEWNET)
                    .doing(|| "enter a network namespace")?;
                work()
            };
            join(scope.spawn(inside))
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for NetNs {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Makes a namespace on a thread that ends.
fn make() -> io::Result<File> {
    thread::scope(|scope| {
        let work = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        };
        join(scope.spawn(work))
    })
}

/// Says that there may be no more namespaces, and what sets how many.
fn no_room() -> String {
    let most = fs::read_to_string(MOST);
    let most = most.map_or_else(|_| "unknown".to_owned(), |most| most.trim().to_owned());
    format!(
        "this user may have no more of them (user.max_net_namespaces is {most} here): take other labs down, compare fewer \
         arms at once, or raise the limit by sysctl"
    )
}

/// Waits for a thread; its panic goes on in this thread.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
