//! Trips that nobody saw, taken apart.

use proptest::prelude::*;
use tollgate_results::agent::{Exchanges, Turns};
use tollgate_results::anatomy::{
    AnatomyRecord, AnatomySlice, Clocked, Event, Followed, Hook, HopKind, Point, Site, SiteDevice,
    SliceOutcome, Trip, Way,
};
use tollgate_results::arm::{Arm, Datapath};
use tollgate_results::change::Change;
use tollgate_results::facts::Facts;
use tollgate_results::histogram::Histogram;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::Cpu;

use super::{Anatomy, Judged, Seen, analyse, assemble};

mod outside;
mod programs;

/// Numbers of namespaces and devices.
const CLIENT: u32 = 1;
const NODE_A: u32 = 2;
const NODE_B: u32 = 3;
const SERVER: u32 = 4;
const ETH0: u32 = 10;
const VETH0: u32 = 11;
const CNI0: u32 = 12;
const VXLAN: u32 = 13;

fn sites() -> Vec<Site> {
    let places = [
        (CLIENT, "client pod", false),
        (NODE_A, "node A", true),
        (NODE_B, "node B", true),
        (SERVER, "server pod", false),
    ];
    let devices = [
        (ETH0, "eth0", "veth"),
        (VETH0, "veth0", "veth"),
        (CNI0, "cni0", "bridge"),
        (VXLAN, "flannel.1", "vxlan"),
    ];
    let device = |(index, name, kind): (u32, &str, &str)| SiteDevice {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        programs: Vec::new(),
    };
    places
        .map(|(namespace, place, is_node)| Site {
            namespace,
            place: place.to_owned(),
            is_node,
            devices: devices.map(device).to_vec(),
        })
        .to_vec()
}

/// Points of a path: the point, the namespace, the device.
type Path = Vec<(Point, u32, u32)>;

fn bridged(vxlan: bool) -> Path {
    let mut path = vec![
        (Point::Queue, CLIENT, ETH0),
        (Point::NetifRx, NODE_A, VETH0),
        (Point::Receive, NODE_A, VETH0),
        (Point::Receive, NODE_A, CNI0),
    ];
    path.extend(vxlan.then_some((Point::Queue, NODE_A, VXLAN)));
    path.extend([
        (Point::Queue, NODE_A, ETH0),
        (Point::NetifRx, NODE_B, ETH0),
        (Point::Receive, NODE_B, ETH0),
    ]);
    if vxlan {
        path.extend([(Point::Gro, NODE_B, VXLAN), (Point::Receive, NODE_B, VXLAN)]);
    }
    path.extend([
        (Point::Queue, NODE_B, CNI0),
        (Point::Queue, NODE_B, VETH0),
        (Point::NetifRx, SERVER, ETH0),
        (Point::Receive, SERVER, ETH0),
        (Point::DataReady, SERVER, 0),
    ]);
    path
}

/// The way back: the same places the other way round.
fn back(path: &Path) -> Path {
    let mirrored = |namespace| 5 - namespace;
    path.iter()
        .map(|&(point, namespace, device)| (point, mirrored(namespace), device))
        .collect()
}

/// A packet that leaves at a time and takes as long to each next point as `steps` say.
fn trip(way: Way, path: &Path, mut at_ns: u64, steps: impl Fn(usize) -> u64) -> Trip {
    let events = path.iter().enumerate();
    let events = events.map(|(index, &(point, namespace, device))| {
        at_ns += if index == 0 { 0 } else { steps(index) };
        Event {
            at_ns,
            point,
            device,
            namespace,
        }
    });
    Trip {
        way,
        events: events.collect(),
    }
}

/// Exchanges of which every interval between two stamps takes `step_ns`.
fn exchanges(path: &Path, count: u64, step_ns: u64) -> (Vec<Trip>, Exchanges, Turns) {
    let (mut trips, mut kept, mut turns) = (Vec::new(), Exchanges::default(), Turns::default());
    let way_ns = (path.len() as u64 + 1) * step_ns;
    for number in 0..count {
        let start = 1_000_000 + number * (2 * way_ns + 50);
        let turn = start + way_ns;
        trips.push(trip(Way::Request, path, start + step_ns, |_| step_ns));
        trips.push(trip(Way::Reply, &back(path), turn + step_ns, |_| step_ns));
        kept.started_ns.push(start);
        kept.ended_ns.push(turn + way_ns);
        turns.at_ns.push(turn);
    }
    (trips, kept, turns)
}

fn assembled(followed: Followed, trips: &[Trip], kept: &Exchanges, turns: &Turns) -> Clocked {
    assemble(Seen {
        followed,
        sites: &sites(),
        trips,
        exchanges: kept,
        turns,
        latency: Histogram::new(),
        lost: 0,
        given_up: 0,
    })
}

