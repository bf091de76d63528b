//! An arm's namespaces, made with all that stands in them.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use tollgate_results::arm::{Datapath, Offloads};

use crate::base::{self, Congestion};
use crate::error::LabError;
use crate::netlink::{Link, Netlink};
use crate::netns::NetNs;
use crate::topology::{Place, Topology};
use crate::{clock, offloads};

/// How long the devices of a new arm may take to come up.
const LINK_LIMIT: Duration = Duration::from_secs(5);

/// One of an arm's namespaces with its netlink socket.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) place: Place,
    pub(super) netns: NetNs,
    pub(super) netlink: Netlink,
}

/// Makes the namespaces of an arm, joins them, and waits until they can carry packets. Adds what a reader should
/// know to `notes`.
pub(super) fn make(
    topology: &Topology,
    datapath: &Datapath,
    congestion: Congestion,
    notes: &mut Vec<String>,
) -> Result<Vec<Namespace>, LabError> {
    let mut sites = Vec::new();
    for (place, _) in &topology.sites {
        let netns = NetNs::new()?;
        netns.enter(|| base::sysctls(*place, datapath.family, congestion))?;
        let netlink = Netlink::open(&netns)?;
        sites.push(Namespace {
            place: *place,
            netns,
            netlink,
        });
    }
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
    for site in &sites {
        if datapath.offloads == Offloads::Off {
            let names: Vec<_> = site
                .netlink
                .links()?
                .into_iter()
                .map(|link| link.name)
                .collect();
            notes.extend(site.netns.enter(|| offloads::switch_off(&names))?);
        }
        if let Place::Node(side) = site.place {
            site.netns
                .enter(|| base::load_flannel(side, datapath.family))?;
        }
    }
    wait_for_links(&sites)?;
    Ok(sites)
}

/// Waits until every device can carry packets: the kernel says so a moment after both ends are up.
fn wait_for_links(sites: &[Namespace]) -> Result<(), LabError> {
    for site in sites {
        let mut down: Result<Vec<Link>, LabError> = Ok(Vec::new());
        let up = clock::wait_until(LINK_LIMIT, Duration::from_millis(1), || {
            down = site
                .netlink
                .links()
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
