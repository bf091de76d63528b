//! Serves one connection: recognises its protocol, then answers requests or counts a stream.

use super::arranged;
use super::http;
use super::peer::{Buffers, Gone, Peer};
use crate::bulk::Blocks;
use crate::clock::thread_cpu_ns;
use crate::wire::{CONFIRMATION_LEN, ECHOED, Mode, PREAMBLE_LEN, Preamble, WireError};

/// How an HTTP connection starts.
const HTTP_START: &[u8] = b"GET ";

/// What the first bytes of a connection turned out to be.
enum Greeting {
    Probe(Preamble),
    Http,
}

/// Serves a connection to its end.
///
/// # Errors
///
/// When it never said a word that is understood here.
pub(super) fn serve(peer: &Peer<'_>, buffers: &mut Buffers) -> Result<(), Gone> {
    let mut have = 0;
    let greeting = loop {
        have += peer.read(&mut buffers.inbox[have..])?;
        if let Some(greeting) = recognise(&buffers.inbox[..have]).map_err(|_| Gone)? {
            break greeting;
        }
    };
    peer.advance();
    // From here on, each way to end is an ordinary one.
    let _gone = match greeting {
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
    Ok(())
}

/// Tells protocols apart by as many bytes as there are; `None` asks for more.
fn recognise(bytes: &[u8]) -> Result<Option<Greeting>, WireError> {
    let common = bytes.len().min(HTTP_START.len());
    if bytes[..common] == HTTP_START[..common] {
        return Ok((common == HTTP_START.len()).then_some(Greeting::Http));
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
    let mut blocks = Blocks::new(size as u64);
    let mut said = 0;
    let mut asked = blocks.take(&inbox[..have]);
    let cpu_ns = thread_cpu_ns();
    loop {
        if let Some(total) = asked {
            said += CONFIRMATION_LEN as u64;
            if said > blocks.total() + PREAMBLE_LEN as u64 {
                return Err(Gone);
            }
            let mut confirmation = [0; CONFIRMATION_LEN];
            confirmation[..8].copy_from_slice(&total.to_be_bytes());
            let cpu_ns = thread_cpu_ns().saturating_sub(cpu_ns);
            confirmation[8..].copy_from_slice(&cpu_ns.to_be_bytes());
            peer.write(&confirmation)?;
        }
        asked = peer.take(&mut blocks, inbox, truncate)?;
        peer.advance();
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
        assert!(recognise(b"\0").is_err());
        assert!(recognise(&[b'T'; PREAMBLE_LEN]).is_err());
    }
}
