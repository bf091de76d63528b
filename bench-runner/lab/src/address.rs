//! The lab's addresses: two nodes, a pod subnet on each, and the cluster that both belong to.
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | nodes | 192.168.77.1, .2 | fd00:77::1, ::2 |
//! | a client outside | 192.168.77.200 | fd00:77::c8 |
//! | a service's address that a node owns | 192.168.77.240 | fd00:77::f0 |
//! | pods | 10.244.0.0/24, 10.244.1.0/24 | fd00:10:244:0::/64, fd00:10:244:1::/64 |
//! | services | 10.96.0.0/12 | fd00:10:96::/108 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tollgate_results::arm::Family;

/// One of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's.
    A,
    /// The server's.
    B,
}

impl Side {
    /// Both, the client's first.
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Returns the other side.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Returns the node's name in records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// Returns 0 or 1.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Returns the CIDR that all pods lie in.
pub(crate) const fn cluster_cidr(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "10.244.0.0/16",
        Family::Ipv6 => "fd00:10:244::/48",
    }
}

/// Returns the length of a node's pod subnet.
pub(crate) const fn pod_prefix(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 24,
        Family::Ipv6 => 64,
    }
}

/// Returns the length of the nodes' own subnet.
pub(crate) const fn node_prefix(family: Family) -> u8 {
    pod_prefix(family)
}

/// Returns the length of a single address.
pub(crate) const fn host_prefix(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

/// Returns address number `host` of a node's pod subnet; 0 is the subnet's base, 1 its gateway, 2 the
/// first pod.
pub(crate) fn pod(side: Side, host: u8, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 244, side.number(), host).into(),
        Family::Ipv6 => {
            let subnet = u16::from(side.number());
            Ipv6Addr::new(0xfd00, 0x10, 0x244, subnet, 0, 0, 0, host.into()).into()
        }
    }
}

/// Returns a node's own address.
pub(crate) fn node(side: Side, family: Family) -> IpAddr {
    on_wire(side.number() + 1, family)
}

/// Returns address number `host` of the subnet that joins the nodes: 1 and 2 are the nodes.
pub(crate) fn on_wire(host: u8, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 168, 77, host).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, host.into()).into(),
    }
}

/// Returns the address that pods without a bridge send everything to, as Calico's do: no device has IPv4's, the node's end
/// of the pair answers for it; IPv6's is that end's own.
pub(crate) fn pod_gateway(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// Returns the address of a client outside the cluster.
pub(crate) fn outside(family: Family) -> IpAddr {
    on_wire(200, family)
}

/// Returns a service's address outside the cluster, which the node that traffic enters by owns.
pub(crate) fn entry_service(family: Family) -> IpAddr {
    on_wire(240, family)
}

/// Returns the nodes' way out, which nobody answers at: it only gives them a default route, without which a
/// node could not even ask for a service's address.
pub(crate) fn router(family: Family) -> IpAddr {
    on_wire(254, family)
}
