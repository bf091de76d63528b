//! Processes inside an arm: probe agents, and programs of the user's.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, setsid, write};

use crate::clock;
use crate::netns::NetNs;
use crate::protocol::CommandLine;

/// How much of an agent's standard error is kept.
const KEPT_STDERR: u64 = 4 << 10;
/// How long a program may take to end after its caller has gone.
const GRACE: Duration = Duration::from_millis(500);

/// A file that a process sees in place of one of the machine's.
#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) ours: PathBuf,
    pub(crate) machines: &'static CStr,
}

/// Where a process runs.
pub(crate) struct Inside<'a> {
    pub(crate) netns: &'a NetNs,
    /// `cgroup.procs` of the control group to join.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Files that the process sees in place of the machine's.
    pub(crate) stand_ins: &'a [StandIn],
}

impl Inside<'_> {
    /// Makes `command` start inside, as the leader of a session of its own, with `inherited` left open.
    #[expect(
        unsafe_code,
        reason = "a child enters its namespaces between fork and exec"
    )]
    fn place(&self, command: &mut Command, inherited: Option<OwnedFd>) -> io::Result<()> {
        let netns = self.netns.as_fd().try_clone_to_owned()?;
        let cgroup = self.cgroup.map(|fd| fd.try_clone_to_owned()).transpose()?;
        let name = |file: &StandIn| CString::new(file.ours.as_os_str().as_bytes());
        let stand_ins = self
            .stand_ins
            .iter()
            .map(|file| Ok((name(file)?, file.machines)));
        let stand_ins = stand_ins.collect::<io::Result<Vec<_>>>()?;
        let enter = move || {
            setsid()?;
            if let Some(cgroup) = &cgroup {
                // First of all: a socket keeps the group that its process was in when it was made.
                write(cgroup, b"0")?;
            }
            setns(&netns, CloneFlags::CLONE_NEWNET)?;
            if !stand_ins.is_empty() {
                unshare(CloneFlags::CLONE_NEWNS)?;
            }
            for (ours, machines) in &stand_ins {
                let none: Option<&CStr> = None;
                mount(
                    Some(ours.as_c_str()),
                    *machines,
                    none,
                    MsFlags::MS_BIND,
                    none,
                )?;
            }
            if let Some(fd) = &inherited {
                fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        };
        // SAFETY: the closure only makes system calls on values that were prepared before the fork; it
        // neither allocates nor locks.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }
}

/// A probe agent.
#[derive(Debug)]
pub(crate) struct Agent {
    running: Running,
    /// How it ended, once it has.
    end: Arc<Mutex<Option<String>>>,
}

impl Agent {
    /// Starts the probe `program` as an agent; returns it with the near end of its stream.
    pub(crate) fn start(program: &OsStr, inside: &Inside<'_>) -> io::Result<(Self, UnixStream)> {
        let (near, far) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .arg("agent")
            .arg("--fd")
            .arg(far.as_raw_fd().to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        inside.place(&mut command, Some(far.into()))?;
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let running = Running::of(&child);
        let end = Arc::new(Mutex::new(None));
        let (reaped, told) = (running.clone(), Arc::clone(&end));
        thread::spawn(move || {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                // What cannot be read is only missing from a message.
                let _ = (&mut stderr).take(KEPT_STDERR).read_to_end(&mut said);
                let _ = io::copy(&mut stderr, &mut io::sink());
            }
            let line = last_words(&reaped.wait(child), &said);
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        });
        Ok((Self { running, end }, near))
    }

    /// Returns how the agent ended, and what it said; `None` if it still runs a moment from now.
    pub(crate) fn end(&self) -> Option<String> {
        let end = || {
            self.end
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        clock::wait_until(GRACE, Duration::from_millis(5), || end().is_some());
        end()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.running.signal(Signal::SIGKILL);
    }
}

fn last_words(status: &io::Result<std::process::ExitStatus>, said: &[u8]) -> String {
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown end ({error})"),
    };
    let said = String::from_utf8_lossy(said);
    match said.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}: {}", line.trim()),
        None => how,
    }
}

/// Runs a program of the user's. Signals come in on `control`, a byte each, and its wait status goes out as
/// a line; when `control` closes first, the program is told to hang up and then killed.
pub(crate) fn exec(
    line: &CommandLine,
    inside: &Inside<'_>,
    stdio: [OwnedFd; 3],
    control: UnixStream,
) -> io::Result<()> {
    let (program, arguments) = line.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let [input, output, errors] = stdio;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command.envs(line.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(input).stdout(output).stderr(errors);
    let directory = PathBuf::from(&line.directory);
    command.current_dir(if directory.is_dir() {
        &directory
    } else {
        Path::new("/")
    });
    inside.place(&mut command, None)?;
    let child = command.spawn()?;
    let running = Running::of(&child);
    let waited = running.clone();
    let mut status_line = control.try_clone()?;
    thread::spawn(move || {
        let status = waited.wait(child).map_or(1 << 8, ExitStatusExt::into_raw);
        // A caller that has gone needs no status.
        let _ = writeln!(status_line, "{status}");
        let _ = status_line.shutdown(std::net::Shutdown::Both);
    });
    thread::spawn(move || forward_signals(control, &running));
    Ok(())
}

fn forward_signals(mut control: UnixStream, running: &Running) {
    let mut byte = [0];
    while control.read_exact(&mut byte).is_ok() {
        if let Ok(signal) = Signal::try_from(i32::from(byte[0])) {
            running.signal(signal);
        }
    }
    running.signal(Signal::SIGHUP);
    clock::wait_until(GRACE, Duration::from_millis(10), || running.has_ended());
    running.signal(Signal::SIGKILL);
}

/// A child that is signalled only while it is there.
#[derive(Debug, Clone)]
struct Running {
    pid: Arc<Mutex<Option<Pid>>>,
}

impl Running {
    fn of(child: &Child) -> Self {
        let pid = i32::try_from(child.id()).ok().map(Pid::from_raw);
        Self {
            pid: Arc::new(Mutex::new(pid)),
        }
    }

    /// Signals the child's process group.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.pid.lock().unwrap_or_else(PoisonError::into_inner) {
            // It may have ended a moment ago; its number is still its own.
            let _ = killpg(pid, signal);
        }
    }

    fn has_ended(&self) -> bool {
        self.pid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// Waits for the child. Its number is given back only when nobody can signal it any more.
    fn wait(&self, mut child: Child) -> io::Result<std::process::ExitStatus> {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(pid), ended) == Err(nix::Error::EINTR) {}
        }
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
        child.wait()
    }
}
