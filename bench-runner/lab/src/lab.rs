//! The runner's side: a lab whose holder lives as long as the value, or until it is kept.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::de::DeserializeOwned;
use tollgate_results::anatomy::{self, Hook, Site, Trip};
use tollgate_results::arm::{Datapath, Name};
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::facts::ArmFacts;
use tollgate_results::kernel::Kernel;
use tollgate_results::lab_state::{ArmState, LabState};
use tollgate_results::outcome::Flow;

use crate::anatomy::{ClockEnd, ClockSpec};
use crate::bpf::{self, ProgramRuns};
use crate::capabilities::Found;
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::protocol::{
    Answer, ArmEndpoints, Channel, CommandLine, DeployedArm, NewArm, Request, Role,
};

/// How to start a lab.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// A command that calls [`crate::holder::run`] with the arguments that follow it.
    pub holder: Vec<OsString>,
}

/// A lab. Its calls may come from several threads; they are served one after the other.
///
/// A started lab ends when this value is dropped or its process ends, however that ends: with it go all
/// namespaces, links, rules, eBPF programs, control groups and processes. A kept lab lives on.
#[derive(Debug)]
pub struct Lab {
    channel: Mutex<Channel>,
    /// The process to wait for at the end; `None` for a kept lab.
    janitor: Option<Child>,
}

impl Lab {
    /// Starts a lab without arms.
    ///
    /// # Errors
    /// The machine forbids namespaces (the error names the setting), or the holder command cannot be run.
    pub fn start(options: &LabOptions) -> Result<Self, LabError> {
        Self::start_with(options, None)
    }

    /// Starts a lab that can be kept: it will listen on the socket, whose file it removes at its end.
    pub(crate) fn start_with(
        options: &LabOptions,
        socket: Option<(UnixListener, &Path)>,
    ) -> Result<Self, LabError> {
        let (program, arguments) = options
            .holder
            .split_first()
            .ok_or_else(|| LabError::said("start a lab", "no command for its holder was given"))?;
        let (near, far) = UnixStream::pair().doing(|| "start a lab")?;
        let mut command = Command::new(program);
        command.args(arguments).arg(far.as_raw_fd().to_string());
        let mut inherited: Vec<OwnedFd> = vec![far.into()];
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((listener, path)) = socket {
            command.arg(listener.as_raw_fd().to_string()).arg(path);
            inherited.push(listener.into());
            // It outlives the terminal.
            command.stderr(Stdio::null());
        }
        leave_open(&mut command, inherited);
        let janitor = command
            .spawn()
            .doing(|| format!("start a lab with the program `{}`", program.display()))?;
        // The holder's end of the control socket lives on in the command until here.
        drop(command);
        let lab = Self {
            channel: Mutex::new(Channel::new(near)),
            janitor: Some(janitor),
        };
        let ((), _) = Self::receive(&lab.locked())?;
        Ok(lab)
    }

    /// Takes over a connection to a kept lab.
    pub(crate) fn connected(stream: UnixStream) -> Self {
        Self {
            channel: Mutex::new(Channel::new(stream)),
            janitor: None,
        }
    }

    /// Returns the number of the process at the head of the lab's own; `None` for a kept lab.
    #[must_use]
    pub fn janitor(&self) -> Option<u32> {
        self.janitor.as_ref().map(Child::id)
    }

    /// Deploys an arm. `seed` decides what the datapath leaves to chance. What was half done is undone on
    /// an error.
    ///
    /// # Errors
    /// The name is taken, the machine lacks something that the datapath needs, or the kernel refuses.
    pub fn deploy(&self, arm: &Name, datapath: &Datapath, seed: u64) -> Result<ArmFacts, LabError> {
        let mut stood = self.deploy_all(&[(arm.clone(), datapath.clone())], seed)?;
        match stood.pop() {
            Some(stood) => stood.map(|arm| arm.facts),
            None => Err(LabError::said(ASK, "it said nothing of the arm")),
        }
    }

    /// Deploys arms side by side, and returns what became of each, in their order: one that cannot be deployed disturbs no
    /// other. Services are programmed and lines calibrated in one arm at a time, since both are timed.
    ///
    /// # Errors
    /// The holder has ended.
    pub fn deploy_all(
        &self,
        arms: &[(Name, Datapath)],
        seed: u64,
    ) -> Result<Vec<Result<NewArm, LabError>>, LabError> {
        let request = Request::Deploy {
            arms: arms.to_vec(),
            seed,
        };
        let stood: Vec<Result<NewArm, String>> = self.call(&request)?;
        let stood = stood.into_iter();
        Ok(stood
            .map(|arm| arm.map_err(LabError::from_holder))
            .collect())
    }

