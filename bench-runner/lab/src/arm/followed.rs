//! The packet clock of an arm.

use std::sync::PoisonError;

use nix::sys::stat::fstat;
use std::os::fd::OwnedFd;

use tollgate_results::anatomy::{Site, SiteDevice};

use super::Arm;
use crate::anatomy::{ClockEnd, ClockSpec, Ends, PacketClock};
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;
use crate::topology::Place;

/// Index of the loopback device, which is in no list of an arm's devices.
const LOOPBACK: u32 = 1;

impl Arm {
    /// Starts to follow the packets between client and server; returns where they may be seen.
    pub(crate) fn start_clock(&self, spec: &ClockSpec) -> Result<Vec<Site>, LabError> {
        let mut clock = self.packet_clock();
        if clock.is_some() {
            return Err(LabError::said(
                format!("follow the packets of the arm `{}`", self.name),
                "it is done already; stop that clock first",
            ));
        }
        let sites: Result<Vec<Site>, LabError> = self.sites.iter().map(site).collect();
        let ends = Ends {
            namespaces: [
                number(&self.at(self.client_place)?.netns)?,
                number(&self.at(self.server_place)?.netns)?,
            ],
            ports: [self.endpoints.target.port(), self.endpoints.port],
            family: self.datapath.family,
        };
        let namespaces: Vec<&NetNs> = self.sites.iter().map(|site| &site.netns).collect();
        *clock = Some(PacketClock::start(spec, ends, &namespaces)?);
        sites
    }

    /// Stops to follow; returns what was not kept, and a file of records.
    pub(crate) fn stop_clock(&self) -> Result<(ClockEnd, OwnedFd), LabError> {
        let clock = self.packet_clock().take();
        let clock = clock.ok_or_else(|| {
            LabError::said(
                format!("stop the packet clock of the arm `{}`", self.name),
                "it has none",
            )
        })?;
        clock.stop()
    }

    fn packet_clock(&self) -> std::sync::MutexGuard<'_, Option<PacketClock>> {
        self.packet_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number by which the kernel's own code tells a namespace.
fn number(netns: &NetNs) -> Result<u32, LabError> {
    const DOING: &str = "tell a network namespace's number";
    let inode = fstat(netns).doing(|| DOING)?.st_ino;
    u32::try_from(inode).map_err(|error| LabError::said(DOING, error))
}

fn site(site: &super::Namespace) -> Result<Site, LabError> {
    let loopback = SiteDevice {
        index: LOOPBACK,
        name: "lo".to_owned(),
        kind: "loopback".to_owned(),
    };
    let links = site.netlink.links()?.into_iter();
    let devices = links.map(|link| SiteDevice {
        index: link.index,
        name: link.name,
        kind: link.kind,
    });
    Ok(Site {
        namespace: number(&site.netns)?,
        place: site.place.words().to_owned(),
        is_node: matches!(site.place, Place::Node(_)),
        devices: std::iter::once(loopback).chain(devices).collect(),
    })
}
