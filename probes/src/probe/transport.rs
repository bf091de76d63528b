//! The seam between probes and the network.

use std::io::{self, ErrorKind};

use nix::errno::Errno;
use tollgate_results::outcome::{Failure, Flow};
use tollgate_results::stream::TcpSample;

use super::window::{Fault, Patience};
use crate::clock::Clock;
use crate::recorder::KernelStamps;

/// An open connection, or a datagram socket with a peer.
///
/// Both calls block for a short while at most, then fail with `WouldBlock` or `Interrupted`: the caller asks its
/// [`Patience`] and calls again.
pub(crate) trait Transport {
    /// Sends bytes, or a datagram; returns how many bytes went out.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Receives bytes, or a datagram; 0 bytes on a connection are its end.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Waits for something to receive, but no longer than this. By default not at all: `recv` comes back by itself.
    fn wait(&mut self, _ns: u64) {}

    /// Sorts an error of either call; `None` where it concerns nothing that this connection sent.
    fn cause(&mut self, error: &io::Error) -> Option<Failure> {
        Some(cause(error))
    }

    /// Sends what is left of a stream's block from `offset` on; returns how many bytes went out.
    #[inline]
    fn send_block(&mut self, block: &[u8], offset: usize) -> io::Result<usize> {
        self.send(&block[offset..])
    }

    /// Returns what TCP knows of the connection; `None` where there is no TCP.
    fn tcp_info(&self) -> Option<TcpSample> {
        None
    }

    /// Returns whether both ends have agreed on what the connection carries, so that no preamble follows.
    fn is_arranged(&self) -> bool {
        false
    }

    /// Takes the kernel's timestamps of what was sent last and received last; `None` where none are asked for.
    /// To be called when the reply is in and its time is taken, since it costs calls.
    #[inline]
    fn stamps(&mut self) -> Option<KernelStamps> {
        None
    }

    /// Returns how long the TLS handshake took, in nanoseconds; `None` without TLS.
    fn handshake_ns(&self) -> Option<u64> {
        None
    }
}

/// Opens and closes connections to one target.
pub(crate) trait Dial {
    /// What it opens.
    type Link: Transport;

    /// Opens a connection; returns it with the nanoseconds that `connect` itself took.
    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(Self::Link, u64), Fault>;

    /// Returns the addresses of a connection: its own and the one that was asked for.
    fn flow(&self, link: &Self::Link) -> Option<Flow>;

    /// Returns why connections can't be had as they were asked for, if that is why dialling failed.
    fn refusal(&mut self) -> Option<String> {
        None
    }

    /// Closes a connection.
    fn hang_up(&mut self, link: Self::Link);
}

/// Sends all bytes.
#[inline]
pub(crate) fn send_all<C: Clock>(
    link: &mut impl Transport,
    mut bytes: &[u8],
    patience: &Patience<'_, C>,
) -> Result<(), Fault> {
    loop {
        match link.send(bytes) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) => pass(link, &error)?,
        }
        patience.check()?;
    }
}

/// Receives into a buffer until it is full.
#[inline]
pub(crate) fn recv_all<C: Clock>(
    link: &mut impl Transport,
    mut buffer: &mut [u8],
    patience: &Patience<'_, C>,
) -> Result<(), Fault> {
    while !buffer.is_empty() {
        let received = recv_some(link, buffer, patience)?;
        buffer = &mut buffer[received..];
        if !buffer.is_empty() {
            patience.check()?;
        }
    }
    Ok(())
}

/// Receives at least one byte.
#[inline]
pub(crate) fn recv_some<C: Clock>(
    link: &mut impl Transport,
    buffer: &mut [u8],
    patience: &Patience<'_, C>,
) -> Result<usize, Fault> {
    match recv_or_end(link, buffer, patience)? {
        0 => Err(Fault::Failed(Failure::Reset)),
        received => Ok(received),
    }
}

/// Receives at least one byte, or none at the end of the connection.
#[inline]
pub(crate) fn recv_or_end<C: Clock>(
    link: &mut impl Transport,
    buffer: &mut [u8],
    patience: &Patience<'_, C>,
) -> Result<usize, Fault> {
    loop {
        match link.recv(buffer) {
            Ok(received) => return Ok(received),
            Err(error) => pass(link, &error)?,
        }
        patience.check()?;
    }
}

/// Returns whether an error only asks to call again.
pub(crate) fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Lets errors pass that only ask to call again.
pub(crate) fn pass(link: &mut impl Transport, error: &io::Error) -> Result<(), Fault> {
    if is_again(error) {
        return Ok(());
    }
    match link.cause(error) {
        None => Ok(()),
        Some(failure) => Err(Fault::Failed(failure)),
    }
}

/// Sorts an error of the kernel.
pub(crate) fn cause(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected => Failure::Reset,
        ErrorKind::TimedOut => Failure::TimedOut,
        ErrorKind::PermissionDenied => Failure::Prohibited,
        _ if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => Failure::TooBig,
        _ => Failure::Unreachable,
    }
}