    /// Takes an arm down, with the agents in it.
    ///
    /// # Errors
    /// The holder has ended.
    pub fn remove(&self, arm: &Name) -> Result<(), LabError> {
        self.remove_all(std::slice::from_ref(arm))
    }

    /// Takes arms down side by side, with the agents in them.
    ///
    /// # Errors
    /// The holder has ended.
    pub fn remove_all(&self, arms: &[Name]) -> Result<(), LabError> {
        self.call(&Request::Remove {
            arms: arms.to_vec(),
        })
    }

    /// Lists the deployed arms.
    ///
    /// # Errors
    /// The holder has ended.
    pub fn arms(&self) -> Result<Vec<DeployedArm>, LabError> {
        self.call(&Request::Arms)
    }

    /// Returns an arm's addresses.
    ///
    /// # Errors
    /// There is no such arm.
    pub fn endpoints(&self, arm: &Name) -> Result<ArmEndpoints, LabError> {
        let arms = self.arms()?;
        let found = arms.iter().find(|deployed| deployed.name == *arm);
        found.map(|deployed| deployed.endpoints).ok_or_else(|| {
            let known: Vec<_> = arms.iter().map(|arm| arm.name.as_str()).collect();
            LabError::said(
                format!("find the arm `{arm}`"),
                format!("the lab has: {}", known.join(", ")),
            )
        })
    }

    /// Starts `probe` as an agent in a pod (or node) of the arm and returns the stream that it serves. The
    /// agent ends with the stream; a new one for the same role replaces it.
    ///
    /// # Errors
    /// The program cannot be run. One that runs and fails only closes the stream: [`Self::agent_end`] then
    /// says why.
    pub fn agent(&self, arm: &Name, role: Role, probe: &Path) -> Result<UnixStream, LabError> {
        let request = Request::Agent {
            arm: arm.clone(),
            role,
            program: probe.into(),
        };
        let ((), mut fds) = self.exchange(&request, &[])?;
        match fds.pop() {
            Some(fd) => Ok(fd.into()),
            None => Err(LabError::said("start a probe", "the holder sent no stream")),
        }
    }

    /// Says how the last agent of a role ended and what it wrote last; `None` while it runs.
    ///
    /// # Errors
    /// There is no such arm.
    pub fn agent_end(&self, arm: &Name, role: Role) -> Result<Option<String>, LabError> {
        self.call(&Request::AgentEnd {
            arm: arm.clone(),
            role,
        })
    }

    /// Reads the counters that the arm's datapath keeps.
    ///
    /// # Errors
    /// There is no such arm, or the kernel refuses.
    pub fn counters(&self, arm: &Name) -> Result<DatapathCounters, LabError> {
        self.call(&Request::Counters { arm: arm.clone() })
    }

    /// Lists the arm's eBPF programs with how often each ran and for how long, as far as the kernel counted
    /// ([`bpf::count_runs`]).
    ///
    /// # Errors
    /// There is no such arm, or the kernel refuses.
    pub fn programs(&self, arm: &Name) -> Result<Vec<ProgramRuns>, LabError> {
        self.call(&Request::Programs { arm: arm.clone() })
    }

    /// Counts how often the arm's eBPF programs run, and for how long, while `traffic` goes on.
    ///
    /// The kernel times every program of the machine meanwhile, which slows them down: nothing else should be measured.
    ///
    /// # Errors
    /// There is no such arm, or the kernel refuses.
    pub fn program_costs<T>(
        &self,
        arm: &Name,
        traffic: impl FnOnce() -> T,
    ) -> Result<(Vec<ProgramRuns>, T), LabError> {
        let before = self.programs(arm)?;
        let counting = bpf::count_runs()?;
        let value = traffic();
        drop(counting);
        Ok((ProgramRuns::between(&before, self.programs(arm)?), value))
    }

    /// Reads back what stands in the lab now; `name` is what the lab is called.
    ///
    /// # Errors
    /// The lab ended meanwhile. What else cannot be read is said in its place.
    pub fn state(&self, name: &Name) -> Result<LabState, LabError> {
        let mut arms: Vec<ArmState> = Vec::new();
        for arm in self.arms()? {
            arms.push(self.call(&Request::State { arm: arm.name })?);
        }
        Ok(LabState {
            name: name.clone(),
            arms,
            netfilter: bpf::attached::in_netfilter(),
        })
    }

