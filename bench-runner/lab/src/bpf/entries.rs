//! The services and backends in both load balancers' maps, byte for byte as `bpf/services.h` lays them out.

use std::net::{IpAddr, SocketAddr};

use tollgate_results::arm::Services;
use tollgate_results::outcome::Protocol;

use super::Table;
use crate::services::ServiceSet;

/// What stands in the maps.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// `struct service_key` to `struct service`.
    pub(super) services: Table,
    /// A number to `struct backend`.
    pub(super) backends: Table,
}

impl Entries {
    /// Lists for each address that is asked for a service's own entry and one for each of its backends, and the backends.
    pub(super) fn of(services: &ServiceSet) -> Self {
        let mut entries = Self::default();
        for port in services.ports() {
            let count = u16::try_from(port.endpoints.len()).unwrap_or(u16::MAX);
            let affinity_s = if port.affinity {
                Services::AFFINITY_SECONDS
            } else {
                0
            };
            let backends = port.endpoints.iter();
            let backends: Vec<u32> = backends.map(|end| entries.backend(*end)).collect();
            for asked in port.frontends() {
                entries.service(port.protocol, asked, 0, affinity_s, count);
                for (slot, backend) in (1..=count).zip(&backends) {
                    entries.service(port.protocol, asked, slot, *backend, 0);
                }
            }
        }
        entries
    }

    /// Adds an entry; slot 0 has the seconds of affinity where the others have their backend.
    fn service(
        &mut self,
        protocol: Protocol,
        asked: SocketAddr,
        slot: u16,
        backend: u32,
        count: u16,
    ) {
        let Table {
            keys,
            values,
            count: entries,
        } = &mut self.services;
        put_address(keys, asked);
        keys.extend(slot.to_ne_bytes());
        keys.extend([protocol_number(protocol), 0, 0, 0]);
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

/// Returns a protocol's number in a packet.
pub(super) const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    }
}

/// Writes `struct address` and the port behind it, both in network order.
pub(super) fn put_address(to: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => to.extend(ip.octets()),
        IpAddr::V6(ip) => to.extend(ip.octets()),
    }
    to.extend(address.port().to_be_bytes());
}
