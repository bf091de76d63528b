//! The service path of an arm: programmed by kind, and read as evidence.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollgate_results::arm::{Datapath, Pods, Service, Services};
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::outcome::{Flow, Protocol};

use crate::address::{self, Side};
use crate::bpf::{Pair, ProgramRuns, SocketLb, TcLb};
use crate::cgroup::ArmGroup;
use crate::error::LabError;
use crate::netlink::Netlink;
use crate::netns::NetNs;
use crate::services::{self, ServiceSet};
use crate::{clock, conntrack, ipvs, rules};

/// What translates the service's address.
#[derive(Debug)]
pub(crate) struct ServicePath {
    service: Service,
    services: ServiceSet,
    programs: Programs,
    /// How long programming took on the client's node.
    time_ns: u64,
    /// Whether the client's packets pass by its node's netfilter.
    past_the_node: bool,
}

/// eBPF programs that translate.
#[derive(Debug)]
enum Programs {
    /// None: rules do, or the kernel's own balancer.
    None,
    /// Those of the client's control group.
    Socket(Mutex<SocketLb>),
    /// Those of the client's veth pair.
    Packets(Mutex<TcLb>),
}

/// Where a service path is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// The client's node.
    pub(crate) node: &'a NetNs,
    /// The client's veth pair, where it has one.
    pub(crate) pair: Option<Pair<'a>>,
    /// The client's control group, where it has one.
    pub(crate) group: Option<&'a ArmGroup>,
}

/// What was programmed for the services of an arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programmed {
    /// How long it took on the client's node.
    pub(crate) time_ns: u64,
    /// Rules, elements, virtual servers or map entries.
    pub(crate) count: u64,
}

impl ServicePath {
    /// Programs the services where the client meets them, as the datapath asks: rules or virtual servers on its node, as
    /// kube-proxy would, or eBPF. `servers` are the endpoints of the service under test. `None` where the arm has no
    /// services.
    pub(crate) fn program(
        datapath: &Datapath,
        servers: &[SocketAddr],
        seed: u64,
        ground: Ground<'_>,
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
        let start = clock::now();
        let programs = load(datapath, &services, ground)?;
        node(service, &services, ground.node, Side::A)?;
        Ok(Some(Self {
            service,
            services,
            programs,
            time_ns: clock::since_ns(start),
            past_the_node: datapath.pods.past_the_stack(),
        }))
    }

    /// Gives the other node the rules or virtual servers that every node of a cluster has, and returns what was
    /// programmed.
    pub(crate) fn complete(&self, other: &NetNs) -> Result<Programmed, LabError> {
        node(self.service, &self.services, other, Side::B)?;
        let own = address::node(Side::A, self.services.family());
        Ok(Programmed {
            time_ns: self.time_ns,
            count: count(self.service, &self.services, own),
        })
    }

    /// Returns the address by which the client asks for the service under test.
    pub(crate) fn address(&self) -> SocketAddr {
        self.services.under_test(Protocol::Tcp).asked_on(Side::A)
    }

    /// Adds what the path has counted, on the client's node.
    ///
    /// # Errors
    /// What is to be read is not there any more.
    pub(crate) fn counters(
        &self,
        node: &NetNs,
        counters: &mut DatapathCounters,
    ) -> Result<(), LabError> {
        match &self.programs {
            Programs::Socket(lb) => {
                counters.socket_lb_translations = Some(lock(lb).translations()?);
            }
            Programs::Packets(lb) => counters.tc_lb = Some(lock(lb).counters()?),
            Programs::None => {
                counters.service_rule_packets = node.enter(|| match self.service {
                    Service::Ipvs => ipvs::connections(&self.services, Side::A).map(Some),
                    _ => rules::service_packets(self.service, &self.services),
                })?;
            }
        }
        Ok(())
    }

