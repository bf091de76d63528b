//! An arm on its way up, step by step. Most steps go on beside those of other arms; those in which something is timed have
//! the machine to themselves.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

use tollgate_results::arm::{self, Datapath, Family, Name, Pods, Service, Wire};
use tollgate_results::facts::ArmFacts;
use tollgate_results::kernel::ConntrackTable;
use tollgate_results::line::LineFacts;

use super::Arm;
use super::intact::Intact;
use super::namespace::{self, Made};
use crate::address::{self, Side};
use crate::bpf::Pair;
use crate::cgroup::ArmGroup;
use crate::congestion::Congestion;
use crate::conntrack::keeper::Keeper;
use crate::error::{Doing as _, LabError};
use crate::fast_path::FastPath;
use crate::line::RunningLine;
use crate::outside::OutsidePath;
use crate::process::StandIn;
use crate::protocol::ArmEndpoints;
use crate::service_path::{Ground, Programmed, ServicePath};
use crate::topology::{Place, Topology};
use crate::{base, clock, standing};

/// Port of the server in every arm.
const SERVER_PORT: u16 = 8080;

/// An arm that is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: Name,
    pub(crate) datapath: Datapath,
    /// The control group of its client, where there is one.
    pub(crate) group: Option<ArmGroup>,
}

/// An arm that does not stand yet. What is there of it goes with this value.
#[derive(Debug)]
pub(crate) struct Rising {
    arm: Arm,
    topology: Topology,
    seed: u64,
    notes: Vec<String>,
    /// Settings of its kernel, as they were read back.
    kernel: BTreeMap<String, String>,
    /// How long its namespaces, devices and line took to make, beside those of other arms: such times overlap.
    deploy_ns: u64,
    programmed: Option<Programmed>,
}

impl Rising {
    /// Makes the arm's namespaces and devices, and attaches what carries its packets. `seed` decides what the datapath
    /// leaves to chance.
    pub(crate) fn stand(wanted: Wanted, seed: u64) -> Result<Self, LabError> {
        let Wanted {
            name,
            datapath,
            group,
        } = wanted;
        let start = clock::now();
        let endpoints = endpoints_of(&datapath)?;
        let congestion = Congestion::of(&datapath.kernel);
        let topology = Topology::of(&datapath, endpoints, congestion.by_route());
        let mut notes: Vec<_> = congestion_note(&datapath, congestion)?
            .into_iter()
            .chain(base::bridge_note())
            .chain(inside_note(&datapath, congestion))
            .collect();
        let Made {
            sites,
            taps,
            kernel,
        } = namespace::make(&topology, &datapath, congestion, &mut notes)?;
        let line = line_between(&datapath, seed, taps)?;
        let deploy_ns = clock::since_ns(start);
        let arm = Arm {
            endpoints: addresses(&topology, datapath.family, None),
            name,
            datapath,
            line,
            keeper: None,
            sites,
            client_place: topology.client_place,
            server_place: topology.server_place,
            fast_paths: Vec::new(),
            server_node: topology.server_node,
            path: None,
            outside: None,
            group,
            stand_ins: Vec::new(),
            agents: Mutex::default(),
            packet_clock: Mutex::default(),
            intact: Intact::default(),
        };
        let mut rising = Self {
            arm,
            topology,
            seed,
            notes,
            kernel,
            deploy_ns,
            programmed: None,
        };
        rising.attach()?;
        Ok(rising)
    }

    /// Attaches the eBPF programs that carry the arm's packets, if it has any.
    fn attach(&mut self) -> Result<(), LabError> {
        for (place, site) in &self.topology.sites {
            if let Place::Node(side) = *place {
                let netns = &self.arm.at(*place)?.netns;
                let family = self.arm.datapath.family;
                let loaded = FastPath::load(&site.fast_path, side, family, netns)?;
                self.arm.fast_paths.extend(loaded);
            }
        }
        Ok(())
    }

    /// Programs the services where the client meets them, if the arm has any. How long that takes is a figure of the arm.
    pub(crate) fn program(mut self) -> Result<Self, LabError> {
        let servers: Vec<_> = self
            .topology
            .servers
            .iter()
            .map(|address| SocketAddr::new(*address, SERVER_PORT))
            .collect();
        let path = ServicePath::program(&self.arm.datapath, &servers, self.seed, self.ground()?)?;
        self.arm.path = path;
        if let (Some(outside), Some(server)) = (self.arm.datapath.outside, servers.first()) {
            let joints = Side::BOTH.map(|side| self.topology.wire_port(side));
            let made = OutsidePath::program(outside, self.arm.machines()?, joints, *server)?;
            self.arm.outside = Some(made);
        }
        let outside = self.arm.outside.as_ref().map(OutsidePath::service);
        let service = self.arm.path.as_ref().map(ServicePath::address).or(outside);
        self.arm.endpoints = addresses(&self.topology, self.arm.datapath.family, service);
        Ok(self)
    }

