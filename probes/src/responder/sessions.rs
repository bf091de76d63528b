//! Streams of datagrams that were agreed on over TCP, and the sockets that they get.
//!
//! A stream has the responder's own port, since that is the one that rules and firewalls let through: a socket
//! that is connected to its client alone, beside the one that hears everybody.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use socket2::{Domain, SockRef, Socket, Type};

use super::pool::lock;
use crate::wire::{Header, Kind, MAX_DATAGRAM};

/// All sessions of a responder.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The socket that hears everybody.
    socket: UdpSocket,
    /// What the numbers are made with that prove an address.
    secret: RandomState,
    /// The last hello of each session.
    open: Mutex<BTreeMap<u64, Option<Hello>>>,
    /// Taken while a port is bound a second time.
    binding: Mutex<()>,
}

/// How a client said hello.
#[derive(Debug, Clone, Copy)]
struct Hello {
    /// Its own address.
    from: SocketAddr,
    /// The address of the responder that it reached, where there are several: a service may have chosen another for its
    /// datagrams than for its connection.
    asked: Option<IpAddr>,
}

/// One session; ends when dropped.
#[derive(Debug)]
pub(super) struct Session {
    sessions: Arc<Sessions>,
    /// Marks its datagrams.
    pub(super) token: u64,
}

impl Sessions {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            secret: RandomState::new(),
            open: Mutex::default(),
            binding: Mutex::default(),
        }
    }

    /// Opens a session under a token that nobody can guess.
    pub(super) fn open(self: &Arc<Self>) -> io::Result<Session> {
        let mut token = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut token)?;
        let token = u64::from_ne_bytes(token);
        lock(&self.open).insert(token, None);
        Ok(Session {
            sessions: Arc::clone(self),
            token,
        })
    }

    /// Takes note of a hello; returns the number with which to answer it, if its session exists.
    pub(super) fn hello(&self, token: u64, from: SocketAddr, asked: Option<IpAddr>) -> Option<u64> {
        *lock(&self.open).get_mut(&token)? = Some(Hello { from, asked });
        Some(self.number(token, from))
    }

    /// Returns what only those can know who receive at an address.
    fn number(&self, token: u64, address: SocketAddr) -> u64 {
        self.secret.hash_one((token, address))
    }

    /// Opens a socket on the responder's port that hears one client alone.
    fn connect(&self, local: IpAddr, client: SocketAddr) -> io::Result<UdpSocket> {
        let address = SocketAddr::new(local, self.socket.local_addr()?.port());
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        if let IpAddr::V6(local) = local {
            socket.set_only_v6(local.to_ipv4_mapped().is_none())?;
        }
        socket.set_reuse_address(true)?;
        {
            let _one_at_a_time = lock(&self.binding);
            // Only for this moment: nobody else is to share the port.
            let first = SockRef::from(&self.socket);
            first.set_reuse_address(true)?;
            let bound = socket.bind(&address.into());
            first.set_reuse_address(false)?;
            bound?;
        }
        socket.connect(&client.into())?;
        let socket = socket.into();
        Self::answer_stolen(&socket);
        Ok(socket)
    }

    /// Answers what others sent between bind and connect, when the new socket heard everybody. It has the address that
    /// they asked.
    fn answer_stolen(socket: &UdpSocket) {
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let datagram = &mut buffer[..len];
            if Header::read_from(datagram).is_ok_and(|header| header.kind == Kind::Request) {
                Header::turn(datagram);
                // A reply that the kernel refuses is lost, as it may be on the wire.
                let _ = socket.send_to(datagram, from);
            }
        }
        // Should it fail, receiving fails with it, and nothing is measured.
        let _ = socket.set_nonblocking(false);
    }
}

impl Session {
    /// Returns a socket for the address that says the right number; `local` is the responder's own address, as
    /// the client's TCP connection has it, unless the client's datagrams reached another.
    ///
    /// # Errors
    ///
    /// Says in one line why there is none.
    pub(super) fn bind(&self, local: IpAddr, number: u64) -> Result<UdpSocket, String> {
        let heard = lock(&self.sessions.open).get(&self.token).copied();
        let client = heard
            .flatten()
            .filter(|hello| self.sessions.number(self.token, hello.from) == number);
        let Some(Hello { from, asked }) = client else {
            return Err("the address for datagrams is not proven".to_owned());
        };
        let socket = self.sessions.connect(asked.unwrap_or(local), from);
        socket.map_err(|error| format!("no socket for datagrams: {error}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.sessions.open).remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> (Arc<Sessions>, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (Arc::new(Sessions::new(socket)), address)
    }

    #[test]
    fn a_socket_goes_to_who_proves_the_address() {
        let (sessions, address) = sessions();
        let session = sessions.open().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = client.local_addr().unwrap();
        assert_eq!(
            sessions.hello(session.token.wrapping_add(1), from, None),
            None
        );
        let number = sessions.hello(session.token, from, None).unwrap();
        let victim: SocketAddr = "127.0.0.1:9".parse().unwrap();
        // A number holds for its address alone.
        sessions.hello(session.token, victim, None).unwrap();
        assert!(session.bind(address.ip(), number).is_err());
        sessions.hello(session.token, from, None).unwrap();
        assert!(session.bind(address.ip(), number.wrapping_add(1)).is_err());
        let socket = session.bind(address.ip(), number).unwrap();
        assert_eq!(socket.local_addr().unwrap(), address);
        assert_eq!(socket.peer_addr().unwrap(), from);
        // A second session of another client stands beside it, a stranger doesn't.
        let other = sessions.open().unwrap();
        let number = sessions.hello(other.token, victim, None).unwrap();
        assert!(other.bind(address.ip(), number).is_ok());
        assert!(UdpSocket::bind(address).is_err());
        // A service may lead datagrams to another address than the connection.
        let third = sessions.open().unwrap();
        let elsewhere = "127.0.0.2".parse().unwrap();
        let number = sessions.hello(third.token, from, Some(elsewhere)).unwrap();
        let socket = third.bind(address.ip(), number).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), elsewhere);
        let token = session.token;
        drop(session);
        assert_eq!(sessions.hello(token, from, None), None);
    }
}