    /// Lists the eBPF programs of the path with their runs; none where it is made of rules.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        match &self.programs {
            Programs::Socket(lb) => lock(lb).runs(),
            Programs::Packets(lb) => lock(lb).runs(),
            Programs::None => Ok(Vec::new()),
        }
    }

    /// Asks the client's node about a connection that was meant for the service.
    pub(crate) fn translation(&self, node: &NetNs, flow: &Flow) -> Result<Translation, LabError> {
        let endpoints = &self.services.under_test(flow.protocol).endpoints;
        let tracked = node.enter(|| conntrack::translation(flow, endpoints))?;
        let Programs::Packets(lb) = &self.programs else {
            return Ok(tracked);
        };
        // A node that knows the connection by the service's address has seen it before the programs did. One whose
        // netfilter the packets pass by has nothing to know.
        let unseen = match tracked {
            Translation::AtTheSocket { .. } => true,
            Translation::Untracked => !self.past_the_node,
            _ => false,
        };
        let endpoint = lock(lb).endpoint(flow)?.filter(|_| unseen);
        Ok(endpoint.map_or(tracked, |endpoint| Translation::BeforeTheNode { endpoint }))
    }
}

/// Asks the client's node about a connection; `path` is what translates where it may have been meant for a service.
pub(crate) fn translation(
    path: Option<&ServicePath>,
    node: &NetNs,
    flow: &Flow,
) -> Result<Translation, LabError> {
    match path {
        Some(path) => path.translation(node, flow),
        None => node.enter(|| conntrack::translation(flow, &[])),
    }
}

const fn in_range(services: Services) -> bool {
    matches!(services.count, 1..=50_000) && matches!(services.endpoints, 1..=100)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the programs that translate, if programs do.
fn load(
    datapath: &Datapath,
    services: &ServiceSet,
    ground: Ground<'_>,
) -> Result<Programs, LabError> {
    match datapath.service {
        Service::SocketLb => {
            let group = ground.group.ok_or_else(|| {
                LabError::said(
                    "attach the socket load balancer",
                    "the client has no control group: it takes root and a cgroup version 2 hierarchy",
                )
            })?;
            let lb = SocketLb::load(group.directory.as_fd(), services)?;
            Ok(Programs::Socket(Mutex::new(lb)))
        }
        Service::TcLb => {
            let pair = ground.pair.filter(|_| datapath.pods != Pods::Host);
            let pair = pair.ok_or_else(|| {
                LabError::said(
                    "attach the packet load balancer",
                    "the client has no pod with a veth pair; choose pods that have one, or socket-lb",
                )
            })?;
            Ok(Programs::Packets(Mutex::new(TcLb::load(services, pair)?)))
        }
        Service::None
        | Service::IptablesLegacy
        | Service::IptablesNft
        | Service::Nftables
        | Service::Ipvs => Ok(Programs::None),
    }
}

/// Gives one node its rules or virtual servers, if those translate.
fn node(
    service: Service,
    services: &ServiceSet,
    netns: &NetNs,
    side: Side,
) -> Result<(), LabError> {
    if service == Service::Ipvs {
        Netlink::open(netns)?.dummy(ipvs::DEVICE, ipvs::addresses(services))?;
        return netns.enter(|| ipvs::program(services, side));
    }
    let address = address::node(side, services.family());
    netns.enter(|| rules::program(service, services, address))
}

/// Counts what one node was given.
fn count(service: Service, services: &ServiceSet, node: IpAddr) -> u64 {
    let starting = |text: &str, with: &[&str]| {
        text.lines()
            .filter(|line| with.iter().any(|start| line.starts_with(start)))
            .count()
    };
    let frontends = || {
        let ports = services.ports().iter();
        ports.map(|port| (port.frontends().count(), port.endpoints.len()))
    };
    let count = match service {
        Service::None => 0,
        Service::IptablesLegacy | Service::IptablesNft => {
            starting(&services::iptables(services, usize::MAX), &["-A "])
        }
        Service::Nftables => services::nftables(services, node, usize::MAX)
            .iter()
            .map(|text| starting(text, &["add rule ", "add element "]))
            .sum(),
        // For each address that is asked for one entry and one for each endpoint, and the endpoints themselves.
        Service::SocketLb | Service::TcLb => frontends()
            .map(|(frontends, endpoints)| frontends * (1 + endpoints) + endpoints)
            .sum(),
        // Those of the other node are asked for there.
        Service::Ipvs => frontends()
            .map(|(frontends, endpoints)| frontends.min(2) * (1 + endpoints))
            .sum(),
    };
    u64::try_from(count).unwrap_or(u64::MAX)
}
