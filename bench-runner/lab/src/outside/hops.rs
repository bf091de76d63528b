//! Counting routers by the TTL that a datagram arrives with.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
use tollgate_results::facts::Hops;

use super::Machines;
use crate::error::{Doing as _, LabError};

/// The TTL that both ends send with.
const START: u8 = 64;
/// How long a datagram may take, and how many are tried: across namespaces of one kernel it takes microseconds.
const PATIENCE: Duration = Duration::from_millis(200);
const TRIES: u32 = 3;

/// Sends a datagram from the client to the service, answers it at the server, and counts the routers both ways. Nobody else
/// may listen at the server's address meanwhile.
pub(super) fn count(
    machines: Machines<'_>,
    service: SocketAddr,
    server: SocketAddr,
) -> Result<Hops, LabError> {
    let doing = || format!("count the routers between the client and {service}");
    let open = |at: SocketAddr| move || socket(at).doing(|| format!("listen on {at}"));
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let client = machines.client.enter(open(any))?;
    let server = machines.server.enter(open(server))?;
    client.connect(service).doing(doing)?;
    let mut last = None;
    for _ in 0..TRIES {
        match exchange(&client, &server) {
            Ok(hops) => return Ok(hops),
            Err(error) => last = Some(error),
        }
    }
    let why = match last {
        Some(error) if error.kind() != io::ErrorKind::WouldBlock => error.to_string(),
        _ => format!("of {TRIES} datagrams none came there and back"),
    };
    Err(LabError::said(doing(), why))
}

fn exchange(client: &UdpSocket, server: &UdpSocket) -> io::Result<Hops> {
    client.send(b"there")?;
    let (there, from) = receive(server)?;
    server.send_to(b"back", from)?;
    let (back, _) = receive(client)?;
    Ok(Hops {
        there: START.saturating_sub(there),
        back: START.saturating_sub(back),
        client_as: from.ip(),
    })
}

#[expect(unsafe_code, reason = "nix has no name for this option")]
fn socket(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    socket.set_ttl(START.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the option's value is an int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTTL,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Receives a datagram: the TTL it arrived with, and who sent it.
fn receive(socket: &UdpSocket) -> io::Result<(u8, SocketAddr)> {
    let mut byte = [0; 16];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(libc::c_int);
    let message = recvmsg::<SockaddrIn>(
        socket.as_raw_fd(),
        &mut buffer,
        Some(&mut space),
        MsgFlags::empty(),
    )?;
    let ttl = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4Ttl(ttl) => u8::try_from(ttl).ok(),
        _ => None,
    });
    let from = message.address.map(|from| (from.ip(), from.port()));
    let (Some(ttl), Some(from)) = (ttl, from) else {
        return Err(io::Error::other("the kernel gave no TTL with it"));
    };
    Ok((ttl, from.into()))
}
