//! One deployed arm: its namespaces, its service path and what runs in it.

mod followed;
mod intact;
mod namespace;
mod outside;
mod rising;
mod settings;
mod state;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use tollgate_results::arm::{Datapath, Name};
use tollgate_results::evidence::{
    ConntrackEntries, DatapathCounters, DeviceCounters, RuleGeneration, Translation,
};
use tollgate_results::line::LineFacts;
use tollgate_results::outcome::Flow;

use self::intact::Intact;
use self::namespace::Namespace;
pub(crate) use self::rising::{Rising, Wanted};
use crate::address::Side;
use crate::anatomy::PacketClock;
use crate::bpf::ProgramRuns;
use crate::cgroup::ArmGroup;
use crate::conntrack::keeper::Keeper;
use crate::error::{Doing as _, LabError};
use crate::fast_path::FastPath;
use crate::line::RunningLine;
use crate::outside::OutsidePath;
use crate::process::{Agent, Inside, StandIn};
use crate::protocol::{ArmEndpoints, CommandLine, Role};
use crate::service_path::{self, ServicePath};
use crate::topology::Place;
use crate::{conntrack, rules};

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
    intact: Intact,
}

impl Arm {
    /// Finds how long the line's thread takes to rise, and says how true the line is, where the arm has one.
    fn calibrated(&self) -> Result<Option<LineFacts>, LabError> {
        let Some(line) = &self.line else {
            return Ok(None);
        };
        let node = |side| self.at(Place::Node(side)).map(|node| &node.netns);
        let nodes = [node(Side::A)?, node(Side::B)?];
        line.calibrate(nodes, self.datapath.family).map(Some)
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
            counters.devices.extend(self.devices(side.as_str(), node)?);
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
                legacy_bytes: node.netns.enter(rules::legacy_bytes)?,
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
            counters.devices.extend(self.devices("outside", client)?);
            let entry = &self.at(Place::Node(Side::A))?.netns;
            counters.service_rule_packets = outside.rule_packets(entry)?;
            counters.entry_programs = outside.packets()?;
        }
        Ok(counters)
    }

    /// Counts the packets over the devices of a machine, which must still be those that it had.
    fn devices(&self, node: &str, site: &Namespace) -> Result<Vec<DeviceCounters>, LabError> {
        let links = site.netlink.links()?;
        self.intact.check(site.place.words(), &links)?;
        let counters = links.into_iter().map(|link| DeviceCounters {
            node: node.to_owned(),
            device: link.name,
            kind: link.kind,
            rx_packets: link.rx_packets,
            tx_packets: link.tx_packets,
            dropped: link.dropped,
        });
        Ok(counters.collect())
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

const fn key(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::NodeA => "node-a",
        Role::NodeB => "node-b",
    }
}
