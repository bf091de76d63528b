//! How an agent on the network lets a runner in: what stands in an invitation, and what is said at the door
//! before the first request. Plain data and bytes: no I/O here.
//!
//! | offset | knock (56 B), runner to agent | answer, agent to runner |
//! |---|---|---|
//! | 0 | magic `TLGA` | magic `TLGA` |
//! | 4 | protocol version | protocol version |
//! | 8 | number of the runner, 16 B | code: 0 welcome, 1 wrong token, 2 busy, 3 other version |
//! | 9 | | length of the reason, then the reason in UTF-8 |
//! | 24 | token, 32 B | |
//!
//! After a welcome the stream carries the HTTP of [`crate::agent`]; after anything else it ends.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::PROTOCOL;

/// Length of a knock, in bytes.
pub const KNOCK_LEN: usize = 56;
/// Length of an answer without its reason, in bytes.
pub const ANSWER_LEN: usize = 10;

const MAGIC: [u8; 4] = *b"TLGA";

/// 32 random bytes that authorise whoever knows them. Never shown: not by `Debug`, not in a record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Secret([u8; 32]);

/// A text that is no [`Secret`]. It doesn't repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 64 hexadecimal digits; this text has {0} characters, or others")]
pub struct SecretError(usize);

impl Secret {
    /// Takes random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the secret as text, 64 hexadecimal digits: for the file or the variable that keeps it.
    #[must_use]
    pub fn reveal(&self) -> String {
        to_hex(&self.0)
    }

    /// Compares in a time that doesn't depend on where the two differ.
    #[must_use]
    pub fn matches(&self, other: &[u8; 32]) -> bool {
        let differs = self.0.iter().zip(other).fold(0, |all, (a, b)| all | a ^ b);
        std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        from_hex(text)
            .map(Self)
            .ok_or_else(|| SecretError(text.chars().count()))
    }
}

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        text.parse()
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.reveal()
    }
}

/// SHA-256 of an agent's certificate (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", to_hex(&self.0))
    }
}

/// How a runner knows that it talks to the agent that it was invited by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// TLS 1.3 with this certificate and no other.
    Pinned(Fingerprint),
    /// No TLS. For loopback addresses alone: a tunnel, a port-forward.
    Plain,
}

/// All that a runner needs to be let in, in one line: `ADDRESS sha256:DIGITS TOKEN`, or with `plain` in the
/// second place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Where the agent listens: `HOST:PORT`.
    pub address: String,
    /// How it is recognised.
    pub trust: Trust,
    /// What it asks for.
    pub token: Secret,
}

/// A line that is no invitation. It doesn't repeat the line: there may be a token in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an invitation reads ADDRESS:PORT sha256:DIGITS TOKEN: {0}")]
pub struct InvitationError(String);

impl Invitation {
    /// Longest address: a name of the DNS and a port.
    const LONGEST_ADDRESS: usize = 262;

    /// Returns the line, token included: for the file that keeps it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let trust = match self.trust {
            Trust::Pinned(fingerprint) => fingerprint.to_string(),
            Trust::Plain => "plain".to_owned(),
        };
        format!("{} {trust} {}", self.address, self.token.reveal())
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(line: &str) -> Result<Self, InvitationError> {
        let fault = |text: &str| InvitationError(text.to_owned());
        let mut words = line.split_whitespace();
        let (Some(address), Some(trust), Some(token), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            let count = line.split_whitespace().count();
            return Err(InvitationError(format!(
                "this has {count} words, not three; copy the whole line"
            )));
        };
        let port = address
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse::<u16>()));
        let good = matches!(port, Some((host, Ok(1..))) if !host.is_empty());
        if !good || address.len() > Self::LONGEST_ADDRESS || address.chars().any(char::is_control) {
            return Err(fault("the first word is no ADDRESS:PORT"));
        }
        let trust = if trust == "plain" {
            Trust::Plain
        } else {
            let digits = trust.strip_prefix("sha256:").and_then(from_hex);
            let digits = digits
                .ok_or_else(|| fault("the second word is not sha256: and 64 hexadecimal digits"))?;
            Trust::Pinned(Fingerprint(digits))
        };
        let token = token
            .parse()
            .map_err(|_| fault("the third word is not the token, 64 hexadecimal digits"))?;
        Ok(Self {
            address: address.to_owned(),
            trust,
            token,
        })
    }
}

/// What a runner says at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// Version of the protocol that the runner speaks.
    pub protocol: u32,
    /// Drawn by the runner for one campaign: connections with the same number belong together.
    pub runner: [u8; 16],
    /// The token of the invitation.
    pub token: Secret,
}

impl Knock {
    /// Makes the knock of this version.
    #[must_use]
    pub const fn new(runner: [u8; 16], token: Secret) -> Self {
        Self {
            protocol: PROTOCOL,
            runner,
            token,
        }
    }

    /// Returns the knock as it goes over the stream.
    #[must_use]
    pub fn encode(&self) -> [u8; KNOCK_LEN] {
        let mut bytes = [0; KNOCK_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.protocol.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.runner);
        bytes[24..].copy_from_slice(self.token.bytes());
        bytes
    }

    /// Reads a knock of any version; `None` where it is something else.
    #[must_use]
    pub fn decode(bytes: &[u8; KNOCK_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (protocol, rest) = rest.split_first_chunk::<4>()?;
        let (runner, rest) = rest.split_first_chunk::<16>()?;
        (*magic == MAGIC).then_some(Self {
            protocol: u32::from_be_bytes(*protocol),
            runner: *runner,
            token: Secret(*rest.first_chunk::<32>()?),
        })
    }
}

/// What an agent answers at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Come in.
    Welcome,
    /// The token is not this agent's.
    WrongToken,
    /// Another runner is in: one line that says which.
    Busy(String),
    /// The agent speaks another version of the protocol: its program's version.
    Version(String),
}

