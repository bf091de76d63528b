//! The paths of a run: between which probes, and to which address.

use std::fmt;
use std::str::FromStr;

use crate::objects::network;
use crate::objects::pods::Role;

/// First port of the traffic; each path has one of its own, since all of them stand at the same time.
pub const FIRST_PORT: u16 = 7789;

/// A path through the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// To the pod on the other node, by its own address.
    PodIp,
    /// The same through a service's address.
    ClusterIp,
    /// The same through a port of the client's own node.
    NodePort,
    /// The same through a port of the pod's node.
    NodePortFar,
    /// To a pod on the client's node, by its own address.
    NearPodIp,
    /// The same through a service's address.
    NearClusterIp,
    /// To the client itself, through a service's address.
    Hairpin,
    /// Between the networks of the two nodes: the floor.
    Host,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The server's own address.
    Pod,
    /// The address of a service.
    Service(&'static str),
    /// The service's port on the node of a probe.
    NodePort(&'static str, Role),
}

/// A word that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no path; there are {}", Path::ALL.map(Path::as_str).join(", "))]
pub struct PathError {
    input: String,
}

impl Path {
    /// Every path, the usual reference first.
    pub const ALL: [Self; 8] = [
        Self::PodIp,
        Self::ClusterIp,
        Self::NodePort,
        Self::NodePortFar,
        Self::NearPodIp,
        Self::NearClusterIp,
        Self::Hairpin,
        Self::Host,
    ];

    /// Returns the path's name, which is its arm's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodIp => "pod-ip",
            Self::ClusterIp => "cluster-ip",
            Self::NodePort => "node-port",
            Self::NodePortFar => "node-port-far",
            Self::NearPodIp => "near-pod-ip",
            Self::NearClusterIp => "near-cluster-ip",
            Self::Hairpin => "hairpin",
            Self::Host => "host",
        }
    }

    /// Says what it is in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::PodIp => "pod to pod on another node",
            Self::ClusterIp => "pod to ClusterIP, pod on another node",
            Self::NodePort => "pod to its own node's port, pod on another node",
            Self::NodePortFar => "pod to another node's port, pod there",
            Self::NearPodIp => "pod to pod on the same node",
            Self::NearClusterIp => "pod to ClusterIP, pod on the same node",
            Self::Hairpin => "pod to ClusterIP, itself",
            Self::Host => "node to node",
        }
    }

    /// Returns the probes at its ends: who sends, who answers.
    #[must_use]
    pub const fn ends(self) -> (Role, Role) {
        match self {
            Self::PodIp | Self::ClusterIp | Self::NodePort | Self::NodePortFar => {
                (Role::Client, Role::Far)
            }
            Self::NearPodIp | Self::NearClusterIp => (Role::Client, Role::Near),
            Self::Hairpin => (Role::Client, Role::Client),
            Self::Host => (Role::HostClient, Role::HostFar),
        }
    }

    /// Returns where it leads.
    #[must_use]
    pub const fn to(self) -> To {
        match self {
            Self::PodIp | Self::NearPodIp | Self::Host => To::Pod,
            Self::ClusterIp => To::Service(network::FAR),
            Self::NodePort => To::NodePort(network::FAR_NODE_PORT, Role::Client),
            Self::NodePortFar => To::NodePort(network::FAR_NODE_PORT, Role::Far),
            Self::NearClusterIp => To::Service(network::NEAR),
            Self::Hairpin => To::Service(network::HAIRPIN),
        }
    }

    /// Returns the port that its responder listens on.
    #[must_use]
    pub const fn port(self) -> u16 {
        FIRST_PORT
            + match self {
                Self::PodIp => 0,
                Self::ClusterIp => 1,
                Self::NodePort => 2,
                Self::NodePortFar => 3,
                Self::NearPodIp => 4,
                Self::NearClusterIp => 5,
                Self::Hairpin => 6,
                Self::Host => 7,
            }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(input: &str) -> Result<Self, PathError> {
        let found = Self::ALL.into_iter().find(|path| path.as_str() == input);
        found.ok_or_else(|| PathError {
            input: input.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_has_a_name_and_a_port_of_its_own() {
        let ports: BTreeSet<u16> = Path::ALL.map(Path::port).into();
        assert_eq!(ports.len(), Path::ALL.len());
        for path in Path::ALL {
            assert_eq!(path.as_str().parse(), Ok(path));
        }
        let told = "pod".parse::<Path>().unwrap_err().to_string();
        assert!(
            told.contains("`pod` is no path; there are pod-ip, cluster-ip"),
            "{told}"
        );
    }
}
