//! What is said of the parts of a lab, in text and picture alike.

use tollgate_results::lab_state::{
    ArmState, ConntrackState, DeviceState, PlaceKind, PlaceState, ProgramState, RouteState,
    RuleTable,
};

use crate::words::{count, plural};

/// More addresses of a device than this are told as a number: a device of IPVS has one for each service.
const MOST_ADDRESSES: usize = 4;
/// More routes of a namespace than this are told as a number: without a bridge each endpoint has one.
const MOST_ROUTES: usize = 12;

/// Offloads that people know, by the kernel's names and by theirs.
const OFFLOADS: [(&str, &str); 3] = [
    ("tx-tcp-segmentation", "TSO"),
    ("tx-generic-segmentation", "GSO"),
    ("rx-gro", "GRO"),
];

/// Says what a device is, without what it is joined to.
pub(super) fn device(device: &DeviceState) -> String {
    let mut parts = vec![kind(device).to_owned()];
    parts.extend(device.tunnel.iter().cloned());
    parts.push(format!("MTU {}", device.mtu));
    parts.extend(device.qdisc.iter().map(|kind| format!("qdisc {kind}")));
    parts.extend(offloads(device));
    parts.extend((!device.up).then(|| "DOWN".to_owned()));
    parts.extend((!device.own).then(|| "not the lab's".to_owned()));
    parts.join(", ")
}

/// Says what a device is joined to; nothing where that is nothing.
pub(super) fn joined(device: &DeviceState) -> Vec<String> {
    let mut parts = Vec::new();
    match &device.peer {
        Some(peer) if peer.by_line => {
            parts.push(format!("a line to {} of {}", peer.device, peer.place));
        }
        Some(peer) => parts.push(format!("to {} of {}", peer.device, peer.place)),
        None if matches!(device.kind.as_str(), "veth" | "netkit") => {
            parts.push("its other end is outside the lab".to_owned());
        }
        None => {}
    }
    let bridge = device.bridge.iter();
    parts.extend(bridge.map(|bridge| format!("port of {bridge}")));
    let over = device.over.iter();
    parts.extend(over.map(|over| format!("over {over}")));
    parts
}

fn kind(device: &DeviceState) -> &str {
    match device.kind.as_str() {
        "" => "device",
        kind => kind,
    }
}

fn offloads(device: &DeviceState) -> Option<String> {
    let on = device.offloads.as_ref()?;
    if on.is_empty() {
        return Some("offloads off".to_owned());
    }
    let known = OFFLOADS
        .iter()
        .filter(|(name, _)| on.iter().any(|on| on == name));
    let known: Vec<&str> = known.map(|(_, short)| *short).collect();
    Some(if known.is_empty() {
        plural(on.len(), "offload")
    } else {
        known.join(" ")
    })
}

/// Lists a device's addresses, as many as a reader takes in.
pub(super) fn addresses(device: &DeviceState) -> Vec<String> {
    shortened(&device.addresses, MOST_ADDRESSES, Clone::clone)
}

/// Lists a namespace's routes, as many as a reader takes in.
pub(super) fn routes(place: &PlaceState) -> Vec<String> {
    shortened(&place.routes, MOST_ROUTES, route)
}

fn shortened<T>(all: &[T], most: usize, say: impl Fn(&T) -> String) -> Vec<String> {
    let shown = if all.len() > most { most - 1 } else { most };
    let mut said: Vec<String> = all.iter().take(shown).map(say).collect();
    let more = all.len().saturating_sub(shown);
    if more > 0 {
        said.push(format!("and {more} more"));
    }
    said
}

fn route(route: &RouteState) -> String {
    let mut parts: Vec<String> = route.kind.iter().cloned().collect();
    parts.push(route.to.clone());
    parts.extend(route.via.iter().map(|via| format!("via {via}")));
    parts.extend(route.device.iter().map(|device| format!("dev {device}")));
    let congestion = route.congestion.iter();
    parts.extend(congestion.map(|name| format!("congctl {name}")));
    parts.join(" ")
}

/// Names a table of rules: `ip nat`.
pub(super) fn table(table: &RuleTable) -> String {
    format!("{} {}", table.family, table.table)
}

/// Says what keeps a table, and how many rules it has.
pub(super) fn rules(table: &RuleTable) -> String {
    let rules = number(table.rules, "rule");
    format!("{}, {rules}", table.keeper.as_str())
}

/// Lists the chains of a table with their rules; empty where it has none.
pub(super) fn chains(table: &RuleTable) -> String {
    let chains = table.chains.iter().map(|chain| {
        let several = match chain.chains {
            1 => String::new(),
            chains => format!(" ({} chains)", count(chains)),
        };
        format!("{}{several} {}", chain.name, count(chain.rules))
    });
    chains.collect::<Vec<_>>().join(", ")
}

