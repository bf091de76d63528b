//! The packet clock sees each packet of an exchange at every point of its path, and counts what it does not keep.

use tollgate_lab::{ClockEnd, ClockSpec, Lab};
use tollgate_results::anatomy::Point::{self, DataReady, NetifRx, Queue, Receive};
use tollgate_results::anatomy::{Followed, Hook, Site, Trip, Way};
use tollgate_results::arm::{Datapath, Family, Outside, Pods};
use tollgate_results::outcome::Protocol;

use crate::harness::{capabilities, echo, lab, name, native, ping, vxlan};

/// Requests of a test: each has a reply.
const REQUESTS: u32 = 100;

/// Starts a lab in which packets can be followed, or says loudly why this machine has none.
fn lab_with_clock(netfilter: &[Hook]) -> Option<Lab> {
    let lab = lab()?;
    match lab.missing_clock(netfilter).unwrap() {
        None => Some(lab),
        Some(why) => {
            // So says a kernel that has all that is needed, but not the programs' own proof that they are harmless.
            assert!(!why.contains("Permission denied"), "{why}");
            eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
            None
        }
    }
}

fn spec(followed: Followed) -> ClockSpec {
    ClockSpec {
        followed,
        netfilter: Vec::new(),
        ring_bytes: ClockSpec::RING_BYTES,
        away_from: None,
    }
}

/// What a clock saw.
struct Seen {
    end: ClockEnd,
    trips: Vec<Trip>,
    sites: Vec<Site>,
}

/// Deploys an arm, follows the packets of some requests in it, and takes it down.
fn follow(lab: &Lab, datapath: &Datapath, spec: &ClockSpec) -> Seen {
    let arm = name("followed");
    lab.deploy(&arm, datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let echo = echo(lab, &arm);
    let sites = lab
        .start_clock(&arm, spec)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let protocol = match spec.followed {
        Followed::UdpRr => Protocol::Udp,
        Followed::TcpRr | Followed::TcpConnect => Protocol::Tcp,
    };
    ping(lab, &arm, REQUESTS, protocol);
    let (end, trips) = lab.stop_clock(&arm).unwrap();
    drop(echo);
    lab.remove(&arm).unwrap();
    Seen { end, trips, sites }
}

impl Seen {
    /// Says where the packets of a way were: all of them at the same points.
    fn shape(&self, way: Way) -> Vec<(Point, &str, &str)> {
        let shape = |trip: &Trip| -> Vec<(Point, &str, &str)> {
            let events = trip.events.iter();
            let places = events.map(|event| {
                let at = |site: &&Site| site.namespace == event.namespace;
                let site = self.sites.iter().find(at).unwrap();
                let mut devices = site.devices.iter();
                let device = devices.find(|device| device.index == event.device);
                let device = device.map_or("", |device| device.name.as_str());
                (event.point, site.place.as_str(), device)
            });
            places.collect()
        };
        let mut shapes: Vec<_> = self
            .trips
            .iter()
            .filter(|trip| trip.way == way)
            .map(shape)
            .collect();
        shapes.dedup();
        assert_eq!(shapes.len(), 1, "{shapes:#?}");
        shapes.remove(0)
    }

    fn count(&self, way: Way) -> usize {
        self.trips.iter().filter(|trip| trip.way == way).count()
    }
}

#[test]
fn a_bridged_packet_meets_every_device_of_its_path() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    for (followed, family) in [
        (Followed::TcpRr, Family::Ipv4),
        (Followed::UdpRr, Family::Ipv4),
        (Followed::TcpRr, Family::Ipv6),
    ] {
        let datapath = Datapath { family, ..native() };
        let seen = follow(&lab, &datapath, &spec(followed));
        assert_eq!(seen.end, ClockEnd::default());
        for way in Way::BOTH {
            assert_eq!(seen.count(way), REQUESTS as usize, "{followed} {family}");
        }
        assert_eq!(
            seen.shape(Way::Request),
            [
                (Queue, "client pod", "eth0"),
                (NetifRx, "node A", "veth0"),
                (Receive, "node A", "veth0"),
                (Receive, "node A", "cni0"),
                (Queue, "node A", "eth0"),
                (NetifRx, "node B", "eth0"),
                (Receive, "node B", "eth0"),
                (Queue, "node B", "cni0"),
                (Queue, "node B", "veth0"),
                (NetifRx, "server pod", "eth0"),
                (Receive, "server pod", "eth0"),
                (DataReady, "server pod", ""),
            ],
            "{followed} {family}"
        );
        let reply = seen.shape(Way::Reply);
        assert_eq!(reply.first(), Some(&(Queue, "server pod", "eth0")));
        assert_eq!(reply.last(), Some(&(DataReady, "client pod", "")));
        assert_eq!(reply.len(), 12);
    }
}

