//! A small HTTP/1.1 server: `GET /bytes/N` is answered with N bytes.

use std::io::Write as _;

use super::peer::{Buffers, Gone, Peer};
use crate::probe::http::BACKEND;

/// Longest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// Most header lines of a request.
pub(super) const MAX_HEADERS: usize = 64;

/// Room for the head of a response, in bytes.
const HEAD_ROOM: usize = 384;

/// Longest body that goes out with its head in one write, in bytes.
const BODY_PIECE: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// That many bytes.
    Bytes { count: u32, stays: bool },
    /// Nothing that is served; the connection then ends.
    Refused(Refused),
}

/// Why a request isn't served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed,
    Body,
    TooLarge,
    Unknown,
    Method,
    Head,
}

impl Refused {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Body => 400,
            Self::TooLarge => 403,
            Self::Unknown => 404,
            Self::Method => 405,
            Self::Head => 431,
        }
    }

    const fn phrase(self) -> &'static str {
        match self {
            Self::Malformed | Self::Body => "Bad Request",
            Self::TooLarge => "Forbidden",
            Self::Unknown => "Not Found",
            Self::Method => "Method Not Allowed",
            Self::Head => "Request Header Fields Too Large",
        }
    }

    /// Returns the body of the response.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "this is not HTTP/1.1\n",
            Self::Body => "a GET has no body here\n",
            Self::TooLarge => "too large; the operator sets the limit with --max-response\n",
            Self::Unknown => "ask for /bytes/N\n",
            Self::Method => "only GET is served\n",
            Self::Head => "the head is at most 8 KiB\n",
        }
    }
}

/// Returns how many bytes are asked for, by any version of HTTP.
pub(super) fn asked(method: &str, path: &str, max_response: u32) -> Result<u32, Refused> {
    if method != "GET" {
        return Err(Refused::Method);
    }
    let count: Option<u64> = path
        .strip_prefix("/bytes/")
        .filter(|count| count.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|count| count.parse().ok());
    match count.map(u32::try_from) {
        Some(Ok(count)) if count <= max_response => Ok(count),
        Some(_) => Err(Refused::TooLarge),
        None => Err(Refused::Unknown),
    }
}

/// Answers requests, of which `have` bytes are in the inbox, until the connection ends.
pub(super) fn serve(peer: &Peer<'_>, buffers: &mut Buffers, mut have: usize) -> Result<(), Gone> {
    let Buffers { inbox, outbox } = buffers;
    if outbox.is_empty() {
        outbox.resize(HEAD_ROOM + BODY_PIECE, b'.');
    }
    loop {
        while let Some((len, answer)) = parse(&inbox[..have], peer.max_response) {
            peer.toll.exact();
            if !respond(peer, outbox, &answer)? {
                return Ok(());
            }
            peer.advance();
            inbox.copy_within(len..have, 0);
            have -= len;
        }
        have += peer.read(&mut inbox[have..])?;
    }
}

/// Reads a request's head; `None` while it is incomplete. Returns its length with the answer.
fn parse(bytes: &[u8], max_response: u32) -> Option<(usize, Answer)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let too_long = Answer::Refused(Refused::Head);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Some((0, too_long)),
        Err(_) => {
            return Some((0, Answer::Refused(Refused::Malformed)));
        }
    };
    Some((len, answer(&request, max_response)))
}

