//! What connection tracking in the calling thread's namespace has refused, summed over all CPUs.

use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use tollgate_results::evidence::ConntrackRefusals;

use super::{ANSWER_BYTES, message};
use crate::error::{Doing as _, LabError};

/// Most answers to one question: a kernel has at most 8,192 CPUs.
const MOST_ANSWERS: usize = 8_192;

/// Reads the counters of this namespace, which is that of `node`.
///
/// # Errors
/// See [`super::lookup`].
pub fn refusals(node: &str) -> Result<ConntrackRefusals, LabError> {
    let refusals = ConntrackRefusals {
        node: node.to_owned(),
        ..ConntrackRefusals::default()
    };
    read(refusals).doing(|| "read what connection tracking refused")
}

fn read(mut sum: ConntrackRefusals) -> Result<ConntrackRefusals, Errno> {
    let socket = super::open()?;
    send(
        socket.as_raw_fd(),
        &message::statistics(),
        MsgFlags::empty(),
    )?;
    let mut buffer = vec![0; ANSWER_BYTES];
    for _ in 0..MOST_ANSWERS {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if message::add_statistics(&buffer[..length], &mut sum)? {
            return Ok(sum);
        }
    }
    Err(Errno::EBADMSG)
}