#[test]
fn a_tunnelled_packet_is_followed_in_its_outer_packet() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    let seen = follow(&lab, &vxlan(), &spec(Followed::TcpRr));
    assert_eq!(seen.end, ClockEnd::default());
    let shape = seen.shape(Way::Request);
    let at = |wanted: (Point, &str, &str)| {
        let found = shape.iter().position(|place| *place == wanted);
        found.unwrap_or_else(|| panic!("{wanted:?} in {shape:#?}"))
    };
    let wrapped = at((Queue, "node A", "flannel.1"));
    assert_eq!(at((Queue, "node A", "eth0")), wrapped + 1);
    let outer = at((Receive, "node B", "eth0"));
    assert_eq!(shape[outer + 1].2, "flannel.1");
    assert_eq!(at((Receive, "node B", "flannel.1")), outer + 2);
    assert_eq!(shape.len(), 15);
}

#[test]
fn without_pods_there_is_nothing_but_the_wire() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    let host = Datapath {
        pods: Pods::Host,
        ..native()
    };
    let seen = follow(&lab, &host, &spec(Followed::UdpRr));
    assert_eq!(
        seen.shape(Way::Reply),
        [
            (Queue, "node B", "eth0"),
            (NetifRx, "node A", "eth0"),
            (Receive, "node A", "eth0"),
            (DataReady, "node A", ""),
        ]
    );
}

#[test]
fn the_first_packets_of_a_connection_are_followed_alone() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    let seen = follow(&lab, &native(), &spec(Followed::TcpConnect));
    assert_eq!(seen.end, ClockEnd::default());
    for way in Way::BOTH {
        assert_eq!(seen.count(way), 1);
        assert_eq!(seen.shape(way).len(), 11, "{:?}", seen.shape(way));
    }
    let [syn, answer] = &seen.trips[..] else {
        panic!("{:?}", seen.trips)
    };
    assert!(syn.events.last().unwrap().at_ns < answer.events[0].at_ns);
}

#[test]
fn parts_of_netfilter_have_stamps_of_their_own() {
    let hooks = [Hook::Conntrack, Hook::Forward];
    let Some(lab) = lab_with_clock(&hooks) else {
        return;
    };
    let wanted = ClockSpec {
        netfilter: hooks.to_vec(),
        ..spec(Followed::TcpRr)
    };
    let seen = follow(&lab, &native(), &wanted);
    let shape = seen.shape(Way::Request);
    for hook in hooks {
        for node in ["node A", "node B"] {
            let at = |point| {
                shape
                    .iter()
                    .position(|place| (place.0, place.1) == (point, node))
            };
            let (enter, leave) = (at(Point::Enter(hook)), at(Point::Leave(hook)));
            assert!(
                enter.is_some() && leave == enter.map(|at| at + 1),
                "{shape:#?}"
            );
        }
    }
    assert!(
        !shape
            .iter()
            .any(|place| place.0 == Point::Enter(Hook::Snat))
    );
}

