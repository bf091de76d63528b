//! An arm as it stands now, read back from the kernel.

mod places;
mod reading;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use tollgate_results::lab_state::{ArmState, ProgramState};

use self::reading::Reading;
use super::Arm;
use super::rising::endpoints_of;
use crate::bpf::{ProgramRuns, attached};
use crate::topology::Topology;

/// What a reader is told who may not ask for programs.
const NO_PROGRAMS: &str = "attached eBPF programs are not shown: only root can ask for them";

impl Arm {
    /// Reads back what stands in the arm. What cannot be read is said in its place.
    pub(crate) fn state(&self) -> ArmState {
        // It was deployed, so it has as many endpoints as can be. Routes are not compared, so neither what they choose.
        let endpoints = endpoints_of(&self.datapath).unwrap_or(1);
        let topology = Topology::of(&self.datapath, endpoints, None);
        let plans = topology.sites.iter().zip(&self.sites);
        let mut readings: Vec<Reading> = plans
            .map(|((_, plan), site)| reading::read(site, plan, &self.datapath))
            .collect();
        let mut notes = Vec::new();
        let mut sockets = self.at_sockets().unwrap_or_else(|error| {
            notes.push(refusal(&error));
            Vec::new()
        });
        let refused = readings
            .iter()
            .filter_map(|reading| reading.no_programs.as_ref());
        notes.extend(refused.map(refusal));
        notes.dedup();
        let mut detached = Vec::new();
        match self.runs() {
            Ok(loaded) => {
                let found = readings
                    .iter_mut()
                    .flat_map(|reading| reading.programs.values_mut().flatten())
                    .chain(&mut sockets);
                let gone = claim(found, &loaded);
                // What is not shown is not known to be gone.
                if notes.is_empty() {
                    detached = gone;
                }
            }
            Err(error) => notes.push(error.chain()),
        }
        ArmState {
            name: self.name.clone(),
            datapath: self.datapath.clone(),
            client: self.endpoints.client,
            server: SocketAddr::new(self.endpoints.server, self.endpoints.port),
            target: self.endpoints.target,
            places: places::places(&topology, readings),
            sockets,
            detached,
            notes,
        }
    }

    /// Lists the programs at the sockets of the client, where it has a control group of its own.
    fn at_sockets(&self) -> io::Result<Vec<ProgramState>> {
        match &self.group {
            Some(group) => attached::at_sockets(group.directory.as_fd()),
            None => Ok(Vec::new()),
        }
    }
}

/// Gives the programs that the lab loaded their full names. Names those that it attached and that are attached nowhere now:
/// their device has gone, or somebody took them off.
fn claim<'a>(
    found: impl Iterator<Item = &'a mut ProgramState>,
    loaded: &[ProgramRuns],
) -> Vec<String> {
    let mut there = Vec::new();
    for program in found {
        there.push(program.id);
        if let Some(own) = loaded.iter().find(|own| own.id == program.id) {
            program.own = true;
            program.name.clone_from(&own.program);
        }
    }
    let gone = loaded
        .iter()
        .filter(|own| own.attached && !there.contains(&own.id));
    let mut names: Vec<String> = gone
        .map(|own| format!("{} ({})", own.program, own.place))
        .collect();
    names.sort();
    names
}

/// Says why programs are not shown.
fn refusal(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        NO_PROGRAMS.to_owned()
    } else {
        format!("failed to list attached eBPF programs: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_attached_nowhere_is_named() {
        let loaded = |id, program: &str| ProgramRuns {
            place: "node a".to_owned(),
            program: program.to_owned(),
            id,
            attached: true,
            runs: 0,
            time_ns: 0,
            seats: Vec::new(),
            redirects: false,
        };
        let mut there = ProgramState {
            id: 3,
            name: "from_pod_to_tun".to_owned(),
            hook: "tcx/ingress".to_owned(),
            own: false,
        };
        let loaded = [loaded(3, "from_pod_to_tunnel"), loaded(4, "from_wire")];
        assert_eq!(
            claim(std::iter::once(&mut there), &loaded),
            ["from_wire (node a)"]
        );
        assert_eq!(
            (there.name.as_str(), there.own),
            ("from_pod_to_tunnel", true)
        );
        let of_somebody_else = claim(std::iter::once(&mut there), &[]);
        assert!(of_somebody_else.is_empty());
    }

    #[test]
    fn who_may_not_ask_is_told_so() {
        assert_eq!(
            refusal(&io::ErrorKind::PermissionDenied.into()),
            NO_PROGRAMS
        );
        assert!(refusal(&io::ErrorKind::NotFound.into()).starts_with("failed to list"));
    }
}
