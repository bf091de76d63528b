//! Netlink messages by hand, for families that no crate of the workspace speaks: netfilter's and the generic ones. One
//! request at a time, in the network namespace of the calling thread.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Seconds that the kernel has for an answer.
const PATIENCE: i64 = 5;
/// Bytes of the longest answer: one is some hundreds long.
const ANSWER_BYTES: usize = 16_384;
/// Length of a netlink header.
const HEADER: usize = 16;
/// Length of the header behind it, in both families.
const FAMILY_HEADER: usize = 4;
/// Room for a part of a list: the kernel makes none longer than 32 KiB.
const LIST_BYTES: usize = 65_536;
/// `NLMSG_ERROR`: a refusal, or with 0 an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: what is listed was changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// How often a list that was changed meanwhile is asked for.
const TRIES: u32 = 5;

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub(crate) const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_EXCL` and `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x200 | 0x400;
/// `NLM_F_DUMP`: all that there are.
pub(crate) const DUMP: u16 = 0x100 | 0x200;
/// Marks an attribute that holds attributes.
pub(crate) const NESTED: u16 = 1 << 15;

/// A conversation with one family.
#[derive(Debug)]
pub(crate) struct Talk(OwnedFd);

/// What the kernel answered; an acknowledgement has kind 0 and no attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) kind: u16,
    pub(crate) attributes: &'a [u8],
}

impl Talk {
    pub(crate) fn open(family: SockProtocol) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, family)?;
        setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::seconds(PATIENCE),
        )?;
        Ok(Self(socket))
    }

    /// Sends one request, or several of which only the last asks for an answer, and returns the first message that comes
    /// back: that answer, or the refusal of any.
    pub(crate) fn ask(&self, requests: &[u8]) -> Result<Vec<u8>, Errno> {
        send(self.0.as_raw_fd(), requests, MsgFlags::empty())?;
        let mut buffer = vec![0; ANSWER_BYTES];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Asks for a list and reads it to its end, with what `each` adds to it for each message. A list that somebody changed
    /// meanwhile is read again from its start.
    pub(crate) fn list<T: Default>(
        &self,
        request: &[u8],
        mut each: impl FnMut(&mut T, &[u8]),
    ) -> Result<T, Errno> {
        for _ in 0..TRIES {
            let mut list = T::default();
            if self.list_once(request, |message| each(&mut list, message))? {
                return Ok(list);
            }
        }
        Err(Errno::EINTR)
    }

    /// Reads a list, and says whether it is whole.
    fn list_once(&self, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<bool, Errno> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        let mut buffer = vec![0; LIST_BYTES];
        let mut whole = true;
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let (message, others) = first(rest).ok_or(Errno::EBADMSG)?;
                rest = others;
                let flags = number::<2>(message, 6).map_or(0, u16::from_ne_bytes);
                whole &= flags & INTERRUPTED == 0;
                match number::<2>(message, 4).map(u16::from_ne_bytes) {
                    // Both end with the error's number; a list that came to its end has 0.
                    Some(DONE | ERROR) => return refusal(message).map_or(Ok(whole), Err),
                    _ => each(message),
                }
            }
        }
    }
}

/// Writes a request: its kind, its flags, the family's own header and attributes.
pub(crate) fn request(
    kind: u16,
    flags: u16,
    header: [u8; FAMILY_HEADER],
    attributes: &[u8],
) -> Vec<u8> {
    let length = HEADER + FAMILY_HEADER + attributes.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | REQUEST).to_ne_bytes());
    // Sequence and port: the socket asks one question at a time.
    message.extend([0; 8]);
    message.extend(header);
    message.extend(attributes);
    message
}