    /// Adds what stands on the other node and beside the path. Files of the arm's own go into `scratch`.
    pub(crate) fn complete(mut self, scratch: &Path) -> Result<Self, LabError> {
        let other = &self.arm.at(Place::Node(Side::B))?.netns;
        let path = self.arm.path.as_ref();
        let programmed = path.map(|path| path.complete(other)).transpose()?;
        let outside = self.arm.outside.as_ref().map(OutsidePath::programmed);
        self.programmed = programmed.or(outside);
        let Datapath {
            standing, family, ..
        } = self.arm.datapath;
        for side in Side::BOTH {
            standing::load(standing, family, &self.arm.at(Place::Node(side))?.netns)?;
        }
        self.notes.extend(standing::note(standing));
        self.keep_full()?;
        self.arm.stand_ins = stand_ins(&self.arm.name, &self.arm.endpoints, scratch)?;
        Ok(self)
    }

    /// Finds how long the line's thread takes to rise and how true the line is, counts routers, and hands the arm over with
    /// all that is known of it.
    pub(crate) fn finish(self) -> Result<(Arm, ArmFacts), LabError> {
        let Self {
            arm,
            topology,
            seed: _,
            mut notes,
            kernel,
            deploy_ns,
            programmed,
        } = self;
        let mtu = |place, device: &str| -> Result<Option<u32>, LabError> {
            let links = arm.at(place)?.netlink.links()?;
            Ok(links
                .into_iter()
                .find(|link| link.name == device)
                .map(|link| link.mtu))
        };
        let line = arm.calibrated()?;
        notes.extend(line.as_ref().map(LineFacts::words));
        let facts = ArmFacts {
            pod_mtu: mtu(topology.client_place, topology.pod_port.name)?,
            wire_mtu: mtu(Place::Node(Side::A), "eth0")?,
            hops: arm.hops(&mut notes)?,
            deploy_ns,
            programming_ns: programmed.map(|programmed| programmed.time_ns),
            programmed: programmed.map(|programmed| programmed.count),
            notes,
            kernel,
            line,
            ..ArmFacts::default()
        };
        Ok((arm, facts))
    }

    /// Fills the client's node's connection-tracking table, where that is asked for, and says so in the facts.
    fn keep_full(&mut self) -> Result<(), LabError> {
        if self.arm.datapath.kernel.conntrack == ConntrackTable::Full {
            let keeper = Keeper::start(&self.arm.at(Place::Node(Side::A))?.netns)?;
            let words = format!("kept at the limit of {} entries on node a", keeper.limit());
            self.kernel.insert("conntrack".to_owned(), words);
            self.arm.keeper = Some(keeper);
        }
        Ok(())
    }

    /// Returns where a service path is made.
    fn ground(&self) -> Result<Ground<'_>, LabError> {
        let arm = &self.arm;
        let node = &arm.at(Place::Node(Side::A))?.netns;
        let pod = &arm.at(arm.client_place)?.netns;
        Ok(Ground {
            node,
            pair: self.topology.client_pair().map(|[host, end]| Pair {
                host: (node, host.index),
                pod: (pod, end.index),
                skips_host: arm.datapath.pods.past_the_stack(),
                netkit: arm.datapath.pods == Pods::Netkit,
            }),
            group: arm.group.as_ref(),
        })
    }
}

/// Returns how many endpoints the service under test has; one without a service.
///
/// # Errors
/// No kernel can stand such a datapath.
pub(super) fn endpoints_of(datapath: &Datapath) -> Result<u8, LabError> {
    const DOING: &str = "lay it out";
    if let Some((_, fault)) = datapath.against_outside().into_iter().next() {
        return Err(LabError::said(DOING, fault));
    }
    if let Some(reason) = impossible(datapath) {
        return Err(LabError::said(DOING, reason));
    }
    let endpoints = datapath.services.map_or(1, |services| services.endpoints);
    let endpoints = u8::try_from(endpoints).ok();
    endpoints
        .filter(|count| (1..=100).contains(count))
        .ok_or_else(|| LabError::said(DOING, "a service has 1 to 100 endpoints"))
}

