//! The decoders that face the network, opened to the fuzz targets in `fuzz/`, and to a test that they still compile and take
//! their seeds. Nowhere else: `cargo fuzz` sets `cfg(fuzzing)`.

use std::net::SocketAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::door::Secret;

use crate::agent;
use crate::datagrams::control::{self, Answer, Ask, MOST_ANSWER, MOST_ASK};
use crate::probe;
use crate::probe::icmp::Form;
use crate::responder::doors;
use crate::session::{Key, Message, Step};
use crate::wire::{Header, Kind, WireError};

/// Reads a job as an agent does; `None` where it is refused.
#[must_use]
pub fn job(bytes: &[u8]) -> Option<Job> {
    let job: Job = serde_json::from_slice(bytes).ok()?;
    agent::accepts_job(&job).then_some(job)
}

/// Reads what a responder is asked for, as an agent does.
pub fn serve(bytes: &[u8]) {
    if let Ok(serve) = serde_json::from_slice::<Serve>(bytes) {
        let _ = agent::accepts_serve(&serve);
    }
}

/// Hands a datagram to a responder's admission and to a client.
///
/// # Panics
///
/// When anything but a hello is answered: what the target looks for.
pub fn session(bytes: &[u8]) {
    let secret = Secret::new([7; 32]);
    let key = Key::new(&secret);
    let from = SocketAddr::from(([192, 0, 2, 1], 9));
    let answered = doors::session(&secret, bytes, from);
    let message = Message::decode(bytes, &key);
    let hello = message.is_some_and(|message| message.step == Step::Hello);
    assert_eq!(answered, hello, "only a hello is answered without a cookie");
}

/// Does the same with the datagram that these bytes are the inside of, and a valid MAC.
pub fn session_with_mac(bytes: &[u8]) {
    let key = Key::new(&Secret::new([7; 32]));
    let Some(inside) = bytes.first_chunk::<48>() else {
        return;
    };
    session(&[&inside[..], &key.mac(inside, &[])].concat());
}

/// Tells the protocol of a connection by its first bytes.
pub fn greeting(bytes: &[u8]) {
    doors::greeting(bytes);
}

/// Counts a stream's blocks; the first bytes say how long they are and where the stream is cut.
pub fn blocks(bytes: &[u8]) {
    if let Some((&[size, cut], stream)) = bytes.split_first_chunk::<2>() {
        doors::blocks(u64::from(size) + 1, usize::from(cut) + 1, stream);
    }
}

/// Reads a datagram, answers it as a responder would, and reads that again.
///
/// # Panics
///
/// When the answer isn't the request's: what the target looks for.
pub fn datagram(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    let _ = Header::read_far_end(&copy);
    let Ok(header) = Header::read_from(&copy) else {
        return;
    };
    assert!(copy.len() >= crate::wire::HEADER_LEN);
    Header::turn(&mut copy);
    Header::write_far_end(&mut copy, Some(1));
    let reply = Header::read_from(&copy).expect("a reply is a datagram too");
    assert_eq!(reply.kind, Kind::Reply);
    assert_eq!(
        (reply.token, reply.sequence),
        (header.token, header.sequence)
    );
}

/// Hears what a socket of each kind received while it waits for an ICMP echo reply: these bytes, and a reply that
/// they change.
pub fn echo(bytes: &[u8]) {
    for (is_raw, is_ipv6) in [(false, false), (false, true), (true, false), (true, true)] {
        probe::icmp::hear_anything(Form { is_ipv6, is_raw }, bytes);
    }
}

/// Reads what the two ends of an arranged stream say to each other.
pub fn arranged(bytes: &[u8]) {
    arranged_as::<Ask>(MOST_ASK, bytes);
    arranged_as::<Answer>(MOST_ANSWER, bytes);
}

/// Reads one message; what was read says the same when it is written and read again.
fn arranged_as<T: DeserializeOwned + Serialize + PartialEq>(most: usize, bytes: &[u8]) {
    let Ok(said) = message::<T>(most, bytes) else {
        return;
    };
    let again = message::<T>(usize::MAX, &control::encode(&said));
    assert!(again.is_ok_and(|again| again == said));
}

fn message<T: DeserializeOwned>(most: usize, mut bytes: &[u8]) -> Result<T, WireError> {
    control::read(most, |room: &mut [u8]| {
        let (now, later) = bytes
            .split_at_checked(room.len())
            .ok_or(WireError::Foreign)?;
        room.copy_from_slice(now);
        bytes = later;
        Ok(())
    })
}

/// Reads the head of a request.
pub fn http_request(bytes: &[u8]) {
    doors::request(bytes);
}

/// Reads responses, whole and cut.
pub fn http_response(bytes: &[u8]) {
    probe::http::response::cut_anyhow(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    type Decode = fn(&[u8]);

    /// What each target does with its bytes.
    const TARGETS: [(&str, Decode); 9] = [
        ("agent_json", |bytes| {
            let _ = job(bytes);
            serve(bytes);
        }),
        ("session", |bytes| {
            session(bytes);
            session_with_mac(bytes);
        }),
        ("preamble", greeting),
        ("preamble", blocks),
        ("datagram", datagram),
        ("echo", echo),
        ("arranged", arranged),
        ("http_request", http_request),
        ("http_response", http_response),
    ];

    #[test]
    fn what_is_like_a_seed_panics_nowhere() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        for (target, decode) in TARGETS {
            let mut tried = 0;
            for seed in fs::read_dir(seeds.join(target)).unwrap() {
                let bytes = fs::read(seed.unwrap().path()).unwrap();
                decode(&bytes);
                for at in 0..bytes.len() {
                    decode(&bytes[..at]);
                    for flipped in [1, 0x80, 0xff] {
                        let mut other = bytes.clone();
                        other[at] ^= flipped;
                        decode(&other);
                    }
                    tried += 1;
                }
            }
            assert!(tried > 0, "{target}");
        }
    }
}
