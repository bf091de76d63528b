//! Whether traffic from outside the cluster took the way in and out that was declared.

use tollgate_results::arm::{Outside, Service};
use tollgate_results::evidence::{
    DatapathCounters, DeviceCounters, EntryPackets, Evidence, Tracker, Translation,
};
use tollgate_results::facts::Hops;
use tollgate_results::outcome::Flow;

use super::expected::STRAY_PACKETS;
use super::{CONNECTION, Expected, Finding};
use crate::words;

pub(super) const REPLIES: &str = "way of the replies";
pub(super) const PROGRAMS: &str = "entry programs";
pub(super) const HOPS: &str = "routers on the way";

/// The device that joins each node, and the client outside, to the others.
const JOINT: &str = "eth0";

/// Judges one slice of an arm whose client is outside.
pub(super) fn judge(
    outside: Outside,
    evidence: &Evidence,
    flow: Option<&Flow>,
    hops: Option<&Hops>,
    expected: Expected,
) -> Vec<Finding> {
    let counters = &evidence.counters;
    let seen = Seen::of(counters);
    let mut findings = vec![replies(outside, seen.as_ref())];
    if outside == Outside::Snat {
        let rules = counters.service_rule_packets;
        findings.extend(super::rules(Service::IptablesNft, rules, expected));
    }
    findings.push(programs(outside, counters.entry_programs, seen.as_ref()));
    findings.push(connection(outside, &evidence.translation, flow));
    findings.push(routers(outside, hops, flow));
    findings
}

/// Packets over the devices that join the three machines.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// The client sent.
    asked: u64,
    /// The client received.
    answered: u64,
    /// The entry node received.
    entered: u64,
}

impl Seen {
    pub(super) fn of(counters: &DatapathCounters) -> Option<Self> {
        let joint = |node: &str| {
            let joint = |device: &&DeviceCounters| device.node == node && device.device == JOINT;
            counters.devices.iter().find(joint)
        };
        let (outside, entry) = (joint("outside")?, joint("a")?);
        Some(Self {
            asked: outside.tx_packets,
            answered: outside.rx_packets,
            entered: entry.rx_packets,
        })
    }

    /// Adds what another slice left behind.
    pub(super) fn add(&mut self, other: Self) {
        self.asked = self.asked.saturating_add(other.asked);
        self.answered = self.answered.saturating_add(other.answered);
        self.entered = self.entered.saturating_add(other.entered);
    }

    /// Says how many replies passed the entry node, and what it had to do in all.
    pub(super) fn words(&self) -> String {
        format!(
            "{} of {} reply packets passed the entry node, which took in {} packets for the client's {}",
            words::count(self.returned()),
            words::count(self.answered),
            words::count(self.entered),
            words::count(self.asked)
        )
    }

    /// Packets that something else may have caused.
    fn stray(&self) -> u64 {
        STRAY_PACKETS.max(self.answered / 100)
    }

    /// What the entry node received beside what the client sent it: the replies, where they pass it.
    fn returned(&self) -> u64 {
        self.entered.saturating_sub(self.asked)
    }
}

/// Replies pass the entry node, or don't: its device says so.
fn replies(outside: Outside, seen: Option<&Seen>) -> Finding {
    let Some(seen) = seen else {
        let text = "the devices of the client or of the entry node can't be read".to_owned();
        return Finding::unknown(REPLIES, text);
    };
    let stray = seen.stray();
    if seen.entered.saturating_add(stray) < seen.asked {
        let text = format!(
            "only {} of the client's {} packets came to the entry node",
            words::count(seen.entered),
            words::count(seen.asked)
        );
        return Finding::of(REPLIES, false, text);
    }
    if seen.answered <= stray {
        let text = format!(
            "{} replies are too few to tell",
            words::count(seen.answered)
        );
        return Finding::unknown(REPLIES, text);
    }
    let through = outside != Outside::Dsr;
    let agrees = if through {
        seen.returned().saturating_add(stray) >= seen.answered
    } else {
        seen.returned() <= stray
    };
    let text = seen.words();
    if agrees {
        return Finding::of(REPLIES, true, text);
    }
    Finding::of(REPLIES, false, format!("declared {outside}, but {text}"))
}

