//! Entries put into the connection-tracking table of a namespace that no packet belongs to.
//!
//! They are established TCP connections between addresses for benchmarks (RFC 2544), assured, so that the kernel never
//! gives them up to make room.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::message::{self, Answer};
use super::{ANSWER_BYTES, Tuple};
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

/// Entries that one system call asks for: all may be refused, and the answers must fit the socket's buffer.
const BATCH: u32 = 128;
/// Connections from one address.
const PORTS: u32 = 60_000;
/// First port.
const FIRST_PORT: u16 = 1_024;
/// First address: 198.18.0.0/16 connects to one of 198.19.0.0/16.
const FROM: [u8; 2] = [198, 18];
const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1)), 80);

/// The entries of one namespace: those from `first` on, below `next`, are there, as long as nobody else flushes them.
#[derive(Debug)]
pub(crate) struct Entries {
    socket: OwnedFd,
    first: u32,
    next: u32,
}

impl Entries {
    /// Opens a socket in a namespace; there are no entries yet.
    pub(crate) fn open(netns: &NetNs) -> Result<Self, LabError> {
        let socket = netns.enter(|| super::open().doing(|| "reach the connection tracking"))?;
        Ok(Self {
            socket,
            first: 0,
            next: 0,
        })
    }

    /// Adds so many entries, or as many as the table takes; returns how many it took.
    pub(crate) fn add(&mut self, count: u32) -> Result<u32, LabError> {
        let mut added = 0;
        while added < count {
            let batch = BATCH.min(count - added);
            let messages =
                (0..batch).map(|n| message::new_connection(&tuple(self.next.wrapping_add(n))));
            // One may be there already: where a place came free right after a refusal.
            let refused = self
                .ask(messages, Errno::ENOMEM, Errno::EEXIST)
                .doing(|| "add a tracked connection")?;
            self.next = self.next.wrapping_add(batch - refused);
            added += batch - refused;
            if refused > 0 {
                break;
            }
        }
        Ok(added)
    }

    /// Adds entries until the table takes no more, at most so many; returns how many it took.
    pub(crate) fn fill(&mut self, most: u32) -> Result<u32, LabError> {
        let mut added = 0;
        while added < most {
            let took = self.add(BATCH.min(most - added))?;
            added += took;
            if took < BATCH {
                break;
            }
        }
        Ok(added)
    }

    /// Takes away so many of the oldest entries.
    pub(crate) fn take(&mut self, count: u32) -> Result<(), LabError> {
        let mut left = count.min(self.next.wrapping_sub(self.first));
        while left > 0 {
            let batch = BATCH.min(left);
            let messages = (0..batch).map(|n| message::delete(&tuple(self.first.wrapping_add(n))));
            // One that never came to be, or has gone, is gone.
            self.ask(messages, Errno::ENOENT, Errno::ENOENT)
                .doing(|| "take a tracked connection away")?;
            self.first = self.first.wrapping_add(batch);
            left -= batch;
        }
        Ok(())
    }

    /// Sends messages at once and returns how many were refused for the first reason; the second is as good as none, any
    /// other an error.
    fn ask(
        &self,
        messages: impl Iterator<Item = Vec<u8>>,
        counted: Errno,
        ignored: Errno,
    ) -> Result<u32, Errno> {
        let request: Vec<u8> = messages.flatten().collect();
        // The kernel works them off before the call returns; only refusals are answered.
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut buffer = vec![0; ANSWER_BYTES];
        let mut refused = 0;
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(refused),
                Err(errno) => return Err(errno),
            };
            match message::read(&buffer[..length]) {
                Ok(Answer::Entry(_) | Answer::Count(_) | Answer::Other) => {}
                Err(errno) if errno == counted => refused += 1,
                Err(errno) if errno == ignored => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Returns the connection of this number: some 15 billion differ, by address, and port.
fn tuple(number: u32) -> Tuple {
    let (host, port) = (number / PORTS, number % PORTS);
    let [_, _, third, fourth] = host.to_be_bytes();
    let port = FIRST_PORT.saturating_add(u16::try_from(port).unwrap_or(0));
    Tuple {
        source: SocketAddr::new(Ipv4Addr::new(FROM[0], FROM[1], third, fourth).into(), port),
        destination: TO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrack;

    #[test]
    fn entries_come_and_go() {
        let Ok(netns) = NetNs::new() else {
            eprintln!("SKIPPED, NOTHING WAS TESTED: no namespace");
            return;
        };
        let count = || netns.enter(conntrack::entries).unwrap();
        let mut entries = Entries::open(&netns).unwrap();
        assert_eq!(entries.add(1_000).unwrap(), 1_000);
        assert_eq!(count(), 1_000);
        entries.take(400).unwrap();
        assert_eq!(count(), 600);
        assert_eq!(entries.add(1).unwrap(), 1);
        entries.take(5_000).unwrap();
        assert_eq!(count(), 0);
    }

    #[test]
    fn numbers_are_connections_of_their_own() {
        assert_eq!(tuple(0).source, "198.18.0.0:1024".parse().unwrap());
        assert_eq!(tuple(PORTS).source, "198.18.0.1:1024".parse().unwrap());
        assert_ne!(tuple(7), tuple(8));
    }
}
