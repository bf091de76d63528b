//! Pictures of labs, as text and SVG, from states made by hand.

use insta::assert_snapshot;
use roxmltree::{Document, Node};
use tollgate_reports::render::lab::{picture, text};
use tollgate_results::arm::{Datapath, Name, Pods, Service, Services, Wire};
use tollgate_results::lab_state::{
    ArmState, ChainState, ConntrackState, DeviceState, LabState, Peer, PlaceKind, PlaceState,
    ProgramState, RouteState, RuleKeeper, RuleTable,
};
use tollgate_results::line::Line;
use unicode_width::UnicodeWidthStr as _;

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn device(index: u32, name: &str, kind: &str, addresses: &[&str]) -> DeviceState {
    DeviceState {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        own: true,
        up: true,
        mtu: 1500,
        mac: Some("02:00:00:00:0a:01".to_owned()),
        addresses: addresses
            .iter()
            .map(|address| (*address).to_owned())
            .collect(),
        peer: None,
        bridge: None,
        over: None,
        tunnel: Vec::new(),
        qdisc: None,
        offloads: Some(vec![
            "tx-tcp-segmentation".to_owned(),
            "tx-generic-segmentation".to_owned(),
            "rx-gro".to_owned(),
        ]),
        programs: Vec::new(),
    }
}

fn to(place: &str, peer: &str, device: DeviceState) -> DeviceState {
    DeviceState {
        peer: Some(Peer {
            place: place.to_owned(),
            device: peer.to_owned(),
            by_line: false,
        }),
        ..device
    }
}

fn program(id: u32, name: &str, hook: &str) -> ProgramState {
    ProgramState {
        id,
        name: name.to_owned(),
        hook: hook.to_owned(),
        own: true,
    }
}

fn place(place: &str, kind: PlaceKind, devices: Vec<DeviceState>) -> PlaceState {
    PlaceState {
        place: place.to_owned(),
        kind,
        home: None,
        devices,
        missing: Vec::new(),
        routes: Vec::new(),
        tables: Vec::new(),
        conntrack: None,
        sysctls: std::collections::BTreeMap::new(),
        faults: Vec::new(),
    }
}

fn pod(name: &str, home: &str, veth: &str, address: &str) -> PlaceState {
    let eth0 = to(home, veth, device(41, "eth0", "veth", &[address]));
    PlaceState {
        home: Some(home.to_owned()),
        routes: vec![route("default", Some("10.244.0.1"), "eth0")],
        ..place(name, PlaceKind::Pod, vec![eth0])
    }
}

fn route(to: &str, via: Option<&str>, device: &str) -> RouteState {
    RouteState {
        to: to.to_owned(),
        kind: None,
        via: via.map(|via| via.parse().unwrap()),
        device: Some(device.to_owned()),
        congestion: None,
    }
}

fn table(keeper: RuleKeeper, table: &str, chains: &[(&str, u64, u64)]) -> RuleTable {
    RuleTable {
        keeper,
        family: "ip".to_owned(),
        table: table.to_owned(),
        rules: chains.iter().map(|(_, _, rules)| rules).sum(),
        chains: chains
            .iter()
            .map(|(name, chains, rules)| ChainState {
                name: (*name).to_owned(),
                chains: *chains,
                rules: *rules,
            })
            .collect(),
    }
}

fn node(side: &str, other: &str, number: u8) -> PlaceState {
    let name = |side: &str| format!("node {side}");
    let pod = if side == "A" {
        "client pod"
    } else {
        "server pod"
    };
    let own = |last: u8| format!("10.244.{}.{last}/24", number - 1);
    let wire = format!("192.168.77.{number}/24");
    let mut veth = to(pod, "eth0", device(31, "veth0", "veth", &[]));
    veth.bridge = Some("cni0".to_owned());
    let mut tunnel = device(51, "flannel.1", "vxlan", &[&own(0)]);
    tunnel.over = Some("eth0".to_owned());
    tunnel.tunnel = vec!["id 1".to_owned(), "port 8472".to_owned()];
    let devices = vec![
        to(&name(other), "eth0", device(11, "eth0", "veth", &[&wire])),
        device(21, "cni0", "bridge", &[&own(1)]),
        veth,
        tunnel,
    ];
    PlaceState {
        routes: vec![
            route("default", Some("192.168.77.254"), "eth0"),
            route("10.244.1.0/24", Some("10.244.1.0"), "flannel.1"),
        ],
        tables: vec![
            table(
                RuleKeeper::Nftables,
                "filter",
                &[("FLANNEL-FWD", 1, 2), ("FORWARD", 1, 1)],
            ),
            table(
                RuleKeeper::Legacy,
                "nat",
                &[
                    ("KUBE-SEP-*", 1001, 2002),
                    ("KUBE-SERVICES", 1, 1002),
                    ("KUBE-SVC-*", 1001, 2002),
                ],
            ),
        ],
        conntrack: Some(ConntrackState {
            entries: 1,
            limit: Some(262_144),
        }),
        sysctls: [
            ("net.ipv4.ip_forward".to_owned(), "1".to_owned()),
            (
                "net.ipv4.tcp_congestion_control".to_owned(),
                "cubic".to_owned(),
            ),
        ]
        .into(),
        ..place(&name(side), PlaceKind::Node, devices)
    }
}

