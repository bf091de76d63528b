//! What both ends of a TCP stream need: ways to send blocks, the way to take them in, and what TCP knows of a connection.

mod intake;
mod rest;
mod sampler;

use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};
use tollgate_results::stream::{Sending, TcpOptions};

use crate::datagrams::calls::{allow_zerocopy, limit_pacing, take_done};

#[cfg(any(test, fuzzing))]
pub(crate) use intake::Blocks;
pub(crate) use intake::Intake;
pub(crate) use sampler::{Sampler, tcp_info};

/// Receives bulk data, in bytes, as iperf3 does.
pub(crate) const BUFFER: usize = 128 * 1024;

/// Sends after which the kernel's reports of finished pages are taken: their memory is bounded (`optmem_max`).
const SENDS_TO_REPORT: u32 = 16;

/// A way to send blocks of zeros over one connection.
#[derive(Debug)]
pub(crate) struct Bulk {
    way: Way,
    size: usize,
}

#[derive(Debug)]
enum Way {
    Copy(Vec<u8>),
    /// The kernel reads from this while packets are under way, so that it never changes.
    Zerocopy {
        block: Vec<u8>,
        sends: u32,
    },
    Sendfile(OwnedFd),
}

impl Bulk {
    /// Applies the sending end's options to a connection.
    ///
    /// # Errors
    ///
    /// Says in one line which option can't be had, and what could.
    pub(crate) fn new(
        socket: &impl AsFd,
        options: &TcpOptions,
        size: usize,
    ) -> Result<Self, String> {
        if let Some(name) = &options.congestion {
            set_congestion(socket, name)?;
        }
        if let Some(pacing) = options.pacing {
            limit_pacing(socket, pacing.0.div_ceil(8))
                .map_err(|errno| format!("the kernel refuses pacing: {errno}; leave pacing out"))?;
        }
        let way = match options.send {
            Sending::Copy => Way::Copy(vec![0; size]),
            Sending::Zerocopy => {
                allow_zerocopy(socket).map_err(|errno| {
                    format!("the kernel refuses MSG_ZEROCOPY: {errno}; use send = \"copy\"")
                })?;
                let block = vec![0; size];
                Way::Zerocopy { block, sends: 0 }
            }
            Sending::Sendfile => Way::Sendfile(file(size).map_err(|error| {
                format!("no file in memory to send from: {error}; use send = \"copy\"")
            })?),
        };
        Ok(Self { way, size })
    }

    /// Sends what is left of a block of zeros from `offset` on; returns how much went out.
    #[inline]
    pub(crate) fn send(&mut self, mut socket: &TcpStream, offset: usize) -> io::Result<usize> {
        match &mut self.way {
            Way::Copy(block) => socket.write(&block[offset..]),
            Way::Zerocopy { block, sends } => {
                *sends += 1;
                if sends.is_multiple_of(SENDS_TO_REPORT) {
                    take_done(&socket);
                }
                let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);
                match send(socket.as_raw_fd(), &block[offset..], flags) {
                    // Too many pages are under way: as good as no room.
                    Err(Errno::ENOBUFS) => {
                        take_done(&socket);
                        Err(ErrorKind::Interrupted.into())
                    }
                    sent => Ok(sent?),
                }
            }
            Way::Sendfile(file) => {
                let mut from = i64::try_from(offset).unwrap_or(0);
                Ok(sendfile(socket, file, Some(&mut from), self.size - offset)?)
            }
        }
    }
}

/// Makes a file of zeros in memory.
fn file(size: usize) -> io::Result<OwnedFd> {
    let file = memfd_create(c"tollgate", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    // Written, so that its pages are there.
    file.write_all(&vec![0; size])?;
    Ok(file.into())
}

fn set_congestion(socket: &impl AsFd, name: &str) -> Result<(), String> {
    setsockopt(socket, sockopt::TcpCongestion, &name.into()).map_err(|errno| {
        let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
        let known = known.map_or_else(
            |_| String::new(),
            |known| format!("; there are {}", known.trim().replace(' ', ", ")),
        );
        let why = match errno {
            Errno::ENOENT => "this kernel doesn't have it".to_owned(),
            Errno::EPERM => "it takes root (CAP_NET_ADMIN)".to_owned(),
            errno => errno.desc().to_lowercase(),
        };
        format!("congestion control {name}: {why}{known}")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use tollgate_results::units::BitRate;

    use super::*;

    pub(super) fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let left = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (left, listener.accept().unwrap().0)
    }

    #[test]
    fn every_way_sends_zeros() {
        for way in [Sending::Copy, Sending::Zerocopy, Sending::Sendfile] {
            let (left, mut right) = pair();
            let options = TcpOptions {
                send: way,
                pacing: Some(BitRate(8_000_000_000)),
                congestion: Some("reno".to_owned()),
                ..TcpOptions::default()
            };
            let mut bulk = Bulk::new(&left, &options, 10_000).unwrap();
            for _ in 0..40 {
                let mut offset = 0;
                while offset < 10_000 {
                    match bulk.send(&left, offset) {
                        Ok(sent) => offset += sent,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
                    }
                }
                let mut block = vec![1; 10_000];
                right.read_exact(&mut block).unwrap();
                assert!(block.iter().all(|&byte| byte == 0), "{way:?}");
            }
        }
    }

    #[test]
    fn a_congestion_control_that_is_not_there_is_refused_with_those_that_are() {
        let (left, _right) = pair();
        let options = TcpOptions {
            congestion: Some("nonesuch".to_owned()),
            ..TcpOptions::default()
        };
        let line = Bulk::new(&left, &options, 1).unwrap_err();
        assert!(line.contains("nonesuch") && line.contains("reno"), "{line}");
    }
}