/// Says how full a table of connections is.
pub(super) fn conntrack(conntrack: ConntrackState) -> String {
    let entries = number(conntrack.entries, "connection");
    match conntrack.limit {
        Some(limit) => format!("{entries} tracked, at most {}", count(limit)),
        None => format!("{entries} tracked"),
    }
}

/// Lists the sysctls of a place.
pub(super) fn sysctls(place: &PlaceState) -> String {
    let sysctls = place.sysctls.iter();
    let sysctls = sysctls.map(|(name, value)| {
        // The values of a buffer's sizes are three.
        format!("{name}={}", value.replace(' ', ","))
    });
    sysctls.collect::<Vec<_>>().join(", ")
}

/// Says where a program is attached and what it is called.
pub(super) fn program(program: &ProgramState) -> String {
    let whose = if program.own { "" } else { " (not the lab's)" };
    format!("{} {}{whose}", program.hook, program.name)
}

/// Says that the lab made a device that is not there.
pub(super) const MISSING: &str = "MISSING: the lab made it, and it is not there now";

/// Returns the devices of a place that are worth a line each: those that the lab made, and whatever else is up.
pub(super) fn shown(place: &PlaceState) -> impl Iterator<Item = &DeviceState> {
    place
        .devices
        .iter()
        .filter(|device| device.own || device.up)
}

/// Names the other devices of a place, of which modules give every namespace some; `None` where there are none.
pub(super) fn others(place: &PlaceState) -> Option<String> {
    let others = place
        .devices
        .iter()
        .filter(|device| !device.own && !device.up);
    let names: Vec<&str> = others.map(|device| device.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("{}: down, not the lab's", names.join(", ")))
}

/// Returns the programs at the client's sockets if the client is in this place.
pub(super) fn sockets<'a>(arm: &'a ArmState, place: &PlaceState) -> &'a [ProgramState] {
    let clients = |place: &&PlaceState| {
        let mut addresses = place.devices.iter().flat_map(|device| &device.addresses);
        let client = arm.client.to_string();
        addresses.any(|address| address.split('/').next() == Some(client.as_str()))
    };
    // A client whose address has gone is still somewhere.
    let at = arm.places.iter().find(clients).or(arm.places.first());
    if at.is_some_and(|at| at.place == place.place) {
        &arm.sockets
    } else {
        &[]
    }
}

/// Returns the machines of an arm from the client's side to the server's: pods come with their nodes.
pub(super) fn machines(arm: &ArmState) -> Vec<&PlaceState> {
    let is_home = |home: &Option<String>| {
        let home = home.as_deref();
        home.is_some_and(|home| arm.places.iter().any(|place| place.place == home))
    };
    let mut machines: Vec<&PlaceState> = arm
        .places
        .iter()
        .filter(|place| !is_home(&place.home))
        .collect();
    machines.sort_by_key(|place| match place.kind {
        PlaceKind::Outside => 0,
        PlaceKind::Switch => 1,
        PlaceKind::Node => 2,
        PlaceKind::Pod => 3,
    });
    machines
}

/// Returns the pods that stand on a node.
pub(super) fn pods<'a>(
    arm: &'a ArmState,
    node: &'a PlaceState,
) -> impl Iterator<Item = &'a PlaceState> {
    let pods = arm.places.iter();
    pods.filter(move |pod| pod.home.as_deref() == Some(node.place.as_str()))
}

/// Says what the lab's one arm is, or one of several.
pub(super) fn title(lab: &str, arm: &ArmState) -> String {
    if arm.name.as_str() == lab {
        format!("Lab {lab}: {}", arm.datapath)
    } else {
        format!("Lab {lab}, arm {}: {}", arm.name, arm.datapath)
    }
}

/// Says who asks whom.
pub(super) fn ends(arm: &ArmState) -> String {
    if arm.target == arm.server {
        format!("The client {} asks {}.", arm.client, arm.server)
    } else {
        format!(
            "The client {} asks the service {}; the server is {}.",
            arm.client, arm.target, arm.server
        )
    }
}

/// Lists what a reader should know of an arm beside its places.
pub(super) fn remarks(arm: &ArmState) -> Vec<String> {
    let mut remarks = arm.notes.clone();
    if !arm.detached.is_empty() {
        remarks.push(format!(
            "loaded, but attached nowhere now: {}",
            arm.detached.join(", ")
        ));
    }
    remarks
}

/// Lists programs in netfilter; `None` where there are none.
pub(super) fn netfilter(programs: &[ProgramState]) -> Option<String> {
    let listed: Vec<String> = programs
        .iter()
        .map(|program| format!("{} {}", program.hook, program.name))
        .collect();
    (!listed.is_empty()).then(|| {
        format!(
            "eBPF programs in netfilter, of this machine (the kernel doesn't say in which namespace): {}",
            listed.join(", ")
        )
    })
}

fn number(value: u64, singular: &str) -> String {
    let ending = if value == 1 { "" } else { "s" };
    format!("{} {singular}{ending}", count(value))
}
