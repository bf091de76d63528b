//! What this machine is to a runner: its facts, its devices, and its way to an address.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::socket::{SockaddrLike as _, SockaddrStorage, getsockopt, sockopt};
use nix::unistd::Pid;
use tollgate_results::agent::{HostFacts, PathFacts};
use tollgate_results::evidence::DeviceCounters;

use crate::facts;

/// Most devices that are told of: a node of a large cluster has some hundred.
const MOST_DEVICES: usize = 1024;

/// Reads what the machine is and which of its CPUs this process may use.
#[must_use]
pub fn facts() -> HostFacts {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    HostFacts {
        facts: facts::read(),
        cpus: allowed_cpus(),
        boot_id: boot_id.map(|id| id.trim().to_owned()),
    }
}

fn allowed_cpus() -> Vec<u32> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    let allowed = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
    allowed.filter_map(|cpu| u32::try_from(cpu).ok()).collect()
}

/// Looks up how packets to an address would leave. Sends nothing.
#[must_use]
pub fn path(to: IpAddr) -> PathFacts {
    let interfaces = interfaces();
    let device_of = |ip: IpAddr| {
        let found = interfaces.iter().find(|(_, own)| *own == ip);
        found.map(|(device, _)| device.clone())
    };
    let own = device_of(to).is_some();
    let socket = routed(to);
    let local = if own {
        Some(to)
    } else {
        let address = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        address.map(|address| address.ip())
    };
    let device = local.and_then(device_of);
    // The route to an own address leads over loopback, whose MTU is another.
    let of_route = socket.filter(|_| !own).and_then(|socket| {
        let mtu = getsockopt(&socket, sockopt::IpMtu).ok()?;
        u32::try_from(mtu).ok()
    });
    PathFacts {
        own,
        local,
        mtu: of_route.or_else(|| mtu(device.as_deref()?)),
        device,
    }
}

/// Returns a socket that the kernel has found a route for.
fn routed(to: IpAddr) -> Option<UdpSocket> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The discard port; connecting a datagram socket only looks up the route.
    socket.connect(SocketAddr::new(to, 9)).ok()?;
    Some(socket)
}

/// Returns every address of this network namespace with its device.
#[must_use]
pub fn interfaces() -> Vec<(String, IpAddr)> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    all.filter_map(|one| Some((one.interface_name, ip(&one.address?)?)))
        .collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
    address.family()?;
    v4.or_else(v6)
}

/// Reads a device's MTU, where `/sys` shows the devices of this namespace.
fn mtu(device: &str) -> Option<u32> {
    let read = |file: &str| fs::read_to_string(format!("/sys/class/net/{device}/{file}")).ok();
    let index: u32 = read("ifindex")?.trim().parse().ok()?;
    (if_nametoindex(device) == Ok(index)).then(|| read("mtu")?.trim().parse().ok())?
}

/// Reads the packets over every device of this namespace but loopback.
#[must_use]
pub fn devices() -> Vec<DeviceCounters> {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let devices = text.lines().filter_map(device);
    devices.take(MOST_DEVICES).collect()
}

/// Reads one line of `/proc/net/dev`; its two head lines are none.
fn device(line: &str) -> Option<DeviceCounters> {
    let (name, numbers) = line.split_once(':')?;
    let name = name.trim();
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    // Receive and transmit have 8 columns each: bytes, packets, errors, drops …
    let &[
        _,
        rx_packets,
        _,
        rx_dropped,
        _,
        _,
        _,
        _,
        _,
        tx_packets,
        _,
        tx_dropped,
        ..,
    ] = numbers.as_slice()
    else {
        return None;
    };
    (name != "lo").then(|| DeviceCounters {
        node: String::new(),
        device: name.to_owned(),
        kind: "device".to_owned(),
        rx_packets,
        tx_packets,
        dropped: rx_dropped.saturating_add(tx_dropped),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machines_own() {
        let path = path(Ipv4Addr::LOCALHOST.into());
        assert!(path.own);
        assert_eq!(path.device.as_deref(), Some("lo"));
        assert_eq!(path.local, Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_machine_without_a_route_says_nothing() {
        // 240.0.0.0/4 is reserved: no machine has an address of it.
        let path = path(Ipv4Addr::new(240, 0, 0, 1).into());
        assert!(!path.own);
    }

    #[test]
    fn this_process_may_use_some_cpu() {
        let facts = facts();
        assert!(!facts.cpus.is_empty());
        assert!(facts.facts.cpus >= 1);
    }

    #[test]
    fn a_line_of_devices_is_read() {
        let line = "  eth0: 1500 10 0 1 0 0 0 0 3000 20 0 2 0 0 0 0";
        let found = device(line).unwrap();
        assert_eq!(found.device, "eth0");
        assert_eq!(
            (found.rx_packets, found.tx_packets, found.dropped),
            (10, 20, 3)
        );
        for other in [
            "Inter-|   Receive",
            " face |bytes packets",
            "lo: 1 2 3",
            "eth0: 1 2 x",
        ] {
            assert_eq!(device(other), None, "{other}");
        }
        let loopback = line.replace("eth0", "lo");
        assert_eq!(device(&loopback), None);
    }
}
