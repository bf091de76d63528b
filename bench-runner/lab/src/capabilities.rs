//! What this machine can do, found by trying.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use tollgate_results::arm::{Datapath, Family, Pods, Service, Wire};
use tollgate_results::kernel::{ConntrackTable, Kernel};

use crate::cgroup::Hierarchy;
use crate::congestion::Congestion;
use crate::conntrack::table::Entries;
use crate::error::LabError;
use crate::lab::{Lab, LabOptions};
use crate::netlink::{LOOPBACK, Netlink};
use crate::netns::NetNs;
use crate::rules::{self, Backend};
use crate::topology::{Device, DeviceKind, Mac, Place, Port, Site};
use crate::{address, bpf, fast_path, line, tuning};

/// Index of the device that eBPF programs are tried at.
const TRIED: u32 = 11;

/// What this machine can do: for each thing that an arm may need, a reason where it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Why there can be no lab at all, or what it can do.
    found: Result<Found, String>,
    /// What starts a holder, to try what only an arm names: sysctls, a queueing discipline.
    holder: Vec<OsString>,
}

/// What a holder found: a reason for each thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    veth: Option<String>,
    bridge: Option<String>,
    vxlan: Option<String>,
    iptables_legacy: Option<String>,
    iptables_nft: Option<String>,
    ip6tables_legacy: Option<String>,
    ip6tables_nft: Option<String>,
    nftables: Option<String>,
    socket_lb: Option<String>,
    tc_lb: Option<String>,
    ipvs: Option<String>,
    tcx: Option<String>,
    ipv6: Option<String>,
    #[serde(default)]
    line: Option<String>,
}

impl Capabilities {
    /// Tries everything in a lab that is thrown away. `holder` is a command that calls
    /// [`crate::holder::run`].
    #[must_use]
    pub fn detect(holder: &[OsString]) -> Self {
        let options = LabOptions {
            holder: holder.to_vec(),
        };
        let found = Lab::start(&options).and_then(|lab| lab.detect());
        Self {
            found: found.map_err(|error| error.chain()),
            holder: holder.to_vec(),
        }
    }

    /// Says in one line why an arm cannot be deployed here, and how to mend that; `None` if it can.
    #[must_use]
    pub fn missing(&self, datapath: &Datapath) -> Option<String> {
        let found = match &self.found {
            Ok(found) => found,
            Err(reason) => return Some(reason.clone()),
        };
        let missing = found.missing(datapath).cloned();
        missing.or_else(|| self.kernel_refuses(&datapath.kernel))
    }

    /// Tries an arm's kernel settings in a lab that is thrown away.
    fn kernel_refuses(&self, kernel: &Kernel) -> Option<String> {
        if kernel.is_base() {
            return None;
        }
        let options = LabOptions {
            holder: self.holder.clone(),
        };
        match Lab::start(&options).and_then(|lab| lab.try_kernel(kernel)) {
            Ok(refused) => refused,
            Err(error) => Some(error.chain()),
        }
    }
}

impl Found {
    fn missing(&self, datapath: &Datapath) -> Option<&String> {
        let ipv6 = datapath.family == Family::Ipv6;
        let mut needs = vec![&self.veth, &self.bridge];
        needs.push(if ipv6 {
            &self.ip6tables_nft
        } else {
            &self.iptables_nft
        });
        if ipv6 {
            needs.push(&self.ipv6);
        }
        if datapath.line.is_some() {
            needs.push(&self.line);
        }
        if datapath.pods == Pods::Ebpf {
            needs.push(&self.tcx);
        }
        match datapath.wire {
            Wire::Native => {}
            Wire::Vxlan => needs.push(&self.vxlan),
            Wire::VxlanEbpf => needs.extend([&self.vxlan, &self.tcx]),
        }
        match datapath.service {
            Service::None => {}
            Service::IptablesLegacy if ipv6 => needs.push(&self.ip6tables_legacy),
            Service::IptablesLegacy => needs.push(&self.iptables_legacy),
            Service::IptablesNft if ipv6 => needs.push(&self.ip6tables_nft),
            Service::IptablesNft => needs.push(&self.iptables_nft),
            Service::Nftables => needs.push(&self.nftables),
            Service::SocketLb => needs.push(&self.socket_lb),
            Service::TcLb => needs.push(&self.tc_lb),
            Service::Ipvs => needs.push(&self.ipvs),
        }
        needs.into_iter().find_map(Option::as_ref)
    }
}

/// Tries everything, in a namespace that is thrown away.
pub(crate) fn find(groups: Option<&(Hierarchy, String)>) -> Found {
    let mut found = Found::default();
    match NetNs::new().and_then(|netns| Netlink::open(&netns).map(|netlink| (netns, netlink))) {
        Ok((netns, netlink)) => {
            devices(&mut found, &netns, &netlink);
            found.tcx = fast_path::available(&netns, TRIED).err();
            found.line = line::available(&netns, port("try4", 41));
            programs(&mut found, &netns);
        }
        Err(error) => found.veth = Some(error.chain()),
    }
    found.ipv6 = (!std::path::Path::new("/proc/sys/net/ipv6").exists())
        .then(|| "this kernel has no IPv6, or it was started with ipv6.disable=1".to_owned());
    let later = |service| Some(format!("this build of the lab has no {service}"));
    (found.tc_lb, found.ipvs) = (later(Service::TcLb), later(Service::Ipvs));
    found.socket_lb = match groups {
        Some(_) => bpf::available().err(),
        None => Some(bpf::available().err().unwrap_or_else(|| {
            "the cgroup version 2 hierarchy cannot be opened; mount it: \
             `mount -t cgroup2 none /sys/fs/cgroup/unified`"
                .to_owned()
        })),
    };
    found
}

