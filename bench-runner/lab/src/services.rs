//! The services that stand in an arm, and the rules that kube-proxy would write for them.
//!
//! - [`iptables`]: kube-proxy's iptables mode
//! - [`nftables`]: kube-proxy's nftables mode
//!
//! Both write text; [`crate::rules`] loads it. [`crate::bpf`] fills maps from the same set.

mod iptables;
mod layout;
mod naming;
mod nftables;

use std::net::SocketAddr;

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tollgate_results::arm::{Family, Position, Services};
use tollgate_results::outcome::Protocol;

pub use self::iptables::iptables;
pub(crate) use self::naming::{ENDPOINT_CHAIN, service_chain};
pub use self::nftables::nftables;

/// Port of every service.
const PORT: u16 = 80;

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/service:port`, as kube-proxy writes it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The service's own address and port, which no socket listens on.
    pub address: SocketAddr,
    /// Where connections to it go, one of them drawn for each.
    pub endpoints: Vec<SocketAddr>,
}

/// All services of an arm in the order in which rules list them.
///
/// The service under test is `tollgate/server`. It has two ports beside each other, TCP and UDP, as
/// cluster DNS has; every other service has one, TCP, and endpoints that nobody answers at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSet {
    family: Family,
    ports: Vec<ServicePort>,
    tcp_under_test: usize,
    udp_under_test: usize,
}

impl ServiceSet {
    /// Lays out `services` in one address family. `endpoints_under_test` are the distinct addresses at which
    /// the server answers, TCP and UDP. The order of the others, and a random position, come from `seed`:
    /// the same seed gives the same set.
    #[must_use]
    pub fn new(
        services: &Services,
        family: Family,
        endpoints_under_test: &[SocketAddr],
        seed: u64,
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut numbers: Vec<u32> = (1..services.count).collect();
        numbers.shuffle(&mut random);
        let mut ports: Vec<ServicePort> = Vec::with_capacity(numbers.len() + 2);
        ports.extend(
            numbers
                .iter()
                .map(|number| other(*number, services.endpoints, family)),
        );

        let place = match services.position {
            Position::First => 0,
            Position::Median => ports.len() / 2,
            Position::Last => ports.len(),
            Position::Random => random.random_range(0..=ports.len()),
        };
        let under_test = |protocol, name: &str| ServicePort {
            name: name.to_owned(),
            protocol,
            address: SocketAddr::new(layout::service(0, family), PORT),
            endpoints: endpoints_under_test.to_vec(),
        };
        let tcp = under_test(Protocol::Tcp, "tollgate/server:p80");
        let udp = under_test(Protocol::Udp, "tollgate/server:p80-udp");
        // The TCP port stands where the position says: last of all, too, where that is `last`.
        let tcp_is_second = services.position == Position::Last;
        let pair = if tcp_is_second {
            [udp, tcp]
        } else {
            [tcp, udp]
        };
        ports.splice(place..place, pair);
        Self {
            family,
            ports,
            tcp_under_test: place + usize::from(tcp_is_second),
            udp_under_test: place + usize::from(!tcp_is_second),
        }
    }

    /// Returns the address family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Returns all ports in rule order.
    #[must_use]
    pub fn ports(&self) -> &[ServicePort] {
        &self.ports
    }

    /// Returns the port of the service under test.
    #[must_use]
    pub fn under_test(&self, protocol: Protocol) -> &ServicePort {
        &self.ports[self.place_under_test(protocol)]
    }

    /// Returns how many ports a linear scan passes before it reaches the service under test.
    #[must_use]
    pub fn place_under_test(&self, protocol: Protocol) -> usize {
        match protocol {
            // What has no port belongs to none; it goes to the same address.
            Protocol::Tcp | Protocol::Icmp => self.tcp_under_test,
            Protocol::Udp => self.udp_under_test,
        }
    }

    /// Returns the number of endpoints of all ports together.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.ports.iter().map(|port| port.endpoints.len()).sum()
    }
}

/// A service that nobody asks for.
fn other(number: u32, endpoints: u32, family: Family) -> ServicePort {
    let first = u64::from(number) * u64::from(endpoints);
    ServicePort {
        name: format!("ns-{number}/svc-{number}:p80"),
        protocol: Protocol::Tcp,
        address: SocketAddr::new(layout::service(number, family), PORT),
        endpoints: (first..first + u64::from(endpoints))
            .map(|number| layout::endpoint(number, family))
            .collect(),
    }
}

/// Returns the protocol as rules write it.
const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}

#[cfg(test)]
mod tests;