#[test]
fn a_redirected_packet_meets_no_netfilter_and_one_backlog_less() {
    let Some(lab) = lab_with_clock(&Hook::ALL) else {
        return;
    };
    let ebpf = Datapath {
        pods: Pods::Ebpf,
        ..native()
    };
    if let Some(why) = capabilities().missing(&ebpf) {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
    }
    let wanted = ClockSpec {
        netfilter: Hook::ALL.to_vec(),
        ..spec(Followed::TcpRr)
    };
    let [redirected, bridged] = [&ebpf, &native()].map(|datapath| follow(&lab, datapath, &wanted));
    for way in Way::BOTH {
        let (redirected, bridged) = (redirected.shape(way), bridged.shape(way));
        let around = |shape: &[(Point, &str, &str)]| {
            let mut points = shape.iter();
            // In the pods both are the same: the clock's own programs stand there, too.
            points.any(|place| {
                place.1.starts_with("node") && matches!(place.0, Point::Enter(_) | Point::Leave(_))
            })
        };
        assert!(!around(&redirected) && around(&bridged), "{redirected:#?}");
        let backlogs = |shape: &[(Point, &str, &str)]| {
            let points = shape.iter();
            points.filter(|place| place.0 == NetifRx).count()
        };
        assert_eq!(backlogs(&redirected) + 1, backlogs(&bridged));
    }
}

#[test]
fn a_direct_reply_never_meets_the_entry_node_and_its_programs_are_known() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    for kind in [Outside::SnatEbpf, Outside::Dsr] {
        let datapath = Datapath {
            outside: Some(kind),
            ..native()
        };
        if let Some(why) = capabilities().missing(&datapath) {
            return eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
        }
        let seen = follow(&lab, &datapath, &spec(Followed::TcpRr));
        assert_eq!(seen.end, ClockEnd::default());
        let entered = |way| seen.shape(way).iter().any(|place| place.1 == "node A");
        assert!(entered(Way::Request));
        assert_eq!(entered(Way::Reply), kind == Outside::SnatEbpf);
        let mut programs = Vec::new();
        for site in &seen.sites {
            for device in &site.devices {
                programs.extend(device.programs.iter().map(|program| {
                    let name = program.name.as_str();
                    (
                        site.place.as_str(),
                        device.name.as_str(),
                        name,
                        program.redirects,
                    )
                }));
            }
        }
        programs.sort_unstable();
        let entry = ("node A", "eth0", "at_entry", true);
        let direct = [
            ("node B", "eth0", "from_pods", false),
            ("node B", "eth0", "to_pods", false),
        ];
        let mut expected = vec![entry];
        expected.extend(direct.into_iter().filter(|_| kind == Outside::Dsr));
        assert_eq!(programs, expected);
    }
}

#[test]
fn what_a_full_ring_has_no_room_for_is_counted() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    let tiny = ClockSpec {
        ring_bytes: 4096,
        ..spec(Followed::TcpRr)
    };
    let seen = follow(&lab, &native(), &tiny);
    assert!(seen.end.lost > 0, "{:?}", seen.end);
    let kept = seen.trips.len() as u64;
    assert!(kept > 0);
    assert_eq!(kept + seen.end.lost, u64::from(2 * REQUESTS));
}

#[test]
fn an_arm_has_one_clock_at_a_time() {
    let Some(lab) = lab_with_clock(&[]) else {
        return;
    };
    let arm = name("once");
    lab.deploy(&arm, &native(), 1).unwrap();
    let said = lab.stop_clock(&arm).unwrap_err().chain();
    assert!(said.contains("it has none"), "{said}");
    lab.start_clock(&arm, &spec(Followed::TcpRr)).unwrap();
    let said = lab.start_clock(&arm, &spec(Followed::TcpRr));
    let said = said.unwrap_err().chain();
    assert!(said.contains("stop that clock first"), "{said}");
    let (end, trips) = lab.stop_clock(&arm).unwrap();
    assert_eq!((end, trips.len()), (ClockEnd::default(), 0));
}
