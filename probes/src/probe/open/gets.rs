//! HTTP/1.1 GETs of an open loop, one at a time on each connection.

use std::rc::Rc;

use tollgate_results::outcome::Failure;

use super::talk::{Heard, Talk};
use crate::probe::http::Ask;
use crate::probe::http::response::Reader;
use crate::probe::http::tally::Tally;

/// GETs the same over and over.
#[derive(Debug)]
pub(crate) struct Gets {
    ask: Ask,
    request: Vec<u8>,
    tally: Rc<Tally>,
}

impl Gets {
    /// Prepares requests.
    pub(crate) fn new(ask: Ask, tally: Rc<Tally>) -> Self {
        Self {
            request: ask.request(true),
            ask,
            tally,
        }
    }
}

impl Talk for Gets {
    type Ear = Reader;

    fn ear(&self) -> Reader {
        Reader::new(self.ask.expected)
    }

    #[inline]
    fn ask(&mut self, _sequence: u64, _first: bool) -> &[u8] {
        &self.request
    }

    fn hear(&self, ear: &mut Reader, oldest: u64, bytes: &[u8]) -> Result<(usize, Heard), Failure> {
        let (taken, response) = ear.read(bytes, &self.tally)?;
        let Some(response) = response else {
            return Ok((taken, Heard::Part));
        };
        self.tally.responded(response.status);
        // An error status ends the connection, which the next request opens again.
        self.ask.judge(&response)?;
        self.tally.replied(&response);
        let heard = if response.stays {
            Heard::Reply(oldest)
        } else {
            Heard::LastReply(oldest)
        };
        Ok((taken, heard))
    }

    fn reply(&self) -> u64 {
        self.ask.expected.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::units::Bytes;
    use tollgate_results::workload::{Connections, Http};

    use super::*;
    use crate::probe::http::response::MAX_HEAD;

    const TARGET: &str = "192.0.2.2:80";

    fn gets(body: u64) -> Gets {
        let http = Http::new(Connections::Kept, Bytes(body));
        Gets::new(Ask::new(TARGET.parse().unwrap(), &http), Rc::default())
    }

    #[test]
    fn a_response_is_heard_however_it_is_cut() {
        let gets = gets(5);
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for piece in 1..=bytes.len() {
            let mut ear = gets.ear();
            for again in 0..2 {
                let mut replies = 0;
                for mut piece in bytes.chunks(piece) {
                    while !piece.is_empty() {
                        let (taken, heard) = gets.hear(&mut ear, again, piece).unwrap();
                        piece = &piece[taken..];
                        replies += u32::from(heard == Heard::Reply(again));
                    }
                }
                assert_eq!(replies, 1, "{piece}");
            }
        }
    }

    #[test]
    fn a_head_without_end_and_a_wrong_length_are_malformed() {
        let gets = gets(5);
        let mut ear = gets.ear();
        let endless = vec![b'a'; MAX_HEAD + 1];
        let mut told = Ok((0, Heard::Part));
        for piece in endless.chunks(100) {
            told = told.and_then(|_| gets.hear(&mut ear, 0, piece));
        }
        assert_eq!(told, Err(Failure::Malformed));
        let wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
        let told = gets.hear(&mut gets.ear(), 0, wrong);
        assert_eq!(told, Err(Failure::Malformed));
    }

    #[test]
    fn a_server_that_closes_is_believed() {
        let gets = gets(0);
        let bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let told = gets.hear(&mut gets.ear(), 4, bytes);
        assert_eq!(told, Ok((bytes.len(), Heard::LastReply(4))));
    }
}
