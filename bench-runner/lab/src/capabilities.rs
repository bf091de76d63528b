//! What this machine can do, found by trying.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_results::arm::{self, Datapath, Family, Outside, Pods, Service, Wire};
use tollgate_results::kernel::{ConntrackTable, Kernel};

use crate::cgroup::Hierarchy;
use crate::congestion::Congestion;
use crate::conntrack::table::Entries;
use crate::error::LabError;
use crate::lab::{Lab, LabOptions};
use crate::netlink::{LOOPBACK, Netlink};
use crate::netns::NetNs;
use crate::rules::{self, Backend};
use crate::topology::{Device, DeviceKind, Mac, Place, Port, Site, Topology, Tunnel};
use crate::{address, base, bpf, fast_path, ipvs, line, outside, tuning, wireguard};

/// Index of the device that eBPF programs are tried at.
const TRIED: u32 = 11;

/// What this machine can do: for each thing that an arm may need, a reason where it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Why there can be no lab at all, or what it can do.
    found: Result<Found, String>,
    /// What starts a holder, to try what only an arm names: sysctls, a queueing discipline, a wire.
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
    #[serde(default)]
    netkit: Option<String>,
    entry_programs: Option<String>,
    ipv6: Option<String>,
    #[serde(default)]
    line: Option<String>,
    /// Whether bridged packets meet the rules that translate services.
    bridge_rules: Option<String>,
}

impl Capabilities {
    /// Tries everything in a lab that is thrown away. `holder` is a command that calls
    /// [`crate::holder::run`].
    #[must_use]
    pub fn detect(holder: &[OsString]) -> Self {
        let holder = holder.to_vec();
        let options = LabOptions {
            holder: holder.clone(),
        };
        let found = Lab::start(&options).and_then(|lab| lab.detect());
        Self {
            found: found.map_err(|error| error.chain()),
            holder,
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
        missing
            .or_else(|| self.missing_wire(datapath))
            .or_else(|| self.kernel_refuses(&datapath.kernel))
    }

    /// Tries the wires that most kernels have as modules when an arm asks for one, not before: a try loads the module,
    /// and some put devices of their own into every namespace of the machine.
    fn missing_wire(&self, datapath: &Datapath) -> Option<String> {
        if matches!(datapath.wire, Wire::Native | Wire::Vxlan | Wire::VxlanEbpf) {
            return None;
        }
        self.tried(|lab| lab.try_wire(datapath))
    }

    /// Tries an arm's kernel settings in a lab that is thrown away.
    fn kernel_refuses(&self, kernel: &Kernel) -> Option<String> {
        if kernel.is_base() {
            return None;
        }
        self.tried(|lab| lab.try_kernel(kernel))
    }

    /// Tries something in a lab that is thrown away.
    fn tried(
        &self,
        attempt: impl FnOnce(&Lab) -> Result<Option<String>, LabError>,
    ) -> Option<String> {
        let options = LabOptions {
            holder: self.holder.clone(),
        };
        let tried = Lab::start(&options).and_then(|lab| attempt(&lab));
        tried.unwrap_or_else(|error| Some(error.chain()))
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
        match datapath.pods {
            Pods::Bridge | Pods::Routed | Pods::Host => {}
            Pods::Ebpf => needs.push(&self.tcx),
            Pods::Netkit => needs.extend([&self.tcx, &self.netkit]),
        }
        match datapath.wire {
            // The others are tried when an arm asks for them.
            Wire::Native | Wire::Geneve | Wire::Ipip | Wire::Wireguard => {}
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
            Service::TcLb => needs.extend([&self.tc_lb, &self.tcx]),
            Service::Ipvs => needs.push(&self.ipvs),
        }
        let by_rules = !matches!(
            datapath.service,
            Service::None | Service::SocketLb | Service::TcLb
        );
        if datapath.place == arm::Place::SameNode && by_rules {
            needs.push(&self.bridge_rules);
        }
        if matches!(datapath.outside, Some(Outside::SnatEbpf | Outside::Dsr)) {
            needs.extend([&self.tcx, &self.entry_programs]);
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
            found.tcx = fast_path::available(&netns, TRIED, false).err();
            found.netkit = netkit(&netns, &netlink).err();
            found.line = line::available(&netns, port("try4", 41));
            found.entry_programs = outside::available().err();
            programs(&mut found, &netns);
            let ipvs = netns.enter(|| Ok(ipvs::available()));
            found.ipvs = ipvs.unwrap_or_else(|error| Err(error.chain())).err();
        }
        Err(error) => found.veth = Some(error.chain()),
    }
    found.ipv6 = (!Path::new("/proc/sys/net/ipv6").exists())
        .then(|| "this kernel has no IPv6, or it was started with ipv6.disable=1".to_owned());
    found.tc_lb = bpf::tc_lb_available().err();
    found.bridge_rules = base::bridge_note().map(|note| {
        format!(
            "{note}; between pods of one bridge nobody would translate the replies of a service"
        )
    });
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
            DeviceKind::Tunnel(Tunnel::Vxlan {
                under: TRIED,
                local,
            }),
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
        *slot = made.err().map(|error| lacking(module, &error));
    }
}

