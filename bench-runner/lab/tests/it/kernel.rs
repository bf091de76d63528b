//! Settings of an arm's kernel: set and read back where a namespace has its own, refused with the reason where not.

use std::fs;

use tollgate_lab::Role;
use tollgate_results::arm::{Datapath, Family};
use tollgate_results::kernel::Kernel;

use crate::harness::{capabilities, echo, holder, is_root, lab, name, native, run, vxlan};

/// What belongs to the whole machine and must stay as it is.
const MACHINES: [&str; 3] = [
    "/proc/sys/net/netfilter/nf_conntrack_max",
    "/proc/sys/net/core/netdev_max_backlog",
    "/proc/sys/vm/swappiness",
];

fn sysctls(pairs: &[(&str, &str)]) -> Kernel {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Kernel {
        sysctls: pairs.collect(),
        ..Kernel::default()
    }
}

fn with(kernel: Kernel) -> Datapath {
    Datapath { kernel, ..native() }
}

#[test]
fn what_is_set_is_read_back_in_every_namespace() {
    let Some(lab) = lab() else { return };
    let kernel = Kernel {
        qdisc: Some("pfifo_fast".to_owned()),
        mtu: Some(1400),
        ..sysctls(&[
            ("net.ipv4.tcp_ecn", "1"),
            ("net.ipv4.ip_local_port_range", "20000 30000"),
            ("net.ipv4.conf.eth0.rp_filter", "2"),
        ])
    };
    let datapath = Datapath { kernel, ..vxlan() };
    if let Some(missing) = capabilities().missing(&datapath) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {missing}");
        return;
    }
    let arm = name("arm");
    let facts = lab
        .deploy(&arm, &datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let found = |what: &str| facts.kernel.get(what).map(String::as_str);
    assert_eq!(found("net.ipv4.ip_local_port_range"), Some("20000 30000"));
    assert_eq!(found("qdisc"), Some("pfifo_fast"));
    assert_eq!((facts.wire_mtu, facts.pod_mtu), (Some(1400), Some(1350)));
    for role in [Role::Client, Role::Server, Role::NodeA, Role::NodeB] {
        let files = [
            "cat",
            "/proc/sys/net/ipv4/tcp_ecn",
            "/proc/sys/net/ipv4/conf/eth0/rp_filter",
        ];
        let (well, printed) = run(&lab, &arm, role, &files);
        assert!(well && printed == "1\n2\n", "{role:?}: {printed}");
    }
    let _echo = echo(&lab, &arm);
    let target = lab.endpoints(&arm).unwrap().target.to_string();
    let (well, printed) = run(&lab, &arm, Role::Client, &[holder(), "ping", &target, "10"]);
    let (first, _) = printed.split_once(' ').unwrap();
    let port = first.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    assert!(well && (20_000..=30_000).contains(&port), "{printed}");
}

#[test]
fn congestion_control_comes_to_connections() {
    let Some(lab) = lab() else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        for algorithm in ["reno", "bbr"] {
            let datapath = Datapath {
                family,
                ..with(Kernel {
                    congestion: Some(algorithm.to_owned()),
                    ..Kernel::default()
                })
            };
            if let Some(missing) = capabilities().missing(&datapath) {
                eprintln!("SKIPPED, NOTHING WAS TESTED OF {algorithm}: {missing}");
                continue;
            }
            let arm = name(&format!("{algorithm}-{family}"));
            let facts = lab.deploy(&arm, &datapath, 1).unwrap();
            assert!(facts.kernel["congestion"].starts_with(algorithm));
            let _echo = echo(&lab, &arm);
            let target = lab.endpoints(&arm).unwrap().target.to_string();
            let (well, printed) = run(&lab, &arm, Role::Client, &[holder(), "ping", &target, "3"]);
            assert!(
                well && printed.lines().last() == Some(algorithm),
                "{printed}"
            );
        }
    }
}

#[test]
fn received_packets_are_spread_where_root_says_so() {
    let Some(lab) = lab() else { return };
    let datapath = with(Kernel {
        rps: true,
        ..Kernel::default()
    });
    let missing = capabilities().missing(&datapath);
    if !is_root() {
        assert!(missing.is_some(), "only root may");
        return;
    }
    assert_eq!(missing, None);
    let facts = lab.deploy(&name("arm"), &datapath, 1).unwrap();
    let mask = &facts.kernel["rps_cpus"];
    assert!(
        mask.chars().any(|digit| digit != '0' && digit != ','),
        "{mask}"
    );
}

#[test]
fn what_belongs_to_the_machine_is_refused_and_left_alone() {
    let Some(lab) = lab() else { return };
    let read = || MACHINES.map(|file| fs::read_to_string(file).ok());
    let before = read();
    let capabilities = capabilities();
    for (kernel, reason) in [
        (
            sysctls(&[("net.netfilter.nf_conntrack_max", "1000")]),
            "whole machine",
        ),
        (
            sysctls(&[("net.core.netdev_max_backlog", "10")]),
            "whole machine",
        ),
        (sysctls(&[("vm.swappiness", "1")]), "whole machine"),
        (
            sysctls(&[("net.ipv4.no_such_thing", "1")]),
            "none of that name",
        ),
        (
            sysctls(&[("net.ipv4.tcp_ecn", "many")]),
            "refuses the value",
        ),
        (
            Kernel {
                qdisc: Some("nosuchqdisc".to_owned()),
                ..Kernel::default()
            },
            "nosuchqdisc",
        ),
        (
            Kernel {
                congestion: Some("nosuchcc".to_owned()),
                ..Kernel::default()
            },
            "modprobe tcp_nosuchcc",
        ),
    ] {
        let datapath = with(kernel);
        let missing = capabilities.missing(&datapath).unwrap_or_default();
        assert!(missing.contains(reason), "{datapath}: {missing}");
        let error = lab.deploy(&name("arm"), &datapath, 1).unwrap_err().chain();
        assert!(error.contains("arm"), "{error}");
    }
    assert_eq!(before, read(), "the machine has its own settings as before");
    assert!(lab.arms().unwrap().is_empty(), "nothing half done is left");
}
