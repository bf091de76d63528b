//! Responses, whole and cut, good and bad.

use proptest::prelude::*;

use super::*;

/// Reads a text in pieces of this length; returns the whole responses.
fn read(text: &str, piece: usize, expected: Option<u64>) -> Result<Vec<Response>, Failure> {
    let tally = Tally::default();
    let mut reader = Reader::new(expected);
    let mut whole = Vec::new();
    for mut piece in text.as_bytes().chunks(piece) {
        while !piece.is_empty() {
            let (taken, response) = reader.read(piece, &tally)?;
            assert!(taken > 0);
            piece = &piece[taken..];
            whole.extend(response);
        }
    }
    Ok(whole)
}

const GOOD: [(&str, u16, u64, bool); 10] = [
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        5,
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        200,
        0,
        false,
    ),
    (
        "HTTP/1.1 200 OK\r\nconnection: Upgrade, Close\r\nContent-Length: 0\r\n\r\n",
        200,
        0,
        false,
    ),
    (
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        0,
        false,
    ),
    (
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        200,
        0,
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        5,
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n1 \r\n!\r\n000\r\nA: b\r\n\r\n",
        200,
        11,
        true,
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        204,
        0,
        true,
    ),
    (
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
        304,
        0,
        true,
    ),
    (
        "HTTP/1.1 404 Not Found\nContent-Length: 2\n\nno",
        404,
        2,
        true,
    ),
];

#[test]
fn a_response_is_read_however_it_is_cut() {
    for (text, status, body, stays) in GOOD {
        let response = Response {
            status,
            body,
            stays,
            backend: None,
        };
        for piece in 1..=text.len() {
            assert_eq!(
                read(text, piece, None),
                Ok(vec![response]),
                "{text} {piece}"
            );
        }
        let twice = format!("{text}{text}");
        assert_eq!(read(&twice, 7, None), Ok(vec![response; 2]), "{text}");
    }
}

#[test]
fn a_body_may_last_until_the_end_of_the_connection() {
    let tally = Tally::default();
    let mut reader = Reader::new(None);
    let text = b"HTTP/1.1 200 OK\r\n\r\nhel";
    assert_eq!(reader.read(text, &tally), Ok((text.len(), None)));
    assert_eq!(reader.read(b"lo", &tally), Ok((2, None)));
    let response = reader.end().unwrap();
    assert_eq!((response.body, response.stays), (5, false));
    for cut in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..],
        b"HTTP/1.1",
        b"",
    ] {
        let mut reader = Reader::new(None);
        if !cut.is_empty() {
            reader.read(cut, &tally).unwrap();
        }
        assert_eq!(reader.end(), Err(Failure::Reset));
    }
}

#[test]
fn what_is_not_http_is_malformed() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 000 Nothing\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        assert_eq!(
            read(text, text.len(), None),
            Err(Failure::Malformed),
            "{text}"
        );
        assert_eq!(read(text, 1, None), Err(Failure::Malformed), "{text}");
    }
}

#[test]
fn what_has_no_end_is_malformed() {
    let head = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(90));
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD));
    let many = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(MAX_HEADERS + 1));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = format!("{chunked}1;{}", "x".repeat(300));
    let trailers = format!("{chunked}0\r\n{}", "A: b\r\n".repeat(MAX_HEAD / 6 + 1));
    assert_eq!(read(&head, 1000, None), Ok(vec![]));
    for text in [long, many + "\r\n", line, trailers] {
        assert_eq!(read(&text, 100, None), Err(Failure::Malformed));
    }
}

#[test]
fn a_length_that_was_asked_for_is_held() {
    for (text, good) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!",
            false,
        ),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n123456", true),
    ] {
        assert_eq!(read(text, 9, Some(5)).is_ok(), good, "{text}");
    }
}

#[test]
fn a_backend_is_noted() {
    let tally = Tally::default();
    let mut reader = Reader::new(None);
    let text = b"HTTP/1.1 200 OK\r\nX-Tollgate-Backend: pod-7\r\nContent-Length: 0\r\n\r\n";
    let (_, response) = reader.read(text, &tally).unwrap();
    tally.replied(&response.unwrap());
    assert_eq!(tally.take().backends, [("pod-7".to_owned(), 1)].into());
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 1..400), piece in 1..40_usize) {
        let tally = Tally::default();
        let mut start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        start.extend_from_slice(&bytes);
        for bytes in [bytes, start] {
            let mut reader = Reader::new(None);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let Ok((taken, _)) = reader.read(&rest[..rest.len().min(piece)], &tally) else {
                    break;
                };
                prop_assert!(taken > 0);
                rest = &rest[taken..];
            }
        }
    }
}
