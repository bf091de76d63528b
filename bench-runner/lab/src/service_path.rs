//! The service path of an arm: programmed by kind, and read as evidence.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};

use tollgate_results::arm::{Datapath, Service, Services};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::{Flow, Protocol};

use crate::address::{self, Side};
use crate::bpf::{ProgramRuns, SocketLb};
use crate::cgroup::ArmGroup;
use crate::error::LabError;
use crate::netns::NetNs;
use crate::services::{self, ServiceSet};
use crate::{clock, conntrack, rules};

/// What translates the service's address.
#[derive(Debug)]
pub(crate) struct ServicePath {
    service: Service,
    services: ServiceSet,
    /// eBPF programs of the client's control group, where that is the path.
    socket_lb: Option<Mutex<SocketLb>>,
    programmed: Programmed,
}

/// What was programmed for the services of an arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programmed {
    /// How long it took on the client's node.
    pub(crate) time_ns: u64,
    /// Rules, elements or map entries.
    pub(crate) count: u64,
}

impl ServicePath {
    /// Programs the services as the datapath asks: rules on both nodes, as kube-proxy would, or eBPF for the
    /// client. `servers` are the endpoints of the service under test. `None` where the arm has no services.
    pub(crate) fn program(
        datapath: &Datapath,
        servers: &[SocketAddr],
        seed: u64,
        nodes: [&NetNs; 2],
        group: Option<&ArmGroup>,
    ) -> Result<Option<Self>, LabError> {
        let (service, family) = (datapath.service, datapath.family);
        if service == Service::None {
            return Ok(None);
        }
        let Some(counts) = datapath.services.filter(|services| in_range(*services)) else {
            return Err(LabError::said(
                format!("program services for {service}"),
                "it takes 1 to 50,000 services with 1 to 100 endpoints each",
            ));
        };
        let services = ServiceSet::new(&counts, family, servers, seed);
        let node = |side| address::node(side, family);
        let start = clock::now();
        let by_socket = service == Service::SocketLb;
        let socket_lb = by_socket.then(|| load(group, &services)).transpose()?;
        nodes[0].enter(|| rules::program(service, &services, node(Side::A)))?;
        let time_ns = clock::since_ns(start);
        nodes[1].enter(|| rules::program(service, &services, node(Side::B)))?;
        let count = count(service, &services, node(Side::A));
        let programmed = Programmed { time_ns, count };
        Ok(Some(Self {
            service,
            services,
            socket_lb,
            programmed,
        }))
    }

    /// Returns what was programmed.
    pub(crate) fn programmed(&self) -> Programmed {
        self.programmed
    }

    /// Returns the address of the service under test.
    pub(crate) fn address(&self) -> SocketAddr {
        self.services.under_test(Protocol::Tcp).address
    }

    /// Returns the packets that met the rules of the service under test on the client's node; `None` where it
    /// has no counted rules.
    pub(crate) fn rule_packets(&self, node: &NetNs) -> Result<Option<u64>, LabError> {
        match self.service {
            Service::IptablesLegacy | Service::IptablesNft => {
                node.enter(|| rules::service_packets(self.service, &self.services))
            }
            Service::None
            | Service::Nftables
            | Service::SocketLb
            | Service::TcLb
            | Service::Ipvs => Ok(None),
        }
    }

    /// Returns what the socket load balancer translated; `None` where there is none.
    pub(crate) fn translations(&self) -> Result<Option<u64>, LabError> {
        let Some(lb) = &self.socket_lb else {
            return Ok(None);
        };
        lb.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .translations()
            .map(Some)
    }

    /// Lists the eBPF programs of the path with their runs; none where it is made of rules.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        match &self.socket_lb {
            Some(lb) => lb.lock().unwrap_or_else(PoisonError::into_inner).runs(),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the addresses that a connection to the service may end at.
    pub(crate) fn endpoints(&self, protocol: Protocol) -> &[SocketAddr] {
        &self.services.under_test(protocol).endpoints
    }
}

/// Asks connection tracking on the client's node about a connection that may have been meant for a service.
pub(crate) fn translation(
    path: Option<&ServicePath>,
    node: &NetNs,
    flow: &Flow,
) -> Result<Translation, LabError> {
    let endpoints = path.map_or(&[][..], |path| path.endpoints(flow.protocol));
    node.enter(|| conntrack::translation(flow, endpoints))
}

const fn in_range(services: Services) -> bool {
    matches!(services.count, 1..=50_000) && matches!(services.endpoints, 1..=100)
}

fn load(group: Option<&ArmGroup>, services: &ServiceSet) -> Result<Mutex<SocketLb>, LabError> {
    let group = group.ok_or_else(|| {
        LabError::said(
            "attach the socket load balancer",
            "the client has no control group: it takes root and a cgroup version 2 hierarchy",
        )
    })?;
    SocketLb::load(group.directory.as_fd(), services).map(Mutex::new)
}

/// Counts what one node was given.
fn count(service: Service, services: &ServiceSet, node: IpAddr) -> u64 {
    let starting = |text: &str, with: &[&str]| {
        text.lines()
            .filter(|line| with.iter().any(|start| line.starts_with(start)))
            .count()
    };
    let count = match service {
        Service::None | Service::Ipvs => 0,
        Service::IptablesLegacy | Service::IptablesNft => {
            starting(&services::iptables(services, usize::MAX), &["-A "])
        }
        Service::Nftables => services::nftables(services, node, usize::MAX)
            .iter()
            .map(|text| starting(text, &["add rule ", "add element "]))
            .sum(),
        // One entry for each port, and for each endpoint one in either map.
        Service::SocketLb | Service::TcLb => services.ports().len() + 2 * services.endpoints(),
    };
    u64::try_from(count).unwrap_or(u64::MAX)
}
