//! Addresses of services and of endpoints that nobody answers at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tollgate_results::arm::Family;

/// Addresses at the start of the service range that stay free, as clusters keep them for DNS and the API.
const RESERVED: u32 = 10;
/// Endpoints that share a port in IPv4: the upper half of the pods' /16, where the lab has no pods.
const IPV4_ENDPOINTS: u64 = 1 << 15;
/// Port of the first endpoints.
const ENDPOINT_PORT: u16 = 8080;

/// Returns the CIDR of services.
pub(super) const fn service_cidr(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "10.96.0.0/12",
        Family::Ipv6 => "fd00:10:96::/108",
    }
}

/// Returns the address of service `number` (0 to 1,000,000).
pub(super) fn service(number: u32, family: Family) -> IpAddr {
    let host = RESERVED + number;
    match family {
        Family::Ipv4 => Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 0).to_bits() + host).into(),
        Family::Ipv6 => {
            let base = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0);
            Ipv6Addr::from_bits(base.to_bits() + u128::from(host)).into()
        }
    }
}

/// Returns endpoint `number` (0 to 10,000,000) of those that nobody answers at.
pub(super) fn endpoint(number: u64, family: Family) -> SocketAddr {
    match family {
        Family::Ipv4 => {
            let base = Ipv4Addr::new(10, 244, 128, 0).to_bits();
            let host = u32::try_from(number % IPV4_ENDPOINTS).unwrap_or_default();
            let port = u16::try_from(number / IPV4_ENDPOINTS).unwrap_or_default();
            SocketAddr::new(
                Ipv4Addr::from_bits(base + host).into(),
                ENDPOINT_PORT + port,
            )
        }
        Family::Ipv6 => {
            let base = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0x8000, 0, 0, 0, 0).to_bits();
            SocketAddr::new(
                Ipv6Addr::from_bits(base + u128::from(number)).into(),
                ENDPOINT_PORT,
            )
        }
    }
}
