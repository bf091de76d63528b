//! What is said over the connections of an open loop: requests that are told apart, and their replies.
//!
//! One [`Talk`] serves all connections of a thread, so that its frame stays in the cache; what was heard of an
//! unfinished reply is kept by connection.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tollgate_results::outcome::Failure;

use crate::wire::{ECHOED, Header, Kind, Mode, PREAMBLE_LEN, Preamble, REFUSAL_LEN};

/// Requests and replies of one kind of traffic.
pub(crate) trait Talk {
    /// What was heard of an unfinished reply.
    type Ear: std::fmt::Debug;

    /// Whether what is received at once is one whole reply, and an empty one no end of the connection.
    const DATAGRAMS: bool = false;

    /// Returns an ear that heard nothing, its memory in place.
    fn ear(&self) -> Self::Ear;

    /// Returns the bytes of a request; `first` on the first one of a connection. The same arguments give the same bytes.
    fn ask(&mut self, sequence: u64, first: bool) -> &[u8];

    /// Takes in what was received, at least one byte, while the request `oldest` waits for its reply. Returns how
    /// many bytes it took, at least one, and what they are.
    fn hear(
        &self,
        ear: &mut Self::Ear,
        oldest: u64,
        bytes: &[u8],
    ) -> Result<(usize, Heard), Failure>;

    /// Returns the payload of a reply, in bytes.
    fn reply(&self) -> u64;

    /// Returns how long the far end had the request of this reply, in nanoseconds, if it was asked and says so.
    fn far_end_ns(&self, _reply: &[u8]) -> Option<u64> {
        None
    }
}

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A part of a reply.
    Part,
    /// The end of the reply to this request.
    Reply(u64),
    /// A segment that refuses this request, which answers it, too.
    Refused(u64),
    /// The same as a reply, and the peer closes the connection.
    LastReply(u64),
    /// A datagram that answers nothing that was asked.
    Stray,
}

/// Requests in the probe's own protocol on TCP, answered in order.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Preamble and request in one piece.
    frame: Vec<u8>,
    size: usize,
}

/// What was heard of a reply: how much, and its beginning.
#[derive(Debug)]
pub(crate) struct Echoed {
    len: usize,
    start: [u8; ECHOED],
}

impl Pipeline {
    /// Prepares requests of `size` bytes, their content drawn from `seed`.
    pub(crate) fn new(size: u32, seed: u64) -> Self {
        let mode = Mode::RequestResponse;
        let mut frame = Preamble { mode, size }.encode().to_vec();
        let size = size as usize;
        frame.resize(PREAMBLE_LEN + size, 0);
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut frame[PREAMBLE_LEN..]);
        Self { frame, size }
    }

    /// Returns how much of a request tells it from others.
    fn stamped(&self) -> usize {
        self.size.min(size_of::<u64>())
    }

    /// Returns how much of a request its reply repeats.
    fn echoed(&self) -> usize {
        self.size.min(ECHOED)
    }
}

impl Talk for Pipeline {
    type Ear = Echoed;

    fn ear(&self) -> Echoed {
        Echoed {
            len: 0,
            start: [0; ECHOED],
        }
    }

    #[inline]
    fn ask(&mut self, sequence: u64, first: bool) -> &[u8] {
        let stamped = self.stamped();
        self.frame[PREAMBLE_LEN..][..stamped].copy_from_slice(&sequence.to_le_bytes()[..stamped]);
        let from = if first { 0 } else { PREAMBLE_LEN };
        &self.frame[from..]
    }

    #[inline]
    fn hear(&self, ear: &mut Echoed, oldest: u64, bytes: &[u8]) -> Result<(usize, Heard), Failure> {
        let taken = bytes.len().min(self.size - ear.len);
        let echoed = self.echoed();
        if ear.len < echoed {
            let end = echoed.min(ear.len + taken);
            ear.start[ear.len..end].copy_from_slice(&bytes[..end - ear.len]);
        }
        ear.len += taken;
        if ear.len < self.size {
            let start = &ear.start[..ear.len.min(ECHOED)];
            if ear.len == REFUSAL_LEN && Preamble::is_refusal(start) {
                return Err(Failure::Version);
            }
            return Ok((taken, Heard::Part));
        }
        ear.len = 0;
        let stamped = self.stamped();
        let stamp = oldest.to_le_bytes();
        let request = &self.frame[PREAMBLE_LEN..];
        let is_its = ear.start[..stamped] == stamp[..stamped]
            && ear.start[stamped..echoed] == request[stamped..echoed];
        if is_its {
            Ok((taken, Heard::Reply(oldest)))
        } else {
            Err(Failure::Malformed)
        }
    }

    fn reply(&self) -> u64 {
        self.size as u64
    }
}

