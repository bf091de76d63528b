//! The service path of an arm: programmed by kind, and read as evidence.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use tollgate_results::arm::{Datapath, Service};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Flow;

use crate::arm::Programmed;
use crate::cgroup::ArmGroup;
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

/// What translates the service's address.
#[derive(Debug)]
pub(crate) enum ServicePath {
    /// Nothing.
    None,
}

impl ServicePath {
    /// Programs the services on both nodes; `None` where the arm has none.
    pub(crate) fn program(
        datapath: &Datapath,
        _servers: &[IpAddr],
        _seed: u64,
        _nodes: [&NetNs; 2],
        _group: Option<&ArmGroup>,
    ) -> Result<Option<(Self, SocketAddr, Programmed)>, LabError> {
        match datapath.service {
            Service::None => Ok(None),
            other => Err(LabError::said("program services", format!("{other} is not built"))),
        }
    }

    /// Returns the packets that met the rules of the service under test.
    pub(crate) fn rule_packets(&self, _node: &NetNs) -> Result<Option<u64>, LabError> {
        Ok(None)
    }

    /// Returns what the socket load balancer translated.
    pub(crate) fn translations(&self) -> Result<Option<u64>, LabError> {
        Ok(None)
    }

    /// Says what connection tracking makes of a flow.
    pub(crate) fn translation(&self, _node: &NetNs, _flow: &Flow) -> Result<Translation, LabError> {
        Ok(Translation::Untracked)
    }
}

/// Returns the connection-tracking entries of the namespace that the caller is in.
pub(crate) fn conntrack_entries() -> Result<u64, LabError> {
    let text = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")
        .doing(|| "count connection-tracking entries")?;
    text.trim().parse().map_err(|error| LabError::said("count connection-tracking entries", error))
}