    /// Asks connection tracking on the client's node about a connection.
    ///
    /// # Errors
    /// There is no such arm, or the kernel refuses.
    pub fn translation(&self, arm: &Name, flow: &Flow) -> Result<Translation, LabError> {
        self.call(&Request::Translation {
            arm: arm.clone(),
            flow: *flow,
        })
    }

    /// Says in one line why packets cannot be followed here, with stamps in these parts of netfilter, and how to mend
    /// that; `None` if they can.
    ///
    /// # Errors
    /// The holder has ended.
    pub fn missing_clock(&self, netfilter: &[Hook]) -> Result<Option<String>, LabError> {
        let netfilter = netfilter.to_vec();
        self.call(&Request::DetectClock { netfilter })
    }

    /// Starts to follow the packets of an arm's exchanges, and returns the arm's namespaces with their devices, in
    /// which [`Self::stop_clock`] tells where they were. An arm has one clock at a time.
    ///
    /// # Errors
    /// There is no such arm, it has a clock already, or the kernel refuses.
    pub fn start_clock(&self, arm: &Name, spec: &ClockSpec) -> Result<Vec<Site>, LabError> {
        self.call(&Request::StartClock {
            arm: arm.clone(),
            spec: spec.clone(),
        })
    }

    /// Stops an arm's clock and returns what it saw, in the order in which packets arrived.
    ///
    /// # Errors
    /// There is no such arm, or it has no clock.
    pub fn stop_clock(&self, arm: &Name) -> Result<(ClockEnd, Vec<Trip>), LabError> {
        const DOING: &str = "read the packet clock's records";
        let request = Request::StopClock { arm: arm.clone() };
        let (end, mut fds) = self.exchange(&request, &[])?;
        let fd = fds.pop();
        let fd = fd.ok_or_else(|| LabError::said(DOING, "the holder sent no file"))?;
        let mut file = File::from(fd);
        let mut bytes = Vec::new();
        file.rewind().doing(|| DOING)?;
        file.read_to_end(&mut bytes).doing(|| DOING)?;
        let trips = anatomy::decode(&bytes).map_err(|error| LabError::said(DOING, error))?;
        Ok((end, trips))
    }

    /// Runs a program in an arm with this process's environment and directory, and waits for it.
    ///
    /// In it the names `client`, `server` and `service` stand for the arm's addresses.
    ///
    /// # Errors
    /// There is no such arm, or the program cannot be run.
    pub fn exec(
        &self,
        arm: &Name,
        role: Role,
        argv: &[OsString],
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<ExitStatus, LabError> {
        self.exec_start(arm, role, argv, stdio)?.wait()
    }

    /// Starts a program in an arm, like [`Self::exec`], and returns while it runs.
    ///
    /// # Errors
    /// There is no such arm, or the program cannot be run.
    pub fn exec_start(
        &self,
        arm: &Name,
        role: Role,
        argv: &[OsString],
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Program, LabError> {
        let (near, far) = UnixStream::pair().doing(|| "start a program in the lab")?;
        let directory = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let command = CommandLine {
            argv: argv.to_vec(),
            environment: env::vars_os().collect(),
            directory: directory.into(),
        };
        let request = Request::Exec {
            arm: arm.clone(),
            role,
            command,
        };
        let ((), _) = self.exchange(&request, &[stdio[0], stdio[1], stdio[2], far.as_fd()])?;
        Ok(Program { control: near })
    }

    /// Tries what this machine can do.
    pub(crate) fn detect(&self) -> Result<Found, LabError> {
        self.call(&Request::Detect)
    }

    /// Tries the kernel settings of an arm; says which cannot be, and why.
    pub(crate) fn try_kernel(&self, kernel: &Kernel) -> Result<Option<String>, LabError> {
        self.call(&Request::TryKernel {
            kernel: kernel.clone(),
        })
    }

    /// Tries whether this machine has a wire, and says why not.
    pub(crate) fn try_wire(&self, datapath: &Datapath) -> Result<Option<String>, LabError> {
        self.call(&Request::TryWire {
            datapath: datapath.clone(),
        })
    }

    /// Lets the lab live on without this process.
    pub(crate) fn keep(mut self) -> Result<(), LabError> {
        let () = self.call(&Request::Keep)?;
        // Its janitor is no longer waited for; init of the machine will.
        drop(self.janitor.take());
        Ok(())
    }

    /// Ends a kept lab and waits until its holder has gone.
    pub(crate) fn end(&self) -> Result<(), LabError> {
        match self.call::<()>(&Request::End) {
            Err(error) if matches!(error.kind(), LabErrorKind::HolderGone) => Ok(()),
            result => result,
        }
    }

    fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, LabError> {
        self.exchange(request, &[]).map(|(value, _)| value)
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(T, Vec<OwnedFd>), LabError> {
        let channel = self.locked();
        match channel.send(request, fds) {
            Ok(()) => Self::receive(&channel),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(LabError::new(ASK, LabErrorKind::HolderGone))
            }
            Err(error) => Err(LabError::new(ASK, error)),
        }
    }

    fn receive<T: DeserializeOwned>(channel: &Channel) -> Result<(T, Vec<OwnedFd>), LabError> {
        let received = channel.receive::<Answer>();
        match received {
            Ok(Some((Ok(value), fds))) => match serde_json::from_value(value) {
                Ok(value) => Ok((value, fds)),
                Err(error) => Err(LabError::said(ASK, error)),
            },
            Ok(Some((Err(said), _))) => Err(LabError::from_holder(said)),
            Ok(None) => Err(LabError::new(ASK, LabErrorKind::HolderGone)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(LabError::new(ASK, LabErrorKind::HolderGone))
            }
            // Only kept labs have a limit: kept.rs.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LabError::said(
                ASK,
                "it doesn't answer; end its process (`tollgate lab-holder`) with `kill -9`",
            )),
            Err(error) => Err(LabError::new(ASK, error)),
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What sending a program a signal is called.
const SIGNAL: &str = "signal a program in the lab";

/// What waiting for a program is called.
const WAIT: &str = "wait for a program in the lab";

/// What every request does.
const ASK: &str = "ask the lab's holder";

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(janitor) = &mut self.janitor {
            // The holder sees the end of the conversation and ends; the janitor has cleaned up when it ends.
            let _ = self
                .channel
                .get_mut()
                .map(|channel| channel.stream().shutdown(std::net::Shutdown::Both));
            let _ = janitor.wait();
        }
    }
}

/// A program that runs in an arm. It is told to hang up when this value is dropped before its end.
#[derive(Debug)]
pub struct Program {
    control: UnixStream,
}

impl Program {
    /// Sends a signal (its number) to the program and those that it started.
    ///
    /// # Errors
    /// The lab has ended.
    pub fn signal(&self, signal: u8) -> Result<(), LabError> {
        send(&self.control, signal)
    }

