//! The holder's requests: one thread for each connection, all on one set of arms.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, raise};
use serde::Serialize;
use tollgate_results::arm::{Datapath, Name};

use super::{Groups, deployment};
use crate::arm::{Arm, Wanted};
use crate::cgroup::ArmGroup;
use crate::error::{Doing as _, LabError};
use crate::protocol::{Answer, Channel, CommandLine, DeployedArm, NewArm, Request, Role};
use crate::{anatomy, capabilities, clock};

/// Where files of the lab lie: see [`super::SCRATCH`].
const SCRATCH: &str = "/run";

/// How long a listener that cannot accept waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Holder {
    arms: Mutex<BTreeMap<Name, Arc<Arm>>>,
    /// Held while arms are deployed: see [`Holder::deploy`].
    deploying: Mutex<()>,
    groups: Groups,
    /// Whether others can connect.
    can_be_found: bool,
    kept: AtomicBool,
}

/// An answer's value with a descriptor beside it.
type Answered = Result<(serde_json::Value, Option<OwnedFd>), LabError>;

/// Serves the lab's maker until it goes; a kept lab until it is told to end.
pub(super) fn serve(control: UnixStream, listener: Option<UnixListener>, groups: Groups) {
    allow_descriptors();
    let holder = Arc::new(Holder {
        arms: Mutex::default(),
        deploying: Mutex::default(),
        groups,
        can_be_found: listener.is_some(),
        kept: AtomicBool::new(false),
    });
    if let Ok(watched) = control.try_clone() {
        let holder = Arc::clone(&holder);
        thread::spawn(move || watch(&watched, &holder));
    } else {
        return;
    }
    if let Some(listener) = listener {
        let holder = Arc::clone(&holder);
        thread::spawn(move || holder.listen(&listener));
    }
    let channel = Channel::new(control);
    if channel
        .send(&Answer::Ok(serde_json::Value::Null), &[])
        .is_err()
    {
        return;
    }
    holder.converse(&channel);
    while holder.kept.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Allows this process as many descriptors as the machine does: each arm holds some thirty.
fn allow_descriptors() {
    // With the usual limit there is still room for thirty arms; more say so themselves.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Ends the holder at once when the lab's maker goes, whatever it is doing: everything else of the lab ends
/// with it. A lab that was kept meanwhile lives on.
fn watch(control: &UnixStream, holder: &Holder) {
    loop {
        // Without any event asked for, only the other end's going is told.
        let mut ends = [PollFd::new(control.as_fd(), PollFlags::empty())];
        if !matches!(poll(&mut ends, PollTimeout::NONE), Err(nix::Error::EINTR)) {
            break;
        }
    }
    if !holder.kept.load(Ordering::SeqCst) {
        end();
    }
}

/// Ends this process without a chance for anything to hold it up.
fn end() -> ! {
    let _ = raise(Signal::SIGKILL);
    std::process::abort()
}

impl Holder {
    /// Answers requests until the other end closes or talks nonsense.
    fn converse(self: &Arc<Self>, channel: &Channel) {
        while let Ok(Some((request, fds))) = channel.receive::<Request>() {
            let sent = match self.answer(request, fds) {
                Ok((value, fd)) => {
                    let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
                    channel.send(&Answer::Ok(value), &fds)
                }
                Err(error) => channel.send(&Answer::Err(error.chain()), &[]),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn answer(self: &Arc<Self>, request: Request, fds: Vec<OwnedFd>) -> Answered {
        match request {
            Request::Deploy { arms, seed } => self.deploy(arms, seed),
            Request::Remove { arms } => {
                self.remove(&arms);
                plain(())
            }
            Request::Arms => plain(self.deployed()),
            Request::Agent { arm, role, program } => {
                let stream = self.arm(&arm)?.agent(role, &program)?;
                Ok((serde_json::Value::Null, Some(stream.into())))
            }
            Request::AgentEnd { arm, role } => plain(self.arm(&arm)?.agent_end(role)),
            Request::Exec { arm, role, command } => self.exec(&arm, role, &command, fds),
            Request::Counters { arm } => plain(self.arm(&arm)?.counters()?),
            Request::Programs { arm } => plain(self.arm(&arm)?.runs()?),
            Request::State { arm } => plain(self.arm(&arm)?.state()),
            Request::Translation { arm, flow } => plain(self.arm(&arm)?.translation(&flow)?),
            Request::Detect => plain(capabilities::find(self.groups.as_ref())),
            Request::TryKernel { kernel } => plain(capabilities::try_kernel(&kernel)),
            Request::TryWire { datapath } => plain(capabilities::try_wire(&datapath)),
            Request::DetectClock { netfilter } => plain(anatomy::available(&netfilter).err()),
            Request::StartClock { arm, spec } => plain(self.arm(&arm)?.start_clock(&spec)?),
            Request::StopClock { arm } => {
                let (end, records) = self.arm(&arm)?.stop_clock()?;
                plain(end).map(|(value, _)| (value, Some(records)))
            }
            Request::Keep => {
                self.keep()?;
                plain(())
            }
            Request::End => end(),
        }
    }

    fn arms(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Arc<Arm>>> {
        self.arms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, name: &Name) -> Result<Arc<Arm>, LabError> {
        let arms = self.arms();
        arms.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = arms.keys().map(Name::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            LabError::said(
                format!("find the arm `{name}`"),
                format!("the lab has: {known}"),
            )
        })
    }

    fn deployed(&self) -> Vec<DeployedArm> {
        let arms = self.arms();
        let deployed = arms.iter().map(|(name, arm)| DeployedArm {
            name: name.clone(),
            datapath: arm.datapath().clone(),
            endpoints: arm.endpoints(),
        });
        deployed.collect()
    }

    /// Deploys arms; what became of each is in the answer.
    ///
    /// Other connections that deploy wait meanwhile: they could take the same names, whose groups and files are there before
    /// the arms are, and would disturb what is timed.
    fn deploy(&self, arms: Vec<(Name, Datapath)>, seed: u64) -> Answered {
        let _deploying = self
            .deploying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut names = BTreeSet::new();
        let wanted = arms.iter().map(|(name, datapath)| {
            if self.arms().contains_key(name) || !names.insert(name) {
                let why = "the lab has one of this name already";
                return Err(LabError::said("name it", why));
            }
            Ok(Wanted {
                name: name.clone(),
                datapath: datapath.clone(),
                group: self.group(name)?,
            })
        });
        let stood = deployment::deploy(wanted.collect(), seed, Path::new(SCRATCH));
        let mut answers: Vec<Result<NewArm, String>> = Vec::new();
        for ((name, datapath), stood) in arms.into_iter().zip(stood) {
            answers.push(match stood {
                Ok((arm, facts)) => {
                    let deployed = DeployedArm {
                        name: name.clone(),
                        datapath,
                        endpoints: arm.endpoints(),
                    };
                    self.arms().insert(name, Arc::new(arm));
                    Ok(NewArm { deployed, facts })
                }
                Err(error) => {
                    let doing = format!("deploy the arm `{name}`");
                    Err(LabError::said(doing, error.chain()).chain())
                }
            });
        }
        plain(answers)
    }

    /// Makes the control group of an arm's client, where there can be one. Every client has one, so that arms differ in
    /// nothing but the datapath.
    fn group(&self, name: &Name) -> Result<Option<ArmGroup>, LabError> {
        let Some((hierarchy, lab)) = &self.groups else {
            return Ok(None);
        };
        let group = hierarchy.arm(lab, name.as_str());
        group.map(Some).doing(|| "make the client's control group")
    }

    /// Takes arms down, side by side.
    fn remove(&self, arms: &[Name]) {
        let taken: Vec<_> = {
            let mut standing = self.arms();
            arms.iter().filter_map(|arm| standing.remove(arm)).collect()
        };
        deployment::side_by_side(taken, drop);
    }

    fn exec(&self, arm: &Name, role: Role, line: &CommandLine, fds: Vec<OwnedFd>) -> Answered {
        let [stdin, stdout, stderr, control] = <[OwnedFd; 4]>::try_from(fds).map_err(|fds| {
            LabError::said(
                "start a program",
                format!("{} descriptors came, not 4", fds.len()),
            )
        })?;
        self.arm(arm)?
            .exec(role, line, [stdin, stdout, stderr], control.into())?;
        plain(())
    }

    /// Lets the lab live on without its maker.
    fn keep(&self) -> Result<(), LabError> {
        if !self.can_be_found {
            let why = "it was started without a name to be found by";
            return Err(LabError::said("keep the lab", why));
        }
        self.kept.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Serves everyone who connects.
    fn listen(self: &Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    let holder = Arc::clone(self);
                    thread::spawn(move || holder.converse(&Channel::new(stream)));
                }
                // Out of descriptors, which others may give back.
                Err(_) => clock::pause(ACCEPT_PAUSE),
            }
        }
    }
}

fn plain(value: impl Serialize) -> Answered {
    let value = serde_json::to_value(value);
    value
        .map(|value| (value, None))
        .map_err(|error| LabError::said("answer", error))
}
