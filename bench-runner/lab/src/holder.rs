//! The process tree that a lab lives in.
//!
//! ```text
//! runner ── janitor ── init (PID 1 of a new PID namespace) ── holder ── agents, iptables, …
//! ```
//!
//! - The *janitor* stays outside. It waits for init and then removes what the kernel would keep: the
//!   clients' control groups and a kept lab's socket.
//! - *Init* has a mount namespace of its own, with its own `/proc` and an empty `/run` (because of the
//!   lock of iptables). It collects orphans, and ends when the holder ends; the kernel then kills
//!   whatever else runs in the namespace.
//! - The *holder* owns all namespaces, links and eBPF programs by descriptors, and answers requests. It
//!   ends at once when the runner's end of the control socket closes, even in mid-work.
//!
//! Without root the janitor first makes a user namespace in which its user is root.

use std::ffi::{CStr, OsString};
use std::fs;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, geteuid, setsid};

use crate::cgroup::{self, Hierarchy};
use crate::error::{Doing as _, LabError};
use crate::protocol::{Answer, Channel};
use crate::userns;

mod deployment;
mod server;

/// An empty directory that every process of the lab sees and nobody else.
const SCRATCH: &CStr = c"/run";

/// What a holder is started with: descriptors that it inherits.
struct Inherited {
    control: UnixStream,
    /// A kept lab's socket, with its path.
    listener: Option<(UnixListener, PathBuf)>,
}

/// Runs a lab's holder until the lab ends: what the hidden subcommand of the caller's program calls, with the
/// arguments that follow the subcommand. It must be called before the process has a second thread.
#[must_use]
pub fn run(arguments: &[OsString]) -> ExitCode {
    let Some(inherited) = inherited(arguments) else {
        // A user who runs the hidden subcommand by hand has no control socket to be answered on.
        return ExitCode::from(2);
    };
    let control = inherited.control.try_clone();
    match (janitor(inherited), control) {
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(error), Ok(control)) => refuse(control, &error),
        (Err(_), Err(_)) => ExitCode::from(2),
    }
}

/// Answers the runner, which waits for the lab to stand, with what went wrong.
fn refuse(control: UnixStream, error: &LabError) -> ExitCode {
    // A runner that has gone needs no answer.
    let _ = Channel::new(control).send(&Answer::Err(error.chain()), &[]);
    ExitCode::from(2)
}

/// Takes over the descriptors that the arguments name: `CONTROL [LISTENER PATH]`.
fn inherited(arguments: &[OsString]) -> Option<Inherited> {
    let socket = |argument: &OsString| {
        let fd: RawFd = argument.to_str()?.parse().ok()?;
        take_socket(fd)
    };
    let control = UnixStream::from(socket(arguments.first()?)?);
    let listener = match arguments.get(1..3) {
        Some([listener, path]) => Some((UnixListener::from(socket(listener)?), path.into())),
        _ => None,
    };
    Some(Inherited { control, listener })
}

/// Takes over an inherited descriptor if it is a socket.
#[expect(unsafe_code, reason = "an inherited descriptor is a plain number")]
fn take_socket(fd: RawFd) -> Option<OwnedFd> {
    if fd <= 2 {
        return None;
    }
    // SAFETY: the maker of this process left this descriptor open for it; nothing else here knows it. A
    // number that is not open fails in the next call and is then forgotten again.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let is_socket = fstat(&owned)
        .is_ok_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits());
    if !is_socket {
        std::mem::forget(owned);
        return None;
    }
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
    nix::fcntl::fcntl(&owned, flags).ok()?;
    Some(owned)
}

/// Starts init, waits for its end, and cleans up after it.
fn janitor(inherited: Inherited) -> Result<(), LabError> {
    let groups = prepare()?;
    match fork_alone()? {
        ForkResult::Child => {
            let control = inherited.control.try_clone();
            if let (Err(error), Ok(control)) = (init(inherited, groups), control) {
                refuse(control, &error);
            }
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            let socket = inherited.listener.as_ref().map(|(_, path)| path.clone());
            // From here on only init and the holder keep the control socket open.
            drop(inherited);
            wait_for(child);
            if let Some((hierarchy, name)) = groups {
                hierarchy.remove(&name);
            }
            if let Some(path) = socket {
                // Gone already if the lab never came to stand.
                let _ = fs::remove_file(path);
            }
            Ok(())
        }
    }
}

/// The clients' control groups: where they lie and the name of this lab's directory.
type Groups = Option<(Hierarchy, String)>;

/// Leaves the runner's session, gains the rights of root in a user namespace where it has none, and makes
/// the next process the first of a new PID namespace.
fn prepare() -> Result<Groups, LabError> {
    // Ctrl-C in the runner's terminal is the runner's to handle.
    setsid().doing(|| "leave the session")?;
    name_process(c"lab-janitor");
    if !geteuid().is_root() {
        userns::enter()?;
        unshare(CloneFlags::CLONE_NEWPID).doing(|| "make a PID namespace")?;
        return Ok(None);
    }
    unshare(CloneFlags::CLONE_NEWPID).map_err(userns::explain_root)?;
    Ok(Hierarchy::open().ok().and_then(|hierarchy| {
        hierarchy.sweep();
        let name = cgroup::lab_name(std::process::id());
        // A root without rights to the hierarchy, as in some containers, goes on without groups.
        hierarchy.make(&name).is_ok().then_some((hierarchy, name))
    }))
}

/// PID 1: prepares what all processes of the lab see, starts the holder and collects orphans until it ends.
fn init(inherited: Inherited, groups: Groups) -> Result<(), LabError> {
    name_process(c"lab-init");
    prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "tie the lab to its janitor")?;
    private_mounts()?;
    match fork_alone()? {
        ForkResult::Child => {
            name_process(c"lab-holder");
            server::serve(
                inherited.control,
                inherited.listener.map(|(socket, _)| socket),
                groups,
            );
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            drop(inherited);
            wait_for(child);
            Ok(())
        }
    }
}

/// Gives the lab's processes their own view of processes, and a `/run` that holds no lock of iptables.
fn private_mounts() -> Result<(), LabError> {
    let none: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "make a mount namespace")?;
    mount(
        none,
        c"/",
        none,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        none,
    )
    .doing(|| "make the lab's mounts private")?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some(c"proc"),
        c"/proc",
        Some(c"proc"),
        plain | MsFlags::MS_NOEXEC,
        none,
    )
    .map_err(userns::explain_proc)?;
    mount(
        Some(c"tollgate-lab"),
        SCRATCH,
        Some(c"tmpfs"),
        plain,
        Some(c"mode=0755"),
    )
    .doing(|| format!("mount the lab's `{}`", SCRATCH.to_string_lossy()))
}

/// Forks a process that has one thread.
#[expect(
    unsafe_code,
    reason = "the first process of a PID namespace can only be forked"
)]
fn fork_alone() -> Result<ForkResult, LabError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(LabError::said(
            "fork the lab's holder",
            format!("its program has {threads} threads already; it must call `holder::run` first"),
        ));
    }
    // SAFETY: with one thread nothing can hold a lock that the child would wait for.
    unsafe { fork() }.doing(|| "fork the lab's holder")
}

/// Waits until `child` ends, and collects every other child that ends before it.
fn wait_for(child: Pid) {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) if pid == child => {
                return;
            }
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Names this process for `ps`.
fn name_process(name: &CStr) {
    // Only a help to the eye.
    let _ = prctl::set_name(name);
}
