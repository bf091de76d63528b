//! Takes over a socket that this process inherited.
#![expect(
    unsafe_code,
    reason = "an inherited descriptor is a bare number until it is owned"
)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;

use socket2::{Domain, SockRef, Type};

use crate::error::ProbeError;

/// Owns the descriptor as a non-blocking Unix stream that later children don't inherit.
///
/// # Errors
///
/// When it isn't open, or isn't a Unix stream socket.
pub(super) fn take(fd: i32) -> Result<UnixStream, ProbeError> {
    let refused = |error: io::Error| {
        let mend = "start the agent with a connected Unix stream socket as that descriptor";
        ProbeError::refused(format!("serve on descriptor {fd}"), error, mend)
    };
    let kind = |text: &str| refused(io::Error::other(text.to_owned()));
    if fd <= 2 {
        return Err(kind("0, 1 and 2 are the standard streams"));
    }
    // Owning a number that isn't open would be undefined; this looks without owning.
    let file = std::fs::metadata(format!("/proc/self/fd/{fd}"))
        .map_err(|_| kind("it is not open in this process"))?;
    if !file.file_type().is_socket() {
        return Err(kind("it is not a socket"));
    }
    // SAFETY: the descriptor is open, and it was inherited: nothing in this process opened it, so nothing
    // else owns it. The caller hands it over (`run_on_fd`).
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let socket = SockRef::from(&owned);
    let domain = socket.domain().map_err(refused)?;
    if domain != Domain::UNIX || socket.r#type().map_err(refused)? != Type::STREAM {
        return Err(kind("it is not a Unix stream socket"));
    }
    socket.set_cloexec(true).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    Ok(UnixStream::from(owned))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn a_unix_stream_is_taken_over() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(take(ours.into_raw_fd()).is_ok());
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let file = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap().into_raw_fd();
        for (fd, reason) in [
            (-1, "standard streams"),
            (0, "standard streams"),
            (i32::MAX, "not open"),
            (file, "not a socket"),
            (tcp, "not a Unix stream socket"),
        ] {
            let line = take(fd).unwrap_err().line();
            assert!(line.contains(reason), "{line}");
            assert!(!line.contains('\n'));
        }
    }
}
