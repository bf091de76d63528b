//! One deployed arm: its namespaces, its service path and what runs in it.

mod followed;
mod namespace;
mod outside;
mod settings;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tollgate_results::arm::{self, Datapath, Family, Name, Pods, Service, Wire};
use tollgate_results::evidence::{
    ConntrackEntries, DatapathCounters, DeviceCounters, RuleGeneration, Translation,
};
use tollgate_results::facts::ArmFacts;
use tollgate_results::kernel::ConntrackTable;
use tollgate_results::line::LineFacts;
use tollgate_results::outcome::Flow;

use self::namespace::{Made, Namespace};
use crate::address::{self, Side};
use crate::anatomy::PacketClock;
use crate::base;
use crate::bpf::Pair;
use crate::bpf::ProgramRuns;
use crate::cgroup::ArmGroup;
use crate::congestion::Congestion;
use crate::conntrack::keeper::Keeper;
use crate::error::{Doing as _, LabError};
use crate::fast_path::FastPath;
use crate::line::RunningLine;
use crate::outside::OutsidePath;
use crate::process::{Agent, Inside, StandIn};
use crate::protocol::{ArmEndpoints, CommandLine, Role};
use crate::service_path::{self, Ground, ServicePath};
use crate::topology::{Place, Topology};
use crate::{clock, conntrack, rules, standing};

/// Port of the server in every arm.
pub(crate) const SERVER_PORT: u16 = 8080;

/// A deployed arm. All of it goes with this value.
#[derive(Debug)]
pub(crate) struct Arm {
    name: Name,
    datapath: Datapath,
    endpoints: ArmEndpoints,
    /// Before the namespaces, so that it ends before its devices go.
    line: Option<RunningLine>,
    /// Keeps the client's node's connection-tracking table full, where that is asked for.
    keeper: Option<Keeper>,
    sites: Vec<Namespace>,
    client_place: Place,
    server_place: Place,
    fast_paths: Vec<FastPath>,
    server_node: Side,
    path: Option<ServicePath>,
    outside: Option<OutsidePath>,
    group: Option<ArmGroup>,
    stand_ins: Vec<StandIn>,
    agents: Mutex<BTreeMap<&'static str, Agent>>,
    packet_clock: Mutex<Option<PacketClock>>,
}