/// Appends an attribute, padded to four bytes.
pub(crate) fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Reads a message; the kernel's refusal is the error.
pub(crate) fn read(message: &[u8]) -> Result<Answer<'_>, Errno> {
    let kind = number::<2>(message, 4).map(u16::from_ne_bytes);
    let kind = kind.ok_or(Errno::EBADMSG)?;
    if kind == ERROR {
        let errno = number::<4>(message, HEADER).map(i32::from_ne_bytes);
        return match errno.ok_or(Errno::EBADMSG)?.checked_neg() {
            Some(0) | None => Ok(Answer {
                kind: 0,
                attributes: &[],
            }),
            Some(errno) => Err(Errno::from_raw(errno)),
        };
    }
    let length = number::<4>(message, 0).map(u32::from_ne_bytes);
    let length = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
    // Others may follow.
    let attributes = message.get(HEADER + FAMILY_HEADER..length);
    Ok(Answer {
        kind,
        attributes: attributes.ok_or(Errno::EBADMSG)?,
    })
}

/// Returns the address family that a message of netfilter is about.
pub(crate) fn family(message: &[u8]) -> Option<u8> {
    message.get(HEADER).copied()
}

/// Splits the first message of several off.
fn first(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(number(messages, 0)?);
    let length = usize::try_from(length).ok()?;
    let message = messages.get(..length)?;
    let others = messages.get(length.next_multiple_of(4)..);
    (length >= HEADER).then(|| (message, others.unwrap_or_default()))
}

/// Returns the error that a list ends with, if it ends with one.
fn refusal(message: &[u8]) -> Option<Errno> {
    let errno = i32::from_ne_bytes(number(message, HEADER)?);
    let errno = errno.checked_neg().filter(|errno| *errno != 0)?;
    Some(Errno::from_raw(errno))
}

/// Returns the value of the first attribute of a kind.
pub(crate) fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const KIND: u16 = (1 << 14) - 1;
    loop {
        let length = usize::from(u16::from_ne_bytes(number(attributes, 0)?));
        let kind = u16::from_ne_bytes(number(attributes, 2)?);
        let value = attributes.get(4..length)?;
        if kind & KIND == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// Returns so many bytes from a place on.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_is_an_error_and_an_acknowledgement_is_none() {
        let mut message = request(ERROR, 0, [0; 4], &[]);
        assert!(read(&message).unwrap().attributes.is_empty());
        message[HEADER..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(read(&message), Err(Errno::ENOENT));
        assert_eq!(read(&message[..3]), Err(Errno::EBADMSG));
    }

    #[test]
    fn attributes_are_found_as_they_were_written() {
        let mut attributes = Vec::new();
        attribute(&mut attributes, 7, b"odd");
        attribute(&mut attributes, 9 | NESTED, b"more");
        let message = request(77, ACKNOWLEDGE, [1, 2, 3, 4], &attributes);
        let answer = read(&message).unwrap();
        assert_eq!(answer.kind, 77);
        assert_eq!(find(answer.attributes, 7), Some(&b"odd"[..]));
        assert_eq!(find(answer.attributes, 9), Some(&b"more"[..]));
        assert_eq!(find(answer.attributes, 8), None);
    }

    #[test]
    fn messages_are_split_and_a_lists_end_may_be_a_refusal() {
        let mut messages = request(77, 0, [2, 0, 0, 0], b"odd");
        messages.resize(messages.len().next_multiple_of(4), 0);
        messages.extend(request(DONE, 0, [0; 4], &[]));
        let (message, others) = first(&messages).unwrap();
        assert_eq!((family(message), message.len()), (Some(2), 23));
        let (end, nothing) = first(others).unwrap();
        assert!(nothing.is_empty() && refusal(end).is_none());
        let mut end = end.to_vec();
        end[HEADER..].copy_from_slice(&(-libc::EINTR).to_ne_bytes());
        assert_eq!(refusal(&end), Some(Errno::EINTR));
        assert_eq!(first(&messages[..20]), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(message: Vec<u8>) {
            let _ = first(&message);
            let _ = refusal(&message);
            if let Ok(answer) = read(&message) {
                let _ = find(answer.attributes, 3);
            }
        }
    }
}
