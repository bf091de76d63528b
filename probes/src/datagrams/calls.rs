//! Many buffers in one system call: `sendmmsg` and `recvmmsg`, with everything that they point to prepared once.
#![expect(
    unsafe_code,
    reason = "the kernel reads and writes through pointers that are prepared once, not for each call"
)]

use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// Room for the one control message that comes with a merged buffer, in bytes: 24 for a header and its number.
const CONTROL_LEN: usize = 32;

/// `SO_EE_ORIGIN_ZEROCOPY` of linux/errqueue.h: the kernel is done with pages.
const BY_ZEROCOPY: u8 = 5;

/// Control messages lie where their header does.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct ControlRoom([u8; CONTROL_LEN]);

/// Buffers of one size, side by side.
struct Buffers {
    bytes: Vec<u8>,
    room: usize,
    /// Points into `bytes`, which is never replaced.
    pieces: Vec<libc::iovec>,
    /// Points into `pieces` and, where there are some, `controls`; neither is ever replaced.
    headers: Vec<libc::mmsghdr>,
    controls: Vec<ControlRoom>,
}

impl Buffers {
    fn new(count: usize, room: usize, with_control: bool) -> Self {
        // Written, so that no page fault falls into a window.
        let mut bytes = vec![1; count * room];
        bytes.fill(0);
        let controls = if with_control { count } else { 0 };
        let mut controls = vec![ControlRoom([0; CONTROL_LEN]); controls];
        let mut pieces: Vec<libc::iovec> = bytes
            .chunks_exact_mut(room)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: room,
            })
            .collect();
        let headers = pieces.iter_mut().enumerate().map(|(index, piece)| {
            // SAFETY: a header of zeros is one without address, buffers and control.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            if let Some(control) = controls.get_mut(index) {
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                header.msg_hdr.msg_controllen = CONTROL_LEN;
            }
            header
        });
        let headers = headers.collect();
        Self {
            bytes,
            room,
            pieces,
            headers,
            controls,
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.headers.len()).unwrap_or(u32::MAX)
    }
}

/// Buffers to send.
pub(crate) struct Outbox(Buffers);

impl Outbox {
    /// Prepares so many buffers of `room` bytes each.
    pub(crate) fn new(count: usize, room: usize) -> Self {
        Self(Buffers::new(count, room, false))
    }

    /// Returns a buffer, to fill it.
    #[inline]
    pub(crate) fn buffer(&mut self, index: usize) -> &mut [u8] {
        let room = self.0.room;
        &mut self.0.bytes[index * room..(index + 1) * room]
    }

    /// Says how much of a buffer is to be sent.
    #[inline]
    pub(crate) fn set_len(&mut self, index: usize, len: usize) {
        self.0.pieces[index].iov_len = len.min(self.0.room);
    }

    /// Sends the first `count` buffers over a connected socket; returns how many went out.
    #[inline]
    pub(crate) fn send(
        &mut self,
        socket: &impl AsFd,
        count: usize,
        flags: libc::c_int,
    ) -> Result<usize, Errno> {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.0.count());
        // The type of the flags is another one with another C library.
        #[allow(
            clippy::cast_sign_loss,
            clippy::allow_attributes,
            reason = "flags are bits"
        )]
        let flags = flags as _;
        // SAFETY: the first `count` headers are there, and what they point to is owned by `self`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                self.0.headers.as_mut_ptr(),
                count,
                flags,
            )
        };
        usize::try_from(sent).map_err(|_| Errno::last())
    }
}

/// Buffers to receive into.
pub(crate) struct Inbox(Buffers);

/// One buffer that was received.
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// Size of each datagram but the last where the kernel merged several; else all of it.
    pub(crate) segment: usize,
}

impl Inbox {
    /// Prepares so many buffers of `room` bytes each; `merged` where the kernel may merge datagrams.
    pub(crate) fn new(count: usize, room: usize, merged: bool) -> Self {
        Self(Buffers::new(count, room, merged))
    }

    /// Returns how many buffers there are.
    pub(crate) fn count(&self) -> usize {
        self.0.headers.len()
    }

