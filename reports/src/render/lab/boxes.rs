//! What a picture of an arm has to show: boxes with cards and badges in them, and the wires between cards.

use tollgate_results::lab_state::{ArmState, DeviceState, PlaceState};

use super::super::layout;
use super::words;

/// Most letters of a line in a box.
const LETTERS: usize = 46;

/// What a line of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name.
    Name,
    /// Text.
    Plain,
    /// What is said beside.
    Aside,
    /// An eBPF program.
    Program,
    /// A table of rules.
    Rules,
    /// Something that is missing, or could not be read.
    Fault,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) device: String,
    pub(super) lines: Vec<Line>,
    /// Whether it is not there.
    pub(super) gone: bool,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) place: String,
    /// The pods that stand on a node.
    pub(super) pods: Vec<Frame>,
    pub(super) cards: Vec<Card>,
    pub(super) lines: Vec<Line>,
}

/// How two devices are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// Two ends of one pair.
    Pair,
    /// A port of a bridge, or a tunnel over the device that carries it.
    Part,
    /// A line with delay, rate and loss between.
    Line,
}

/// Where a wire ends: a namespace and a device in it.
pub(super) type End = (String, String);

/// A wire between two cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    pub(super) joint: Joint,
}

/// Returns an arm's machines from left to right.
pub(super) fn machines(arm: &ArmState) -> Vec<Frame> {
    let machines = words::machines(arm).into_iter();
    machines.map(|machine| of_place(arm, machine)).collect()
}

/// Returns what joins an arm's devices, each joint once.
pub(super) fn wires(arm: &ArmState) -> Vec<Wire> {
    let mut wires = Vec::new();
    for place in &arm.places {
        for device in words::shown(place) {
            let here = (place.place.clone(), device.name.clone());
            if let Some(peer) = &device.peer {
                let there = (peer.place.clone(), peer.device.clone());
                // Each end tells of the other.
                if here <= there {
                    let joint = if peer.by_line {
                        Joint::Line
                    } else {
                        Joint::Pair
                    };
                    wires.push(Wire {
                        ends: [here.clone(), there],
                        joint,
                    });
                }
            }
            let parts = device.bridge.iter().chain(&device.over);
            wires.extend(parts.map(|part| Wire {
                ends: [here.clone(), (place.place.clone(), part.clone())],
                joint: Joint::Part,
            }));
        }
    }
    wires
}

fn of_place(arm: &ArmState, place: &PlaceState) -> Frame {
    let mut devices: Vec<&DeviceState> = words::shown(place).collect();
    devices.sort_by_key(|device| rank(arm, place, device));
    let mut cards: Vec<Card> = devices.into_iter().map(card).collect();
    cards.extend(place.missing.iter().map(|name| missing(name)));
    Frame {
        place: layout::harmless(&place.place),
        pods: words::pods(arm, place)
            .map(|pod| of_place(arm, pod))
            .collect(),
        cards,
        lines: about(arm, place),
    }
}

/// Where a device stands among others: those of pods first, since pods are on top, and those to other machines last.
fn rank(arm: &ArmState, place: &PlaceState, device: &DeviceState) -> u8 {
    let is_pods = |of: &str| words::pods(arm, place).any(|pod| pod.place == of);
    match &device.peer {
        Some(peer) if is_pods(&peer.place) => 0,
        _ if device.kind == "bridge" => 1,
        None => 2,
        Some(_) => 3,
    }
}

fn card(device: &DeviceState) -> Card {
    let mut lines = vec![line(Kind::Name, &device.name)];
    lines.extend(wrapped(Kind::Aside, &words::device(device)));
    for address in words::addresses(device) {
        lines.extend(wrapped(Kind::Plain, &address));
    }
    for program in &device.programs {
        lines.extend(wrapped(Kind::Program, &words::program(program)));
    }
    Card {
        device: device.name.clone(),
        lines,
        gone: false,
    }
}

fn missing(name: &str) -> Card {
    let mut lines = vec![line(Kind::Name, name)];
    lines.extend(wrapped(Kind::Fault, words::MISSING));
    Card {
        device: name.to_owned(),
        lines,
        gone: true,
    }
}

/// Lists what is said of a namespace below its devices.
fn about(arm: &ArmState, place: &PlaceState) -> Vec<Line> {
    let mut lines = Vec::new();
    for route in words::routes(place) {
        lines.extend(wrapped(Kind::Plain, &route));
    }
    for program in words::sockets(arm, place) {
        lines.extend(wrapped(Kind::Program, &words::program(program)));
    }
    for table in &place.tables {
        let text = format!("{}: {}", words::table(table), words::rules(table));
        lines.extend(wrapped(Kind::Rules, &text));
    }
    if let Some(conntrack) = place.conntrack {
        lines.extend(wrapped(Kind::Aside, &words::conntrack(conntrack)));
    }
    if !place.sysctls.is_empty() {
        lines.extend(wrapped(Kind::Aside, &words::sysctls(place)));
    }
    if let Some(others) = words::others(place) {
        lines.extend(wrapped(Kind::Aside, &others));
    }
    for fault in &place.faults {
        lines.extend(wrapped(Kind::Fault, fault));
    }
    lines
}

fn wrapped(kind: Kind, text: &str) -> impl Iterator<Item = Line> + use<> {
    let lines = layout::wrap(text, LETTERS).into_iter();
    lines.map(move |text| Line { kind, text })
}

fn line(kind: Kind, text: &str) -> Line {
    Line {
        kind,
        text: layout::harmless(text),
    }
}
