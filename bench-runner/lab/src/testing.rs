//! What tests share: a namespace of their own with a loopback device that has the lab's addresses.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tollgate_results::arm::{Family, Position, Services};
use tollgate_results::outcome::{Flow, Protocol};

use crate::address::{self, Side};
use crate::netlink::Netlink;
use crate::netns::NetNs;
use crate::services::ServiceSet;
use crate::topology::{Address, Site};

/// Set in a test that runs again inside a user namespace.
const INSIDE: &str = "TOLLGATE_TEST_INSIDE";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `body` in a new network namespace. An ordinary user's test runs again, as `test`, in a user namespace; where
/// there can be none it is skipped loudly.
pub(crate) fn in_namespace(test: &str, family: Family, body: impl FnOnce() + Send) {
    match NetNs::new() {
        Ok(netns) => {
            set_up(&netns, family);
            netns
                .enter(|| {
                    body();
                    Ok(())
                })
                .unwrap();
        }
        Err(error) if env::var_os(INSIDE).is_some() => panic!("{}", error.chain()),
        Err(_) => again_in_user_namespace(test),
    }
}

/// Runs a test again in a user namespace of its own; returns whether this is that run.
pub(crate) fn in_user_namespace(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    again_in_user_namespace(test);
    false
}

fn again_in_user_namespace(test: &str) {
    let unshare = ["--user", "--map-root-user", "--net", "--mount"];
    let possible = Command::new("unshare").args(unshare).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: {test} needs root or user namespaces");
        return;
    }
    let status = Command::new("unshare")
        .args(unshare)
        .args([
            "sh",
            "-c",
            "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"",
        ])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(
        status.unwrap().success(),
        "{test} failed in a user namespace"
    );
}

/// Gives the loopback device the client's and the server's addresses and a route to services.
fn set_up(netns: &NetNs, family: Family) {
    let (service_host, prefix) = match family {
        Family::Ipv4 => ("10.96.255.254", 12),
        Family::Ipv6 => ("fd00:10:96::fffe", 108),
    };
    let single = address::host_prefix(family);
    let mut addresses = vec![(service_host.parse().unwrap(), prefix)];
    addresses.push((client(family), single));
    addresses.extend(
        servers(family, 3)
            .into_iter()
            .map(|server| (server.ip(), single)),
    );
    let site = Site {
        addresses: addresses
            .into_iter()
            .map(|(address, prefix)| Address {
                device: 1,
                own: address,
                prefix,
            })
            .collect(),
        ..Site::default()
    };
    let none = |_| unreachable!("no device reaches another namespace");
    let netlink = Netlink::open(netns).unwrap();
    netlink.apply_devices(&site, none).unwrap();
    netlink.apply_addresses(&site).unwrap();
}

/// Returns the address that the client binds to.
pub(crate) fn client(family: Family) -> IpAddr {
    address::pod(Side::A, 2, family)
}

/// Returns addresses that [`Echo`] can bind to.
pub(crate) fn servers(family: Family, count: u8) -> Vec<SocketAddr> {
    (0..count)
        .map(|n| SocketAddr::new(address::pod(Side::B, 2 + n, family), 8080))
        .collect()
}

/// Returns `count` services of two endpoints, the one under test with those of [`servers`].
pub(crate) fn services(count: u32, position: Position, family: Family) -> ServiceSet {
    let services = Services {
        count,
        endpoints: 2,
        position,
        ..Services::default()
    };
    ServiceSet::new(&services, family, &servers(family, 2), 1)
}

/// Answers on TCP and UDP what it received, until the process ends.
pub(crate) fn echo(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4];
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer).unwrap();
        }
    });
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..length], from).unwrap();
        }
    });
}

/// Asks a TCP server, and returns the connection with what it is to the client.
pub(crate) fn ask_tcp(from: IpAddr, to: SocketAddr) -> (TcpStream, Flow) {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
    let flow = Flow {
        protocol: Protocol::Tcp,
        local: stream.local_addr().unwrap(),
        remote: to,
        incoming_cpu: None,
    };
    (stream, flow)
}

/// Asks a UDP server on an unconnected socket, which must see the answer come from whom it asked.
pub(crate) fn ask_udp(from: IpAddr, to: SocketAddr) -> (UdpSocket, Flow) {
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"ping", to).unwrap();
    let mut answer = [0; 4];
    let (length, sender) = socket.recv_from(&mut answer).unwrap();
    assert_eq!((&answer[..length], sender), (&b"ping"[..], to));
    let flow = Flow {
        protocol: Protocol::Udp,
        local: socket.local_addr().unwrap(),
        remote: to,
        incoming_cpu: None,
    };
    (socket, flow)
}
