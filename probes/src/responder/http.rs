//! A small HTTP/1.1 server: `GET /bytes/N` is answered with N bytes.

use std::io::Write as _;

use super::peer::{Buffers, Gone, Peer};

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// Most header lines of a request.
const MAX_HEADERS: usize = 64;

/// Room for the head of a response, in bytes.
const HEAD_ROOM: usize = 256;

/// Longest body that goes out with its head in one write, in bytes.
const BODY_PIECE: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// That many bytes.
    Bytes { count: u64, stays: bool },
    /// A refusal with its status line and reason; the connection then ends.
    Refused(&'static str, &'static str),
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
    let too_long = Answer::Refused(
        "431 Request Header Fields Too Large",
        "the head is at most 8 KiB\n",
    );
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Some((0, too_long)),
        Err(_) => {
            let malformed = Answer::Refused("400 Bad Request", "this is not HTTP/1.1\n");
            return Some((0, malformed));
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
            return Answer::Refused("400 Bad Request", "a GET has no body here\n");
        }
        if name.eq_ignore_ascii_case("connection") {
            stays &= !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    if request.method != Some("GET") {
        return Answer::Refused("405 Method Not Allowed", "only GET is served\n");
    }
    let count = request
        .path
        .and_then(|path| path.strip_prefix("/bytes/"))
        .filter(|count| count.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|count| count.parse().ok());
    match count {
        Some(count) if count <= u64::from(max_response) => Answer::Bytes { count, stays },
        Some(_) => Answer::Refused(
            "403 Forbidden",
            "too large; the operator sets the limit with --max-response\n",
        ),
        None => Answer::Refused("404 Not Found", "ask for /bytes/N\n"),
    }
}

/// Sends an answer; returns whether the connection stays open.
fn respond(peer: &Peer<'_>, outbox: &mut [u8], answer: &Answer) -> Result<bool, Gone> {
    let mut head = [0; HEAD_ROOM];
    let mut rest: &mut [u8] = &mut head;
    match *answer {
        Answer::Refused(status, reason) => {
            let len = reason.len();
            write!(
                rest,
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\
                 Connection: close\r\n\r\n{reason}"
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
                 Content-Length: {count}\r\n{connection}\r\n"
            )
            .map_err(|_| Gone)?;
            let len = HEAD_ROOM - rest.len();
            // The head ends where the body starts, so that both go out with one write.
            let from = HEAD_ROOM - len;
            outbox[from..HEAD_ROOM].copy_from_slice(&head[..len]);
            let mut left = count;
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1000;

    fn answer_to(text: &str) -> Option<(usize, Answer)> {
        parse(text.as_bytes(), LIMIT)
    }

    fn status(text: &str) -> &'static str {
        match answer_to(text) {
            Some((_, Answer::Refused(status, _))) => &status[..3],
            Some((_, Answer::Bytes { .. })) => "200",
            None => "...",
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