fn answer(request: &httparse::Request<'_, '_>, max_response: u32) -> Answer {
    let mut stays = request.version == Some(1);
    for header in request.headers.iter() {
        let name = header.name;
        let body = name.eq_ignore_ascii_case("content-length") && header.value != b"0"
            || name.eq_ignore_ascii_case("transfer-encoding");
        if body {
            return Answer::Refused(Refused::Body);
        }
        if name.eq_ignore_ascii_case("connection") {
            stays &= !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    match asked(method, path, max_response) {
        Ok(count) => Answer::Bytes { count, stays },
        Err(refused) => Answer::Refused(refused),
    }
}

/// Sends an answer; returns whether the connection stays open.
fn respond(peer: &Peer<'_>, outbox: &mut [u8], answer: &Answer) -> Result<bool, Gone> {
    let mut head = [0; HEAD_ROOM];
    let mut rest: &mut [u8] = &mut head;
    match *answer {
        Answer::Refused(refused) => {
            let (status, phrase) = (refused.status(), refused.phrase());
            let reason = refused.reason();
            let len = reason.len();
            write!(
                rest,
                "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\
                 {BACKEND}: {name}\r\nConnection: close\r\n\r\n{reason}",
                name = peer.name,
            )
            .map_err(|_| Gone)?;
            let len = HEAD_ROOM - rest.len();
            peer.write(&head[..len])?;
            Ok(false)
        }
        Answer::Bytes { count, stays } => {
            let connection = if stays { "" } else { "Connection: close\r\n" };
            write!(
                rest,
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {count}\r\n{BACKEND}: {name}\r\n{connection}\r\n",
                name = peer.name,
            )
            .map_err(|_| Gone)?;
            let len = HEAD_ROOM - rest.len();
            // The head ends where the body starts, so that both go out with one write.
            let from = HEAD_ROOM - len;
            outbox[from..HEAD_ROOM].copy_from_slice(&head[..len]);
            let mut left = u64::from(count);
            let mut start = from;
            loop {
                let piece = usize::try_from(left).map_or(BODY_PIECE, |left| left.min(BODY_PIECE));
                peer.write(&outbox[start..HEAD_ROOM + piece])?;
                left -= piece as u64;
                if left == 0 {
                    return Ok(stays);
                }
                start = HEAD_ROOM;
            }
        }
    }
}

/// For the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(super) mod doors {
    /// Reads the head of a request.
    pub(crate) fn request(bytes: &[u8]) {
        if let Some((len, _)) = super::parse(bytes, 65_536) {
            assert!(len <= bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1000;

    fn answer_to(text: &str) -> Option<(usize, Answer)> {
        parse(text.as_bytes(), LIMIT)
    }

    fn status(text: &str) -> String {
        match answer_to(text) {
            Some((_, Answer::Refused(refused))) => refused.status().to_string(),
            Some((_, Answer::Bytes { .. })) => "200".to_owned(),
            None => "...".to_owned(),
        }
    }

    #[test]
    fn a_request_for_bytes_is_understood() {
        let text = "GET /bytes/64 HTTP/1.1\r\nHost: a\r\n\r\nGET ";
        let answer = Answer::Bytes {
            count: 64,
            stays: true,
        };
        assert_eq!(answer_to(text), Some((text.len() - 4, answer)));
        let text = "GET /bytes/0 HTTP/1.1\r\nConnection: Close\r\n\r\n";
        let answer = Answer::Bytes {
            count: 0,
            stays: false,
        };
        assert_eq!(answer_to(text), Some((text.len(), answer)));
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, expected) in [
            ("GET /bytes/1 HTTP/1.1\r\n", "..."),
            ("GET /bytes/1000 HTTP/1.1\r\n\r\n", "200"),
            ("GET /bytes/1001 HTTP/1.1\r\n\r\n", "403"),
            ("GET /bytes/99999999999999999999 HTTP/1.1\r\n\r\n", "404"),
            ("GET /bytes/+1 HTTP/1.1\r\n\r\n", "404"),
            ("GET /bytes/ HTTP/1.1\r\n\r\n", "404"),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404"),
            ("POST /bytes/1 HTTP/1.1\r\n\r\n", "405"),
            ("GET /bytes/1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "400"),
            (
                "GET /bytes/1 HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
                "400",
            ),
            ("GET \0 HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/9\r\n\r\n", "400"),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let long = format!("GET /{}", "x".repeat(MAX_HEAD));
        assert_eq!(status(&long), "431");
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), "431");
    }
}
