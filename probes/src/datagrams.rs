//! Streams of datagrams: what their sending and their receiving end do, at the client and at the responder.
//!
//! - [`control`]: what the two ends say to each other over TCP
//! - [`calls`]: many buffers in one system call
//! - [`sender`] and [`receiver`]: the hot loops
//! - [`order`]: loss, copies and reordering
//! - [`delays`]: one-way delay and its variation
//!
//! Neither loop allocates, locks or logs; each runs on one thread, pinned where a CPU is asked for.

pub(crate) mod calls;
pub(crate) mod control;
pub(crate) mod delays;
pub(crate) mod order;
pub(crate) mod receiver;
pub(crate) mod sender;

use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tollgate_results::stream::UdpStream;

/// How often the ends look at something other than datagrams: the other end's words, or an abort.
pub(crate) const TURN_NS: u64 = 5_000_000;

/// Receive buffer that is asked for, in bytes: 100 ms of 10,000 large datagrams a second, and some milliseconds of
/// a flood of small ones, for as long as the receiving thread may be without its CPU.
const RECEIVE_ROOM: usize = 4 << 20;

/// Prepares a connected socket for a stream's sending end.
///
/// # Errors
///
/// Says in one line what the kernel refuses and how to mend it.
pub(crate) fn prepare_sending(socket: &UdpSocket, stream: &UdpStream) -> Result<(), String> {
    // A send that blocks for longer looks whether it is still wanted.
    let turn = Some(Duration::from_nanos(TURN_NS));
    let refused =
        |what: &str, error: std::io::Error, mend: &str| format!("{what}: {error}; {mend}");
    socket
        .set_write_timeout(turn)
        .map_err(|error| refused("the kernel refuses a time-out", error, "report it"))?;
    if stream.gso > 1 {
        let payload = i32::try_from(stream.payload.0).unwrap_or(i32::MAX);
        setsockopt(socket, sockopt::UdpGsoSegment, &payload).map_err(|errno| {
            refused(
                "the kernel refuses UDP_SEGMENT",
                errno.into(),
                "leave gso at 1",
            )
        })?;
    }
    if stream.zerocopy {
        calls::allow_zerocopy(socket).map_err(|errno| {
            refused(
                "the kernel refuses MSG_ZEROCOPY",
                errno.into(),
                "leave zerocopy out",
            )
        })?;
    }
    Ok(())
}

/// Prepares a connected socket for a stream's receiving end; returns its buffer's size in bytes.
///
/// # Errors
///
/// Says in one line what the kernel refuses and how to mend it.
pub(crate) fn prepare_receiving(socket: &UdpSocket, stream: &UdpStream) -> Result<u64, String> {
    let turn = Some(Duration::from_nanos(TURN_NS));
    socket
        .set_read_timeout(turn)
        .map_err(|error| format!("the kernel refuses a time-out: {error}; report it"))?;
    // Without the right to force it, it grows up to net.core.rmem_max. What came of it is in the record.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_ROOM).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_ROOM);
    }
    if stream.gro {
        setsockopt(socket, sockopt::UdpGroSegment, &true)
            .map_err(|errno| format!("the kernel refuses UDP_GRO: {errno}; leave gro out"))?;
    }
    let room = getsockopt(socket, sockopt::RcvBuf).unwrap_or(0);
    Ok(room as u64)
}