fn kinds(clocked: &Clocked) -> Vec<(HopKind, &str)> {
    let hops = clocked.request.hops.iter();
    hops.map(|hop| (hop.key.kind, hop.key.place.as_str()))
        .collect()
}

#[test]
fn a_bridged_path_has_the_hops_of_the_field() {
    let (trips, kept, turns) = exchanges(&bridged(false), 5, 100);
    let clocked = assembled(Followed::TcpRr, &trips, &kept, &turns);
    assert_eq!((clocked.exchanges, clocked.joined), (5, 5));
    assert_eq!(
        kinds(&clocked),
        [
            (HopKind::Send, "client"),
            (HopKind::Link, "client pod → node A"),
            (HopKind::Backlog, "node A"),
            (HopKind::BridgeIn, "node A"),
            (HopKind::Forward, "node A"),
            (HopKind::Link, "node A → node B"),
            (HopKind::Backlog, "node B"),
            (HopKind::Forward, "node B"),
            (HopKind::BridgeOut, "node B"),
            (HopKind::Link, "node B → server pod"),
            (HopKind::Backlog, "server pod"),
            (HopKind::Deliver, "server"),
            (HopKind::WakeUp, "server"),
        ]
    );
    assert_eq!(clocked.request.events, 12);
    assert_eq!(clocked.request.whole.max_ns(), 1_300);
    assert!(
        clocked
            .request
            .hops
            .iter()
            .all(|hop| hop.times.max_ns() == 100)
    );
    let last = clocked.reply.hops.last().unwrap();
    assert_eq!(
        (last.key.kind, last.key.place.as_str()),
        (HopKind::WakeUp, "client")
    );
}

#[test]
fn a_tunnel_adds_what_it_does_and_nothing_else() {
    let (trips, kept, turns) = exchanges(&bridged(true), 3, 100);
    let tunnelled = assembled(Followed::UdpRr, &trips, &kept, &turns);
    let (trips, kept, turns) = exchanges(&bridged(false), 3, 100);
    let native = assembled(Followed::UdpRr, &trips, &kept, &turns);
    let all = kinds(&native);
    let added: Vec<_> = kinds(&tunnelled)
        .into_iter()
        .filter(|hop| !all.contains(hop))
        .collect();
    assert_eq!(
        added,
        [
            (HopKind::Encapsulation, "node A"),
            (HopKind::Decapsulation, "node B"),
            (HopKind::TunnelBacklog, "node B"),
        ]
    );
    let words: Vec<_> = tunnelled
        .request
        .hops
        .iter()
        .map(|hop| hop.words.as_str())
        .collect();
    for expected in [
        "VXLAN encapsulation, outer output",
        "outer receive, VXLAN decapsulation",
        "send call, UDP, IP",
    ] {
        assert!(words.contains(&expected), "{expected} in {words:?}");
    }
}

#[test]
fn a_stamp_of_netfilter_splits_no_hop_but_its_own() {
    let mut path = bridged(false);
    let around = [Point::Enter(Hook::Forward), Point::Leave(Hook::Forward)];
    path.splice(4..4, around.map(|point| (point, NODE_A, CNI0)));
    let (trips, kept, turns) = exchanges(&path, 3, 100);
    let clocked = assembled(Followed::TcpRr, &trips, &kept, &turns);
    let hops = &clocked.request.hops;
    let of = |kind| {
        let mut found = hops
            .iter()
            .filter(move |hop| hop.key.kind == kind && hop.key.place == "node A");
        found.next().unwrap()
    };
    assert_eq!(of(HopKind::Netfilter(Hook::Forward)).times.max_ns(), 100);
    let forward = of(HopKind::Forward);
    assert_eq!((forward.times.max_ns(), forward.events), (200, 2));
    assert_eq!(hops.len(), 14);
}

#[test]
fn a_handshake_is_answered_by_the_kernel() {
    let mut path = bridged(false);
    path.pop();
    let (trips, kept, _) = exchanges(&path, 4, 100);
    let clocked = assembled(Followed::TcpConnect, &trips, &kept, &Turns::default());
    assert_eq!(clocked.joined, 4);
    let (syn, answer) = (&clocked.request, &clocked.reply);
    assert_eq!(syn.hops.last().unwrap().key.kind, HopKind::Answer);
    assert_eq!(answer.hops.first().unwrap().key.kind, HopKind::Link);
    assert_eq!(answer.hops.last().unwrap().key.kind, HopKind::WakeUp);
    // The whole of it, with nothing counted twice.
    let whole = syn.whole.max_ns() + answer.whole.max_ns();
    assert_eq!(whole, kept.ended_ns[0] - kept.started_ns[0]);
}