/// Returns a line for the reader where the base's congestion control is missing; an arm that asks for one that is missing
/// cannot be.
fn congestion_note(
    datapath: &Datapath,
    congestion: Congestion,
) -> Result<Option<String>, LabError> {
    match congestion.missing() {
        Some(missing) if datapath.kernel.congestion.is_some() => {
            Err(LabError::said("choose the congestion control", missing))
        }
        Some(missing) => Ok(Some(format!("arms use the kernel's default: {missing}"))),
        None => Ok(None),
    }
}

/// Starts the line between the nodes, where the arm has one.
fn line_between(
    datapath: &Datapath,
    seed: u64,
    taps: Vec<OwnedFd>,
) -> Result<Option<RunningLine>, LabError> {
    let Some(line) = &datapath.line else {
        return Ok(None);
    };
    let taps = <[OwnedFd; 2]>::try_from(taps).map_err(|taps| {
        let why = format!("it has {} ends, not two", taps.len());
        LabError::said("start the line between the nodes", why)
    })?;
    RunningLine::start(line, seed, taps).map(Some)
}

/// Returns a line for the reader where connections stay inside a pod, whose way to itself no route of ours can choose.
fn inside_note(datapath: &Datapath, congestion: Congestion) -> Option<String> {
    let inside = datapath.place == arm::Place::Hairpin && datapath.service == Service::SocketLb;
    (inside && congestion.by_route().is_some()).then(|| {
        "a pod's connections to itself use this kernel's own congestion control, not that of the other arms"
            .to_owned()
    })
}

/// Says why no kernel can stand a datapath; `None` where one can.
fn impossible(datapath: &Datapath) -> Option<&'static str> {
    let near = datapath.place != arm::Place::OtherNode;
    let hairpin = datapath.place == arm::Place::Hairpin;
    let endpoints = datapath.services.map_or(1, |services| services.endpoints);
    match datapath.pods {
        Pods::Host if near => Some("nodes without pods are two; their ends stand on both"),
        Pods::Ebpf | Pods::Netkit if matches!(datapath.wire, Wire::Ipip | Wire::Wireguard) => Some(
            "eBPF hands over frames, and this wire carries packets without link-layer addresses",
        ),
        _ if near && datapath.line.is_some() => {
            Some("nothing crosses a line between the nodes where both ends stand on one")
        }
        _ if hairpin && datapath.service == Service::None => {
            Some("a pod reaches itself through its own service; choose one")
        }
        _ if hairpin && datapath.service == Service::TcLb => {
            Some("tc-lb doesn't masquerade a pod that reaches itself")
        }
        _ if hairpin && endpoints != 1 => {
            Some("a pod that reaches itself is the only endpoint of its service")
        }
        _ => None,
    }
}

/// Gives the arm's addresses, with the service's where there is one.
fn addresses(topology: &Topology, family: Family, service: Option<SocketAddr>) -> ArmEndpoints {
    let server = topology.servers.first().copied().unwrap_or(topology.client);
    let any = |address: IpAddr| match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    ArmEndpoints {
        client: topology.client,
        nodes: [Side::A, topology.server_node].map(|side| address::node(side, family)),
        server,
        bind: if topology.servers.len() > 1 {
            any(server)
        } else {
            server
        },
        port: SERVER_PORT,
        target: service.unwrap_or_else(|| SocketAddr::new(server, SERVER_PORT)),
    }
}

/// Writes what programs in the arm see in place of the machine's name service: the names `client`, `server`
/// and `service`, and no name server, since from there nobody would answer and each look-up would hang.
fn stand_ins(
    name: &Name,
    endpoints: &ArmEndpoints,
    scratch: &Path,
) -> Result<Vec<StandIn>, LabError> {
    let machine = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let hosts = format!(
        "{} client\n{} server\n{} service\n{machine}",
        endpoints.client,
        endpoints.server,
        endpoints.target.ip()
    );
    let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".to_owned();
    let mut files = Vec::new();
    for (machines, kind, text) in [
        (c"/etc/hosts", "hosts", hosts),
        (c"/etc/resolv.conf", "resolv", resolver),
    ] {
        // What the machine lacks, or has only in its `/run`, there is nothing to put a file over.
        if Path::new(&*machines.to_string_lossy()).exists() {
            let ours = scratch.join(format!("{kind}.{name}"));
            fs::write(&ours, text).doing(|| format!("write `{}`", ours.display()))?;
            files.push(StandIn { ours, machines });
        }
    }
    Ok(files)
}
