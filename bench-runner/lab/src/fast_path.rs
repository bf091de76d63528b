//! eBPF programs at a node's devices: pods whose packets pass by the node's stack, and tunnels without forwarding table.

use std::net::IpAddr;

use tollgate_results::arm::Family;
use tollgate_results::evidence::ProgramCounters;

use crate::address::Side;
use crate::bpf::{
    BPF, Code, Loaded, NET_ADMIN, Needs, ProgramRuns, Table, objects, resize, to_netkit,
};
use crate::error::LabError;
use crate::netns::NetNs;
use crate::topology::{self, FarPods, LocalPod, ProgramName};

static CODE: Code = Code {
    what: "the pods' eBPF programs",
    objects: objects!("pods"),
    needs: Needs {
        capabilities: &[BPF, NET_ADMIN],
        kernel: "CONFIG_NET_XGRESS and CONFIG_VETH, version 6.6 or newer",
    },
    redirects: true,
};

/// The programs of one node at work.
#[derive(Debug)]
pub(crate) struct FastPath {
    side: Side,
    programs: Vec<ProgramName>,
    loaded: Loaded,
}

/// Tries to load the programs and to attach them to a device of `netns`: all of them to a plain one, those that see what leaves
/// a pod to the node's end of a netkit pair.
///
/// # Errors
/// One line that says why they cannot run here and how to mend it.
pub(crate) fn available(netns: &NetNs, device: u32, netkit: bool) -> Result<(), String> {
    let programs = ProgramName::ALL.into_iter();
    let tried = programs.filter(|program| !netkit || program.leaves_pod());
    let plan = topology::FastPath {
        programs: tried.map(|program| (program, device)).collect(),
        netkit,
        ..topology::FastPath::default()
    };
    match FastPath::load(&plan, Side::A, Family::Ipv4, netns) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.cause()),
    }
}

impl FastPath {
    /// Loads and attaches the programs of one node, whose namespace is `netns`; `None` where there are none.
    pub(crate) fn load(
        plan: &topology::FastPath,
        side: Side,
        family: Family,
        netns: &NetNs,
    ) -> Result<Option<Self>, LabError> {
        let programs: Vec<_> = plan.programs.iter().map(|(program, _)| *program).collect();
        if programs.is_empty() {
            return Ok(None);
        }
        let (pods, routes) = (pods(&plan.pods), routes(&plan.routes));
        let mut loaded = Loaded::load(&CODE, family, |object| {
            for mut program in object.progs_mut() {
                let name = program.name().to_str();
                let wanted = programs.iter().any(|one| name == Some(one.as_str()));
                program.set_autoload(wanted);
            }
            for program in programs
                .iter()
                .filter(|one| plan.netkit && one.leaves_pod())
            {
                to_netkit(object, program.as_str());
            }
            resize(object, &[("pods", pods.count), ("routes", routes.count)])
        })?;
        loaded.fill("pods", &pods)?;
        loaded.fill("routes", &routes)?;
        // The maps are full before the first packet comes.
        for (program, device) in &plan.programs {
            loaded.attach(program.as_str(), netns, *device)?;
        }
        Ok(Some(Self {
            side,
            programs,
            loaded,
        }))
    }

    /// Lists the programs with their runs.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        self.loaded.runs(&format!("node {}", self.side.as_str()))
    }

    /// Reads what each program did.
    pub(crate) fn counters(&self) -> Result<Vec<ProgramCounters>, LabError> {
        let places = (0..).zip(ProgramName::ALL);
        let attached = places.filter(|(_, program)| self.programs.contains(program));
        let read = attached.map(|(place, program)| {
            let counts = self.loaded.counts("counters", place)?;
            let at = |index: usize| counts.get(index).copied().unwrap_or_default();
            Ok(ProgramCounters {
                node: self.side.as_str().to_owned(),
                program: program.as_str().to_owned(),
                carried: at(0),
                passed: at(1),
            })
        });
        read.collect()
    }
}

/// Lays out `struct address` to `struct pod`.
fn pods(pods: &[LocalPod]) -> Table {
    let mut table = Table::default();
    for pod in pods {
        let device = pod.device.to_ne_bytes();
        let value = [&device[..], &pod.mac.0, &pod.gateway.0].concat();
        table.add(&octets(pod.address), &value);
    }
    table
}

/// Lays out `struct prefix` to `struct route`.
fn routes(routes: &[FarPods]) -> Table {
    let mut table = Table::default();
    for route in routes {
        let (address, length) = route.to;
        let key = [&u32::from(length).to_ne_bytes()[..], &octets(address)].concat();
        let (device, tunnel) = (route.device.to_ne_bytes(), route.tunnel.to_ne_bytes());
        table.add(&key, &[&device[..], &tunnel, &octets(route.via)].concat());
    }
    table
}

/// Lays out `struct address`.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Mac;

    #[test]
    fn c_and_rust_agree_on_every_size_and_name() {
        for (family, address, prefix) in [
            (Family::Ipv4, "10.244.1.2", 24),
            (Family::Ipv6, "fd00:10:244:1::2", 64),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let pods = pods(&[LocalPod {
                address,
                device: 31,
                mac: Mac([2; 6]),
                gateway: Mac([4; 6]),
            }]);
            let routes = routes(&[FarPods {
                to: (address, prefix),
                device: 11,
                tunnel: 1,
                via: address,
            }]);
            let object = CODE.open(family).unwrap();
            let sizes = |name: &str| {
                let map = object.maps().find(|map| map.name().to_str() == Some(name));
                let map = map.unwrap();
                (map.key_size() as usize, map.value_size() as usize)
            };
            assert_eq!(sizes("pods"), (pods.keys.len(), pods.values.len()));
            assert_eq!(sizes("routes"), (routes.keys.len(), routes.values.len()));
            assert_eq!(sizes("counters"), (4, 16));
            let counters = object
                .maps()
                .find(|map| map.name().to_str() == Some("counters"));
            assert_eq!(
                counters.unwrap().max_entries() as usize,
                ProgramName::ALL.len()
            );
            let names: Vec<_> = object
                .progs()
                .map(|program| program.name().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(names, ProgramName::ALL.map(ProgramName::as_str));
        }
    }

    #[test]
    fn entries_are_laid_out_as_c_reads_them() {
        let address: IpAddr = "10.244.1.2".parse().unwrap();
        let pods = pods(&[LocalPod {
            address,
            device: 31,
            mac: Mac([2, 0, 0, 0, 0xa, 4]),
            gateway: Mac([2, 0, 0, 0, 0xa, 3]),
        }]);
        assert_eq!(pods.keys, [10, 244, 1, 2]);
        assert_eq!(pods.values[..4], 31_u32.to_ne_bytes());
        assert_eq!(pods.values[4..], [2, 0, 0, 0, 0xa, 4, 2, 0, 0, 0, 0xa, 3]);
        let routes = routes(&[FarPods {
            to: (address, 24),
            device: 51,
            tunnel: 7,
            via: "192.168.77.2".parse().unwrap(),
        }]);
        assert_eq!(routes.keys[..4], 24_u32.to_ne_bytes());
        assert_eq!(routes.keys[4..], [10, 244, 1, 2]);
        assert_eq!(routes.values[..4], 51_u32.to_ne_bytes());
        assert_eq!(routes.values[4..8], 7_u32.to_ne_bytes());
        assert_eq!(routes.values[8..], [192, 168, 77, 2]);
    }
}
