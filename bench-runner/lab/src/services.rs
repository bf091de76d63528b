//! The services that stand in an arm, and the rules that kube-proxy would write for them.
//!
//! - [`iptables`]: kube-proxy's iptables mode
//! - [`nftables`]: kube-proxy's nftables mode
//! - `ipvs`: what rules its IPVS mode has
//!
//! All write text; [`crate::rules`] loads it. [`crate::bpf`] fills maps from the same set, `crate::ipvs` the kernel's own
//! balancer.

mod iptables;
mod ipvs;
mod layout;
mod naming;
mod nftables;

use std::net::SocketAddr;

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tollgate_results::arm::{Access, Family, Position, Services};
use tollgate_results::outcome::Protocol;

pub use self::iptables::iptables;
pub(crate) use self::ipvs::ipvs;
pub(crate) use self::naming::{ENDPOINT_CHAIN, service_chain};
pub use self::nftables::nftables;
use crate::address::{self, Side};

/// The mark of packets that are to be masqueraded: bit 14.
const MARK: &str = "0x4000";
/// Port of every service.
const PORT: u16 = 80;
/// First of the ports that Kubernetes keeps on every node for services.
const FIRST_NODE_PORT: u16 = 30_000;

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
    /// The port of every node at which it is asked for, too.
    pub node_port: Option<u16>,
    /// Whether a client stays with the endpoint that it met first.
    pub affinity: bool,
}

impl ServicePort {
    /// Lists the addresses by which it is asked for: its own, and with a port of the nodes theirs.
    pub(crate) fn frontends(&self) -> impl Iterator<Item = SocketAddr> {
        let family = if self.address.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        let nodes = self.node_port.into_iter().flat_map(move |port| {
            Side::BOTH.map(|side| SocketAddr::new(address::node(side, family), port))
        });
        std::iter::once(self.address).chain(nodes)
    }

    /// Returns the address by which a client on a node asks for it.
    pub(crate) fn asked_on(&self, side: Side) -> SocketAddr {
        let family = if self.address.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        match self.node_port {
            Some(port) => SocketAddr::new(address::node(side, family), port),
            None => self.address,
        }
    }
}

/// All services of an arm in the order in which rules list them.
///
/// The service under test is `tollgate/server`. It has two ports beside each other, TCP and UDP, as
/// cluster DNS has; every other service has one, TCP, and endpoints that nobody answers at. Affinity is the service's
/// under test alone; ports of the nodes are everybody's, so that their list is as long as the services'.
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
                .map(|number| other(*number, services, family)),
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
            node_port: node_port(0, services),
            affinity: services.affinity,
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
fn other(number: u32, services: &Services, family: Family) -> ServicePort {
    let endpoints = u64::from(services.endpoints);
    let first = u64::from(number) * endpoints;
    ServicePort {
        name: format!("ns-{number}/svc-{number}:p80"),
        protocol: Protocol::Tcp,
        address: SocketAddr::new(layout::service(number, family), PORT),
        endpoints: (first..first + endpoints)
            .map(|number| layout::endpoint(number, family))
            .collect(),
        node_port: node_port(number, services),
        affinity: false,
    }
}

/// Returns the port of the nodes for service `number`, where services have one. TCP and UDP share it.
fn node_port(number: u32, services: &Services) -> Option<u16> {
    let number = u16::try_from(number % Services::MOST_NODE_PORTS).unwrap_or_default();
    (services.access == Access::NodePort).then_some(FIRST_NODE_PORT + number)
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
