//! The receiving end of a TCP stream.

use std::io::{self, ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, recv};

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
        self.asked.take_if(|asked| *asked <= self.total)
    }

    /// Takes in what a connection has next; with `truncate` the kernel throws it away, all but the first byte of each
    /// block. Returns the count that is to be said, if one is.
    ///
    /// # Errors
    ///
    /// Those of the connection, and its end.
    #[inline]
    pub(crate) fn take_from(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
        truncate: bool,
    ) -> io::Result<Option<u64>> {
        let left = self.next - self.total;
        let (received, asked) = if !truncate {
            let received = socket.read(buffer)?;
            (received, self.take(&buffer[..received]))
        } else if left == 0 {
            let received = socket.read(&mut buffer[..1])?;
            (received, self.take(&buffer[..received]))
        } else {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let received = recv(socket.as_raw_fd(), &mut buffer[..most], MsgFlags::MSG_TRUNC)?;
            // A length above the room is not believed.
            let received = received.min(most);
            self.total += received as u64;
            (received, self.asked.take_if(|asked| *asked <= self.total))
        };
        if received == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(asked)
    }

    /// Returns how many bytes were taken in.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
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
            let mut blocks = Blocks::new(10_000);
            let mut buffer = vec![0; 4_096];
            let asked = loop {
                if let Some(asked) = blocks.take_from(&right, &mut buffer, truncate).unwrap() {
                    break asked;
                }
            };
            assert_eq!((asked, blocks.total()), (30_000, 30_000));
            left.write_all(&stream).unwrap();
        }
        drop(left);
        let mut blocks = Blocks::new(1);
        let mut end = || blocks.take_from(&right, &mut [0; 64], true);
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
