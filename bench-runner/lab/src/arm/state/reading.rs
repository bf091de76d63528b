//! What the kernel says of one namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use tollgate_results::arm::{Datapath, Family};
use tollgate_results::lab_state::{ConntrackState, ProgramState, RuleTable};

use crate::arm::namespace::Namespace;
use crate::bpf::attached;
use crate::error::LabError;
use crate::netlink::shown::{Shown, ShownRoute};
use crate::topology::{Place, Site};
use crate::{conntrack, offloads, rules};

/// The limit of connection tracking, as the caller's namespace shows it.
const CONNTRACK_LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// One namespace as it was found. Devices are meant by their indices.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) devices: Vec<Shown>,
    pub(super) addresses: Vec<(u32, String)>,
    pub(super) routes: Vec<ShownRoute>,
    pub(super) programs: BTreeMap<u32, Vec<ProgramState>>,
    /// Why the kernel says nothing of programs.
    pub(super) no_programs: Option<io::Error>,
    pub(super) offloads: BTreeMap<u32, Vec<String>>,
    pub(super) tables: Vec<RuleTable>,
    pub(super) conntrack: Option<ConntrackState>,
    pub(super) sysctls: BTreeMap<String, String>,
    /// What could not be read.
    pub(super) faults: Vec<String>,
}

/// Reads a namespace that was made as `plan` says.
pub(super) fn read(site: &Namespace, plan: &Site, datapath: &Datapath) -> Reading {
    let mut out = Reading::default();
    out.devices = or_fault(&mut out.faults, site.netlink.shown_devices());
    out.addresses = or_fault(&mut out.faults, site.netlink.shown_addresses());
    out.routes = or_fault(&mut out.faults, site.netlink.shown_routes());
    let place = site.place;
    let sysctls = sysctls(place, plan, datapath);
    let inside = &mut out;
    let entered = site.netns.enter(move || {
        inside.of_devices();
        inside.of_netfilter(place);
        inside.sysctls = sysctls
            .into_iter()
            .filter_map(|(name, path)| Some((name, value(&path)?)))
            .collect();
        Ok(())
    });
    or_fault(&mut out.faults, entered);
    out
}

impl Reading {
    /// Reads what the kernel tells of devices only in their own namespace.
    fn of_devices(&mut self) {
        for device in &self.devices {
            let index = device.link.index;
            // A device that went meanwhile has no offloads, and no programs either.
            if let Ok(offloads) = offloads::active(&device.link.name) {
                self.offloads.insert(index, offloads);
            }
            match attached::at_device(index, device.xdp) {
                Ok(programs) => {
                    self.programs.insert(index, programs);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => self.no_programs = Some(error),
            }
        }
    }

    /// Reads the rules, and a node's connection tracking.
    fn of_netfilter(&mut self, place: Place) {
        self.tables = or_fault(&mut self.faults, rules::tables());
        if matches!(place, Place::Node(_)) {
            let entries = conntrack::entries().map(Some);
            let entries = or_fault(&mut self.faults, entries);
            self.conntrack = entries.map(|entries| ConntrackState {
                entries,
                limit: value(CONNTRACK_LIMIT).and_then(|limit| limit.parse().ok()),
            });
        }
    }
}

/// Returns what was read, or nothing, with the reason among the faults.
fn or_fault<T: Default>(faults: &mut Vec<String>, read: Result<T, LabError>) -> T {
    read.unwrap_or_else(|error| {
        faults.push(error.chain());
        T::default()
    })
}

/// Reads a sysctl of the caller's namespace, if it has it.
fn value(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Names the sysctls that a place's part of the datapath depends on, each with where it lies.
fn sysctls(place: Place, plan: &Site, datapath: &Datapath) -> Vec<(String, String)> {
    const CONGESTION: &str = "net/ipv4/tcp_congestion_control";
    let [forwarding, bridged] = match datapath.family {
        Family::Ipv4 => ["net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"],
        Family::Ipv6 => [
            "net/ipv6/conf/all/forwarding",
            "net/bridge/bridge-nf-call-ip6tables",
        ],
    };
    let base: &[&str] = match place {
        Place::Node(_) => &[forwarding, bridged, CONGESTION],
        Place::Switch => &[bridged],
        Place::Pod(_) | Place::Outside => &[CONGESTION],
    };
    let own = plan.sysctls.iter().map(|(name, _)| *name);
    let names = base.iter().copied().chain(own).map(str::to_owned);
    let asked = datapath.kernel.sysctls.keys();
    let names = names.chain(asked.map(|name| name.replace('.', "/")));
    let places = names.map(|name| (name.replace('/', "."), format!("/proc/sys/{name}")));
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Side;

    #[test]
    fn a_node_shows_what_makes_it_forward_and_what_the_arm_asks_for() {
        let plan = Site {
            sysctls: vec![("net/ipv4/conf/veth0/proxy_arp", "1")],
            ..Site::default()
        };
        let mut datapath = Datapath::default();
        let asked = (
            "net.ipv4.tcp_rmem".to_owned(),
            "4096 65536 65536".to_owned(),
        );
        datapath.kernel.sysctls.extend([asked]);
        let names = |place| -> Vec<String> {
            let sysctls = sysctls(place, &plan, &datapath).into_iter();
            sysctls.map(|(name, _)| name).collect()
        };
        let node = names(Place::Node(Side::A));
        for name in [
            "net.ipv4.ip_forward",
            "net.bridge.bridge-nf-call-iptables",
            "net.ipv4.conf.veth0.proxy_arp",
            "net.ipv4.tcp_rmem",
        ] {
            assert!(node.iter().any(|there| there == name), "{node:?}");
        }
        assert!(!names(Place::Pod(Side::A)).contains(&"net.ipv4.ip_forward".to_owned()));
        let of_node = sysctls(Place::Node(Side::B), &plan, &datapath);
        assert_eq!(of_node[0].1, "/proc/sys/net/ipv4/ip_forward");
    }
}