#[test]
fn what_cannot_be_joined_is_not_counted_in() {
    let path = bridged(false);
    let (all, kept, turns) = exchanges(&path, 6, 100);
    let mut trips = all.clone();
    // A reply that was lost in the ring, and a request that was sent twice.
    trips.remove(3);
    trips.insert(5, trips[5].clone());
    let clocked = assembled(Followed::TcpRr, &trips, &kept, &turns);
    assert_eq!((clocked.exchanges, clocked.joined), (6, 4));
    // Packets of the warm-up are nobody's.
    let early = trip(Way::Request, &path, 10, |_| 10);
    let trips = [vec![early], all.clone()].concat();
    assert_eq!(assembled(Followed::TcpRr, &trips, &kept, &turns).joined, 6);
    // A server that had no turn in between turned something else.
    let elsewhere = Turns {
        at_ns: turns.at_ns.iter().map(|at| at - 200).collect(),
        missed: 0,
    };
    assert_eq!(
        assembled(Followed::TcpRr, &all, &kept, &elsewhere).joined,
        0
    );
    assert_eq!(assembled(Followed::TcpRr, &[], &kept, &turns).joined, 0);
}

#[test]
fn another_path_is_counted_and_left_out() {
    let (mut trips, kept, turns) = exchanges(&bridged(false), 10, 100);
    trips[0].events.remove(3);
    let clocked = assembled(Followed::TcpRr, &trips, &kept, &turns);
    let way = &clocked.request;
    assert_eq!((way.trips, way.common, way.shapes), (10, 9, 2));
    assert_eq!(way.whole.len(), 9);
}

proptest! {
    #[test]
    fn hops_add_up_to_the_whole(steps in proptest::collection::vec(1_u64..900, 17), vxlan: bool) {
        let path = bridged(vxlan);
        let request = trip(Way::Request, &path, 500 + steps[0], |index| steps[index]);
        let turn = request.events.last().unwrap().at_ns + steps[16];
        let reply = trip(Way::Reply, &back(&path), turn + steps[0], |index| steps[index]);
        let end = reply.events.last().unwrap().at_ns + steps[16];
        let kept = Exchanges { started_ns: vec![500], ended_ns: vec![end], missed: 0 };
        let turns = Turns { at_ns: vec![turn], missed: 0 };
        let clocked = assembled(Followed::TcpRr, &[request, reply], &kept, &turns);
        for way in [&clocked.request, &clocked.reply] {
            let sum: u64 = way.hops.iter().map(|hop| hop.times.max_ns()).sum();
            // Hops are exact below 2,048 ns; the whole to 0.1 %.
            prop_assert!(sum.abs_diff(way.whole.max_ns()) <= sum / 1_000, "{sum} of {:?}", way.whole);
            prop_assert_eq!(way.hops.iter().map(|hop| hop.events).sum::<u32>(), way.events);
        }
    }
}

/// A record of two arms in so many rounds. The clock adds 80 ns at each point and 300 ns a packet to what it sees.
pub(super) fn record(rounds: u32, stated: u64) -> AnatomyRecord {
    let arm = |name: &str, reference: Option<&str>| Arm {
        name: name.parse().unwrap(),
        reference: reference.map(|name| name.parse().unwrap()),
        datapath: Datapath::default(),
        workloads: Vec::new(),
        sweep: None,
        change: Change::default(),
    };
    let mut slices = Vec::new();
    for round in 0..=rounds {
        for (name, vxlan) in [("native", false), ("vxlan", true)] {
            let path = bridged(vxlan);
            let step_ns = 700 + u64::from(round);
            let (trips, kept, turns) = exchanges(&path, 20, step_ns);
            let mut clocked = assembled(Followed::TcpRr, &trips, &kept, &turns);
            let round_trip = 2 * (path.len() as u64 + 1) * step_ns;
            clocked.latency.record_many(round_trip, 20);
            let mut latency = Histogram::new();
            let events = 2 * path.len() as u64;
            latency.record_many(round_trip - 80 * events - 2 * 300, 20);
            let outcomes = [
                SliceOutcome::Plain { latency },
                SliceOutcome::Clocked(Box::new(clocked)),
            ];
            slices.extend(outcomes.map(|outcome| AnatomySlice {
                round,
                arm: name.parse().unwrap(),
                followed: Followed::TcpRr,
                counted_runs: None,
                outcome,
            }));
        }
    }
    AnatomyRecord {
        schema: tollgate_results::RECORD_SCHEMA,
        version: "0.1.0".to_owned(),
        started_unix_ms: 1_800_000_000_000,
        scenario: "overlay-tax".parse().unwrap(),
        about: "What VXLAN costs against native routing between two nodes".to_owned(),
        seed: 7,
        facts: Facts::default(),
        reference: "native".parse().unwrap(),
        arms: vec![arm("native", None), arm("vxlan", Some("native"))],
        skipped: Vec::new(),
        followed: vec![Followed::TcpRr],
        netfilter: Vec::new(),
        cpu: Cpu::Shared,
        rounds,
        slice: Nanoseconds(300_000_000),
        warmup: Nanoseconds(100_000_000),
        event_cost: Nanoseconds(stated),
        packet_cost: Nanoseconds(300),
        programs: false,
        slices,
    }
}