    /// Receives at least one buffer, and as many as there are without waiting; returns how many.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> Result<usize, Errno> {
        #[allow(
            clippy::cast_sign_loss,
            clippy::allow_attributes,
            reason = "flags are bits"
        )]
        let flags = libc::MSG_WAITFORONE as _;
        // SAFETY: all headers are there, and what they point to is owned by `self`, with its true length.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.0.headers.as_mut_ptr(),
                self.0.count(),
                flags,
                ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| Errno::last())
    }

    /// Returns a buffer that the last call received, and makes its header ready for the next call.
    #[inline]
    pub(crate) fn message(&mut self, index: usize) -> Message<'_> {
        let room = self.0.room;
        let header = &mut self.0.headers[index];
        // A length above the room is not believed: the buffer ends there.
        let len = (header.msg_len as usize).min(room);
        let merged = match self.0.controls.get(index) {
            Some(control) => {
                let used = header.msg_hdr.msg_controllen;
                header.msg_hdr.msg_controllen = CONTROL_LEN;
                segment(&control.0, used)
            }
            None => None,
        };
        let start = index * room;
        Message {
            bytes: &self.0.bytes[start..start + len],
            segment: merged.unwrap_or(len).max(1),
        }
    }
}

/// Reads the size of merged datagrams from a control message: length 8 B, level 4 B, type 4 B, number 4 B.
fn segment(control: &[u8; CONTROL_LEN], used: usize) -> Option<usize> {
    let number = |at: usize| {
        let bytes = control.get(at..at + 4)?.first_chunk()?;
        Some(i32::from_ne_bytes(*bytes))
    };
    let good = used >= 20 && number(8) == Some(libc::SOL_UDP) && number(12) == Some(libc::UDP_GRO);
    good.then(|| number(16))
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|&size| size > 0)
}

/// Allows `MSG_ZEROCOPY` on a socket.
pub(crate) fn allow_zerocopy(socket: &impl AsFd) -> Result<(), Errno> {
    set_number(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)
}

/// Limits what a socket sends, in bytes per second.
pub(crate) fn limit_pacing(socket: &impl AsFd, bytes_per_s: u64) -> Result<(), Errno> {
    set_number(
        socket,
        libc::SOL_SOCKET,
        libc::SO_MAX_PACING_RATE,
        bytes_per_s,
    )
}

fn set_number<T: Copy>(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    number: T,
) -> Result<(), Errno> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the kernel reads as many bytes as the number has.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            ptr::from_ref(&number).cast(),
            len,
        )
    };
    Errno::result(done).map(drop)
}

/// Takes reports that the kernel is done with pages that were sent with `MSG_ZEROCOPY`; returns how many sends they
/// cover. Never blocks.
pub(crate) fn take_done(socket: &impl AsFd) -> u64 {
    let mut done = 0;
    loop {
        let mut room = [0_u64; 16];
        // SAFETY: a header of zeros is one without address, buffers and control.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&room);
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header points to room of the length that it says.
        let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
        if received < 0 {
            return done;
        }
        // SAFETY: the kernel filled the header and its control room, which still lives.
        let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        if control.is_null() {
            return done;
        }
        // SAFETY: the message is within the room, which is as large as the largest of its kind; reading needs no
        // alignment.
        let report: libc::sock_extended_err =
            unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
        if report.ee_errno == 0 && report.ee_origin == BY_ZEROCOPY {
            done += u64::from(report.ee_data.wrapping_sub(report.ee_info)) + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let (left, right) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        left.connect(right.local_addr().unwrap()).unwrap();
        (left, right)
    }

    #[test]
    fn buffers_arrive_as_they_were_filled_and_cut() {
        let (left, right) = pair();
        let mut outbox = Outbox::new(4, 100);
        for index in 0..4 {
            outbox.buffer(index).fill(u8::try_from(index).unwrap() + 1);
            outbox.set_len(index, 10 * (index + 1));
        }
        assert_eq!(outbox.send(&left, 3, 0), Ok(3));
        let mut inbox = Inbox::new(8, 25, false);
        let mut lengths = Vec::new();
        while lengths.len() < 3 {
            for index in 0..inbox.receive(&right).unwrap() {
                let message = inbox.message(index);
                let content = u8::try_from(lengths.len()).unwrap() + 1;
                assert!(message.bytes.iter().all(|&byte| byte == content));
                lengths.push((message.bytes.len(), message.segment));
            }
        }
        // The last one was longer than the room.
        assert_eq!(lengths, [(10, 10), (20, 20), (25, 25)]);
    }

    #[test]
    fn only_the_kernels_own_word_is_a_segment() {
        let mut control = [0; CONTROL_LEN];
        control[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        control[12..16].copy_from_slice(&libc::UDP_GRO.to_ne_bytes());
        control[16..20].copy_from_slice(&64_i32.to_ne_bytes());
        assert_eq!(segment(&control, 24), Some(64));
        assert_eq!(segment(&control, 0), None);
        control[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(segment(&control, 24), None);
        control[12] ^= 1;
        assert_eq!(segment(&control, 24), None);
    }

    #[test]
    fn nothing_is_done_where_nothing_was_sent() {
        let (left, _right) = pair();
        assert_eq!(take_done(&left), 0);
    }
}