/// Requests and replies by datagrams, told apart by their number.
#[derive(Debug)]
pub(crate) struct Datagrams {
    frame: Vec<u8>,
    token: u64,
    kind: Kind,
}

impl Datagrams {
    /// Prepares datagrams of `size` bytes, their content and the job's token drawn from `seed`.
    pub(crate) fn new(size: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut frame = vec![0; size];
        random.fill_bytes(&mut frame);
        let token = random.next_u64();
        let kind = Kind::Request;
        Self { frame, token, kind }
    }

    /// Has the far end say how long it had each request, which its replies have room for from 40 bytes on.
    pub(crate) fn asking_far_end(mut self) -> Self {
        self.kind = Kind::StampedRequest;
        // A responder that doesn't know, leaves this.
        Header::write_far_end(&mut self.frame, None);
        self
    }
}

impl Talk for Datagrams {
    type Ear = ();

    const DATAGRAMS: bool = true;

    fn ear(&self) {}

    #[inline]
    fn ask(&mut self, sequence: u64, _first: bool) -> &[u8] {
        let header = Header {
            kind: self.kind,
            token: self.token,
            sequence,
        };
        header.write_to(&mut self.frame);
        &self.frame
    }

    #[inline]
    fn hear(&self, _ear: &mut (), _oldest: u64, bytes: &[u8]) -> Result<(usize, Heard), Failure> {
        if Header::is_refusal(bytes, self.token) {
            return Err(Failure::Version);
        }
        let header = Header::read_from(bytes).ok().filter(|header| {
            header.kind == Kind::Reply
                && header.token == self.token
                && bytes.len() == self.frame.len()
        });
        let heard = header.map_or(Heard::Stray, |header| Heard::Reply(header.sequence));
        Ok((bytes.len(), heard))
    }

    fn reply(&self) -> u64 {
        self.frame.len() as u64
    }

    #[inline]
    fn far_end_ns(&self, reply: &[u8]) -> Option<u64> {
        let asked = self.kind == Kind::StampedRequest;
        asked.then(|| Header::read_far_end(reply)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands bytes over in pieces; returns the replies heard.
    fn heard(talk: &Pipeline, mut oldest: u64, bytes: &[u8], piece: usize) -> Vec<u64> {
        let mut ear = talk.ear();
        let mut replies = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (taken, what) = talk.hear(&mut ear, oldest, piece).unwrap();
                piece = &piece[taken..];
                if let Heard::Reply(sequence) = what {
                    replies.push(sequence);
                    oldest += 1;
                }
            }
        }
        replies
    }

    #[test]
    fn replies_are_told_apart_however_they_are_cut() {
        for size in [1, 7, 8, 64, 65, 200] {
            let mut talk = Pipeline::new(size, 1);
            let bytes: Vec<u8> = (5..9).flat_map(|n| talk.ask(n, false).to_vec()).collect();
            for piece in 1..=bytes.len() {
                assert_eq!(
                    heard(&talk, 5, &bytes, piece),
                    [5, 6, 7, 8],
                    "{size}, {piece}"
                );
            }
        }
    }

    #[test]
    fn a_reply_out_of_turn_is_malformed() {
        let mut talk = Pipeline::new(64, 1);
        let reply = talk.ask(6, false).to_vec();
        let told = talk.hear(&mut talk.ear(), 5, &reply);
        assert_eq!(told, Err(Failure::Malformed));
        assert_eq!(
            talk.hear(&mut talk.ear(), 6, &reply),
            Ok((64, Heard::Reply(6)))
        );
    }

    #[test]
    fn the_first_request_carries_the_preamble() {
        let mut talk = Pipeline::new(64, 1);
        let first = talk.ask(1, true).to_vec();
        let mode = Mode::RequestResponse;
        assert_eq!(Preamble::decode(&first), Ok(Preamble { mode, size: 64 }));
        assert_eq!(first[PREAMBLE_LEN..], *talk.ask(1, false));
    }

    #[test]
    fn only_replies_to_this_job_answer_it() {
        let mut talk = Datagrams::new(64, 1);
        let mut reply = talk.ask(3, true).to_vec();
        assert_eq!(
            talk.hear(&mut (), 0, &reply),
            Ok((64, Heard::Stray)),
            "own request"
        );
        Header::turn(&mut reply);
        assert_eq!(talk.hear(&mut (), 0, &reply), Ok((64, Heard::Reply(3))));
        let other = Datagrams::new(64, 2);
        assert_eq!(other.hear(&mut (), 0, &reply), Ok((64, Heard::Stray)));
        assert_eq!(talk.hear(&mut (), 0, b"x"), Ok((1, Heard::Stray)));
    }
}
