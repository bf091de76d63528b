//! An arm's namespaces, made with all that stands in them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tollgate_results::arm::{Datapath, Offloads};

use super::settings::Settings;
use crate::address::Side;
use crate::base;
use crate::congestion::Congestion;
use crate::error::LabError;
use crate::netlink::{Link, Netlink};
use crate::netns::NetNs;
use crate::topology::{Place, Site, Topology, WireguardPeer};
use crate::{clock, line, offloads, wireguard};

/// How long the devices of a new arm may take to come up.
const LINK_LIMIT: Duration = Duration::from_secs(5);

/// Held while an arm's namespaces are made: where there is room for some arms only, those get all of theirs.
static MAKING: Mutex<()> = Mutex::new(());

/// One of an arm's namespaces with its netlink socket.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) place: Place,
    pub(super) netns: NetNs,
    pub(super) netlink: Netlink,
}

/// An arm's namespaces, and what came of making them.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) sites: Vec<Namespace>,
    /// The two ends of the line, the client's node's first; empty where the arm has none.
    pub(super) taps: Vec<OwnedFd>,
    /// Settings of the kernel as they were read back.
    pub(super) kernel: BTreeMap<String, String>,
}

/// Makes the namespaces of an arm, joins them, and waits until they can carry packets. Adds what a reader should
/// know to `notes`.
pub(super) fn make(
    topology: &Topology,
    datapath: &Datapath,
    congestion: Congestion,
    notes: &mut Vec<String>,
) -> Result<Made, LabError> {
    let netns = room_for(topology.sites.len())?;
    let mut sites: Vec<Namespace> = Vec::new();
    let mut settings = Settings::new(&datapath.kernel);
    for ((place, _), netns) in topology.sites.iter().zip(netns) {
        netns.enter(|| base::sysctls(*place, datapath.family, congestion))?;
        let netlink = Netlink::open(&netns)?;
        sites.push(Namespace {
            place: *place,
            netns,
            netlink,
        });
    }
    for site in &sites {
        settings.sysctls(site)?;
    }
    let taps = match datapath.line {
        Some(_) => Side::BOTH
            .into_iter()
            .map(|side| tap(topology, &sites, side))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let descriptor = |place| {
        sites
            .iter()
            .find(|site| site.place == place)
            .map_or(-1, |site| site.netns.as_raw_fd())
    };
    for ((_, site), namespace) in topology.sites.iter().zip(&sites) {
        namespace.netlink.apply_devices(site, descriptor)?;
    }
    for ((_, site), namespace) in topology.sites.iter().zip(&sites) {
        let sysctls = &site.sysctls;
        if !sysctls.is_empty() {
            namespace.netns.enter(|| base::device_sysctls(sysctls))?;
        }
        namespace.netlink.apply_addresses(site)?;
    }
    if let [(a, a_peer), (b, b_peer)] = wireguard_nodes(topology, &sites)[..] {
        wireguard::join([(&a.netns, a_peer), (&b.netns, b_peer)])?;
    }
    for ((_, plan), site) in topology.sites.iter().zip(&sites) {
        if datapath.offloads == Offloads::Off {
            let links = own_links(plan, site)?;
            let names: Vec<_> = links.into_iter().map(|link| link.name).collect();
            notes.extend(site.netns.enter(|| offloads::switch_off(&names))?);
        }
        if let Place::Node(side) = site.place {
            site.netns
                .enter(|| base::load_flannel(side, datapath.family))?;
        }
    }
    wait_for_links(topology, &sites)?;
    let kernel = settings.devices(topology, &sites, congestion)?;
    Ok(Made {
        sites,
        taps,
        kernel,
    })
}

/// Makes so many namespaces.
fn room_for(count: usize) -> Result<Vec<NetNs>, LabError> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count).map(|_| NetNs::new()).collect()
}

/// Makes one end of the line between the nodes.
fn tap(topology: &Topology, sites: &[Namespace], side: Side) -> Result<OwnedFd, LabError> {
    let node = sites.iter().find(|site| site.place == Place::Node(side));
    let node =
        node.ok_or_else(|| LabError::said("make the line's ends", "the arm has no such node"))?;
    line::open(&node.netns, topology.wire_port(side))
}

/// Returns the nodes that WireGuard joins.
fn wireguard_nodes<'a>(
    topology: &'a Topology,
    sites: &'a [Namespace],
) -> Vec<(&'a Namespace, &'a WireguardPeer)> {
    let planned = topology.sites.iter().zip(sites);
    planned
        .filter_map(|((_, plan), site)| Some((site, plan.wireguard.as_ref()?)))
        .collect()
}

/// Returns the devices of a namespace that the arm made. Modules such as `ipip` and `sit` put devices of their own into
/// every namespace, and those stay down.
fn own_links(plan: &Site, site: &Namespace) -> Result<Vec<Link>, LabError> {
    let own = |link: &Link| {
        let made = plan.devices.iter().map(|device| device.port.index);
        made.chain(plan.far_ends.iter().copied())
            .any(|index| index == link.index)
    };
    Ok(site.netlink.links()?.into_iter().filter(own).collect())
}

/// Waits until every device can carry packets: the kernel says so a moment after both ends are up.
fn wait_for_links(topology: &Topology, sites: &[Namespace]) -> Result<(), LabError> {
    for ((_, plan), site) in topology.sites.iter().zip(sites) {
        let mut down: Result<Vec<Link>, LabError> = Ok(Vec::new());
        let up = clock::wait_until(LINK_LIMIT, Duration::from_millis(1), || {
            down = own_links(plan, site)
                .map(|links| links.into_iter().filter(|link| !link.up).collect());
            down.as_ref().map_or(true, Vec::is_empty)
        });
        let down = down?;
        if !up {
            let names: Vec<_> = down.iter().map(|link| link.name.as_str()).collect();
            return Err(LabError::said(
                "bring the arm's devices up",
                format!(
                    "{} had no carrier after {} s",
                    names.join(", "),
                    LINK_LIMIT.as_secs()
                ),
            ));
        }
    }
    Ok(())
}