impl Arm {
    /// Deploys an arm. What was half done goes when this fails.
    pub(crate) fn deploy(
        name: &Name,
        datapath: &Datapath,
        seed: u64,
        group: Option<ArmGroup>,
        scratch: &Path,
    ) -> Result<(Self, ArmFacts), LabError> {
        if let Some((_, fault)) = datapath.against_outside().into_iter().next() {
            return Err(LabError::said(format!("deploy the arm `{name}`"), fault));
        }
        let start = clock::now();
        if let Some(reason) = impossible(datapath) {
            return Err(LabError::said(format!("deploy the arm `{name}`"), reason));
        }
        let endpoints = endpoints_of(datapath).ok_or_else(|| {
            let why = "a service has 1 to 100 endpoints";
            LabError::said(format!("deploy the arm `{name}`"), why)
        })?;
        let congestion = Congestion::of(&datapath.kernel);
        let topology = Topology::of(datapath, endpoints, congestion.by_route());
        let mut notes: Vec<_> = congestion_note(datapath, congestion)?
            .into_iter()
            .chain(base::bridge_note())
            .chain(inside_note(datapath, congestion))
            .collect();
        let Made {
            sites,
            taps,
            mut kernel,
        } = namespace::make(&topology, datapath, congestion, &mut notes)?;
        let line = line_between(datapath, seed, taps)?;
        let deploy_ns = clock::since_ns(start);

        let mut arm = Self {
            name: name.clone(),
            datapath: datapath.clone(),
            endpoints: addresses(&topology, datapath.family, None),
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
        };
        arm.attach(&topology)?;
        arm.program(&topology, seed)?;
        for side in Side::BOTH {
            let node = &arm.at(Place::Node(side))?.netns;
            standing::load(datapath.standing, datapath.family, node)?;
        }
        notes.extend(standing::note(datapath.standing));
        arm.keep_full(&mut kernel)?;
        let outside = arm.outside.as_ref().map(OutsidePath::programmed);
        let programmed = arm.path.as_ref().map(ServicePath::programmed).or(outside);
        arm.stand_ins = stand_ins(name, &arm.endpoints, scratch)?;
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

    /// Attaches the eBPF programs that carry the arm's packets, if it has any.
    fn attach(&mut self, topology: &Topology) -> Result<(), LabError> {
        for (place, site) in &topology.sites {
            if let Place::Node(side) = *place {
                let netns = &self.at(*place)?.netns;
                let loaded = FastPath::load(&site.fast_path, side, self.datapath.family, netns)?;
                self.fast_paths.extend(loaded);
            }
        }
        Ok(())
    }

    /// Programs the services, if the arm has any.
    fn program(&mut self, topology: &Topology, seed: u64) -> Result<(), LabError> {
        let servers: Vec<_> = topology
            .servers
            .iter()
            .map(|address| SocketAddr::new(*address, SERVER_PORT))
            .collect();
        self.path = ServicePath::program(&self.datapath, &servers, seed, self.ground()?)?;
        if let (Some(outside), Some(server)) = (self.datapath.outside, servers.first()) {
            let joints = Side::BOTH.map(|side| topology.wire_port(side));
            let made = OutsidePath::program(outside, self.machines()?, joints, *server)?;
            self.outside = Some(made);
        }
        let outside = self.outside.as_ref().map(OutsidePath::service);
        let service = self.path.as_ref().map(ServicePath::address).or(outside);
        self.endpoints = addresses(topology, self.datapath.family, service);
        Ok(())
    }

    /// Fills the client's node's connection-tracking table, where that is asked for, and says so in the facts.
    fn keep_full(&mut self, facts: &mut BTreeMap<String, String>) -> Result<(), LabError> {
        if self.datapath.kernel.conntrack == ConntrackTable::Full {
            let keeper = Keeper::start(&self.at(Place::Node(Side::A))?.netns)?;
            let words = format!("kept at the limit of {} entries on node a", keeper.limit());
            facts.insert("conntrack".to_owned(), words);
            self.keeper = Some(keeper);
        }
        Ok(())
    }

    /// Says how true the line is, where the arm has one.
    fn calibrated(&self) -> Result<Option<LineFacts>, LabError> {
        let Some(line) = &self.line else {
            return Ok(None);
        };
        let node = |side| self.at(Place::Node(side)).map(|node| &node.netns);
        let nodes = [node(Side::A)?, node(Side::B)?];
        line.calibrate(nodes, self.datapath.family).map(Some)
    }

    /// Returns where a service path is made.
    fn ground(&self) -> Result<Ground<'_>, LabError> {
        let node = |side| self.at(Place::Node(side)).map(|node| &node.netns);
        let end = |place, name: &str| {
            let site = self.at(place)?;
            let links = site.netlink.links()?.into_iter();
            let found = links
                .filter(|link| link.name == name)
                .map(|link| link.index);
            Ok::<_, LabError>(found.map(|index| (&site.netns, index)).next())
        };
        let pair = if self.client_place == Place::Pod(Side::A) {
            end(Place::Node(Side::A), "veth0")?.zip(end(self.client_place, "eth0")?)
        } else {
            None
        };
        Ok(Ground {
            nodes: [node(Side::A)?, node(Side::B)?],
            pair: pair.map(|(host, pod)| Pair {
                host,
                pod,
                skips_host: self.datapath.pods == Pods::Ebpf,
            }),
            group: self.group.as_ref(),
        })
    }

    pub(crate) fn datapath(&self) -> &Datapath {
        &self.datapath
    }

    pub(crate) fn endpoints(&self) -> ArmEndpoints {
        self.endpoints
    }

    fn at(&self, place: Place) -> Result<&Namespace, LabError> {
        let found = self.sites.iter().find(|site| site.place == place);
        found.ok_or_else(|| LabError::said("find a namespace", "the arm has none there"))
    }

