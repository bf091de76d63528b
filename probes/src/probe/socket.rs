//! The kernel's sockets behind the [`Transport`] seam.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use socket2::{Domain, SockRef, Socket, Type};
use tollgate_results::outcome::{Failure, Flow, Protocol};
use tollgate_results::stream::TcpSample;
use tollgate_results::workload::Close;

use super::transport::{Dial, Transport, cause};
use super::wake::{TURN, Wake, wait_for};
use super::window::{Fault, Patience};
use crate::bulk::tcp_info;
use crate::clock::Clock;

/// [`TURN`](super::wake::TURN) for poll(2), in milliseconds.
const TURN_MS: u8 = 20;

/// Opens TCP connections from a fresh port each.
#[derive(Debug)]
pub(crate) struct TcpDial {
    target: SocketAddr,
    close: Close,
    wake: Wake,
}

impl TcpDial {
    pub(crate) const fn new(target: SocketAddr, close: Close) -> Self {
        Self {
            target,
            close,
            wake: Wake::Timeout(TURN),
        }
    }

    /// Has waits end in another way.
    pub(crate) const fn woken(self, wake: Wake) -> Self {
        Self { wake, ..self }
    }

    pub(crate) const fn target(&self) -> SocketAddr {
        self.target
    }
}

impl Dial for TcpDial {
    type Link = TcpStream;

    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(TcpStream, u64), Fault> {
        let failed = |error: io::Error| Fault::Failed(cause(&error));
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, None);
        let socket = socket.map_err(failed)?;
        socket.set_tcp_nodelay(true).map_err(failed)?;
        self.wake.set(&socket).map_err(failed)?;
        let before = patience.clock.now();
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            // What ends a wait ends connect(2) too; from then on it goes on by itself.
            Err(error) if is_under_way(&error) => wait_connected(&socket, patience)?,
            Err(error) => return Err(failed(error)),
        }
        let connect_ns = patience.clock.now().since(before);
        Ok((socket.into(), connect_ns))
    }

    fn flow(&self, link: &TcpStream) -> Option<Flow> {
        Some(Flow {
            protocol: Protocol::Tcp,
            local: link.local_addr().ok()?,
            remote: self.target,
            incoming_cpu: incoming_cpu(link.as_fd()),
        })
    }

    fn hang_up(&mut self, link: TcpStream) {
        if self.close == Close::Rst {
            let socket = Socket::from(link);
            // Nothing hangs on a failure: the connection then closes by FIN.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Opens connections that never block.
pub(crate) trait Begin: Dial<Link: AsFd> {
    /// Begins to open a connection. Until it stands nothing can be sent; a failure shows in the next call.
    fn begin(&mut self) -> io::Result<Self::Link>;

    /// Makes a connection that was dialled never block.
    fn unblock(link: &Self::Link) -> io::Result<()>;

    /// Goes on with a connection that was begun; returns whether it stands.
    fn stands(_link: &mut Self::Link) -> io::Result<bool> {
        Ok(true)
    }

    /// Sorts an error of one of its connections.
    fn cause(&self, error: &io::Error) -> Failure {
        cause(error)
    }
}

impl Begin for TcpDial {
    fn begin(&mut self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.target.into()) {
            Err(error) if !is_under_way(&error) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    fn unblock(link: &TcpStream) -> io::Result<()> {
        link.set_nonblocking(true)
    }

    fn stands(link: &mut TcpStream) -> io::Result<bool> {
        if let Some(error) = link.take_error()? {
            return Err(error);
        }
        match link.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Begin for UdpDial {
    fn begin(&mut self) -> io::Result<UdpSocket> {
        self.socket()
    }

    fn unblock(link: &UdpSocket) -> io::Result<()> {
        link.set_nonblocking(true)
    }
}

/// Returns the CPU on which the kernel took in the last packet for a socket (`SO_INCOMING_CPU`).
pub(crate) fn incoming_cpu(socket: BorrowedFd<'_>) -> Option<u32> {
    let cpu = SockRef::from(&socket).cpu_affinity().ok()?;
    // A socket that received nothing says -1, which is no such number.
    u32::try_from(cpu).ok()
}

fn is_under_way(error: &io::Error) -> bool {
    [Errno::EINPROGRESS, Errno::EALREADY, Errno::EINTR]
        .iter()
        .any(|&errno| error.raw_os_error() == Some(errno as i32))
}

fn wait_connected<C: Clock>(socket: &Socket, patience: &Patience<'_, C>) -> Result<(), Fault> {
    loop {
        patience.check()?;
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, TURN_MS) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(_) => return Err(Fault::Failed(Failure::Unreachable)),
        }
    }
    match socket.take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(Fault::Failed(cause(&error))),
    }
}

impl Transport for TcpStream {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn tcp_info(&self) -> Option<TcpSample> {
        tcp_info(self)
    }
}

/// Opens UDP sockets with the target as their only peer.
#[derive(Debug)]
pub(crate) struct UdpDial {
    target: SocketAddr,
    wake: Wake,
}

impl UdpDial {
    pub(crate) const fn new(target: SocketAddr, wake: Wake) -> Self {
        Self { target, wake }
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(self.target), Type::DGRAM, None)?;
        self.wake.set(&socket)?;
        socket.connect(&self.target.into())?;
        Ok(socket.into())
    }
}

impl Dial for UdpDial {
    type Link = UdpSocket;

    fn dial<C: Clock>(&mut self, _patience: &Patience<'_, C>) -> Result<(UdpSocket, u64), Fault> {
        let failed = |error: io::Error| Fault::Failed(cause(&error));
        let socket = self.socket().map_err(failed)?;
        Ok((socket, 0))
    }

    fn flow(&self, link: &UdpSocket) -> Option<Flow> {
        Some(Flow {
            protocol: Protocol::Udp,
            local: link.local_addr().ok()?,
            remote: self.target,
            incoming_cpu: incoming_cpu(link.as_fd()),
        })
    }

    fn hang_up(&mut self, link: UdpSocket) {
        drop(link);
    }
}

impl Transport for UdpSocket {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::send(self, bytes)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::recv(self, buffer)
    }

    fn wait(&mut self, ns: u64) {
        wait_for(self, ns);
    }
}
