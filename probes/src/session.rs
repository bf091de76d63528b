//! How a peer shows a responder that it may be there: a handshake of four datagrams, each with a MAC.
//!
//! A responder with a key answers nobody, on TCP or UDP, until the peer's address has passed it:
//!
//! | offset | every datagram, 64 B |
//! |---|---|
//! | 0 | magic `TLGS` |
//! | 4 | protocol version |
//! | 8 | step: 1 hello, 2 challenge, 3 proof, 4 welcome |
//! | 9 | 3 zeros |
//! | 12 | the peer's random number, 16 B |
//! | 28 | the responder's cookie, 16 B; 0 in a hello |
//! | 44 | 4 zeros |
//! | 48 | first 16 B of the HMAC-SHA-256 of the 48 bytes before, under the key |
//!
//! The cookie is a MAC of the peer's address and number under a secret of the responder: only who receives at
//! that address can send it back, and the responder keeps nothing of a peer before it does. What has no valid
//! MAC isn't answered at all; what has, by as many bytes as came. Traffic itself carries no MAC: it would cost
//! each round trip what the path costs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tollgate_results::agent::PROTOCOL;
use tollgate_results::door::Secret;

use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;

/// Length of every datagram of the handshake, in bytes.
pub const SESSION_LEN: usize = 64;
/// Length of what the MAC covers, in bytes.
const COVERED: usize = 48;
/// Length of number, cookie and MAC, in bytes.
const SHORT: usize = 16;

const MAGIC: [u8; 4] = *b"TLGS";

/// How long a peer tries in all, in nanoseconds: some lost datagrams, and a responder that is being started.
const PATIENCE_NS: u64 = 5_000_000_000;

/// After this a datagram is sent again: longer than a round trip around the world.
const AGAIN: Duration = Duration::from_millis(400);

/// Where a handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A peer wants in.
    Hello = 1,
    /// The responder wants to see that the peer receives at its address.
    Challenge = 2,
    /// The peer shows it.
    Proof = 3,
    /// The responder answers its traffic from now on.
    Welcome = 4,
}

/// One datagram of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Where the handshake stands.
    pub step: Step,
    /// The peer's random number.
    pub number: [u8; SHORT],
    /// The responder's cookie.
    pub cookie: [u8; SHORT],
}

/// A key that MACs are made and checked with; set up once, so that each costs two blocks of SHA-256.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Sets a secret up as a key.
    ///
    /// # Panics
    ///
    /// Never: HMAC takes keys of every length.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let mac = Hmac::new_from_slice(secret.bytes());
        Self(mac.expect("HMAC takes keys of every length"))
    }

    /// Returns the shortened MAC of two texts in a row.
    pub(crate) fn mac(&self, first: &[u8], second: &[u8]) -> [u8; SHORT] {
        let whole = self.0.clone().chain_update(first).chain_update(second);
        let whole: [u8; 32] = whole.finalize().into_bytes().into();
        let mut short = [0; SHORT];
        short.copy_from_slice(&whole[..SHORT]);
        short
    }

    /// Returns whether a shortened MAC is right, in a time that doesn't tell where it is wrong.
    fn verify(&self, text: &[u8], mac: &[u8]) -> bool {
        let whole = self.0.clone().chain_update(text);
        whole.verify_truncated_left(mac).is_ok()
    }
}

/// Returns whether a datagram belongs to a handshake, valid or not.
#[must_use]
pub fn is_session(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}

impl Message {
    /// Returns the datagram.
    #[must_use]
    pub fn encode(&self, key: &Key) -> [u8; SESSION_LEN] {
        let mut bytes = [0; SESSION_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&PROTOCOL.to_be_bytes());
        bytes[8] = self.step as u8;
        bytes[12..28].copy_from_slice(&self.number);
        bytes[28..44].copy_from_slice(&self.cookie);
        let mac = key.mac(&bytes[..COVERED], &[]);
        bytes[COVERED..].copy_from_slice(&mac);
        bytes
    }

