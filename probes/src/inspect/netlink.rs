//! Dumps of the kernel's lists over netlink, and the attributes in them.
//!
//! By hand, where a crate would be the usual choice: three messages are sent, a header and attributes are all that is
//! read, and for chains of `nf_tables` there is no kept crate anyway.

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Length of a message's header.
const HEADER: usize = 16;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x0301;

/// Types of messages that end a dump, with the error's number.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NLM_F_DUMP_INTR`: what is listed was changed meanwhile.
const INTERRUPTED: u16 = 0x10;

/// How often a list that was changed meanwhile is asked for.
const TRIES: u32 = 5;

/// The kernel fills a dump's buffer up to 32 KiB.
const BUFFER: usize = 64 * 1024;

/// Most messages of one dump: a node with 10,000 services has some 50,000 chains.
const MOST: usize = 1_000_000;

/// How long the kernel may take for one part of a dump, in seconds.
const PATIENCE: i64 = 5;

/// What is read of a list.
#[derive(Debug, Default)]
struct Dump {
    /// The body of each entry.
    entries: Vec<Vec<u8>>,
    /// Whether the list was changed while it was read: entries may be missing, or twice in it.
    interrupted: bool,
}

/// Asks for all entries of a list; returns the body of each.
///
/// # Errors
///
/// When the kernel refuses, doesn't answer in time, or the list is changed each time that it is read.
pub(super) fn dump(protocol: SockProtocol, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    setsockopt(
        &netlink,
        sockopt::ReceiveTimeout,
        &TimeVal::seconds(PATIENCE),
    )?;
    bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let request = request(kind, body);
    undisturbed(|| dump_once(netlink.as_raw_fd(), &request))
}

/// Reads a list until nobody changes it meanwhile.
fn undisturbed(mut read: impl FnMut() -> io::Result<Dump>) -> io::Result<Vec<Vec<u8>>> {
    for _ in 0..TRIES {
        let dump = read()?;
        if !dump.interrupted {
            return Ok(dump.entries);
        }
    }
    Err(io::Error::other("the kernel's list changes all the time"))
}

fn dump_once(netlink: RawFd, request: &[u8]) -> io::Result<Dump> {
    send(netlink, request, MsgFlags::empty())?;
    let mut dump = Dump::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = match recv(netlink, &mut buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            received => received?,
        };
        if take(&buffer[..received], &mut dump)? {
            return Ok(dump);
        }
        if dump.entries.len() > MOST {
            return Err(io::Error::other("the kernel's list doesn't end"));
        }
    }
}

fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(DUMP.to_ne_bytes());
    // Number and sender: there is one request on this socket.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Takes the messages of one part; returns whether it was the last one.
fn take(mut part: &[u8], dump: &mut Dump) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (u32_at(part, 0), u16_at(part, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = part.get(HEADER..length) else {
            return Err(io::Error::other("a message of the kernel is cut off"));
        };
        dump.interrupted |= u16_at(part, 6).is_some_and(|flags| flags & INTERRUPTED != 0);
        match kind {
            DONE | ERROR => match u32_at(body, 0).map(u32::cast_signed) {
                Some(0) | None => return Ok(true),
                Some(code) => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
            },
            _ => dump.entries.push(body.to_vec()),
        }
        part = part.get(padded(length)..).unwrap_or_default();
    }
    // The kernel has more to say: a list ends by a message of its own.
    Ok(false)
}

/// Returns the attributes in a body, each with its type.
pub(super) fn attributes(mut body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(body, 0)?);
        // Two bits say that it is nested, or in network order.
        let kind = u16_at(body, 2)? & 0x3fff;
        let value = body.get(4..length)?;
        body = body.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Returns an attribute's value.
pub(super) fn attribute(body: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(body).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Returns a text that ends with a zero byte.
pub(super) fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Returns a number in the machine's order.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// Returns a short number in the machine's order.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// Messages and attributes start at multiples of four.
const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Builds messages for tests of those who read them.
#[cfg(test)]
pub(super) mod build {
    use super::padded;

    /// Returns an attribute with its padding.
    pub(in crate::inspect) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = request(kind, body);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    #[test]
    fn messages_are_taken_until_the_last() {
        let mut dump = Dump::default();
        let part = [message(16, b"one"), message(16, b"two!")].concat();
        assert!(!take(&part, &mut dump).unwrap());
        assert!(take(&message(DONE, &[0; 4]), &mut dump).unwrap());
        assert_eq!(dump.entries, [b"one".to_vec(), b"two!".to_vec()]);
        assert!(!dump.interrupted);
        let cut = &message(16, b"four")[..18];
        assert!(take(cut, &mut dump).is_err());
    }

    #[test]
    fn a_list_may_end_with_an_error() {
        for kind in [ERROR, DONE] {
            let refused = message(kind, &(-1_i32).to_ne_bytes());
            let error = take(&refused, &mut Dump::default()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(1), "{kind}");
        }
    }

    #[test]
    fn a_list_that_was_changed_meanwhile_is_read_again() {
        let read = |interrupted: bool| {
            let mut marked = message(16, b"one");
            if interrupted {
                marked[6..8].copy_from_slice(&(DUMP | INTERRUPTED).to_ne_bytes());
            }
            let mut dump = Dump::default();
            let part = [marked, message(16, b"two!"), message(DONE, &[0; 4])].concat();
            assert!(take(&part, &mut dump).unwrap());
            assert_eq!(dump.interrupted, interrupted);
            Ok(dump)
        };
        let mut times = 0;
        let entries = undisturbed(|| {
            times += 1;
            read(times < TRIES)
        });
        assert_eq!((entries.unwrap().len(), times), (2, TRIES));
        assert!(undisturbed(|| read(true)).is_err());
    }

    #[test]
    fn attributes_are_read_up_to_what_is_none() {
        let body = [
            build::attribute(3, b"eth0\0"),
            build::attribute(0x8000 | 0x12, b"nested"),
            vec![3, 0, 1, 0],
            build::attribute(4, b"never"),
        ]
        .concat();
        let found: Vec<_> = attributes(&body).map(|(kind, _)| kind).collect();
        assert_eq!(found, [3, 18]);
        assert_eq!(text(attribute(&body, 3).unwrap()), "eth0");
        assert_eq!(attribute(&body, 4), None);
    }

    #[test]
    fn no_bytes_of_any_kind_panic() {
        for length in 0..64_usize {
            for fill in [0, 1, 4, 255] {
                let bytes = vec![fill; length];
                let _ = take(&bytes, &mut Dump::default());
                assert!(attributes(&bytes).count() <= length);
            }
        }
    }
}
