//! Binds one port for both TCP and UDP.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};
use tollgate_results::agent::Serve;

use crate::error::ProbeError;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// How often a free port is drawn until TCP and UDP agree on one.
const DRAWS: u32 = 32;

/// Binds both; returns them with the port.
pub(super) fn listen(serve: &Serve) -> Result<(TcpListener, UdpSocket, u16), ProbeError> {
    let mut address = SocketAddr::new(serve.bind, serve.port);
    let mut draws = if serve.port == 0 { DRAWS } else { 1 };
    loop {
        address.set_port(serve.port);
        let tcp = bind_tcp(address).map_err(|error| refused(address, "", error))?;
        let local = tcp.local_addr();
        address = local.map_err(|error| refused(address, "", error))?;
        draws -= 1;
        match bind_udp(address) {
            Ok(udp) => return Ok((tcp, udp, address.port())),
            Err(error) if error.kind() == ErrorKind::AddrInUse && draws > 0 => {}
            Err(error) => return Err(refused(address, " (UDP)", error)),
        }
    }
}

/// Accepted connections inherit `TCP_NODELAY`, so that accepting costs no further call.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, Type::STREAM, true)?;
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    Ok(bind(address, Type::DGRAM, false)?.into())
}

fn bind(address: SocketAddr, kind: Type, reuse: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `::` means every address, IPv4 too, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    // Connections in TIME_WAIT shall not keep a new responder away from the port.
    socket.set_reuse_address(reuse)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn refused(address: SocketAddr, protocol: &str, error: io::Error) -> ProbeError {
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => "choose a port above 1023 or run as root",
        ErrorKind::AddrInUse => {
            "another program has this port: stop it or choose another port (0 takes a free one)"
        }
        ErrorKind::AddrNotAvailable => {
            "bind to one of this machine's own addresses (`ip address` lists them), or to 0.0.0.0 for all"
        }
        _ => "choose another address or port",
    };
    ProbeError::refused(format!("listen on {address}{protocol}"), error, mend)
}
