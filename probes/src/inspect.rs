//! A look at the network of this node: links, rules of service proxies, eBPF programs, connection tracking, sysctls.
//!
//! Everything is read through the kernel's own interfaces, since an image from scratch has neither `ip` nor `nft`, and
//! nothing is changed by looking: legacy tables are only asked for where they are in use, since asking makes them.
//! What is seen is the network namespace of this process: a node's in a pod with `hostNetwork`.
//!
//! - `netlink`: dumps of the kernel's lists, and their attributes
//! - `links`: links, with the XDP programs on them
//! - `filters`: eBPF programs of traffic control
//! - `tables`: chains of `nf_tables`
//! - `legacy`: chains of the older iptables
//! - `bpf`: eBPF programs by hook and by number

mod bpf;
mod filters;
mod legacy;
mod links;
mod netlink;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;

use tollgate_results::node::{
    ConntrackTable, Hook, Links, NodeFacts, Programs, ProxyRules, RulesBy,
};

use self::links::Link;
use crate::clock::WallClock;

/// Most links that are looked at: a node takes 250 pods or so, and each has one.
const MOST_LINKS: usize = 4_096;

/// Most kinds of links, and of programs, that are told of.
const MOST_GROUPS: usize = 64;

/// Settings that the paths of pods depend on; those that this kernel doesn't have are left out.
const SYSCTLS: [&str; 18] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.core.bpf_jit_enable",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.vs.conntrack",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout",
];

/// Looks at the network namespace that this process is in.
#[must_use]
pub fn node() -> NodeFacts {
    let mut seen = Seen::default();
    let looked_unix_ms = Some(WallClock::now_ns() / 1_000_000);
    let links = seen.or_nothing("links", links::all());
    seen.programs(&links);
    let rules = seen.rules(&links);
    NodeFacts {
        looked_unix_ms,
        links: grouped(&links),
        conntrack: conntrack(),
        rules,
        programs: seen.told_programs(),
        sysctls: sysctls(),
        unread: seen.unread,
    }
}

/// What is seen while looking.
#[derive(Debug, Default)]
struct Seen {
    programs: BTreeMap<(Hook, String), Vec<String>>,
    unread: Vec<String>,
}

impl Seen {
    /// Notes what can't be read, once for each thing.
    fn or_nothing<T: Default>(&mut self, what: &str, read: io::Result<T>) -> T {
        read.unwrap_or_else(|error| {
            let line = format!("{what}: {error}");
            if !self.unread.contains(&line) {
                self.unread.push(line);
            }
            T::default()
        })
    }

    /// Looks for the programs at every hook of every link, and of the cgroups.
    fn programs(&mut self, links: &[Link]) {
        for link in links {
            let mut found: Vec<(Hook, u32)> = Vec::new();
            found.extend(link.xdp.map(|program| (Hook::Xdp, program)));
            for &(hook, attach) in bpf::of_device(&link.kind) {
                let attached = bpf::attached(link.index, attach);
                let ids = self.or_nothing("eBPF programs of links", attached);
                found.extend(ids.into_iter().map(|id| (hook, id)));
            }
            for (hook, id) in found {
                let name = self.named(id);
                self.note(hook, name, &link.name);
            }
            let filters = filters::of(link.index);
            for (hook, name) in self.or_nothing("filters of traffic control", filters) {
                self.note(hook, name, &link.name);
            }
        }
        for folder in cgroups() {
            let opened = fs::File::open(&folder);
            let Some(opened) = self.or_nothing("the cgroups' folder", opened.map(Some)) else {
                continue;
            };
            for (hook, attach) in bpf::OF_CGROUP {
                // A descriptor is never negative.
                let target = opened.as_raw_fd().cast_unsigned();
                let attached = bpf::attached(target, attach);
                for id in self.or_nothing("eBPF programs of cgroups", attached) {
                    let name = self.named(id);
                    self.note(hook, name, &folder);
                }
            }
        }
    }

    fn named(&mut self, id: u32) -> String {
        let name = self.or_nothing("names of eBPF programs", bpf::name(id));
        if name.is_empty() {
            "a program without a name".to_owned()
        } else {
            name
        }
    }

    fn note(&mut self, hook: Hook, name: String, at: &str) {
        self.programs
            .entry((hook, name))
            .or_default()
            .push(at.to_owned());
    }

    fn told_programs(&self) -> Vec<Programs> {
        let told = self.programs.iter().map(|((hook, name), at)| Programs {
            name: name.clone(),
            hook: *hook,
            count: small(at.len()),
            at: at.iter().take(Links::MOST_NAMES).cloned().collect(),
        });
        told.take(MOST_GROUPS).collect()
    }

    /// Looks for the rules of service proxies.
    fn rules(&mut self, links: &[Link]) -> Vec<ProxyRules> {
        let chains = self.or_nothing("chains of nf_tables", tables::chains());
        let legacy = self.or_nothing("tables of iptables-legacy", legacy::chains());
        let nft = chains.iter().filter(|(table, _)| table == "nat");
        let nft: Vec<&str> = nft.map(|(_, chain)| chain.as_str()).collect();
        let legacy: Vec<&str> = legacy.iter().map(String::as_str).collect();
        let services = self.or_nothing("services of IPVS", virtual_services());
        // One that kube-proxy set up has its device even while there is no service.
        let device = links.iter().any(|link| link.name == "kube-ipvs0");
        let own = chains
            .iter()
            .filter(|(table, _)| table == "kube-proxy")
            .count();
        let found = [
            (RulesBy::IptablesLegacy, of_kube_proxy(&legacy)),
            (RulesBy::IptablesNft, of_kube_proxy(&nft)),
            (RulesBy::Nftables, own),
            (RulesBy::Ipvs, services.max(usize::from(device))),
        ];
        let found = found.into_iter().filter(|(_, chains)| *chains > 0);
        found
            .map(|(by, chains)| ProxyRules {
                by,
                chains: small(chains),
            })
            .collect()
    }
}

