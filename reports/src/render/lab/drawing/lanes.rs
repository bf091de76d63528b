//! Which lane each wire of an arm runs in.

use std::collections::BTreeMap;

use super::super::boxes::{End, Frame, Wire};

/// The way of a wire. Lanes are numbered from 0 in each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// At the left side of one machine.
    Inside { machine: usize, lane: usize },
    /// Between a machine and the one at its right, from the left one's card to the right one's.
    Beside { gap: usize, lane: usize },
    /// Down a gap, below all machines, and up another gap: the gaps right of both ends' machines, each with its lane.
    Below {
        gaps: [(usize, usize); 2],
        lane: usize,
    },
}

/// The wires that can be drawn, with their ways.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) wires: Vec<(Wire, Way)>,
    inside: Vec<usize>,
    beside: Vec<usize>,
    below: usize,
}

impl Lanes {
    /// Finds a way for each wire whose two ends are cards of these machines.
    pub(super) fn of(machines: &[Frame], wires: Vec<Wire>) -> Self {
        let mut at = BTreeMap::new();
        for (index, machine) in machines.iter().enumerate() {
            find(machine, index, &mut at);
        }
        let mut lanes = Self {
            wires: Vec::new(),
            inside: vec![0; machines.len()],
            beside: vec![0; machines.len()],
            below: 0,
        };
        for mut wire in wires {
            let machines = [0, 1].map(|end| at.get(&wire.ends[end]).copied());
            let [Some(from), Some(to)] = machines else {
                continue;
            };
            if to < from {
                wire.ends.reverse();
            }
            let way = lanes.way(from.min(to), from.max(to));
            lanes.wires.push((wire, way));
        }
        lanes
    }

    fn way(&mut self, from: usize, to: usize) -> Way {
        if from == to {
            let lane = next(&mut self.inside[from]);
            return Way::Inside {
                machine: from,
                lane,
            };
        }
        if from + 1 == to {
            let lane = next(&mut self.beside[from]);
            return Way::Beside { gap: from, lane };
        }
        let gaps = [from, to].map(|gap| (gap, next(&mut self.beside[gap])));
        let lane = next(&mut self.below);
        Way::Below { gaps, lane }
    }

    /// Returns how many lanes a machine has at its left side.
    pub(super) fn inside(&self, machine: usize) -> usize {
        self.inside.get(machine).copied().unwrap_or(0)
    }

    /// Returns how many lanes there are right of a machine.
    pub(super) fn beside(&self, machine: usize) -> usize {
        self.beside.get(machine).copied().unwrap_or(0)
    }

    /// Returns how many lanes there are below all machines.
    pub(super) const fn below(&self) -> usize {
        self.below
    }
}

/// Takes the next lane.
fn next(lanes: &mut usize) -> usize {
    *lanes += 1;
    *lanes - 1
}

/// Notes which machine each card of a frame is in.
fn find(frame: &Frame, machine: usize, at: &mut BTreeMap<End, usize>) {
    for card in frame.cards.iter().filter(|card| !card.gone) {
        at.insert((frame.place.clone(), card.device.clone()), machine);
    }
    for pod in &frame.pods {
        find(pod, machine, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lab::boxes::{Card, Joint};

    fn machine(place: &str, devices: &[&str]) -> Frame {
        Frame {
            place: place.to_owned(),
            pods: Vec::new(),
            cards: devices
                .iter()
                .map(|device| Card {
                    device: (*device).to_owned(),
                    lines: Vec::new(),
                    gone: false,
                })
                .collect(),
            lines: Vec::new(),
        }
    }

    fn wire(from: (&str, &str), to: (&str, &str)) -> Wire {
        let end = |(place, device): (&str, &str)| (place.to_owned(), device.to_owned());
        Wire {
            ends: [end(from), end(to)],
            joint: Joint::Pair,
        }
    }

    #[test]
    fn every_wire_has_a_lane_of_its_own_and_leads_from_left_to_right() {
        let machines = [
            machine("outside", &["eth0"]),
            machine("switch", &["a", "b", "c", "br0"]),
            machine("node A", &["eth0"]),
            machine("node B", &["eth0"]),
        ];
        let wires = vec![
            wire(("switch", "a"), ("switch", "br0")),
            wire(("switch", "b"), ("switch", "br0")),
            wire(("switch", "a"), ("outside", "eth0")),
            wire(("node A", "eth0"), ("switch", "b")),
            wire(("node B", "eth0"), ("switch", "c")),
            wire(("node B", "eth0"), ("nowhere", "c")),
        ];
        let lanes = Lanes::of(&machines, wires);
        let ways: Vec<Way> = lanes.wires.iter().map(|(_, way)| *way).collect();
        assert_eq!(
            ways,
            [
                Way::Inside {
                    machine: 1,
                    lane: 0
                },
                Way::Inside {
                    machine: 1,
                    lane: 1
                },
                Way::Beside { gap: 0, lane: 0 },
                Way::Beside { gap: 1, lane: 0 },
                Way::Below {
                    gaps: [(1, 1), (3, 0)],
                    lane: 0
                },
            ]
        );
        assert_eq!(lanes.wires[2].0.ends[0].0, "outside");
        assert_eq!(lanes.wires[3].0.ends[0].0, "switch");
        assert_eq!((lanes.inside(1), lanes.beside(1), lanes.below()), (2, 2, 1));
    }
}
