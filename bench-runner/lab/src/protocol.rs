//! What a lab and its holder say to each other: one JSON line for each request and each answer, with file
//! descriptors beside it where one needs them.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tollgate_results::anatomy::Hook;
use tollgate_results::arm::{Datapath, Name};
use tollgate_results::facts::ArmFacts;
use tollgate_results::kernel::Kernel;
use tollgate_results::outcome::Flow;

use crate::anatomy::ClockSpec;

/// Longest line that is read: a command line and its environment fit.
const MAX_LINE: usize = 8 << 20;
/// Most descriptors beside one line.
const MAX_FDS: usize = 4;

/// Where in an arm something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The client's pod, or its node where the arm has no pods.
    Client,
    /// The server's pod, or its node where the arm has no pods.
    Server,
    /// The client's node.
    NodeA,
    /// The server's node.
    NodeB,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(input: &str) -> Result<Self, String> {
        match input {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "node-a" => Ok(Self::NodeA),
            "node-b" => Ok(Self::NodeB),
            _ => Err(format!(
                "`{input}` is no place of a lab; write client, server, node-a or node-b"
            )),
        }
    }
}

/// The addresses of a deployed arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmEndpoints {
    /// The client's address.
    pub client: IpAddr,
    /// The server's first address.
    pub server: IpAddr,
    /// The addresses of the client's node and of the server's, on the wire between them.
    pub nodes: [IpAddr; 2],
    /// Address that the responder binds to: the server's, or any where the server has several.
    pub bind: IpAddr,
    /// Port that the responder binds to.
    pub port: u16,
    /// Address that the client connects to: the service's, or the server's where there is no service.
    pub target: SocketAddr,
}

/// A deployed arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedArm {
    /// The arm's name.
    pub name: Name,
    /// What it was deployed as.
    pub datapath: Datapath,
    /// Its addresses.
    pub endpoints: ArmEndpoints,
}

/// An arm that was just deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewArm {
    /// What stands.
    pub deployed: DeployedArm,
    /// What is known of it.
    pub facts: ArmFacts,
}

/// What a lab asks of its holder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Answered, for each arm in turn, with [`NewArm`], or one line that says why there is none.
    Deploy {
        arms: Vec<(Name, Datapath)>,
        seed: u64,
    },
    /// Answered with nothing, once the arms are gone.
    Remove { arms: Vec<Name> },
    /// Answered with a list of [`DeployedArm`].
    Arms,
    /// Answered with nothing and, beside it, the near end of the agent's stream.
    Agent {
        arm: Name,
        role: Role,
        program: OsString,
    },
    /// Answered with how the last agent of a role ended; `None` while it runs.
    AgentEnd { arm: Name, role: Role },
    /// Comes with standard input, output and error and a stream on which signals (a byte each) go in and the
    /// wait status (a line) comes out. Answered with nothing as soon as the program runs.
    Exec {
        arm: Name,
        role: Role,
        command: CommandLine,
    },
    /// Answered with `DatapathCounters`.
    Counters { arm: Name },
    /// Answered with a list of [`crate::bpf::ProgramRuns`].
    Programs { arm: Name },
    /// Answered with [`tollgate_results::lab_state::ArmState`].
    State { arm: Name },
    /// Answered with `Translation`.
    Translation { arm: Name, flow: Flow },
    /// Answered with [`crate::capabilities::Found`].
    Detect,
    /// Answered with why an arm's kernel settings cannot be; `None` where they can.
    TryKernel { kernel: Kernel },
    /// Answered with why there can be no such wire; `None` where there can.
    TryWire { datapath: Datapath },
    /// Answered with why there can be no packet clock; `None` where there can.
    DetectClock { netfilter: Vec<Hook> },
    /// Answered with a list of `Site`, once the packets of the arm are followed.
    StartClock { arm: Name, spec: ClockSpec },
    /// Answered with `ClockEnd` and, beside it, a file of records.
    StopClock { arm: Name },
    /// Lets the lab live on without its maker. Answered with nothing.
    Keep,
    /// Ends the lab; there is no answer but the end of the stream.
    End,
}

/// A program to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommandLine {
    pub(crate) argv: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: OsString,
}

/// An answer: the value, or one line that says what failed and why.
pub(crate) type Answer = Result<serde_json::Value, String>;

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a value with the descriptors that belong to it, at most four.
    pub(crate) fn send<T: Serialize>(&self, value: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[_] = if raw.is_empty() { &[] } else { &rights };
        let sent = sendmsg::<UnixAddr>(
            self.stream.as_raw_fd(),
            &[IoSlice::new(&line)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        (&self.stream).write_all(&line[sent..])
    }

    /// Receives a value and the descriptors beside it; `None` when the other end has closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut line = Vec::new();
        let mut fds = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        while line.last() != Some(&b'\n') {
            let count = self.receive_chunk(&mut chunk, &mut fds)?;
            if count == 0 && line.is_empty() {
                return Ok(None);
            }
            if count == 0 || line.len() + count > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            line.extend_from_slice(&chunk[..count]);
        }
        Ok(Some((serde_json::from_slice(&line)?, fds)))
    }

    fn receive_chunk(&self, chunk: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
        let mut buffer = [IoSliceMut::new(chunk)];
        let message = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<UnixAddr>(
                self.stream.as_raw_fd(),
                &mut buffer,
                Some(&mut space),
                flags,
            ) {
                Err(nix::Error::EINTR) => {}
                result => break result?,
            }
        };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                fds.extend(received.into_iter().map(own));
            }
        }
        Ok(message.bytes)
    }
}

/// Takes over a descriptor that the kernel just put into this process.
#[expect(unsafe_code, reason = "received descriptors arrive as plain numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: recvmsg made the descriptor for this process alone, and nothing else knows its number yet.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (a, b) = UnixStream::pair().unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn a_descriptor_travels_with_its_line() {
        let (a, b) = pair();
        let (mut near, far) = UnixStream::pair().unwrap();
        a.send(&"here", &[far.as_fd()]).unwrap();
        drop(far);
        let (word, mut fds) = b.receive::<String>().unwrap().unwrap();
        assert_eq!((word.as_str(), fds.len()), ("here", 1));
        UnixStream::from(fds.remove(0)).write_all(b"x").unwrap();
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn a_line_longer_than_the_socket_buffer_arrives_whole() {
        let (a, b) = pair();
        let long = "ä".repeat(1 << 20);
        let (received, ()) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| b.receive::<String>().unwrap().unwrap().0);
            a.send(&long, &[]).unwrap();
            (reader.join().unwrap(), ())
        });
        assert_eq!(received, long);
    }

    #[test]
    fn an_end_is_no_error_but_half_a_line_is() {
        let (a, b) = pair();
        drop(a);
        assert!(b.receive::<String>().unwrap().is_none());
        let (a, b) = pair();
        (&a.stream).write_all(b"\"half").unwrap();
        drop(a);
        assert!(b.receive::<String>().is_err());
    }

    #[test]
    fn places_are_named_or_explained() {
        assert_eq!("node-b".parse(), Ok(Role::NodeB));
        assert!(
            "pod"
                .parse::<Role>()
                .unwrap_err()
                .contains("client, server, node-a or node-b")
        );
    }
}
