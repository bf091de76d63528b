//! How the paths of a run are made: between which probes, to which address, on which port.

use tollgate_results::arm::Family;
pub use tollgate_results::cluster_path::{Path, PathError};

use crate::objects::network;
use crate::objects::pods::Role;

/// First port of the traffic; each path has one of its own, since all of them stand at the same time.
pub const FIRST_PORT: u16 = 7789;

/// How far the ports of IPv6 lie behind those of IPv4.
const IPV6: u16 = 32;

/// Every family that a path may be of.
pub const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// How a path is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The probe that sends.
    pub client: Role,
    /// The probe that answers; `None` for a machine outside the cluster.
    pub server: Option<Role>,
    /// Where it leads.
    pub to: To,
    /// Its number, for its port.
    number: u16,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The server's own address.
    Server,
    /// The server's own address, by the name of a service that has none.
    Name(&'static str),
    /// The address of a service.
    Service(&'static str),
    /// The service's port on the node of a probe.
    NodePort(&'static str, Role),
    /// The address that a load balancer has for a service.
    LoadBalancer(&'static str),
}

impl To {
    /// Returns the service that it leads through.
    #[must_use]
    pub const fn service(self) -> Option<&'static str> {
        match self {
            Self::Server => None,
            Self::Name(name)
            | Self::Service(name)
            | Self::NodePort(name, _)
            | Self::LoadBalancer(name) => Some(name),
        }
    }
}

impl Way {
    /// Returns how a path is made.
    #[must_use]
    pub const fn of(path: Path) -> Self {
        let far = Some(Role::Far);
        let (server, to, number) = match path {
            Path::PodIp => (far, To::Server, 0),
            Path::ClusterIp => (far, To::Service(network::FAR), 1),
            Path::NodePort => (far, To::NodePort(network::FAR_NODE_PORT, Role::Client), 2),
            Path::NodePortFar => (far, To::NodePort(network::FAR_NODE_PORT, Role::Far), 3),
            Path::NearPodIp => (Some(Role::Near), To::Server, 4),
            Path::NearClusterIp => (Some(Role::Near), To::Service(network::NEAR), 5),
            Path::Hairpin => (Some(Role::Client), To::Service(network::HAIRPIN), 6),
            Path::Host => (Some(Role::HostFar), To::Server, 7),
            Path::LoadBalancer => (far, To::LoadBalancer(network::FAR_LOAD_BALANCER), 8),
            // Agents in the nodes' own network listen on the port between.
            Path::OtherZone => (Some(Role::Zone), To::Server, 10),
            Path::External => (None, To::Server, 11),
            Path::Headless => (far, To::Name(network::FAR_HEADLESS), 12),
        };
        let client = match path {
            Path::Host => Role::HostClient,
            _ => Role::Client,
        };
        Self {
            client,
            server,
            to,
            number,
        }
    }

    /// Returns the port that its responder listens on.
    #[must_use]
    pub const fn port(self, family: Family) -> u16 {
        let first = match family {
            Family::Ipv4 => FIRST_PORT,
            Family::Ipv6 => FIRST_PORT + IPV6,
        };
        first + self.number
    }

    /// Returns its ports, one of each family.
    #[must_use]
    pub fn ports(self) -> [u16; 2] {
        FAMILIES.map(|family| self.port(family))
    }
}

/// Returns the ports of every path of which this holds, IPv4 first.
pub(crate) fn ports(of: impl Fn(Way) -> bool) -> Vec<u16> {
    let all = Path::ALL.iter().map(|&path| Way::of(path));
    let ways: Vec<Way> = all.filter(|way| of(*way)).collect();
    let of_family = |family| ways.iter().map(move |way| way.port(family));
    FAMILIES.into_iter().flat_map(of_family).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_has_ports_of_its_own_and_agents_have_others() {
        let all = ports(|_| true);
        let different: BTreeSet<u16> = all.iter().copied().collect();
        assert_eq!(different.len(), 2 * Path::ALL.len());
        for role in Role::ALL {
            assert!(!different.contains(&role.agent_port()), "{role:?}");
        }
    }

    #[test]
    fn every_translated_path_has_a_service() {
        for &path in Path::ALL {
            let to = Way::of(path).to;
            let through = to.service().is_some() && !matches!(to, To::Name(_));
            assert_eq!(through, path.is_translated(), "{path}");
        }
    }
}