/// Counts the chains of kube-proxy's iptables mode. Kubelets have chains of that prefix too, but none for services.
fn of_kube_proxy(chains: &[&str]) -> usize {
    if chains.contains(&"KUBE-SERVICES") {
        chains
            .iter()
            .filter(|chain| chain.starts_with("KUBE-"))
            .count()
    } else {
        0
    }
}

/// Counts IPVS's virtual services.
fn virtual_services() -> io::Result<usize> {
    let text = listed("/proc/self/net/ip_vs")?;
    let services = text.lines().filter(|line| {
        let first = line.split_whitespace().next();
        matches!(first, Some("TCP" | "UDP" | "SCTP"))
    });
    Ok(services.count())
}

/// Reads a list of the kernel's; empty where the kernel has no such list. One that is there may be for root alone.
fn listed(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Puts links together that are alike.
fn grouped(links: &[Link]) -> Vec<Links> {
    let mut groups: BTreeMap<(String, u32, bool, Option<u32>), Vec<String>> = BTreeMap::new();
    for link in links {
        let over = link
            .over
            .and_then(|index| links.iter().find(|other| other.index == index));
        let key = (
            link.kind.clone(),
            link.mtu,
            link.up,
            over.map(|over| over.mtu),
        );
        groups.entry(key).or_default().push(link.name.clone());
    }
    let told = groups
        .into_iter()
        .map(|((kind, mtu, up, over_mtu), names)| Links {
            kind,
            mtu,
            up,
            over_mtu,
            count: small(names.len()),
            names: names.into_iter().take(Links::MOST_NAMES).collect(),
        });
    told.take(MOST_GROUPS).collect()
}

fn conntrack() -> Option<ConntrackTable> {
    let read = |key: &str| {
        sysctl(&format!("net.netfilter.nf_conntrack_{key}"))?
            .parse()
            .ok()
    };
    let table = ConntrackTable {
        entries: read("count"),
        most: read("max"),
        buckets: read("buckets"),
    };
    (table != ConntrackTable::default()).then_some(table)
}

fn sysctls() -> BTreeMap<String, String> {
    let read = |key: &str| Some((key.to_owned(), sysctl(key)?));
    SYSCTLS.into_iter().filter_map(read).collect()
}

/// Reads a setting; several values stand with a blank between them.
fn sysctl(key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", key.replace('.', "/"))).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(words.join(" "))
}

/// Returns where the second version of cgroups is mounted.
fn cgroups() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut folders: Vec<String> = mounts.lines().filter_map(cgroup).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn cgroup(mount: &str) -> Option<String> {
    let mut words = mount.split(' ');
    let (folder, kind) = (words.nth(1)?, words.next()?);
    (kind == "cgroup2").then(|| folder.to_owned())
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str, mtu: u32, over: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: kind.to_owned(),
            mtu,
            up: true,
            over,
            xdp: None,
        }
    }

    #[test]
    fn links_that_are_alike_are_told_together() {
        let mut links = vec![
            link(2, "eth0", "device", 1500, None),
            link(3, "flannel.1", "vxlan", 1450, Some(2)),
        ];
        links
            .extend((10..40).map(|index| link(index, &format!("veth{index}"), "veth", 1450, None)));
        let groups = grouped(&links);
        assert_eq!(groups.len(), 3);
        let veth = groups.iter().find(|group| group.kind == "veth").unwrap();
        assert_eq!((veth.count, veth.names.len()), (30, Links::MOST_NAMES));
        let vxlan = groups.iter().find(|group| group.kind == "vxlan").unwrap();
        assert_eq!((vxlan.over_mtu, vxlan.is_tunnel()), (Some(1500), true));
    }

    #[test]
    fn only_chains_for_services_are_a_proxy() {
        assert_eq!(of_kube_proxy(&["KUBE-FIREWALL", "KUBE-KUBELET-CANARY"]), 0);
        assert_eq!(
            of_kube_proxy(&["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-X", "KUBE-SEP-X"]),
            3
        );
    }

    #[test]
    fn mounts_of_cgroups_are_found() {
        let line = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0";
        assert_eq!(cgroup(line).as_deref(), Some("/sys/fs/cgroup/unified"));
        for other in ["cgroup /sys/fs/cgroup/cpu cgroup rw 0 0", "", "a", "a b"] {
            assert_eq!(cgroup(other), None, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let mut seen = Seen::default();
        for _ in 0..3 {
            let error = io::Error::from_raw_os_error(1);
            let nothing: Vec<u32> = seen.or_nothing("things", Err(error));
            assert!(nothing.is_empty());
        }
        assert_eq!(seen.unread.len(), 1);
        assert!(seen.unread[0].starts_with("things: "), "{:?}", seen.unread);
    }

    #[test]
    fn a_list_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_not() {
        assert_eq!(listed("/proc/self/net/tollgate").unwrap(), "");
        // A folder stands for what this process may not read: root may read all.
        let mut seen = Seen::default();
        assert_eq!(seen.or_nothing("lists", listed("/proc/self/net")), "");
        assert_eq!(seen.unread.len(), 1, "{:?}", seen.unread);
    }

    #[test]
    fn this_machine_can_be_looked_at_whoever_looks() {
        let facts = node();
        assert!(
            facts
                .links
                .iter()
                .all(|links| links.count > 0 && !links.names.is_empty())
        );
        assert!(facts.sysctls.contains_key("net.ipv4.ip_forward"));
    }
}
