use std::env;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use libbpf_rs::{MapCore as _, MapFlags};
use tollgate_results::arm::Position;
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::{Flow, Protocol};

use super::*;
use crate::cgroup::{self, Hierarchy};
use crate::{conntrack, rules, testing};

/// Tells the test that runs in the control group which family to use.
const CLIENT: &str = "TOLLGATE_TEST_CLIENT";

fn skipped() -> bool {
    if let Err(reason) = available() {
        eprintln!("SKIPPED: {reason}");
        return true;
    }
    false
}

#[test]
fn c_and_rust_agree_on_every_size() {
    for (family, address) in [(Family::Ipv4, 4), (Family::Ipv6, 16)] {
        let entries = Entries::of(&testing::services(2, Position::First, family));
        let object = CODE.open(family).unwrap();
        let sizes = |name: &str| {
            let map = object
                .maps()
                .find(|map| map.name().to_str() == Some(name))
                .unwrap();
            (map.key_size() as usize, map.value_size() as usize)
        };
        for (name, table) in [
            ("services", &entries.services),
            ("backends", &entries.backends),
        ] {
            let count = table.count as usize;
            assert_eq!(
                sizes(name),
                (table.keys.len() / count, table.values.len() / count)
            );
        }
        assert_eq!(sizes("services"), (address + 8, 8));
        assert_eq!(sizes("backends"), (4, address + 4));
        assert_eq!(sizes("affinity"), (2 * address + 16, 16));
        assert_eq!(sizes("originals"), (address + 12, address + 4));
        // Three ports, each with its own entry and two backends.
        assert_eq!((entries.services.count, entries.backends.count), (9, 6));
    }
}

/// Makes a control group for one test, removed in the end. All of a process stand in one directory, so it is one
/// test's at a time.
fn with_cgroup(name: &str, body: impl FnOnce(BorrowedFd<'_>, &str)) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hierarchy = Hierarchy::open().unwrap();
    let lab = cgroup::lab_name(std::process::id());
    let group = hierarchy.arm(&lab, name).unwrap();
    let file = group.directory.as_raw_fd();
    let processes = format!("/proc/{}/fd/{file}/cgroup.procs", std::process::id());
    body(group.directory.as_fd(), &processes);
    drop(group);
    hierarchy.remove(&lab);
}

#[test]
fn sockets_are_translated_and_no_packet_is() {
    if skipped() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        testing::in_namespace("", family, || {
            with_cgroup(&format!("sockets-{family}"), |directory, processes| {
                let services = testing::services(20, Position::Random, family);
                let balancer = SocketLb::load(directory, &services).unwrap();
                // Any rule that asks for a connection's state makes the kernel track connections.
                let table = if family == Family::Ipv4 {
                    "ip x"
                } else {
                    "ip6 x"
                };
                rules::load_nftables(&format!(
                    "add table {table}\n\
                     add chain {table} y {{ type filter hook output priority 0 ; }}\n\
                     add rule {table} y ct state new accept\n"
                ))
                .unwrap();
                testing::servers(family, 2)
                    .into_iter()
                    .for_each(testing::echo);
                assert_eq!(balancer.translations().unwrap(), 0);
                run_client(family, processes);
                // TCP connect, UDP sendmsg, UDP connect; the direct connection is none of its business.
                assert_eq!(balancer.translations().unwrap(), 3);
            });
        });
    }
}

/// Runs [`client`] in the control group whose file of processes is given.
fn run_client(family: Family, processes: &str) {
    let status = Command::new("sh")
        .args(["-c", "echo 0 > \"$0\" && exec \"$@\"", processes])
        .arg(env::current_exe().unwrap())
        .args([
            "bpf::socket_lb::tests::client",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(CLIENT, family.as_str())
        .status();
    assert!(
        status.unwrap().success(),
        "the client in the control group failed"
    );
}

#[test]
#[ignore = "run in a control group by another test"]
fn client() {
    let Some(family) = env::var_os(CLIENT) else {
        return;
    };
    let family = if family == "ipv4" {
        Family::Ipv4
    } else {
        Family::Ipv6
    };
    let services = testing::services(20, Position::Random, family);
    let endpoints = testing::servers(family, 2);
    let from = testing::client(family);

    let tcp = services.under_test(Protocol::Tcp).address;
    let (stream, flow) = testing::ask_tcp(from, tcp);
    assert_eq!(
        stream.peer_addr().unwrap(),
        tcp,
        "the program sees whom it asked"
    );
    expect_at_the_socket(&flow, &endpoints);

    let udp = services.under_test(Protocol::Udp).address;
    let (socket, flow) = testing::ask_udp(from, udp);
    expect_at_the_socket(&flow, &endpoints);
    socket.connect(udp).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), udp);

    let (direct, flow): (TcpStream, _) = testing::ask_tcp(from, endpoints[0]);
    assert_eq!(direct.peer_addr().unwrap(), endpoints[0]);
    assert_eq!(
        conntrack::translation(&flow, &endpoints).unwrap(),
        Translation::Untouched
    );
}

fn expect_at_the_socket(flow: &Flow, endpoints: &[SocketAddr]) {
    let Translation::AtTheSocket { endpoint } = conntrack::translation(flow, endpoints).unwrap()
    else {
        panic!("{flow:?} was translated by the node");
    };
    assert!(endpoints.contains(&endpoint));
    let direct = Flow {
        remote: endpoint,
        ..*flow
    };
    let entry = conntrack::lookup(&direct).unwrap().unwrap();
    assert_eq!(entry.reply.source, endpoint, "no packet was rewritten");
    assert_eq!(entry.original.destination, entry.reply.source);
}

#[test]
fn what_does_not_fit_is_an_error() {
    if skipped() {
        return;
    }
    with_cgroup("full", |directory, _| {
        let entries = Entries::of(&testing::services(20, Position::First, Family::Ipv4));
        for (services, backends, map) in [(10, 100, "services"), (100, 10, "backends")] {
            let sizes = Sizes { services, backends };
            let error = SocketLb::load_sized(directory, Family::Ipv4, &entries, sizes);
            let error = error.unwrap_err().chain();
            assert!(
                error.contains(&format!("the map `{map}`: it holds 10")),
                "{error}"
            );
        }
    });
}

#[test]
fn the_kernel_itself_refuses_one_entry_too_many() {
    if skipped() {
        return;
    }
    let sizes = Sizes {
        services: 2,
        backends: 2,
    };
    let loaded = load(Family::Ipv4, sizes).unwrap();
    let map = loaded.map("backends").unwrap();
    let keys: Vec<u8> = (0..3_u32).flat_map(u32::to_ne_bytes).collect();
    let full = map.update_batch(&keys, &[0; 24], 3, MapFlags::ANY, MapFlags::ANY);
    assert_eq!(full.unwrap_err().kind(), libbpf_rs::ErrorKind::TooBig);
}
