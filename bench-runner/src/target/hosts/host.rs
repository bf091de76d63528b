//! The two kinds of host: this machine, whose agent the runner starts, and one that was joined.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tollgate_results::door::Invitation;

use super::dial::{ByteStream, dial};
use crate::target::cluster::PodAgent;

/// An agent that goes by itself has a line to say; it is read for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A machine with an agent, or on which one can be started.
#[derive(Debug, Clone)]
pub enum Host {
    /// This machine.
    Local {
        /// The probe's binary.
        probe: PathBuf,
    },
    /// A machine that was joined.
    Joined(Box<Invitation>),
    /// A pod of a cluster.
    Pod(Box<PodAgent>),
}

/// A connection to an agent, and the process behind it where it is ours.
pub(super) struct Connection {
    pub(super) stream: Box<dyn ByteStream>,
    pub(super) child: Option<Child>,
}

impl Host {
    /// Connects to the host's agent; starts one where it is this machine. Such an agent ends with its stream.
    pub(super) async fn connect(&self, runner: [u8; 16]) -> anyhow::Result<Connection> {
        match self {
            Self::Local { probe } => start(probe),
            Self::Joined(invitation) => Ok(Connection {
                stream: dial(invitation, runner).await?,
                child: None,
            }),
            Self::Pod(pod) => Ok(Connection {
                stream: pod.connect(runner).await?,
                child: None,
            }),
        }
    }
}

fn start(probe: &PathBuf) -> anyhow::Result<Connection> {
    let context = || format!("failed to start the probe `{}`", probe.display());
    let (ours, theirs) = StdStream::pair().with_context(context)?;
    // Only this one end is for the child, which takes it over at its start.
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).with_context(context)?;
    let child = Command::new(probe)
        .args(["agent", "--fd", &theirs.as_raw_fd().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(context)?;
    drop(theirs);
    ours.set_nonblocking(true).with_context(context)?;
    let stream = UnixStream::from_std(ours).with_context(context)?;
    Ok(Connection {
        stream: Box::new(stream),
        child: Some(child),
    })
}

/// Says how an agent ended that should not have: its last line, or its status.
pub(super) async fn last_words(child: &mut Child) -> Option<String> {
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let mut bounded = stderr.take(4096);
        let _ = timeout(LAST_WORDS, bounded.read_to_string(&mut said)).await;
    }
    let status = timeout(LAST_WORDS, child.wait()).await.ok()?.ok()?;
    let line = said.lines().last().unwrap_or_default().trim();
    Some(if line.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {line}")
    })
}
