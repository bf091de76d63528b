//! The entries of the socket load balancer's maps, byte for byte as `bpf/maps.h` lays them out.

use std::net::{IpAddr, SocketAddr};

use tollgate_results::outcome::Protocol;

use crate::bpf::Table;
use crate::services::{ServicePort, ServiceSet};

/// What stands in the maps.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// `struct service_key` to `struct service`.
    pub(super) services: Table,
    /// A number to `struct backend`.
    pub(super) backends: Table,
}

impl Entries {
    /// Lists a service's own entry, one for each of its backends, and the backends.
    pub(super) fn of(services: &ServiceSet) -> Self {
        let mut entries = Self::default();
        for port in services.ports() {
            let count = u16::try_from(port.endpoints.len()).unwrap_or(u16::MAX);
            entries.service(port, 0, 0, count);
            for (slot, endpoint) in (1..=count).zip(&port.endpoints) {
                let backend = entries.backend(*endpoint);
                entries.service(port, slot, backend, 0);
            }
        }
        entries
    }

    fn service(&mut self, port: &ServicePort, slot: u16, backend: u32, count: u16) {
        let protocol = match port.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Icmp => 1,
        };
        let Table {
            keys,
            values,
            count: entries,
        } = &mut self.services;
        put_address(keys, port.address);
        keys.extend(slot.to_ne_bytes());
        keys.extend([protocol, 0, 0, 0]);
        values.extend(backend.to_ne_bytes());
        values.extend(count.to_ne_bytes());
        values.extend([0; 2]);
        *entries += 1;
    }

    /// Adds a backend and returns its number.
    fn backend(&mut self, endpoint: SocketAddr) -> u32 {
        let Table {
            keys,
            values,
            count,
        } = &mut self.backends;
        *count += 1;
        keys.extend(count.to_ne_bytes());
        put_address(values, endpoint);
        values.extend([0; 2]);
        *count
    }
}

/// Writes `struct address` and the port behind it, both in network order.
fn put_address(to: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => to.extend(ip.octets()),
        IpAddr::V6(ip) => to.extend(ip.octets()),
    }
    to.extend(address.port().to_be_bytes());
}