/// The first bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerHead {
    /// Version of the protocol that the agent speaks.
    pub protocol: u32,
    code: u8,
    /// Length of the reason that follows, in bytes.
    pub reason_len: u8,
}

impl Answer {
    /// Returns the answer as it goes over the stream. A reason is cut to 255 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (code, reason) = match self {
            Self::Welcome => (0, ""),
            Self::WrongToken => (1, ""),
            Self::Busy(reason) => (2, reason.as_str()),
            Self::Version(version) => (3, version.as_str()),
        };
        let reason = cut(reason);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&PROTOCOL.to_be_bytes());
        bytes.push(code);
        bytes.push(u8::try_from(reason.len()).unwrap_or(0));
        bytes.extend_from_slice(reason.as_bytes());
        bytes
    }
}

impl AnswerHead {
    /// Reads the first bytes of an answer; `None` where it is something else.
    #[must_use]
    pub fn decode(bytes: &[u8; ANSWER_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (protocol, rest) = rest.split_first_chunk::<4>()?;
        let &[code, reason_len] = rest.first_chunk::<2>()?;
        (*magic == MAGIC && code <= 3).then_some(Self {
            protocol: u32::from_be_bytes(*protocol),
            code,
            reason_len,
        })
    }

    /// Completes the answer with its reason, control characters taken out.
    #[must_use]
    pub fn with_reason(self, reason: &[u8]) -> Answer {
        let reason = String::from_utf8_lossy(reason);
        let reason = reason
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        match self.code {
            0 => Answer::Welcome,
            1 => Answer::WrongToken,
            2 => Answer::Busy(reason),
            _ => Answer::Version(reason),
        }
    }
}

/// Cuts a text to at most 255 bytes, between characters.
fn cut(text: &str) -> &str {
    let boundary = |&at: &usize| text.is_char_boundary(at);
    let end = (0..=text.len().min(255)).rev().find(boundary);
    &text[..end.unwrap_or(0)]
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn an_invitation_is_read_back() {
        let pinned = format!("far.example:7788 sha256:{TOKEN} {TOKEN}");
        for line in [pinned, format!("[fd00::1]:7788 plain {TOKEN}")] {
            let invitation: Invitation = format!("  {line}\n").parse().unwrap();
            assert_eq!(invitation.reveal(), line);
            assert!(!format!("{invitation:?}").contains(&format!("\"{TOKEN}\"")));
        }
    }

    #[test]
    fn a_token_is_never_repeated() {
        let almost = &TOKEN[1..];
        for line in [
            String::new(),
            TOKEN.to_owned(),
            format!("a:1 plain {almost}"),
            format!("a:1 plain {TOKEN}0"),
            format!("a:1 plain {TOKEN} x"),
            format!("a:0 plain {TOKEN}"),
            format!(":1 plain {TOKEN}"),
            format!("a:70000 plain {TOKEN}"),
            format!("{TOKEN} plain a:1"),
            format!("a:1 sha256:{almost} {TOKEN}"),
            format!("a:1 sha256:{} {TOKEN}", TOKEN.replace('0', "é")),
            format!("{}:1 plain {TOKEN}", "a".repeat(300)),
        ] {
            let error = line.parse::<Invitation>().unwrap_err().to_string();
            assert!(!error.contains(almost), "{error}");
            assert!(!error.contains('\n'));
        }
        let secret: Secret = TOKEN.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(secret.matches(secret.bytes()));
        assert!(!secret.matches(&[0; 32]));
        for bad in ["", almost, &"g".repeat(64), &format!("{TOKEN}0")] {
            let error = bad.parse::<Secret>().unwrap_err().to_string();
            assert!(bad.len() < 9 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_knock_is_read_back_and_nothing_else_is() {
        let knock = Knock::new([7; 16], TOKEN.parse().unwrap());
        let mut bytes = knock.encode();
        assert_eq!(Knock::decode(&bytes), Some(knock));
        bytes[0] = b'G';
        assert_eq!(Knock::decode(&bytes), None);
    }

    #[test]
    fn answers_are_read_back_with_a_bounded_plain_reason() {
        let read = |answer: &Answer| {
            let bytes = answer.encode();
            let (head, reason) = bytes.split_first_chunk::<ANSWER_LEN>().unwrap();
            let head = AnswerHead::decode(head).unwrap();
            assert_eq!(usize::from(head.reason_len), reason.len());
            head.with_reason(reason)
        };
        for answer in [
            Answer::Welcome,
            Answer::WrongToken,
            Answer::Busy("at 10.0.0.1".to_owned()),
            Answer::Version("9.9".to_owned()),
        ] {
            assert_eq!(read(&answer), answer);
        }
        let Answer::Busy(reason) = read(&Answer::Busy("é".repeat(300))) else {
            panic!("another answer");
        };
        assert_eq!(reason, "é".repeat(127));
        let tricky = Answer::Busy("a\r\nb\u{1b}[31m".to_owned());
        assert_eq!(read(&tricky), Answer::Busy("ab[31m".to_owned()));
        assert_eq!(AnswerHead::decode(b"TLGA\0\0\0\x01\x04\0"), None);
        assert_eq!(AnswerHead::decode(b"HTTP/1.1 4"), None);
    }
}