    /// Reads a datagram; `None` unless all of it is right and its MAC is by this key.
    #[must_use]
    pub fn decode(datagram: &[u8], key: &Key) -> Option<Self> {
        let bytes: &[u8; SESSION_LEN] = datagram.try_into().ok()?;
        let (covered, mac) = bytes.split_at(COVERED);
        let step = match bytes[8] {
            1 => Step::Hello,
            2 => Step::Challenge,
            3 => Step::Proof,
            4 => Step::Welcome,
            _ => return None,
        };
        let plain = bytes[..4] == MAGIC
            && bytes[4..8] == PROTOCOL.to_be_bytes()
            && bytes[9..12] == [0; 3]
            && bytes[44..48] == [0; 4];
        if !plain || !key.verify(covered, mac) {
            return None;
        }
        Some(Self {
            step,
            number: *bytes[12..].first_chunk()?,
            cookie: *bytes[28..].first_chunk()?,
        })
    }
}

/// Passes the handshake at a responder, so that it answers traffic from this machine.
///
/// # Errors
///
/// When it doesn't let us in within 5 s, or a socket can't be had.
pub(crate) fn enter(
    target: SocketAddr,
    secret: &Secret,
    aborted: impl Fn() -> bool,
) -> Result<(), ProbeError> {
    let refused = |error, mend: &str| {
        ProbeError::refused(
            format!("be let in by the responder at {target}"),
            error,
            mend,
        )
    };
    let route = |error| refused(error, "check the route to it");
    let any = if target.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any).map_err(route)?;
    socket.connect(target).map_err(route)?;
    socket.set_read_timeout(Some(AGAIN)).map_err(route)?;
    let mut number = [0; SHORT];
    getrandom::fill(&mut number).map_err(|error| route(error.into()))?;
    let key = Key::new(secret);
    let mut next = Message {
        step: Step::Hello,
        number,
        cookie: [0; SHORT],
    };
    let deadline = Monotonic.now().plus(PATIENCE_NS);
    while Monotonic.now() < deadline && !aborted() {
        // What can't be sent now is sent again.
        let _ = socket.send(&next.encode(&key));
        match answer(&socket, &key, number) {
            Some(Message {
                step: Step::Challenge,
                cookie,
                ..
            }) => {
                (next.step, next.cookie) = (Step::Proof, cookie);
            }
            Some(Message {
                step: Step::Welcome,
                ..
            }) => return Ok(()),
            _ => {}
        }
    }
    let silent = std::io::Error::new(ErrorKind::TimedOut, "no answer with the session's key");
    let mend = "open its port in every firewall, UDP as well as TCP";
    Err(refused(silent, mend))
}

/// Waits a while for a datagram that belongs to our handshake; others are none of our business.
fn answer(socket: &UdpSocket, key: &Key, number: [u8; SHORT]) -> Option<Message> {
    let mut buffer = [0; SESSION_LEN + 1];
    let until = Monotonic
        .now()
        .plus(AGAIN.as_nanos().try_into().unwrap_or(u64::MAX));
    while Monotonic.now() < until {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let message = Message::decode(&buffer[..len], key);
                if let Some(message) = message.filter(|message| message.number == number) {
                    return Some(message);
                }
            }
            // Nobody listens there yet: a moment's peace instead of a storm.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Monotonic.wait_until(until);
            }
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&Secret::new([byte; 32]))
    }

    fn hello() -> Message {
        Message {
            step: Step::Hello,
            number: [7; SHORT],
            cookie: [9; SHORT],
        }
    }

    #[test]
    fn the_mac_is_hmac_sha256() {
        // RFC 4231, test case 2, shortened; its key is "Jefe", which zeros lengthen to the same HMAC key.
        let mut secret = [0; 32];
        secret[..4].copy_from_slice(b"Jefe");
        let mac = Key::new(&Secret::new(secret)).mac(b"what do ya want ", b"for nothing?");
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95,
            0x75, 0xc7,
        ];
        assert_eq!(mac, expected);
    }

    #[test]
    fn another_key_another_length_or_another_bit_is_nothing() {
        let bytes = hello().encode(&key(1));
        assert_eq!(Message::decode(&bytes, &key(1)), Some(hello()));
        assert_eq!(Message::decode(&bytes, &key(2)), None);
        assert_eq!(Message::decode(&bytes[..63], &key(1)), None);
        assert_eq!(Message::decode(&[&bytes[..], &[0]].concat(), &key(1)), None);
        for bit in 0..SESSION_LEN * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Message::decode(&other, &key(1)), None, "bit {bit}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", key(1)), "Key(…)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = is_session(&bytes);
            prop_assert_eq!(Message::decode(&bytes, &key(1)), None);
        }
    }
}