/// Bridges and VXLAN with kube-proxy's old rules.
fn overlay() -> LabState {
    let datapath = Datapath {
        wire: Wire::Vxlan,
        service: Service::IptablesLegacy,
        services: Some(Services {
            count: 1000,
            ..Services::default()
        }),
        ..Datapath::default()
    };
    let arm = ArmState {
        name: name("demo"),
        datapath,
        client: "10.244.0.2".parse().unwrap(),
        server: "10.244.1.2:8080".parse().unwrap(),
        target: "10.96.0.10:80".parse().unwrap(),
        places: vec![
            node("A", "B", 1),
            node("B", "A", 2),
            pod("client pod", "node A", "veth0", "10.244.0.2/24"),
            pod("server pod", "node B", "veth0", "10.244.1.2/24"),
        ],
        sockets: Vec::new(),
        detached: Vec::new(),
        notes: Vec::new(),
    };
    LabState {
        name: name("demo"),
        arms: vec![arm],
        netfilter: Vec::new(),
    }
}

/// eBPF at pods, wire and sockets; somebody has deleted, added and forbidden things.
fn tampered() -> LabState {
    let mut lab = overlay();
    lab.name = name("broken");
    lab.netfilter = vec![program(90, "conntrack_enter", "ip prerouting -201")];
    let arm = &mut lab.arms[0];
    arm.name = name("cilium-like");
    arm.datapath = Datapath {
        pods: Pods::Ebpf,
        service: Service::SocketLb,
        services: Some(Services::default()),
        ..Datapath::default()
    };
    arm.sockets = vec![
        program(11, "on_connect", "cgroup/connect4"),
        program(12, "on_sendmsg", "cgroup/sendmsg4"),
    ];
    arm.detached = vec!["from_wire (node b)".to_owned()];
    arm.notes = vec!["the reader of this should know that".to_owned()];
    let node = &mut arm.places[0];
    node.devices.retain(|device| device.name != "cni0");
    node.missing = vec!["cni0".to_owned()];
    node.devices[1].bridge = None;
    node.devices[1].programs = vec![program(7, "from_pod", "tcx/ingress")];
    let mut mine = device(99, "mine0", "dummy", &["10.9.9.9/32"]);
    mine.own = false;
    mine.programs = vec![ProgramState {
        own: false,
        ..program(70, "somebodys", "xdp")
    }];
    let mut down = device(2, "tunl0", "ipip", &[]);
    (down.own, down.up) = (false, false);
    node.devices.extend([mine, down]);
    let far = &mut arm.places[1];
    far.devices[0].offloads = Some(Vec::new());
    far.devices[0].qdisc = Some("fq".to_owned());
    far.devices[2].up = false;
    far.devices[2].addresses = (0..9).map(|n| format!("10.0.0.{n}/32")).collect();
    far.faults = vec!["failed to list the routes: the kernel was not in the mood".to_owned()];
    lab
}

/// A client outside, in front of a switch; the server's node is not beside it.
fn outside() -> LabState {
    let mut lab = overlay();
    let arm = &mut lab.arms[0];
    arm.places[0].devices[0].peer = Some(Peer {
        place: "switch".to_owned(),
        device: "to-entry".to_owned(),
        by_line: false,
    });
    arm.places[1].devices[0].peer = Some(Peer {
        place: "switch".to_owned(),
        device: "to-server".to_owned(),
        by_line: false,
    });
    let cable = |index, name: &str, place: &str| {
        let mut cable = to(place, "eth0", device(index, name, "veth", &[]));
        cable.bridge = Some("br0".to_owned());
        cable
    };
    let switch = vec![
        device(61, "br0", "bridge", &[]),
        cable(62, "to-outside", "client outside"),
        cable(63, "to-entry", "node A"),
        cable(64, "to-server", "node B"),
    ];
    let eth0 = device(13, "eth0", "veth", &["192.168.77.200/24"]);
    let client = vec![to("switch", "to-outside", eth0)];
    arm.client = "192.168.77.200".parse().unwrap();
    arm.places.push(place("switch", PlaceKind::Switch, switch));
    arm.places
        .push(place("client outside", PlaceKind::Outside, client));
    lab
}

