//! A client outside the cluster: what the entry node does is named, and a hop saved shows.

use tollgate_results::agent::{Exchanges, Turns};
use tollgate_results::anatomy::{
    Clocked, ClockedWay, Followed, HopKind, Point, Site, SiteDevice, SiteProgram, Way,
};
use tollgate_results::histogram::Histogram;

use super::{Path, trip};
use crate::anatomy::{Seen, assemble};

const CLIENT: u32 = 1;
const SWITCH: u32 = 2;
const ENTRY: u32 = 3;
const NODE_B: u32 = 4;
const SERVER: u32 = 5;

const ETH0: u32 = 10;
const TO_OUTSIDE: u32 = 11;
const TO_ENTRY: u32 = 12;
const TO_SERVER: u32 = 13;
const CNI0: u32 = 14;
const VETH0: u32 = 15;

fn program(name: &str, sends: bool, redirects: bool) -> SiteProgram {
    SiteProgram {
        name: name.to_owned(),
        sends,
        redirects,
    }
}

/// The machines of an arm with these programs at the devices of the entry node and of the server's.
fn sites(entry: &[SiteProgram], server: &[SiteProgram]) -> Vec<Site> {
    let device = |(index, name, kind): (u32, &str, &str), programs: &[SiteProgram]| SiteDevice {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        programs: programs.to_vec(),
    };
    let eth0 = |programs: &[SiteProgram]| device((ETH0, "eth0", "veth"), programs);
    let port = |index, name| device((index, name, "veth"), &[]);
    [
        (CLIENT, "client outside", false, vec![eth0(&[])]),
        (
            SWITCH,
            "switch",
            false,
            vec![
                port(TO_OUTSIDE, "to-outside"),
                port(TO_ENTRY, "to-entry"),
                port(TO_SERVER, "to-server"),
            ],
        ),
        (ENTRY, "node A", true, vec![eth0(entry)]),
        (
            NODE_B,
            "node B",
            true,
            vec![
                eth0(server),
                device((CNI0, "cni0", "bridge"), &[]),
                port(VETH0, "veth0"),
            ],
        ),
        (SERVER, "server pod", false, vec![eth0(&[])]),
    ]
    .map(|(namespace, place, is_node, devices)| Site {
        namespace,
        place: place.to_owned(),
        is_node,
        devices,
    })
    .to_vec()
}

/// Over the switch from one machine to the next.
fn crossing(from: u32, to: u32, machine: u32) -> Path {
    vec![
        (Point::NetifRx, SWITCH, from),
        (Point::Receive, SWITCH, from),
        (Point::Queue, SWITCH, to),
        (Point::NetifRx, machine, ETH0),
        (Point::Receive, machine, ETH0),
    ]
}

fn request() -> Path {
    [
        vec![(Point::Queue, CLIENT, ETH0)],
        crossing(TO_OUTSIDE, TO_ENTRY, ENTRY),
        vec![(Point::Queue, ENTRY, ETH0)],
        crossing(TO_ENTRY, TO_SERVER, NODE_B),
        vec![
            (Point::Queue, NODE_B, CNI0),
            (Point::Queue, NODE_B, VETH0),
            (Point::NetifRx, SERVER, ETH0),
            (Point::Receive, SERVER, ETH0),
            (Point::DataReady, SERVER, 0),
        ],
    ]
    .concat()
}

fn reply(direct: bool) -> Path {
    let pod = vec![
        (Point::Queue, SERVER, ETH0),
        (Point::NetifRx, NODE_B, VETH0),
        (Point::Receive, NODE_B, VETH0),
        (Point::Receive, NODE_B, CNI0),
        (Point::Queue, NODE_B, ETH0),
    ];
    let back = if direct {
        crossing(TO_SERVER, TO_OUTSIDE, CLIENT)
    } else {
        [
            crossing(TO_SERVER, TO_ENTRY, ENTRY),
            vec![(Point::Queue, ENTRY, ETH0)],
            crossing(TO_ENTRY, TO_OUTSIDE, CLIENT),
        ]
        .concat()
    };
    [pod, back, vec![(Point::DataReady, CLIENT, 0)]].concat()
}

/// Takes one exchange apart.
fn taken_apart(sites: &[Site], direct: bool) -> Clocked {
    let request = trip(Way::Request, &request(), 1_100, |_| 100);
    let turn = request.events.last().unwrap().at_ns + 100;
    let reply = trip(Way::Reply, &reply(direct), turn + 100, |_| 100);
    let end = reply.events.last().unwrap().at_ns + 100;
    let clocked = assemble(Seen {
        followed: Followed::TcpRr,
        sites,
        trips: &[request, reply],
        exchanges: &Exchanges {
            started_ns: vec![1_000],
            ended_ns: vec![end],
            missed: 0,
        },
        turns: &Turns {
            at_ns: vec![turn],
            missed: 0,
        },
        latency: Histogram::new(),
        lost: 0,
        given_up: 0,
    });
    assert_eq!(clocked.joined, 1);
    clocked
}

