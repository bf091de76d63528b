//! The packet clock of an arm.

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use tollgate_results::anatomy::{Site, SiteDevice, SiteProgram};

use super::Arm;
use crate::anatomy::{ClockEnd, ClockSpec, Ends, PacketClock};
use crate::bpf::ProgramRuns;
use crate::error::LabError;
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
        let programs = self.runs()?;
        let sites = self
            .sites
            .iter()
            .map(|namespace| site(namespace, &programs));
        let sites: Result<Vec<Site>, LabError> = sites.collect();
        let ends = Ends {
            namespaces: [
                self.at(self.client_place)?.netns.number()?,
                self.at(self.server_place)?.netns.number()?,
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

fn site(site: &super::Namespace, programs: &[ProgramRuns]) -> Result<Site, LabError> {
    let namespace = site.netns.number()?;
    let loopback = SiteDevice {
        index: LOOPBACK,
        name: "lo".to_owned(),
        kind: "loopback".to_owned(),
        programs: Vec::new(),
    };
    let links = site.netlink.links()?.into_iter();
    let devices = links.map(|link| SiteDevice {
        index: link.index,
        name: link.name,
        kind: link.kind,
        programs: programs_at(programs, namespace, link.index),
    });
    Ok(Site {
        namespace,
        place: site.place.words().to_owned(),
        is_node: matches!(site.place, Place::Node(_)),
        devices: std::iter::once(loopback).chain(devices).collect(),
    })
}

/// Lists the programs at a device in the order in which they run. Each was attached before those that were there
/// ([`crate::bpf`]), so that the last one runs first.
fn programs_at(programs: &[ProgramRuns], namespace: u32, device: u32) -> Vec<SiteProgram> {
    let seated = programs.iter().rev().flat_map(|program| {
        let here = program.seats.iter();
        here.filter(|seat| (seat.namespace, seat.device) == (namespace, device))
            .map(|seat| SiteProgram {
                name: program.program.clone(),
                sends: seat.sends,
                redirects: program.redirects,
            })
    });
    seated.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Seat;

    #[test]
    fn programs_are_listed_where_they_sit_the_last_attached_first() {
        let seat = |device, sends| Seat {
            namespace: 7,
            device,
            sends,
        };
        let program = |name: &str, seats: &[Seat], redirects| ProgramRuns {
            place: "node a".to_owned(),
            program: name.to_owned(),
            id: 7,
            attached: true,
            runs: 0,
            time_ns: 0,
            seats: seats.to_vec(),
            redirects,
        };
        let programs = [
            program("from_pod", &[seat(31, false), seat(32, false)], true),
            program("translate", &[seat(31, false)], false),
            program("back", &[seat(31, true)], false),
            program("connect", &[], false),
        ];
        let at = |device| -> Vec<_> {
            let here = programs_at(&programs, 7, device).into_iter();
            here.map(|program| (program.name, program.sends, program.redirects))
                .collect()
        };
        let seen = |name: &str, sends, redirects| (name.to_owned(), sends, redirects);
        assert_eq!(
            at(31),
            [
                seen("back", true, false),
                seen("translate", false, false),
                seen("from_pod", false, true),
            ]
        );
        assert_eq!(at(32), [seen("from_pod", false, true)]);
        assert!(programs_at(&programs, 8, 31).is_empty());
    }
}