/// Nodes without pods, with a line between them.
fn by_line() -> LabState {
    let mut lab = overlay();
    let arm = &mut lab.arms[0];
    arm.datapath = Datapath {
        pods: Pods::Host,
        line: Some(Line::default()),
        ..Datapath::default()
    };
    arm.target = arm.server;
    arm.places.truncate(2);
    for (index, other) in [(0, "node B"), (1, "node A")] {
        let mut eth0 = device(11, "eth0", "tun", &["192.168.77.1/24"]);
        eth0.peer = Some(Peer {
            place: other.to_owned(),
            device: "eth0".to_owned(),
            by_line: true,
        });
        arm.places[index].devices = vec![eth0];
    }
    lab
}

fn all() -> [(&'static str, LabState); 4] {
    [
        ("overlay", overlay()),
        ("tampered", tampered()),
        ("outside", outside()),
        ("line", by_line()),
    ]
}

#[test]
fn text_is_a_tree_of_namespaces() {
    assert_snapshot!("overlay", text(&[overlay()]));
    assert_snapshot!("tampered", text(&[tampered()]));
}

#[test]
fn text_fits_80_columns_and_cannot_steer_a_terminal() {
    let mut hostile = tampered();
    let place = &mut hostile.arms[0].places[0];
    place.devices[0].name = "\u{1b}[31m<b>包包".to_owned();
    place.faults = vec!["\u{7}x".repeat(200)];
    for (what, lab) in all().into_iter().chain([("hostile", hostile)]) {
        for line in text(&[lab]).lines() {
            assert!(line.width() <= 80, "{what}: {line}");
            assert!(!line.contains(char::is_control), "{what}: {line:?}");
        }
    }
}

#[test]
fn every_part_is_told() {
    let said = text(&[tampered()]);
    let trunks = |c: char| c.is_whitespace() || "│├└─".contains(c);
    let flat: Vec<&str> = said.split(trunks).filter(|word| !word.is_empty()).collect();
    let flat = flat.join(" ");
    for part in [
        "cni0 MISSING",
        "xdp somebodys (not the lab's)",
        "tunl0: down, not the lab's",
        "cgroup/connect4 on_connect",
        "tcx/ingress from_pod",
        "attached nowhere now: from_wire (node b)",
        "and 6 more",
        "offloads off",
        "qdisc fq",
        "DOWN",
        "was not in the mood",
        "ip prerouting -201 conntrack_enter",
        "KUBE-SVC-* (1,001 chains) 2,002",
    ] {
        assert!(flat.contains(part), "{part} is not in\n{said}");
    }
    assert_eq!(text(&[]), "No lab stands.\n");
}

#[test]
fn a_picture_is_the_same_every_time() {
    assert_snapshot!("picture", picture(&[overlay()]));
}

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

/// Whether two areas share more than a border.
fn overlap(one: Area, other: Area) -> bool {
    let [left, top] = [0, 1].map(|side| one[side].max(other[side]));
    let [right, bottom] = [2, 3].map(|side| one[side].min(other[side]));
    right - left > 0.2 && bottom - top > 0.2
}

/// Whether one area lies within the other.
fn within(inner: Area, outer: Area) -> bool {
    inner[0] >= outer[0] - 0.2
        && inner[1] >= outer[1] - 0.2
        && inner[2] <= outer[2] + 0.2
        && inner[3] <= outer[3] + 0.2
}

fn rectangles(document: &Document<'_>, classes: &[&str]) -> Vec<Area> {
    let found = document
        .descendants()
        .filter(|node| node.tag_name().name() == "rect");
    found
        .filter(|node| {
            node.attribute("class")
                .is_some_and(|class| classes.contains(&class))
        })
        .map(|node| {
            let [x, y, width, height] =
                ["x", "y", "width", "height"].map(|name| number(&node, name));
            [x, y, x + width, y + height]
        })
        .collect()
}

/// Every text with the area that its letters take.
fn texts(document: &Document<'_>) -> Vec<(String, Area)> {
    let found = document
        .descendants()
        .filter(|node| node.tag_name().name() == "text");
    found
        .map(|node| {
            let text = node.text().unwrap_or_default().to_owned();
            let [x, y, size] = ["x", "y", "font-size"].map(|name| number(&node, name));
            assert!(size >= 11.0, "{text} is {size} px high");
            let letters = u32::try_from(text.width()).unwrap();
            let area = [x, y - 0.8 * size, x + f64::from(letters) * 0.61 * size, y];
            (text, area)
        })
        .collect()
}

#[test]
fn nothing_in_a_picture_lies_over_anything_else() {
    let mut pictures: Vec<(String, String)> = all()
        .into_iter()
        .map(|(what, lab)| (what.to_owned(), picture(&[lab])))
        .collect();
    pictures.push(("all".to_owned(), picture(&all().map(|(_, lab)| lab))));
    for (what, svg) in pictures {
        let document = Document::parse(&svg).unwrap();
        let whole = document.root_element();
        let sheet = [0.0, 0.0, number(&whole, "width"), number(&whole, "height")];
        let texts = texts(&document);
        assert!(texts.len() > 20, "{what}");
        for (index, (text, area)) in texts.iter().enumerate() {
            assert!(within(*area, sheet), "{what}: {text} is cut off");
            for (other, beside) in &texts[..index] {
                assert!(!overlap(*area, *beside), "{what}: {text} over {other}");
            }
        }
        let cards = rectangles(&document, &["card", "gone"]);
        let frames = rectangles(&document, &["machine", "pod"]);
        for (index, card) in cards.iter().enumerate() {
            assert!(
                cards[..index].iter().all(|other| !overlap(*card, *other)),
                "{what}: two cards overlap"
            );
            assert!(
                frames.iter().any(|frame| within(*card, *frame)),
                "{what}: a card is outside"
            );
        }
        for (index, frame) in frames.iter().enumerate() {
            for other in &frames[..index] {
                let nested = within(*frame, *other) || within(*other, *frame);
                assert!(nested || !overlap(*frame, *other), "{what}: frames overlap");
            }
        }
        // Text is either whole in a box or whole outside of it.
        for (text, area) in &texts {
            for area_of_box in cards.iter().chain(&frames) {
                assert!(
                    !overlap(*area, *area_of_box) || within(*area, *area_of_box),
                    "{what}: {text} sticks out of its box"
                );
            }
        }
        wires_run_beside_text(&what, &document, &texts);
    }
}

/// Wires are drawn at right angles, so each leg is a thin area.
fn wires_run_beside_text(what: &str, document: &Document<'_>, texts: &[(String, Area)]) {
    let wires = document
        .descendants()
        .filter(|node| node.tag_name().name() == "path");
    let mut count = 0;
    for wire in wires {
        count += 1;
        let points: Vec<[f64; 2]> = wire
            .attribute("d")
            .unwrap()
            .split(['M', 'L'])
            .filter(|point| !point.is_empty())
            .map(|point| {
                let (x, y) = point.split_once(' ').unwrap();
                [x.parse().unwrap(), y.parse().unwrap()]
            })
            .collect();
        for leg in points.windows(2) {
            let [from, to] = [leg[0], leg[1]];
            let area = [
                from[0].min(to[0]) - 0.5,
                from[1].min(to[1]) - 0.5,
                from[0].max(to[0]) + 0.5,
                from[1].max(to[1]) + 0.5,
            ];
            assert!(
                (from[0] - to[0]).abs() < 0.01 || (from[1] - to[1]).abs() < 0.01,
                "{what}: a wire runs aslant"
            );
            for (text, place) in texts {
                assert!(!overlap(area, *place), "{what}: a wire runs over {text}");
            }
        }
    }
    assert!(count > 3, "{what}: {count} wires");
}

#[test]
fn a_picture_is_readable_in_light_and_dark() {
    let svg = picture(&[overlay()]);
    let (light, dark) = svg.split_once("prefers-color-scheme: dark").unwrap();
    let ink = |style: &str| {
        let (_, rest) = style.split_once("text{fill:").unwrap();
        rest.split_once('}').unwrap().0.to_owned()
    };
    assert_eq!(ink(light), "#16202c");
    assert_eq!(ink(dark), "#e8edf2");
}

#[test]
fn markup_in_a_name_stays_text() {
    let mut lab = tampered();
    lab.arms[0].places[0].devices[0].name = "<b>&".to_owned();
    let svg = picture(&[lab]);
    assert!(svg.contains("&lt;b&gt;&amp;"), "{svg}");
    Document::parse(&svg).unwrap();
}
