//! What connection tracking in the calling thread's network namespace knows of one connection.
//!
//! An exact look-up by tuple over ctnetlink, never a dump of the table.

pub(crate) mod keeper;
mod message;
mod statistics;
pub(crate) mod table;

use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Flow;

use self::message::Answer;
pub use self::statistics::refusals;
use crate::error::{Doing as _, LabError, LabErrorKind};

/// Seconds that the kernel has for an answer.
const PATIENCE: i64 = 5;
/// Bytes of the longest answer: an entry is some hundreds long.
const ANSWER_BYTES: usize = 16_384;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Where packets come from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

/// What connection tracking knows of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As the first packet came in.
    pub original: Tuple,
    /// As answers come in: the original's reverse, where nothing is translated.
    pub reply: Tuple,
}

/// Looks up the connection that `flow` is the original direction of.
///
/// # Errors
/// The kernel has no connection tracking over netlink, or the caller lacks `CAP_NET_ADMIN`.
pub fn lookup(flow: &Flow) -> Result<Option<Entry>, LabError> {
    let doing = || format!("look up the connection {} to {}", flow.local, flow.remote);
    if flow.local.is_ipv4() != flow.remote.is_ipv4() {
        return Err(LabError::said(
            doing(),
            "its two addresses are of different families",
        ));
    }
    match ask(&message::get(flow)) {
        Ok(Answer::Entry(entry)) => Ok(Some(entry)),
        Ok(_) => Err(LabError::said(
            doing(),
            "the kernel's answer is not an entry",
        )),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(LabErrorKind::from(errno)).doing(doing),
    }
}

/// Says what the node did with a connection whose client asked for `flow.remote`. `endpoints` are the addresses
/// that the client's socket may have been connected to instead.
///
/// # Errors
/// See [`lookup`].
pub fn translation(flow: &Flow, endpoints: &[SocketAddr]) -> Result<Translation, LabError> {
    if let Some(entry) = lookup(flow)? {
        let endpoint = entry.reply.source;
        let untouched = endpoint == flow.remote;
        return Ok(if untouched {
            Translation::Untouched
        } else {
            Translation::Rewritten { endpoint }
        });
    }
    for endpoint in endpoints
        .iter()
        .filter(|endpoint| **endpoint != flow.remote)
    {
        let direct = Flow {
            remote: *endpoint,
            ..*flow
        };
        if lookup(&direct)?.is_some() {
            return Ok(Translation::AtTheSocket {
                endpoint: *endpoint,
            });
        }
    }
    Ok(Translation::Untracked)
}

/// Returns how many connections are tracked.
///
/// # Errors
/// See [`lookup`].
pub fn entries() -> Result<u64, LabError> {
    let doing = || "count tracked connections";
    match ask(&message::count()).doing(doing)? {
        Answer::Count(entries) => Ok(entries.into()),
        Answer::Entry(_) | Answer::Other => Err(LabError::said(
            doing(),
            "the kernel's answer is not a count",
        )),
    }
}

/// Sends one request and reads its answer.
fn ask(request: &[u8]) -> Result<Answer, Errno> {
    let socket = open()?;
    send(socket.as_raw_fd(), request, MsgFlags::empty())?;
    let mut buffer = vec![0; ANSWER_BYTES];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    message::read(&buffer[..length])
}

fn open() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let netfilter = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, netfilter)?;
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::seconds(PATIENCE),
    )?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tollgate_results::outcome::Protocol;

    use super::*;

    #[test]
    fn addresses_of_two_families_are_refused() {
        let flow = Flow {
            protocol: Protocol::Tcp,
            local: "127.0.0.1:1".parse().unwrap(),
            remote: "[::1]:1".parse().unwrap(),
            incoming_cpu: None,
        };
        let error = lookup(&flow).unwrap_err().chain();
        assert!(error.ends_with("different families"), "{error}");
    }
}