fn faults(anatomy: &Anatomy) -> Vec<String> {
    let arms = anatomy.arms.iter();
    arms.filter_map(|arm| match &arm.judged {
        Judged::Agrees => None,
        Judged::Invalid(faults) => Some(faults.join("; ")),
    })
    .collect()
}

#[test]
fn sums_less_the_stated_cost_agree_or_are_invalid() {
    let good = analyse(&record(8, 80));
    assert_eq!(faults(&good), Vec::<String>::new());
    let native = &good.arms[0];
    assert!(native.off.unwrap().abs() < 0.005, "{:?}", native.off);
    assert_eq!(native.rounds, 8);
    assert!(native.effect.as_ref().unwrap().value > 1.1);
    let bad = analyse(&record(8, 200));
    assert_eq!(faults(&bad).len(), 2);
    assert!(
        faults(&bad)[0].contains("at most 5 %"),
        "{:?}",
        faults(&bad)
    );
    assert!(
        faults(&bad)[0].contains("--event-cost"),
        "{:?}",
        faults(&bad)
    );
}

#[test]
fn a_difference_is_what_the_tunnel_adds() {
    let anatomy = analyse(&record(8, 80));
    let [difference] = &anatomy.differences[..] else {
        panic!("{:?}", anatomy.differences)
    };
    assert_eq!(difference.rounds, 8);
    for way in &difference.ways {
        // Three hops of about 704 ns more, of which the clock took 80 ns each.
        assert!((way.ns - 3.0 * 624.5).abs() < 10.0, "{}", way.ns);
        let sum: f64 = way.hops.iter().map(|hop| hop.ns).sum();
        assert!((sum - way.ns).abs() < 10.0, "{sum} of {}", way.ns);
        let interval = way.interval95.unwrap();
        assert!(interval.low <= way.ns && way.ns <= interval.high);
        let lacking = way.hops.iter().filter(|hop| hop.reference_ns.is_none());
        let lacking: Vec<_> = lacking.map(|hop| hop.key.kind).collect();
        let expected = [
            HopKind::Encapsulation,
            HopKind::Decapsulation,
            HopKind::TunnelBacklog,
        ];
        assert_eq!(lacking, expected);
    }
    let said = &difference.sentences[0];
    assert!(
        said.starts_with("vxlan against native, tcp-rr to the server: +1.88 µs"),
        "{said}"
    );
    assert!(
        said.contains("+0.62 VXLAN encapsulation, outer output (node A)"),
        "{said}"
    );
}

#[test]
fn few_rounds_have_no_interval_and_none_no_difference() {
    let few = analyse(&record(3, 80));
    assert!(
        few.differences[0]
            .ways
            .iter()
            .all(|way| way.interval95.is_none())
    );
    let none = analyse(&record(0, 80));
    assert!(none.differences.is_empty());
    assert!(faults(&none)[0].contains("no packet was followed"));
}

#[test]
fn lost_records_and_failed_slices_are_told() {
    let mut record = record(8, 80);
    for slice in &mut record.slices {
        if let SliceOutcome::Clocked(clocked) = &mut slice.outcome {
            clocked.lost = 3;
        }
    }
    record.slices[4].outcome = SliceOutcome::Failed {
        reason: "the device is gone".to_owned(),
    };
    let told = faults(&analyse(&record)).join(" | ");
    assert!(
        told.contains("21 packets were lost in the ring")
            || told.contains("24 packets were lost in the ring"),
        "{told}"
    );
    assert!(
        told.contains("1 slice failed: the device is gone"),
        "{told}"
    );
}

#[test]
fn text_fits_a_terminal_and_the_page_is_whole() {
    let anatomy = analyse(&record(8, 80));
    let text = crate::render::anatomy_text(&anatomy);
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
    insta::assert_snapshot!("anatomy", text);
    let page = String::from_utf8(crate::render::anatomy_page(&anatomy)).unwrap();
    assert_eq!(
        page.matches("<svg").count(),
        6,
        "two waterfalls an arm, two differences"
    );
    let document = roxmltree::Document::parse(page.trim_start_matches("<!DOCTYPE html>"));
    assert!(document.is_ok() || page.contains("</html>"));
}
