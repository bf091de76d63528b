//! HTTP/1.1 GETs of an open loop, one at a time on each connection.

use std::net::SocketAddr;

use tollgate_results::outcome::Failure;

use super::talk::{Heard, Talk};
use crate::probe::http::{self, Head, MAX_HEAD};

/// GETs `/bytes/N`, which the probe's responder answers with N bytes.
#[derive(Debug)]
pub(crate) struct Gets {
    request: Vec<u8>,
    body: u64,
}

/// What was heard of a response.
#[derive(Debug)]
pub(crate) struct Response {
    /// Its head, while that is incomplete.
    head: Vec<u8>,
    /// Once it was complete: how much of the body is missing, and whether the connection stays.
    rest: Option<(u64, bool)>,
}

impl Gets {
    /// Prepares requests for `body` bytes.
    pub(crate) fn new(target: SocketAddr, body: u64) -> Self {
        Self {
            request: http::request(target, body, true),
            body,
        }
    }

    /// Reads the head from what was kept of it and the new bytes; returns how many of these belong to it. Bytes
    /// of an incomplete head are kept.
    fn head(&self, kept: &mut Vec<u8>, bytes: &[u8]) -> Result<(usize, Option<Head>), Failure> {
        let parse = |bytes: &[u8]| http::parse(bytes).map_err(|_| Failure::Malformed);
        let before = kept.len();
        let taken = bytes.len().min(MAX_HEAD - before);
        let found = if before == 0 {
            // The common case: the whole head at once, without a copy.
            parse(&bytes[..taken])?
        } else {
            kept.extend_from_slice(&bytes[..taken]);
            parse(kept)?
        };
        let Some(head) = found else {
            if before == 0 {
                kept.extend_from_slice(&bytes[..taken]);
            }
            return if kept.len() < MAX_HEAD {
                Ok((taken, None))
            } else {
                Err(Failure::Malformed)
            };
        };
        kept.clear();
        if head.body == self.body {
            Ok((head.len - before, Some(head)))
        } else {
            Err(Failure::Malformed)
        }
    }
}

impl Talk for Gets {
    type Ear = Response;

    fn ear(&self) -> Response {
        Response {
            head: Vec::with_capacity(MAX_HEAD),
            rest: None,
        }
    }

    #[inline]
    fn ask(&mut self, _sequence: u64, _first: bool) -> &[u8] {
        &self.request
    }

    fn hear(
        &self,
        ear: &mut Response,
        oldest: u64,
        bytes: &[u8],
    ) -> Result<(usize, Heard), Failure> {
        let (of_head, missing, stays) = match ear.rest {
            Some((missing, stays)) => (0, missing, stays),
            None => match self.head(&mut ear.head, bytes)? {
                (taken, None) => return Ok((taken, Heard::Part)),
                (taken, Some(head)) => (taken, head.body, head.stays),
            },
        };
        let body = (bytes.len() - of_head) as u64;
        let of_body = body.min(missing);
        if of_body < missing {
            ear.rest = Some((missing - of_body, stays));
            return Ok((bytes.len(), Heard::Part));
        }
        ear.rest = None;
        let taken = of_head + usize::try_from(of_body).unwrap_or(usize::MAX);
        let heard = if stays {
            Heard::Reply(oldest)
        } else {
            Heard::LastReply(oldest)
        };
        Ok((taken, heard))
    }

    fn reply(&self) -> u64 {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "192.0.2.2:80";

    fn gets(body: u64) -> Gets {
        Gets::new(TARGET.parse().unwrap(), body)
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