/// What sends the packet on, place by place.
fn forwarded(way: &ClockedWay) -> Vec<(&str, &str)> {
    way.hops
        .iter()
        .filter(|hop| hop.key.kind == HopKind::Forward && hop.key.place != "switch")
        .map(|hop| (hop.key.place.as_str(), hop.words.as_str()))
        .collect()
}

#[test]
fn iptables_at_the_entry_node_is_the_stack() {
    let clocked = taken_apart(&sites(&[], &[]), false);
    assert_eq!(
        forwarded(&clocked.request),
        [
            ("node A", "routing, netfilter, to eth0"),
            ("node B", "routing, netfilter, to cni0"),
        ]
    );
    assert_eq!(
        forwarded(&clocked.reply),
        [
            ("node B", "routing, netfilter, to eth0"),
            ("node A", "routing, netfilter, to eth0"),
        ]
    );
}

#[test]
fn ebpf_at_the_entry_node_is_named_and_no_netfilter() {
    let entry = [program("at_entry", false, true)];
    let clocked = taken_apart(&sites(&entry, &[]), false);
    assert_eq!(
        forwarded(&clocked.request)[0],
        ("node A", "eBPF at_entry: redirect to eth0")
    );
    assert_eq!(
        forwarded(&clocked.reply),
        [
            ("node B", "routing, netfilter, to eth0"),
            ("node A", "eBPF at_entry: redirect to eth0"),
        ]
    );
}

#[test]
fn a_direct_reply_has_one_hop_fewer() {
    let entry = [program("at_entry", false, true)];
    let server = [
        program("to_pods", false, false),
        program("from_pods", true, false),
    ];
    let snat = taken_apart(&sites(&entry, &[]), false);
    let dsr = taken_apart(&sites(&entry, &server), true);
    assert_eq!(
        forwarded(&dsr.request),
        [
            ("node A", "eBPF at_entry: redirect to eth0"),
            ("node B", "eBPF to_pods, routing, netfilter, to cni0"),
        ]
    );
    assert_eq!(
        forwarded(&dsr.reply),
        [("node B", "routing, netfilter, eBPF from_pods, to eth0")]
    );
    assert_eq!(snat.request.places, dsr.request.places);
    assert_eq!(
        snat.reply.places,
        [
            "server pod",
            "node B",
            "switch",
            "node A",
            "switch",
            "client outside"
        ]
    );
    assert_eq!(
        dsr.reply.places,
        ["server pod", "node B", "switch", "client outside"]
    );
    // The stop at the entry node, and nothing else, is what the reply is spared.
    let keys = |way: &ClockedWay| -> Vec<_> {
        let hops = way.hops.iter();
        hops.map(|hop| (hop.key.kind, hop.key.place.clone()))
            .collect()
    };
    let (all, direct) = (keys(&snat.reply), keys(&dsr.reply));
    let saved: Vec<_> = all.iter().filter(|key| !direct.contains(key)).collect();
    assert!(direct.iter().all(|key| all.contains(key)));
    assert_eq!(saved.len(), 4, "{saved:?}");
    assert!(
        saved.iter().all(|(_, place)| place.contains("node A")),
        "{saved:?}"
    );
}

#[test]
fn programs_in_a_pods_way_are_named_where_they_run() {
    let server = [program("from_wire", false, true)];
    let mut path = request();
    // A redirect into the pod: past the bridge and the pod's own device.
    path.truncate(path.len() - 5);
    path.push((Point::DataReady, SERVER, 0));
    let request = trip(Way::Request, &path, 1_100, |_| 100);
    let end = request.events.last().unwrap().at_ns;
    let reply = trip(Way::Reply, &reply(true), end + 200, |_| 100);
    let clocked = assemble(Seen {
        followed: Followed::UdpRr,
        sites: &sites(&[], &server),
        trips: &[request, reply.clone()],
        exchanges: &Exchanges {
            started_ns: vec![1_000],
            ended_ns: vec![reply.events.last().unwrap().at_ns + 100],
            missed: 0,
        },
        turns: &Turns {
            at_ns: vec![end + 100],
            missed: 0,
        },
        latency: Histogram::new(),
        lost: 0,
        given_up: 0,
    });
    let deliver = clocked
        .request
        .hops
        .iter()
        .find(|hop| hop.key.kind == HopKind::Deliver)
        .unwrap();
    assert_eq!(
        deliver.words,
        "eBPF from_wire, redirect into the pod, IP, UDP"
    );
}
