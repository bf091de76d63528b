//! Named OS threads, pinned to a CPU where one is asked for.

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use crate::error::ProbeError;

/// A thread that was started, with its OS thread id.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) tid: i32,
    handle: JoinHandle<()>,
}

impl Started {
    /// Waits for the thread's end; a panic of it goes on in the caller.
    pub(crate) fn join(self) {
        if let Err(panic) = self.handle.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Stack of each thread, in bytes: no loop recurses or keeps large buffers on its stack.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a thread and returns once it is pinned.
///
/// # Errors
///
/// When the thread cannot be started, or the process may not run on `cpu`.
pub(crate) fn spawn<F>(name: &str, cpu: Option<u32>, body: F) -> Result<Started, ProbeError>
where
    F: FnOnce() + Send + 'static,
{
    let (report, reported) = mpsc::sync_channel(1);
    let start = move || {
        let pinned = cpu.map_or(Ok(()), pin);
        let good = pinned.is_ok();
        let told = report.send(pinned.map(|()| gettid().as_raw()));
        if good && told.is_ok() {
            body();
        }
    };
    let refused = |error| {
        let mend = "raise the limit on processes (ulimit -u, pids.max)";
        ProbeError::refused(format!("start the thread {name}"), error, mend)
    };
    let builder = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    let handle = builder.spawn(start).map_err(refused)?;
    match reported.recv() {
        Ok(Ok(tid)) => Ok(Started { tid, handle }),
        Ok(Err(errno)) => Err(pin_refused(cpu.unwrap_or_default(), errno)),
        Err(_) => Err(refused(io::ErrorKind::Other.into())),
    }
}

/// Pins the calling thread to one CPU.
fn pin(cpu: u32) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(usize::try_from(cpu).map_err(|_| Errno::EINVAL)?)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Returns the CPUs that this process may run on, in order; none where the kernel doesn't say.
pub(crate) fn usable_cpus() -> Vec<u32> {
    sched_getaffinity(Pid::from_raw(0)).map_or_else(
        |_| Vec::new(),
        |set| {
            let usable = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
            usable.filter_map(|cpu| u32::try_from(cpu).ok()).collect()
        },
    )
}

/// Says which CPUs could have been asked for.
fn pin_refused(cpu: u32, errno: Errno) -> ProbeError {
    let usable: Vec<String> = usable_cpus().iter().map(u32::to_string).collect();
    let mend = if usable.is_empty() {
        "choose another CPU".to_owned()
    } else {
        format!("this process may run on CPU {}", usable.join(", "))
    };
    ProbeError::refused(format!("pin a thread to CPU {cpu}"), errno.into(), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_and_named() {
        let (send, receive) = mpsc::channel();
        let started = spawn("tg-test", Some(0), move || {
            let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
            let cpus = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap());
            let name = std::thread::current().name().map(str::to_owned);
            send.send((cpus.collect::<Vec<_>>(), name)).unwrap();
        });
        let started = started.unwrap();
        assert!(started.tid > 0);
        started.join();
        assert_eq!(
            receive.recv().unwrap(),
            (vec![0], Some("tg-test".to_owned()))
        );
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused_with_those_that_are() {
        for cpu in [1023, u32::MAX] {
            let error = spawn("tg-test", Some(cpu), || ()).unwrap_err().line();
            assert!(error.contains(&format!("CPU {cpu}")), "{error}");
            assert!(error.contains("may run on CPU 0"), "{error}");
        }
    }
}
