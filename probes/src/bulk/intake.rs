//! The receiving end of a TCP stream.

use std::io::{self, ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, getsockopt, recv, sockopt};

use super::rest::Rest;
use crate::wire::CONFIRM;

/// Where a stream stands.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: u64,
    /// Bytes received.
    total: u64,
    /// Start of the next block that was not looked at.
    next: u64,
    /// End of a block that asks for the count.
    asked: Option<u64>,
}

impl Blocks {
    pub(crate) const fn new(size: u64) -> Self {
        Self {
            size,
            total: 0,
            next: 0,
            asked: None,
        }
    }

    /// Takes bytes in; returns the count that is to be said, if one is.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<u64> {
        let before = self.total;
        self.total += bytes.len() as u64;
        while self.next < self.total {
            let at = usize::try_from(self.next - before).ok()?;
            if bytes.get(at) == Some(&CONFIRM) {
                self.asked = Some(self.next + self.size);
            }
            self.next += self.size;
        }
        self.due()
    }

    /// Returns how many bytes of the present block are to come.
    const fn left(&self) -> u64 {
        self.next - self.total
    }

    /// Takes in bytes that nobody has looked at, at most those that are left of the present block.
    fn skip(&mut self, bytes: usize) -> Option<u64> {
        self.total += bytes as u64;
        self.due()
    }

    fn due(&mut self) -> Option<u64> {
        self.asked.take_if(|asked| *asked <= self.total)
    }
}

/// Takes in the stream of one connection.
#[derive(Debug)]
pub(crate) struct Intake {
    blocks: Blocks,
    truncate: bool,
    rest: Rest,
}

impl Intake {
    /// Prepares for blocks of `size` bytes. With `truncate` the kernel throws them away, all but the first byte of each.
    pub(crate) fn new(size: u64, truncate: bool) -> Self {
        Self {
            blocks: Blocks::new(size),
            truncate,
            rest: Rest::default(),
        }
    }

    /// Takes in bytes that are here already; returns the count that is to be said, if one is.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<u64> {
        self.blocks.take(bytes)
    }

    /// Takes in what a connection has next, into a buffer of any length but 0. Returns the count that is to be said, if one is.
    ///
    /// # Errors
    ///
    /// Those of the connection, and its end.
    #[inline]
    pub(crate) fn take_from(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
    ) -> io::Result<Option<u64>> {
        let left = if self.truncate { self.blocks.left() } else { 0 };
        let (most, received, asked);
        if left > 0 {
            most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let said = recv(socket.as_raw_fd(), &mut buffer[..most], MsgFlags::MSG_TRUNC)?;
            // A length above the room is not believed.
            received = said.min(most);
            asked = self.blocks.skip(received);
        } else {
            most = if self.truncate { 1 } else { buffer.len() };
            received = socket.read(&mut buffer[..most])?;
            asked = self.blocks.take(&buffer[..received]);
        }
        if received == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        self.rest.note(received);
        if received < most && asked.is_none() {
            self.rest.rest(|| room(socket));
        }
        Ok(asked)
    }

    /// Returns how many bytes were taken in.
    pub(crate) const fn total(&self) -> u64 {
        self.blocks.total
    }
}

/// Returns the length of a connection's receive buffer, in bytes, which the kernel may yet let grow.
fn room(socket: &TcpStream) -> u64 {
    let room = getsockopt(socket, sockopt::RcvBuf);
    room.map_or(0, |room| room as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::super::tests::pair;
    use super::*;

    #[test]
    fn truncated_blocks_are_counted_and_the_last_one_is_seen() {
        let (mut left, right) = pair();
        let mut stream = vec![0; 3 * 10_000];
        stream[2 * 10_000] = CONFIRM;
        left.write_all(&stream).unwrap();
        for truncate in [true, false] {
            let mut intake = Intake::new(10_000, truncate);
            let mut buffer = vec![0; 4_096];
            let asked = loop {
                if let Some(asked) = intake.take_from(&right, &mut buffer).unwrap() {
                    break asked;
                }
            };
            assert_eq!((asked, intake.total()), (30_000, 30_000));
            left.write_all(&stream).unwrap();
        }
        drop(left);
        let mut intake = Intake::new(1, true);
        let mut end = || intake.take_from(&right, &mut [0; 64]);
        while end().is_ok() {}
        assert_eq!(end().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    proptest! {
        #[test]
        fn a_count_is_said_after_the_whole_block_however_it_is_cut(
            size in 1..50_usize,
            blocks in 0..20_usize,
            cut in 1..70_usize,
        ) {
            let mut stream = vec![0; size * (blocks + 1)];
            stream[size * blocks] = CONFIRM;
            let mut state = Blocks::new(size as u64);
            let said: Vec<u64> = stream.chunks(cut).filter_map(|chunk| state.take(chunk)).collect();
            prop_assert_eq!(said, vec![stream.len() as u64]);
        }
    }
}
