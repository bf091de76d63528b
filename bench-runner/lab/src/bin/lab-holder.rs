//! A lab's holder as a program of its own for the lab's tests, with the smallest traffic that they need.
//!
//! - `lab-holder FD …`: the holder
//! - `lab-holder echo ADDRESS`: answers every TCP connection and datagram with what came
//! - `lab-holder ping ADDRESS COUNT [udp]`: sends so many requests and prints its own and the peer's address
//! - `lab-holder connect ADDRESS COUNT`: makes so many connections one after the other, waits little for each, and prints how
//!   many stood
//! - `lab-holder bulk ADDRESS BYTES`: sends so many bytes and reads them back
//! - `lab-holder datagram ADDRESS BYTES [FROM]`: sends one datagram with so many bytes and waits until it comes back
//! - `lab-holder datagram ADDRESS BYTES whole`: the same with one that must not be fragmented

use std::env;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{getsockopt, sockopt};

/// How long a ping waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection of many is waited for.
const LITTLE: Duration = Duration::from_millis(20);

/// Longest datagram, and more than any device of a lab takes in one piece.
const LARGEST: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let result = match words.as_slice() {
        ["echo", address] => echo(address),
        ["ping", address, count] => ping(address, count),
        ["ping", address, count, "udp"] => ping_udp(address, count),
        ["connect", address, count] => connect(address, count),
        ["bulk", address, bytes] => bulk(address, bytes),
        ["datagram", address, bytes] => datagram(address, bytes, None),
        ["datagram", address, bytes, "whole"] => whole(address, bytes),
        ["datagram", address, bytes, from] => datagram(address, bytes, Some(from)),
        _ => return tollgate_lab::holder::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn echo(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    // A socket for each address, so that an answer leaves from the one that was asked.
    for own in own_addresses(parse(address)?)? {
        let datagrams = UdpSocket::bind(own)?;
        thread::spawn(move || {
            let mut buffer = [0; LARGEST];
            while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
                let _ = datagrams.send_to(&buffer[..length], from);
            }
        });
    }
    writeln!(io::stdout(), "ready")?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || io::copy(&mut &stream, &mut &stream));
    }
    Ok(())
}

/// Lists what an address stands for: itself, or all of this namespace's of its family.
fn own_addresses(address: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !address.ip().is_unspecified() {
        return Ok(vec![address]);
    }
    let all = getifaddrs()?.filter_map(|interface| {
        let own = interface.address?;
        let v4 = own.as_sockaddr_in().map(|own| IpAddr::from(own.ip()));
        v4.or_else(|| own.as_sockaddr_in6().map(|own| own.ip().into()))
    });
    // Those of a link alone are nobody's to ask for.
    let everywhere = |own: &IpAddr| match own {
        IpAddr::V4(_) => true,
        IpAddr::V6(own) => !own.is_unicast_link_local(),
    };
    Ok(all
        .filter(|own| own.is_ipv4() == address.is_ipv4() && everywhere(own))
        .map(|own| SocketAddr::new(own, address.port()))
        .collect())
}

fn ping(address: &str, count: &str) -> io::Result<()> {
    let address = parse::<SocketAddr>(address)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reply = [0; 64];
    for number in 0..parse::<u32>(count)? {
        let request = [u8::try_from(number % 251).unwrap_or(0); 64];
        stream.write_all(&request)?;
        stream.read_exact(&mut reply)?;
        if reply != request {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    writeln!(
        io::stdout(),
        "{} {}",
        stream.local_addr()?,
        stream.peer_addr()?
    )?;
    let congestion = getsockopt(&stream, sockopt::TcpCongestion)?;
    writeln!(
        io::stdout(),
        "{}",
        congestion.to_string_lossy().trim_end_matches('\0')
    )
}

fn connect(address: &str, count: &str) -> io::Result<()> {
    let address = parse::<SocketAddr>(address)?;
    let mut stood = 0;
    for _ in 0..parse::<u32>(count)? {
        stood += u32::from(TcpStream::connect_timeout(&address, LITTLE).is_ok());
    }
    writeln!(io::stdout(), "{stood}")
}

/// Returns a socket that is connected to an address.
fn connected(address: &str, from: Option<&str>) -> io::Result<UdpSocket> {
    let address = parse::<SocketAddr>(address)?;
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(from.unwrap_or(any))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn datagram(address: &str, bytes: &str, from: Option<&str>) -> io::Result<()> {
    there_and_back(&connected(address, from)?, bytes)
}

fn whole(address: &str, bytes: &str) -> io::Result<()> {
    let socket = connected(address, None)?;
    never_fragment(&socket)?;
    there_and_back(&socket, bytes)
}

/// Lets the kernel refuse what is longer than the path is known to take.
#[expect(unsafe_code, reason = "no crate in use wraps these two options")]
fn never_fragment(socket: &UdpSocket) -> io::Result<()> {
    let (level, option, never) = if socket.local_addr()?.is_ipv4() {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        )
    } else {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        )
    };
    let length = libc::socklen_t::try_from(size_of_val(&never)).unwrap_or(0);
    // SAFETY: the option's value is an int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const never).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn there_and_back(socket: &UdpSocket, bytes: &str) -> io::Result<()> {
    let request = vec![b'x'; parse::<usize>(bytes)?.min(LARGEST)];
    socket.send(&request)?;
    let mut reply = [0; LARGEST];
    let length = socket.recv(&mut reply)?;
    if reply[..length] == request {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn ping_udp(address: &str, count: &str) -> io::Result<()> {
    let socket = connected(address, None)?;
    let mut reply = [0; 64];
    for number in 0..parse::<u32>(count)? {
        let request = [u8::try_from(number % 251).unwrap_or(0); 64];
        socket.send(&request)?;
        if socket.recv(&mut reply)? != reply.len() || reply != request {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    writeln!(
        io::stdout(),
        "{} {}",
        socket.local_addr()?,
        socket.peer_addr()?
    )
}

fn bulk(address: &str, bytes: &str) -> io::Result<()> {
    let length = parse::<u32>(bytes)?;
    let stream = TcpStream::connect_timeout(&parse(address)?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let sender = thread::spawn(move || {
        io::copy(&mut io::repeat(b'x').take(length.into()), &mut writer)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let received = io::copy(&mut &stream, &mut io::sink())?;
    sender.join().map_err(|_| io::ErrorKind::Other)??;
    if received == u64::from(length) {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}
