//! Whether pods were attached to their nodes as declared.

use tollgate_results::arm::{Datapath, Place, Pods};
use tollgate_results::evidence::{DatapathCounters, FROM_POD, FROM_WIRE, Translation};

use super::{CONNECTION, Expected, Finding, PODS};
use crate::words;

/// Judges by the bridges that stand, the packets over them, and those that eBPF programs carried past the nodes' stack.
pub(super) fn judge(
    datapath: &Datapath,
    counters: &DatapathCounters,
    expected: Expected,
) -> Option<Finding> {
    if counters.devices.is_empty() {
        return None;
    }
    let seen = Seen::of(counters);
    let pods = datapath.pods;
    let fault = match pods {
        Pods::Bridge => seen.no_bridge().or_else(|| seen.programs(expected)),
        Pods::Routed | Pods::Host => seen.bridge(expected).or_else(|| seen.programs(expected)),
        Pods::Ebpf | Pods::Netkit => seen
            .bridge(expected)
            .or_else(|| seen.pairs(pods))
            .or_else(|| seen.other_way(datapath.place, expected)),
    };
    Some(match fault {
        Some(fault) => Finding::of(PODS, false, format!("declared {pods} pods, but {fault}")),
        None => Finding::of(PODS, true, words(pods).to_owned()),
    })
}

const fn words(pods: Pods) -> &'static str {
    match pods {
        Pods::Bridge => "attached by a bridge",
        Pods::Routed => "routed, no bridge",
        Pods::Ebpf => "past the nodes' stack",
        Pods::Netkit => "past the nodes' stack, from netkit devices",
        Pods::Host => "no pods, no bridge",
    }
}

/// What a slice's packets left behind at the nodes.
struct Seen {
    bridges: usize,
    /// Nodes' ends of netkit pairs.
    netkit: usize,
    /// Packets over bridges.
    bridged: u64,
    /// Packets that programs took out of the client's pod, and into the server's.
    there: [u64; 2],
    /// Packets that such programs carried anywhere, and that they left to the stack.
    carried: u64,
    passed: u64,
}

impl Seen {
    fn of(counters: &DatapathCounters) -> Self {
        let bridges = || {
            let all = counters.devices.iter();
            all.filter(|device| device.kind == "bridge")
        };
        let fast = || {
            counters.programs.iter().filter(|program| {
                let name = program.program.as_str();
                FROM_POD.contains(&name) || name == FROM_WIRE
            })
        };
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
        Self {
            bridges: bridges().count(),
            netkit: {
                let all = counters.devices.iter();
                all.filter(|device| device.kind == "netkit").count()
            },
            bridged: sum(
                &mut bridges().map(|device| device.rx_packets.saturating_add(device.tx_packets))
            ),
            there: [
                counters.carried("a", &FROM_POD),
                counters.carried("b", &[FROM_WIRE]),
            ],
            carried: sum(&mut fast().map(|program| program.carried)),
            passed: sum(&mut fast().map(|program| program.passed)),
        }
    }

    fn no_bridge(&self) -> Option<String> {
        (self.bridges == 0).then(|| "the nodes have no bridge".to_owned())
    }

    fn bridge(&self, expected: Expected) -> Option<String> {
        (self.bridged > expected.stray())
            .then(|| format!("{} packets crossed a bridge", words::count(self.bridged)))
    }

    fn programs(&self, expected: Expected) -> Option<String> {
        (self.carried > expected.stray()).then(|| {
            let carried = words::count(self.carried);
            format!("eBPF carried {carried} packets past the nodes' stack")
        })
    }

    fn pairs(&self, pods: Pods) -> Option<String> {
        match (pods, self.netkit) {
            (Pods::Netkit, 0) => Some("the nodes have no netkit device".to_owned()),
            (Pods::Ebpf, 1..) => Some("the nodes have netkit devices".to_owned()),
            _ => None,
        }
    }

    fn other_way(&self, place: Place, expected: Expected) -> Option<String> {
        let [left, came] = self.there;
        let fewest = match place {
            Place::OtherNode => left.min(came),
            // Out of one pod is into the other.
            Place::SameNode => left,
            // Connected to itself at its socket, it stays inside.
            Place::Hairpin => expected.packets,
        };
        if fewest < expected.packets {
            return Some(format!(
                "eBPF carried only {} packets from pod to pod where at least {} must have gone",
                words::count(fewest),
                words::count(expected.packets)
            ));
        }
        (self.passed > expected.stray()).then(|| {
            let passed = words::count(self.passed);
            format!("{passed} packets went through the nodes' stack")
        })
    }
}

/// Judges what connection tracking knows of a connection that is to pass by it.
pub(super) fn unseen(pods: Pods, translation: &Translation) -> Finding {
    let text = match translation {
        Translation::Untracked => {
            let text = "the node's netfilter never saw the connection";
            return Finding::of(CONNECTION, true, text.to_owned());
        }
        Translation::Unknown { reason } => return Finding::unknown(CONNECTION, reason.clone()),
        Translation::Rewritten { endpoint } => format!("rewrote it to {endpoint}"),
        Translation::Untouched
        | Translation::AtTheSocket { .. }
        | Translation::BeforeTheNode { .. }
        | Translation::AtTheEntry { .. } => "tracks it".to_owned(),
    };
    let text = format!("declared {pods} pods, which pass by the node's netfilter, but that {text}");
    Finding::of(CONNECTION, false, text)
}
