//! An HTTP/1.1 GET and its response, whose length is told by Content-Length.

use std::net::SocketAddr;

use tollgate_results::outcome::Failure;

use super::echo::Exchange;
use super::transport::{Transport, recv_some, send_all};
use super::window::{Fault, Patience};
use crate::clock::Clock;

/// Longest head of a response, in bytes.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// Most header lines of a response.
const MAX_HEADERS: usize = 64;

/// Receives head and body, in bytes.
const BUFFER: usize = 64 * 1024;

const MALFORMED: Fault = Fault::Failed(Failure::Malformed);

/// GETs `/bytes/N`, which the probe's responder answers with N bytes.
#[derive(Debug)]
pub(crate) struct Get {
    request: Vec<u8>,
    body: u64,
    buffer: Vec<u8>,
}

/// What the head of a response says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) body: u64,
    pub(super) stays: bool,
}

impl Get {
    /// Prepares requests for `body` bytes; `kept` says whether the connection is.
    pub(crate) fn new(target: SocketAddr, body: u64, kept: bool) -> Self {
        Self {
            request: request(target, body, kept),
            body,
            buffer: vec![0; BUFFER],
        }
    }

    /// Receives a whole head; returns it with the bytes received so far.
    fn head<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        patience: &Patience<'_, C>,
    ) -> Result<(Head, usize), Fault> {
        let mut received = 0;
        loop {
            received += recv_some(link, &mut self.buffer[received..], patience)?;
            if let Some(head) = parse(&self.buffer[..received])? {
                return Ok((head, received));
            }
            if received >= MAX_HEAD {
                return Err(MALFORMED);
            }
            patience.check()?;
        }
    }
}

impl Exchange for Get {
    fn perform<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        _first: bool,
        patience: &Patience<'_, C>,
    ) -> Result<bool, Fault> {
        send_all(link, &self.request, patience)?;
        let (head, received) = self.head(link, patience)?;
        // What comes after the body would answer a request that wasn't made.
        let start = (received - head.len) as u64;
        let mut missing = self.body.checked_sub(start).ok_or(MALFORMED)?;
        if head.body != self.body {
            return Err(MALFORMED);
        }
        while missing > 0 {
            let room = usize::try_from(missing).map_or(BUFFER, |missing| missing.min(BUFFER));
            missing -= recv_some(link, &mut self.buffer[..room], patience)? as u64;
            if missing > 0 {
                patience.check()?;
            }
        }
        Ok(head.stays)
    }

    fn payload(&self) -> (u64, u64) {
        (self.request.len() as u64, self.body)
    }
}

/// Writes a request for `body` bytes; `kept` says whether the connection is.
pub(super) fn request(target: SocketAddr, body: u64, kept: bool) -> Vec<u8> {
    let connection = if kept { "keep-alive" } else { "close" };
    let text =
        format!("GET /bytes/{body} HTTP/1.1\r\nHost: {target}\r\nConnection: {connection}\r\n\r\n");
    text.into_bytes()
}

/// Reads the head of a response; `None` while it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(MALFORMED),
    };
    if response.code != Some(200) || len > MAX_HEAD {
        return Err(MALFORMED);
    }
    let mut body = None;
    let mut stays = response.version == Some(1);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(MALFORMED);
        }
        if header.name.eq_ignore_ascii_case("content-length")
            && body.replace(decimal(header.value)?).is_some()
        {
            return Err(MALFORMED);
        }
        if header.name.eq_ignore_ascii_case("connection") {
            stays &= !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let body = body.ok_or(MALFORMED)?;
    Ok(Some(Head { len, body, stays }))
}

/// Reads digits and nothing else.
fn decimal(value: &[u8]) -> Result<u64, Fault> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whole_or_not_yet() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let head = Head {
            len: bytes.len() - 5,
            body: 5,
            stays: true,
        };
        assert_eq!(parse(bytes), Ok(Some(head)));
        assert_eq!(parse(&bytes[..20]), Ok(None));
    }

    #[test]
    fn a_server_that_closes_is_believed() {
        for text in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            let head = parse(text.as_bytes()).unwrap().unwrap();
            assert!(!head.stays, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_malformed() {
        for text in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(MALFORMED), "{text}");
        }
    }
}
