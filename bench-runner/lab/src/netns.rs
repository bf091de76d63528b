//! Network namespaces, held by a descriptor.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Doing as _, LabError};

/// A network namespace that lives as long as this value or a process in it.
#[derive(Debug)]
pub(crate) struct NetNs {
    file: File,
}

impl NetNs {
    /// Makes a new namespace.
    pub(crate) fn new() -> Result<Self, LabError> {
        let made = thread::scope(|scope| {
            let work = || {
                unshare(CloneFlags::CLONE_NEWNET)?;
                File::open("/proc/thread-self/ns/net")
            };
            join(scope.spawn(work))
        });
        Ok(Self {
            file: made.doing(|| "make a network namespace")?,
        })
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

/// Waits for a thread; its panic goes on in this thread.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