    /// Returns what sends signals to the program while somebody waits for it.
    ///
    /// # Errors
    /// This process may have no more descriptors.
    pub fn signaller(&self) -> Result<Signaller, LabError> {
        let control = self.control.try_clone().doing(|| SIGNAL)?;
        Ok(Signaller { control })
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// The lab has ended.
    pub fn wait(self) -> Result<ExitStatus, LabError> {
        let status = self.status().doing(|| WAIT)?;
        status.ok_or_else(|| LabError::new(WAIT, LabErrorKind::HolderGone))
    }

    /// Waits for the program's end, but not longer than `limit`: then it is ended, and `None` returned.
    ///
    /// # Errors
    /// The lab has ended.
    pub fn wait_for(self, limit: Duration) -> Result<Option<ExitStatus>, LabError> {
        // A socket takes zero for "no limit".
        let limit = limit.max(Duration::from_millis(1));
        self.control.set_read_timeout(Some(limit)).doing(|| WAIT)?;
        match self.status() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(LabError::new(WAIT, error)),
            Ok(None) => Err(LabError::new(WAIT, LabErrorKind::HolderGone)),
            Ok(status) => Ok(status),
        }
    }

    /// Reads the wait status; `None` where the lab ended before the program.
    fn status(&self) -> io::Result<Option<ExitStatus>> {
        let mut line = String::new();
        BufReader::new(&self.control).read_line(&mut line)?;
        Ok(line.trim().parse().ok().map(ExitStatus::from_raw))
    }
}

/// Sends signals to a program in an arm.
#[derive(Debug)]
pub struct Signaller {
    control: UnixStream,
}

impl Signaller {
    /// Sends a signal (its number) to the program and those that it started; one that has ended needs none.
    ///
    /// # Errors
    /// The lab has ended.
    pub fn signal(&self, signal: u8) -> Result<(), LabError> {
        send(&self.control, signal)
    }
}

fn send(mut control: &UnixStream, signal: u8) -> Result<(), LabError> {
    control.write_all(&[signal]).doing(|| SIGNAL)
}

/// Leaves descriptors open in the program that `command` starts.
#[expect(
    unsafe_code,
    reason = "a descriptor is inherited only if the child says so itself"
)]
fn leave_open(command: &mut Command, fds: Vec<OwnedFd>) {
    let open = move || {
        for fd in &fds {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls on descriptors that it owns.
    unsafe { command.pre_exec(open) };
}
