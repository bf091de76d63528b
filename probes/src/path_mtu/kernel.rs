//! What the kernel knows of a route, and the options of probing sockets.
#![expect(
    unsafe_code,
    reason = "an ioctl and two socket options that no crate in use wraps"
)]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::ifaddrs::getifaddrs;
use nix::libc::{self, c_int, c_void, socklen_t};
use nix::sys::socket::{SockaddrStorage, getsockopt, sockopt};

/// The way to a host.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) from: IpAddr,
    pub(super) device: Option<String>,
    pub(super) device_mtu: Option<u32>,
    pub(super) route_mtu: Option<u32>,
}

/// Asks the kernel for the way to a host, without sending anything.
pub(super) fn route(target: SocketAddr) -> io::Result<Way> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    let mut to = target;
    // Connecting asks for a port; nothing is sent to it.
    to.set_port(if target.port() == 0 { 9 } else { target.port() });
    socket.connect(to)?;
    let from = socket.local_addr()?.ip();
    let route_mtu = match target {
        SocketAddr::V4(_) => getsockopt(&socket, sockopt::IpMtu).ok(),
        SocketAddr::V6(_) => ipv6_mtu(&socket),
    };
    let route_mtu = route_mtu.and_then(|mtu| u32::try_from(mtu).ok());
    let device = device_of(from);
    let device_mtu = device
        .as_ref()
        .and_then(|device| mtu_of(&socket, device))
        // The way to one's own address leads over loopback, whatever device has the address.
        .filter(|&mtu| route_mtu.is_none_or(|route| route <= mtu));
    Ok(Way {
        from,
        device: device.filter(|_| device_mtu.is_some()),
        device_mtu,
        route_mtu,
    })
}

/// Returns the device that has an address.
fn device_of(address: IpAddr) -> Option<String> {
    let ip = |storage: SockaddrStorage| {
        let v4 = storage
            .as_sockaddr_in()
            .map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| {
            storage
                .as_sockaddr_in6()
                .map(|address| IpAddr::V6(address.ip()))
        })
    };
    let mut all = getifaddrs().ok()?;
    let found = all.find(|one| one.address.and_then(ip) == Some(address))?;
    Some(found.interface_name)
}

/// Returns a device's MTU in the network namespace of a socket.
fn mtu_of(socket: &impl AsFd, device: &str) -> Option<u32> {
    // SAFETY: all zeros are a valid request without a name.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if device.len() > room {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads the name and writes the MTU, both within the request.
    let done = unsafe { libc::ioctl(fd, libc::SIOCGIFMTU, &raw mut request) };
    // SAFETY: after this ioctl the MTU is what the union holds.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    (done == 0).then(|| u32::try_from(mtu).ok()).flatten()
}

fn ipv6_mtu(socket: &impl AsFd) -> Option<c_int> {
    let mut mtu: c_int = 0;
    let mut len = socklen_t::try_from(size_of::<c_int>()).ok()?;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, which is the size of the number.
    let done = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU,
            (&raw mut mtu).cast::<c_void>(),
            &raw mut len,
        )
    };
    (done == 0).then_some(mtu)
}

/// Has every packet of a socket carry "don't fragment", whatever is remembered of the path.
pub(super) fn never_fragment(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    let (level, name, value): (c_int, c_int, c_int) = if is_ipv6 {
        let probe = libc::IPV6_PMTUDISC_PROBE;
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, probe)
    } else {
        let probe = libc::IP_PMTUDISC_PROBE;
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, probe)
    };
    let len = socklen_t::try_from(size_of::<c_int>()).unwrap_or(0);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `len` bytes, which is the size of the number.
    let done =
        unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast::<c_void>(), len) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_loopback_is_known() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let target: SocketAddr = host.parse().unwrap();
            let route = route(target).unwrap();
            assert_eq!(route.from, target.ip());
            assert_eq!(route.device.as_deref(), Some("lo"));
            assert!(route.device_mtu > Some(1_280), "{route:?}");
            assert!(route.route_mtu.is_some(), "{route:?}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_has_no_mtu() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(mtu_of(&socket, "no-such-device"), None);
        assert_eq!(mtu_of(&socket, &"x".repeat(100)), None);
    }
}