    fn inside(&self, role: Role) -> Result<Inside<'_>, LabError> {
        let place = match role {
            Role::Client => self.client_place,
            Role::Server => self.server_place,
            Role::NodeA => Place::Node(Side::A),
            Role::NodeB => Place::Node(self.server_node),
        };
        let group = self.group.as_ref().filter(|_| role == Role::Client);
        Ok(Inside {
            netns: &self.at(place)?.netns,
            cgroup: group.map(|group| group.processes.as_fd()),
            stand_ins: &self.stand_ins,
        })
    }

    /// Starts a probe agent; it replaces the role's earlier one.
    pub(crate) fn agent(&self, role: Role, program: &OsStr) -> Result<UnixStream, LabError> {
        let inside = self.inside(role)?;
        let (agent, stream) = Agent::start(program, &inside).doing(|| {
            format!(
                "start the probe `{}` in the arm `{}`",
                program.display(),
                self.name
            )
        })?;
        self.agents().insert(key(role), agent);
        Ok(stream)
    }

    /// Returns how the last agent of a role ended; `None` while it runs.
    pub(crate) fn agent_end(&self, role: Role) -> Option<String> {
        self.agents().get(key(role)).and_then(Agent::end)
    }

    fn agents(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program of the user's.
    pub(crate) fn exec(
        &self,
        role: Role,
        line: &CommandLine,
        stdio: [OwnedFd; 3],
        control: UnixStream,
    ) -> Result<(), LabError> {
        let program = line
            .argv
            .first()
            .map(|name| name.display().to_string())
            .unwrap_or_default();
        let doing = || format!("start `{program}` in the arm `{}`", self.name);
        match crate::process::exec(line, &self.inside(role)?, stdio, control) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LabError::said(
                doing(),
                "there is no such program; install it, or write its path",
            )),
            result => result.doing(doing),
        }
    }

    /// Reads the counters that the datapath keeps anyway.
    pub(crate) fn counters(&self) -> Result<DatapathCounters, LabError> {
        let mut counters = DatapathCounters::default();
        for side in Side::BOTH {
            let node = self.at(Place::Node(side))?;
            counters.devices.extend(devices(side.as_str(), node)?);
            let entries = node.netns.enter(conntrack::entries)?;
            // A kernel may keep no statistics: they are absent then.
            let refusals = node.netns.enter(|| conntrack::refusals(side.as_str()));
            counters.conntrack_refusals.extend(refusals.ok());
            counters.conntrack_entries.push(ConntrackEntries {
                node: side.as_str().to_owned(),
                entries,
            });
            let generation = node.netns.enter(rules::generation)?;
            counters.rule_generations.push(RuleGeneration {
                node: side.as_str().to_owned(),
                generation,
            });
        }
        for fast_path in &self.fast_paths {
            counters.programs.extend(fast_path.counters()?);
        }
        counters.line = self.line.as_ref().map(RunningLine::counters);
        if let Some(path) = &self.path {
            let node = &self.at(Place::Node(Side::A))?.netns;
            path.counters(node, &mut counters)?;
        }
        if let Some(outside) = &self.outside {
            let client = self.at(self.client_place)?;
            counters.devices.extend(devices("outside", client)?);
            let entry = &self.at(Place::Node(Side::A))?.netns;
            counters.service_rule_packets = outside.rule_packets(entry)?;
            counters.entry_programs = outside.packets()?;
        }
        Ok(counters)
    }

    /// Lists the arm's eBPF programs with their runs.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        let mut runs = Vec::new();
        for fast_path in &self.fast_paths {
            runs.extend(fast_path.runs()?);
        }
        if let Some(path) = &self.path {
            runs.extend(path.runs()?);
        }
        if let Some(outside) = &self.outside {
            runs.extend(outside.runs()?);
        }
        Ok(runs)
    }

    /// Asks the client's node, or the one that it enters by, what it makes of a connection.
    pub(crate) fn translation(&self, flow: &Flow) -> Result<Translation, LabError> {
        if let Some(outside) = &self.outside {
            return outside.translation(self.machines()?, flow);
        }
        service_path::translation(
            self.path.as_ref(),
            &self.at(Place::Node(Side::A))?.netns,
            flow,
        )
    }
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
        Pods::Ebpf if matches!(datapath.wire, Wire::Ipip | Wire::Wireguard) => Some(
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

/// Counts the packets over the devices of a namespace.
fn devices(node: &str, site: &Namespace) -> Result<Vec<DeviceCounters>, LabError> {
    let links = site.netlink.links()?.into_iter();
    let counters = links.map(|link| DeviceCounters {
        node: node.to_owned(),
        device: link.name,
        kind: link.kind,
        rx_packets: link.rx_packets,
        tx_packets: link.tx_packets,
        dropped: link.dropped,
    });
    Ok(counters.collect())
}

/// Returns how many endpoints the service under test has, if it can have as many; one without a service.
fn endpoints_of(datapath: &Datapath) -> Option<u8> {
    let endpoints = datapath.services.map_or(1, |services| services.endpoints);
    u8::try_from(endpoints)
        .ok()
        .filter(|count| (1..=100).contains(count))
}

const fn key(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::NodeA => "node-a",
        Role::NodeB => "node-b",
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