/// Programs carry every packet, or there are none.
fn programs(outside: Outside, packets: Option<EntryPackets>, seen: Option<&Seen>) -> Finding {
    let Some(packets) = packets else {
        let text = "no eBPF programs at the entry node".to_owned();
        if outside == Outside::Snat {
            return Finding::of(PROGRAMS, true, text);
        }
        return Finding::of(
            PROGRAMS,
            false,
            format!("declared {outside}, but there are {text}"),
        );
    };
    let text = format!(
        "the entry node's programs sent {} packets on and {} back, and refused {}",
        words::count(packets.to_endpoint),
        words::count(packets.to_client),
        words::count(packets.refused)
    );
    let Some(seen) = seen else {
        return Finding::unknown(PROGRAMS, text);
    };
    let all = |count: u64, of: u64| {
        count
            .saturating_add(packets.refused)
            .saturating_add(seen.stray())
            >= of
    };
    let agrees = match outside {
        Outside::Snat => false,
        Outside::SnatEbpf => {
            all(packets.to_endpoint, seen.asked) && all(packets.to_client, seen.answered)
        }
        Outside::Dsr => all(packets.to_endpoint, seen.asked) && packets.to_client == 0,
    };
    if agrees {
        return Finding::of(PROGRAMS, true, text);
    }
    let of = format!(
        "declared {outside}, but {text}, of {} from the client and {} to it",
        words::count(seen.asked),
        words::count(seen.answered)
    );
    Finding::of(PROGRAMS, false, of)
}

/// Who remembers the connection, and as whom the server's node knows the client.
fn connection(outside: Outside, translation: &Translation, flow: Option<&Flow>) -> Finding {
    let (endpoint, by, client_as) = match translation {
        Translation::AtTheEntry {
            endpoint,
            by,
            client_as,
        } => (endpoint, *by, client_as),
        Translation::Unknown { reason } => return Finding::unknown(CONNECTION, reason.clone()),
        Translation::Untracked => {
            let text = "the entry node knows no such connection".to_owned();
            return Finding::unknown(CONNECTION, text);
        }
        Translation::Untouched
        | Translation::Rewritten { .. }
        | Translation::AtTheSocket { .. }
        | Translation::BeforeTheNode { .. } => {
            let text =
                format!("declared {outside}, but the connection did not go through an entry node");
            return Finding::of(CONNECTION, false, text);
        }
    };
    let keeper = match by {
        Tracker::Conntrack => "connection tracking",
        Tracker::Programs => "its programs' own table",
    };
    let text = format!("rewritten to {endpoint} by the entry node, which keeps it in {keeper}");
    let (Some(client_as), Some(flow)) = (client_as, flow) else {
        let text = format!("{text}; as whom the server's node knows the client is not known");
        return Finding::unknown(CONNECTION, text);
    };
    let own = client_as.ip() == flow.local.ip();
    let text = format!(
        "{text}; the server's node knows the client by {}, {}",
        client_as.ip(),
        if own {
            "its own address"
        } else {
            "not its own"
        }
    );
    let declared = match outside {
        Outside::Snat => (Tracker::Conntrack, false),
        Outside::SnatEbpf => (Tracker::Programs, false),
        Outside::Dsr => (Tracker::Programs, true),
    };
    if (by, own) == declared {
        return Finding::of(CONNECTION, true, text);
    }
    Finding::of(
        CONNECTION,
        false,
        format!("declared {outside}, but it was {text}"),
    )
}

/// A datagram's TTL, found when the arm was deployed: replies that skip the entry node pass one router less.
fn routers(outside: Outside, hops: Option<&Hops>, flow: Option<&Flow>) -> Finding {
    let Some(hops) = hops else {
        let text =
            "no datagram came through when the arm was deployed, so that routers were not counted"
                .to_owned();
        return Finding::unknown(HOPS, text);
    };
    let text = format!(
        "{} from client to server and {} back, by the TTL; the server sees {}",
        words::plural(hops.there.into(), "router"),
        hops.back,
        hops.client_as
    );
    let skipped = u8::from(outside == Outside::Dsr);
    let own =
        flow.is_none_or(|flow| (flow.local.ip() == hops.client_as) == (outside == Outside::Dsr));
    if hops.back.saturating_add(skipped) == hops.there && own {
        return Finding::of(HOPS, true, text);
    }
    Finding::of(
        HOPS,
        false,
        format!("declared {outside}, but there are {text}"),
    )
}