/// Tries the kernel settings of an arm; says which cannot be, and why.
pub(crate) fn try_kernel(kernel: &Kernel) -> Option<String> {
    if let Some(missing) = Congestion::of(kernel).missing()
        && kernel.congestion.is_some()
    {
        return Some(missing);
    }
    tried(kernel).err().map(|error| error.chain())
}

fn tried(kernel: &Kernel) -> Result<(), LabError> {
    let netns = NetNs::new()?;
    tuning::try_sysctls(&netns, kernel)?;
    let netlink = Netlink::open(&netns)?;
    if let Some(qdisc) = &kernel.qdisc {
        netlink.set_qdisc(LOOPBACK, qdisc)?;
    }
    if kernel.conntrack == ConntrackTable::Full {
        Entries::open(&netns)?.add(1)?;
    }
    if kernel.rps {
        tuning::steer(&netns, &["lo"])?;
    }
    Ok(())
}

/// A device to try.
fn port(name: &'static str, index: u32) -> Port {
    Port {
        name,
        index,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1400,
    }
}

fn devices(found: &mut Found, netns: &NetNs, netlink: &Netlink) {
    let local = address::node(address::Side::A, Family::Ipv4);
    let peer = port("try1", 12);
    let peer_place = Place::Node(address::Side::A);
    let tries = [
        (
            "try0",
            TRIED,
            DeviceKind::Veth {
                peer,
                peer_place,
                bridge: None,
            },
            "veth",
        ),
        ("try2", 21, DeviceKind::Bridge, "bridge"),
        (
            "try3",
            31,
            DeviceKind::Vxlan {
                under: TRIED,
                local,
            },
            "vxlan",
        ),
    ];
    let slots = [&mut found.veth, &mut found.bridge, &mut found.vxlan];
    for ((name, index, kind, module), slot) in tries.into_iter().zip(slots) {
        let device = Device {
            port: port(name, index),
            kind,
        };
        let site = Site {
            devices: vec![device],
            ..Site::default()
        };
        let made = netlink.apply_devices(&site, |_| std::os::fd::AsRawFd::as_raw_fd(netns));
        *slot = made.err().map(|error| {
            format!(
                "no {module} devices ({}): run `modprobe {module}` as root",
                error.cause()
            )
        });
    }
}

fn programs(found: &mut Found, netns: &NetNs) {
    const CHAIN: &str = "*nat\n:TRY - [0:0]\n-A POSTROUTING -j TRY\n\
        -A TRY -m comment --comment try -j MASQUERADE --random-fully\nCOMMIT\n";
    let iptables = |backend, family| {
        let attempt = netns.enter(|| rules::load_iptables(backend, family, CHAIN));
        attempt.err().map(|error| error.cause())
    };
    found.iptables_nft = iptables(Backend::Nft, Family::Ipv4);
    found.ip6tables_nft = iptables(Backend::Nft, Family::Ipv6);
    found.iptables_legacy = iptables(Backend::Legacy, Family::Ipv4);
    found.ip6tables_legacy = iptables(Backend::Legacy, Family::Ipv6);
    let table = "add table ip try\nadd map ip try m { type inet_proto : verdict; }\n";
    let attempt = netns.enter(|| rules::load_nftables(table));
    found.nftables = attempt.err().map(|error| error.cause());
}

#[cfg(test)]
mod tests {

    use super::*;

    fn datapath(wire: Wire, service: Service, family: Family) -> Datapath {
        Datapath {
            wire,
            service,
            family,
            ..Datapath::default()
        }
    }

    #[test]
    fn only_what_an_arm_needs_is_missing() {
        let found = Found {
            vxlan: Some("no vxlan".to_owned()),
            nftables: Some("no nft".to_owned()),
            ..Found::default()
        };
        let capabilities = Capabilities {
            found: Ok(found),
            holder: Vec::new(),
        };
        let missing = |wire, service| capabilities.missing(&datapath(wire, service, Family::Ipv4));
        assert_eq!(missing(Wire::Native, Service::IptablesLegacy), None);
        assert_eq!(
            missing(Wire::Vxlan, Service::None).as_deref(),
            Some("no vxlan")
        );
        assert_eq!(
            missing(Wire::Native, Service::Nftables).as_deref(),
            Some("no nft")
        );
    }

    #[test]
    fn without_a_lab_every_arm_is_missing() {
        let capabilities = Capabilities {
            found: Err("no namespaces".to_owned()),
            holder: Vec::new(),
        };
        let datapath = datapath(Wire::Native, Service::None, Family::Ipv4);
        assert_eq!(
            capabilities.missing(&datapath).as_deref(),
            Some("no namespaces")
        );
    }
}
