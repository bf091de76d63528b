//! Serves one connection: recognises its protocol, then answers requests or counts a stream.

use super::arranged;
use super::http;
use super::peer::{Buffers, Gone, Peer};
use super::web::Speech;
use crate::bulk::Intake;
use crate::clock::thread_cpu_ns;
use crate::wire::{CONFIRMATION_LEN, ECHOED, Mode, PREAMBLE_LEN, Preamble, WireError};

/// How an HTTP connection starts.
const HTTP_START: &[u8] = b"GET ";

/// How an HTTP/2 connection starts: as no request of HTTP/1 does.
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0";

/// How a TLS connection starts: a record of the handshake, of version 3.
const TLS_START: &[u8] = &[0x16, 3];

/// What the first bytes of a connection turned out to be.
enum Greeting {
    Probe(Preamble),
    Http,
    Web(Speech),
}

/// What became of a connection.
pub(super) enum Served {
    /// It is over.
    Whole,
    /// It is for the thread of HTTP/2 and TLS; so many bytes of it are in the inbox.
    HandOver(Speech, usize),
}

/// Serves a connection to its end.
///
/// # Errors
///
/// When it never said a word that is understood here.
pub(super) fn serve(peer: &Peer<'_>, buffers: &mut Buffers) -> Result<Served, Gone> {
    let mut have = 0;
    let greeting = loop {
        have += peer.read(&mut buffers.inbox[have..])?;
        match recognise(&buffers.inbox[..have]) {
            Ok(Some(greeting)) => break greeting,
            Ok(None) => {}
            Err(error) => {
                if matches!(error, WireError::Version(_)) {
                    peer.write(&Preamble::refusal())?;
                }
                return Err(Gone);
            }
        }
    };
    peer.advance();
    // From here on, each way to end is an ordinary one.
    let _gone = match greeting {
        Greeting::Web(speech) => return Ok(Served::HandOver(speech, have)),
        Greeting::Http => http::serve(peer, buffers, have),
        Greeting::Probe(Preamble { mode, size }) => {
            buffers.inbox.copy_within(PREAMBLE_LEN..have, 0);
            have -= PREAMBLE_LEN;
            let size = size as usize;
            match mode {
                Mode::Stream => count(peer, &mut buffers.inbox, have, size, false),
                Mode::Arranged => arranged::serve(peer, buffers, have, size),
                Mode::RequestResponse if size > buffers.inbox.len() => {
                    answer_large(peer, &mut buffers.inbox, have, size)
                }
                Mode::RequestResponse => answer(peer, &mut buffers.inbox, have, size),
            }
        }
    };
    Ok(Served::Whole)
}

/// Tells protocols apart by as many bytes as there are; `None` asks for more.
fn recognise(bytes: &[u8]) -> Result<Option<Greeting>, WireError> {
    for (start, greeting) in [
        (HTTP_START, Greeting::Http),
        (HTTP2_START, Greeting::Web(Speech::Http2)),
        (TLS_START, Greeting::Web(Speech::Tls)),
    ] {
        let common = bytes.len().min(start.len());
        if bytes[..common] == start[..common] {
            return Ok((common == start.len()).then_some(greeting));
        }
    }
    if bytes.len() < PREAMBLE_LEN && Preamble::may_start_with(bytes) {
        return Ok(None);
    }
    Preamble::decode(bytes).map(|preamble| Some(Greeting::Probe(preamble)))
}

/// Answers each request with itself: one read and one write where it comes in one piece.
fn answer(peer: &Peer<'_>, inbox: &mut [u8], mut have: usize, size: usize) -> Result<(), Gone> {
    loop {
        peer.fill(&mut inbox[..size], have)?;
        peer.toll.exact();
        peer.turns.note();
        peer.write(&inbox[..size])?;
        peer.advance();
        // More than one request is there only if several came together with the preamble.
        have = have.saturating_sub(size);
        if have > 0 {
            inbox.copy_within(size..size + have, 0);
        }
    }
}

/// Answers requests that are larger than the inbox: only their start is kept and repeated. All of a request
/// is read before the reply, so that two ends that both write never wait for each other.
fn answer_large(
    peer: &Peer<'_>,
    inbox: &mut [u8],
    mut have: usize,
    size: usize,
) -> Result<(), Gone> {
    loop {
        let mut start = [0; ECHOED];
        peer.fill(inbox, have)?;
        start.copy_from_slice(&inbox[..ECHOED]);
        let mut left = size - inbox.len();
        while left > 0 {
            let room = left.min(inbox.len());
            left -= peer.read(&mut inbox[..room])?;
        }
        inbox[..ECHOED].copy_from_slice(&start);
        peer.toll.exact();
        peer.turns.note();
        let mut left = size;
        while left > 0 {
            let piece = left.min(inbox.len());
            peer.write(&inbox[..piece])?;
            left -= piece;
        }
        peer.advance();
        have = 0;
    }
}

/// Counts the bytes of a stream, and says the count, and the CPU time it took, after each block that asks for it.
/// Says no more bytes than it received.
pub(super) fn count(
    peer: &Peer<'_>,
    inbox: &mut [u8],
    have: usize,
    size: usize,
    truncate: bool,
) -> Result<(), Gone> {
    let mut intake = Intake::new(size as u64, truncate);
    let mut said = 0;
    let mut asked = intake.take(&inbox[..have]);
    let cpu_ns = thread_cpu_ns();
    loop {
        if let Some(total) = asked {
            said += CONFIRMATION_LEN as u64;
            if said > intake.total() + PREAMBLE_LEN as u64 {
                return Err(Gone);
            }
            let mut confirmation = [0; CONFIRMATION_LEN];
            confirmation[..8].copy_from_slice(&total.to_be_bytes());
            let cpu_ns = thread_cpu_ns().saturating_sub(cpu_ns);
            confirmation[8..].copy_from_slice(&cpu_ns.to_be_bytes());
            peer.write(&confirmation)?;
        }
        asked = peer.take(&mut intake, inbox)?;
        peer.advance();
    }
}

/// For the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(super) mod doors {
    use super::recognise;
    use crate::bulk::Blocks;

    /// Tells the protocol of a connection by its first bytes.
    pub(crate) fn greeting(bytes: &[u8]) {
        let _ = recognise(bytes);
    }

    /// Counts the blocks of a stream that comes in pieces.
    pub(crate) fn blocks(size: u64, cut: usize, stream: &[u8]) {
        let mut blocks = Blocks::new(size);
        let said: Vec<u64> = stream
            .chunks(cut)
            .filter_map(|piece| blocks.take(piece))
            .collect();
        assert!(said.is_sorted() && said.iter().all(|&said| said <= stream.len() as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart_as_early_as_possible() {
        assert!(matches!(recognise(b"G"), Ok(None)));
        assert!(matches!(recognise(b"GET "), Ok(Some(Greeting::Http))));
        assert!(matches!(recognise(b"TLGT"), Ok(None)));
        assert!(recognise(b"GETX").is_err());
        assert!(recognise(b"POST").is_err());
        assert!(matches!(recognise(b"PRI * HT"), Ok(None)));
        assert!(matches!(
            recognise(b"PRI * HTTP/2.0\r\n"),
            Ok(Some(Greeting::Web(Speech::Http2)))
        ));
        assert!(matches!(
            recognise(&[0x16, 3, 1, 0]),
            Ok(Some(Greeting::Web(Speech::Tls)))
        ));
        assert!(recognise(&[0x16, 2]).is_err());
        assert!(recognise(b"\0").is_err());
        assert!(recognise(&[b'T'; PREAMBLE_LEN]).is_err());
    }
}