/// Tries a netkit pair with the programs that it takes. No module brings such devices, so that the try leaves nothing behind.
fn netkit(netns: &NetNs, netlink: &Netlink) -> Result<(), String> {
    let near = port("try5", 51);
    let kind = DeviceKind::Netkit {
        peer: port("try6", 52),
        peer_place: Place::Node(address::Side::A),
    };
    let site = Site {
        devices: vec![Device { port: near, kind }],
        ..Site::default()
    };
    let made = netlink.apply_devices(&site, |_| std::os::fd::AsRawFd::as_raw_fd(netns));
    made.map_err(|error| {
        let cause = error.cause();
        format!("no netkit devices ({cause}): they take Linux 6.7 or newer with CONFIG_NETKIT")
    })?;
    fast_path::available(netns, near.index, true)
}

/// Tries the wire of a datapath, in a namespace that is thrown away; returns why there can be none.
pub(crate) fn try_wire(datapath: &Datapath) -> Option<String> {
    let module = match (datapath.wire, datapath.family) {
        (Wire::Ipip, Family::Ipv6) => "ip6_tunnel",
        (wire, _) => wire.tunnels().first().copied()?,
    };
    let topology = Topology::of(datapath, 1, None);
    let (_, node) = topology.sites.into_iter().next()?;
    let wireguard = node.wireguard;
    let tunnel = |device: &Device| matches!(device.kind, DeviceKind::Tunnel(_));
    let site = Site {
        devices: node.devices.into_iter().filter(tunnel).collect(),
        ..Site::default()
    };
    let attempt = || {
        let netns = NetNs::new()?;
        Netlink::open(&netns)?.apply_devices(&site, |_| -1)?;
        match wireguard {
            Some(peer) => netns.enter(|| wireguard::give_key(peer.device)).map(drop),
            None => Ok(()),
        }
    };
    attempt().err().map(|error| lacking(module, &error))
}

/// Says that there are no devices of a kind, and what would bring them.
fn lacking(module: &str, error: &LabError) -> String {
    let cause = error.cause();
    // The sysctl is there exactly where a kernel can load modules.
    if Path::new("/proc/sys/kernel/modprobe").exists() {
        format!("no {module} devices ({cause}): run `modprobe {module}` as root")
    } else {
        format!(
            "no {module} devices ({cause}): this kernel was built without them and loads no modules"
        )
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
    fn netkit_pods_need_both_their_devices_and_tcx() {
        let lacking = |tcx: Option<&str>, netkit: Option<&str>| {
            let found = Found {
                tcx: tcx.map(str::to_owned),
                netkit: netkit.map(str::to_owned),
                ..Found::default()
            };
            let pods = |pods| {
                let datapath = Datapath {
                    pods,
                    ..Datapath::default()
                };
                found.missing(&datapath).cloned()
            };
            [pods(Pods::Ebpf), pods(Pods::Netkit)]
        };
        let (tcx, netkit) = ("no tcx", "no netkit");
        let words = |text: &str| Some(text.to_owned());
        assert_eq!(lacking(None, Some(netkit)), [None, words(netkit)]);
        assert_eq!(lacking(Some(tcx), None), [words(tcx), words(tcx)]);
        assert_eq!(lacking(None, None), [None, None]);
    }

    #[test]
    fn rules_between_pods_of_one_bridge_need_bridged_packets_to_meet_them() {
        let found = Found {
            bridge_rules: Some("no br_netfilter".to_owned()),
            ..Found::default()
        };
        let at = |place, service| {
            let datapath = Datapath {
                place,
                ..datapath(Wire::Native, service, Family::Ipv4)
            };
            found.missing(&datapath).is_some()
        };
        assert!(at(arm::Place::SameNode, Service::Nftables));
        assert!(!at(arm::Place::SameNode, Service::SocketLb));
        assert!(!at(arm::Place::OtherNode, Service::Nftables));
        assert!(
            !at(arm::Place::Hairpin, Service::Nftables),
            "its packets are routed"
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
