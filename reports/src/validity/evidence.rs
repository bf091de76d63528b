//! Whether the packets took the declared datapath (DESIGN §4.7).

mod declared;
mod expected;
mod named;
mod outside;
mod pods;
mod shaped;
mod together;
mod wire;

use tollgate_results::arm::{Arm, Datapath, Place, Pods, Service, Wire};
use tollgate_results::evidence::{
    DatapathCounters, DeviceCounters, PacketTranslations, Translation,
};
use tollgate_results::run::{RunRecord, TargetKind};
use tollgate_results::standing::Standing;
use tollgate_results::workload::Workload;

use self::expected::Expected;
use self::outside::{HOPS, PROGRAMS, REPLIES, Seen};
use self::wire::{Encapsulated, encapsulation, is_tunnel, place, tunnels};
use super::balance::Balance;
use crate::analysis::values::{Observation, Observations};
use crate::model::{Check, EvidenceSummary, Judgement};
use crate::words;

const DECLARED: &str = "cluster's network";
const PATH: &str = "path";
const NAME: &str = "name";
const CLIENTS: &str = "clients";
const PLACE: &str = "place";
const ENCAPSULATION: &str = "encapsulation";
const PODS: &str = "pods";
const RULES: &str = "service rules";
const SOCKET: &str = "socket translations";
const PACKETS: &str = "packet translations";
const STANDING: &str = "standing load";
const CONNECTION: &str = "connection";
const LINE: &str = "line";
const TABLE: &str = "connection-tracking table";

/// What is looked at, in the order in which it is told.
const ABOUT: [&str; 17] = [
    DECLARED,
    PATH,
    NAME,
    CLIENTS,
    PLACE,
    ENCAPSULATION,
    PODS,
    REPLIES,
    RULES,
    SOCKET,
    PACKETS,
    PROGRAMS,
    STANDING,
    CONNECTION,
    HOPS,
    LINE,
    TABLE,
];

/// What one slice shows of one thing.
struct Finding {
    about: &'static str,
    judgement: Judgement,
    text: String,
}

impl Finding {
    fn of(about: &'static str, agrees: bool, text: String) -> Self {
        let judgement = if agrees {
            Judgement::Ok
        } else {
            Judgement::Contradicts
        };
        Self {
            about,
            judgement,
            text,
        }
    }

    const fn unknown(about: &'static str, text: String) -> Self {
        Self {
            about,
            judgement: Judgement::Unknown,
            text,
        }
    }
}

/// Judges every measured slice of an arm, discarded rounds included: an arm that was something else for one
/// slice can't be trusted for the others.
pub(crate) fn summarise(
    run: &RunRecord,
    arm: &Arm,
    observations: &Observations<'_>,
) -> EvidenceSummary {
    let mut totals = Totals::default();
    let mut findings: Vec<(Finding, String)> = Vec::new();
    for workload in &run.plan.workloads {
        for (round, observation) in observations.rounds(&workload.name, &arm.name) {
            totals.add(observation);
            let place = format!("{} in round {}", workload.name, round.round);
            let found = judge(run, arm, workload, observation);
            findings.extend(found.into_iter().map(|finding| (finding, place.clone())));
        }
    }
    let checks: Vec<Check> = ABOUT
        .into_iter()
        .filter_map(|about| check(about, &findings, &totals, arm.datapath.wire))
        .chain(totals.balance.check(arm))
        .collect();
    let translation = checks
        .iter()
        .find(|check| check.about == CONNECTION)
        .map_or("not looked at", |check| &check.text);
    EvidenceSummary {
        judgement: checks
            .iter()
            .map(|check| check.judgement)
            .max()
            .unwrap_or(Judgement::Unknown),
        translation: translation.to_owned(),
        checks,
        slices: totals.slices,
        requests: totals.requests,
        encapsulated_packets: totals.encapsulated,
        rule_packets: totals.rules,
        socket_translations: totals.socket,
        packet_translations: totals.packets.map(|packets| packets.forward),
        endpoints: totals.balance.endpoints(),
    }
}

/// Sums up one thing over all slices. A contradiction in any of them counts; otherwise what could be told does,
/// and slices that tell nothing are mentioned.
fn check(
    about: &'static str,
    findings: &[(Finding, String)],
    totals: &Totals,
    wire: Wire,
) -> Option<Check> {
    let all: Vec<_> = findings
        .iter()
        .filter(|(finding, _)| finding.about == about)
        .collect();
    let of = |judgement: Judgement| {
        let mut found = all
            .iter()
            .filter(move |(finding, _)| finding.judgement == judgement);
        let count = found.clone().count();
        found.next().map(|(finding, place)| (finding, place, count))
    };
    let told = |(finding, place, count): (&Finding, &String, usize)| {
        format!(
            "{} ({place}; {count} of {} slices)",
            finding.text,
            all.len()
        )
    };
    let (judgement, text) = if let Some(contradiction) = of(Judgement::Contradicts) {
        (Judgement::Contradicts, told(contradiction))
    } else if let Some((finding, ..)) = of(Judgement::Ok) {
        let text = totals.agreement(finding, wire);
        let text = match of(Judgement::Unknown) {
            Some(unknown) => format!("{text}; but: {}", told(unknown)),
            None => text,
        };
        (Judgement::Ok, text)
    } else {
        (Judgement::Unknown, told(of(Judgement::Unknown)?))
    };
    Some(Check {
        about: about.to_owned(),
        judgement,
        text,
    })
}

/// What the datapath counted over all slices of an arm.
#[derive(Default)]
struct Totals {
    slices: u32,
    requests: u64,
    encapsulated: Option<u64>,
    rules: Option<u64>,
    socket: Option<u64>,
    packets: Option<PacketTranslations>,
    balance: Balance,
    carried: u64,
    passed: u64,
    outside: Option<Seen>,
    /// How many clients sent at once, and how far apart they began at most.
    together: Option<(usize, u64)>,
}

impl Totals {
    fn add(&mut self, observation: &Observation<'_>) {
        let counters = &observation.measured.evidence.counters;
        self.slices += 1;
        self.requests = self
            .requests
            .saturating_add(observation.measured.outcome.sent);
        if let Some(together) = &observation.measured.together {
            let before = self.together.map_or(0, |(_, skew_ns)| skew_ns);
            self.together = Some((together.replied.len(), together.skew_ns.max(before)));
        }
        let add = |total: &mut Option<u64>, count: Option<u64>| {
            if let Some(count) = count {
                *total = Some(total.unwrap_or(0).saturating_add(count));
            }
        };
        for program in &counters.programs {
            self.carried = self.carried.saturating_add(program.carried);
            self.passed = self.passed.saturating_add(program.passed);
        }
        if let Some(seen) = Seen::of(counters) {
            self.outside.get_or_insert_default().add(seen);
        }
        let counted = !counters.devices.is_empty();
        add(
            &mut self.encapsulated,
            counted.then(|| Encapsulated::of(counters, is_tunnel).all),
        );
        add(&mut self.rules, counters.service_rule_packets);
        add(&mut self.socket, counters.socket_lb_translations);
        if let Some(more) = counters.tc_lb {
            let packets = self.packets.get_or_insert_default();
            packets.forward = packets.forward.saturating_add(more.forward);
            packets.displaced = packets.displaced.saturating_add(more.displaced);
            packets.forgotten = packets.forgotten.saturating_add(more.forgotten);
        }
        self.balance.add(&observation.measured.server.answered);
    }

    fn agreement(&self, finding: &Finding, wire: Wire) -> String {
        let requests = words::count(self.requests);
        let counted = |count: Option<u64>| words::count(count.unwrap_or(0));
        match finding.about {
            ENCAPSULATION => format!(
                "{} packets over {} for {requests} requests",
                counted(self.encapsulated),
                tunnels(wire)
            ),
            RULES => format!(
                "{} packets met the service's rules for {requests} requests",
                counted(self.rules)
            ),
            SOCKET => format!(
                "{} translations at the socket for {requests} requests",
                counted(self.socket)
            ),
            PACKETS => self.translated(&requests),
            CLIENTS => self.together.map_or_else(
                || finding.text.clone(),
                |(clients, skew_ns)| together::told(clients, skew_ns),
            ),
            REPLIES => self
                .outside
                .map_or_else(|| finding.text.clone(), |seen| seen.words()),
            PODS if self.carried > 0 => format!(
                "{}; eBPF carried {} packets and left {} to the nodes' stack, for {requests} requests",
                finding.text,
                words::count(self.carried),
                words::count(self.passed)
            ),
            _ => finding.text.clone(),
        }
    }
}

impl Totals {
    fn translated(&self, requests: &str) -> String {
        let packets = self.packets.unwrap_or_default();
        let forward = words::count(packets.forward);
        let missed = if packets.displaced == 0 {
            String::new()
        } else {
            format!(
                "; {} entries of the full connection table gave way, {} packets of open connections missed theirs",
                words::count(packets.displaced),
                words::count(packets.forgotten)
            )
        };
        format!("{forward} packets translated one by one for {requests} requests{missed}")
    }
}

/// Judges one slice. A slice without a single reply proves nothing either way.
fn judge(
    run: &RunRecord,
    arm: &Arm,
    workload: &Workload,
    observation: &Observation<'_>,
) -> Vec<Finding> {
    let outcome = &observation.measured.outcome;
    let evidence = &observation.measured.evidence;
    let expected = Expected::of(workload, outcome);
    if expected.packets == 0 {
        let text = "no request was answered".to_owned();
        return vec![Finding::unknown(CONNECTION, text)];
    }
    if run.target != TargetKind::Lab {
        // Nothing was built, so that nothing is declared but the address: what lies between is not observable.
        // Of a cluster something may be declared, which its API tells about.
        let path = path(&evidence.counters, expected);
        let mut findings = vec![path, connection(Service::None, &evidence.translation)];
        let install = observation.slice.record.install;
        findings.extend(named::judge(run, arm, install));
        findings.extend(together::judge(arm, observation.measured));
        findings.extend(declared::judge(run, arm, install));
        return findings;
    }
    let service = arm.datapath.service;
    let mut findings = vec![match arm.datapath.place {
        Place::OtherNode => encapsulation(arm.datapath.wire, &evidence.counters, expected),
        Place::SameNode | Place::Hairpin => place(&arm.datapath, &evidence.counters, expected),
    }];
    findings.extend(pods::judge(&arm.datapath, &evidence.counters, expected));
    findings.extend(standing(arm.datapath.standing, &evidence.counters));
    findings.extend(shaped::table(&arm.datapath, workload, &evidence.counters));
    if let Some(outside) = arm.datapath.outside {
        let install = usize::try_from(observation.slice.record.install).ok();
        let install = install.and_then(|install| run.installs.get(install));
        let hops = install.and_then(|install| install.arms.get(&arm.name)?.hops.as_ref());
        let flow = outcome.flow.as_ref();
        findings.extend(outside::judge(outside, evidence, flow, hops, expected));
        return findings;
    }
    findings.extend(rules(
        service,
        evidence.counters.service_rule_packets,
        expected,
    ));
    findings.extend(socket(
        service,
        evidence.counters.socket_lb_translations,
        expected,
    ));
    findings.extend(packets(service, evidence.counters.tc_lb, expected));
    findings.push(match arm.datapath.pods {
        pods @ (Pods::Ebpf | Pods::Netkit) => pods::unseen(pods, &evidence.translation),
        Pods::Bridge | Pods::Routed | Pods::Host => {
            connection_of(&arm.datapath, &evidence.translation)
        }
    });
    findings.extend(shaped::line(
        &arm.datapath,
        &evidence.counters,
        expected.packets,
    ));
    findings
}

/// Judges whether the requests crossed the devices that the routes between two hosts name.
fn path(counters: &DatapathCounters, expected: Expected) -> Finding {
    let at = |node: &str, packets: fn(&DeviceCounters) -> u64| {
        let mut devices = counters.devices.iter().filter(|device| device.node == node);
        devices.next().map(packets)
    };
    let sent = at("a", |device| device.tx_packets);
    let received = at("b", |device| device.rx_packets);
    let Some(fewest) = sent.into_iter().chain(received).min() else {
        let text = "the devices of the path can't be told, or are loopback".to_owned();
        return Finding::unknown(PATH, text);
    };
    if fewest >= expected.packets {
        let text = "the requests crossed the devices of the path; what lies between them is not observable";
        return Finding::of(PATH, true, text.to_owned());
    }
    let text = format!(
        "only {} packets crossed the devices of the path where at least {} must",
        words::count(fewest),
        words::count(expected.packets)
    );
    Finding::of(PATH, false, text)
}

/// Rules see the first packet of each connection.
fn rules(service: Service, packets: Option<u64>, expected: Expected) -> Option<Finding> {
    let iptables = matches!(
        service,
        Service::IptablesLegacy | Service::IptablesNft | Service::Ipvs
    );
    if !iptables && (service != Service::Nftables || packets.is_none()) {
        return None;
    }
    let Some(packets) = packets else {
        let text = "the service's rules have no readable counters".to_owned();
        return Some(Finding::unknown(RULES, text));
    };
    let text = format!(
        "declared {service}, but only {} packets met the service's rules where at least {} connections \
         were made",
        words::count(packets),
        words::count(expected.connections)
    );
    Some(Finding::of(RULES, packets >= expected.connections, text))
}

fn socket(service: Service, translations: Option<u64>, expected: Expected) -> Option<Finding> {
    if service != Service::SocketLb {
        return None;
    }
    let Some(translations) = translations else {
        let text = "the translations at the socket could not be counted".to_owned();
        return Some(Finding::unknown(SOCKET, text));
    };
    let text = format!(
        "declared socket-lb, but only {} translations were made at the socket where at least {} \
         connections were made",
        words::count(translations),
        words::count(expected.connections)
    );
    Some(Finding::of(
        SOCKET,
        translations >= expected.connections,
        text,
    ))
}

/// Each packet of the client is translated by itself.
fn packets(
    service: Service,
    translations: Option<PacketTranslations>,
    expected: Expected,
) -> Option<Finding> {
    if service != Service::TcLb {
        return None;
    }
    let Some(translations) = translations else {
        let text = "the packets that were translated could not be counted".to_owned();
        return Some(Finding::unknown(PACKETS, text));
    };
    // The odd packet that a closed connection left behind is nobody's.
    if translations.forgotten > expected.stray() {
        let text = format!(
            "the connection table was full: {} packets of open connections met another endpoint, or none",
            words::count(translations.forgotten)
        );
        return Some(Finding::of(PACKETS, false, text));
    }
    let text = format!(
        "declared tc-lb, but only {} packets were translated where at least {} must",
        words::count(translations.forward),
        words::count(expected.packets)
    );
    Some(Finding::of(
        PACKETS,
        translations.forward >= expected.packets,
        text,
    ))
}

/// What is declared to stand on the nodes was there when the slice began.
fn standing(standing: Standing, counters: &DatapathCounters) -> Option<Finding> {
    let declared = u64::from(standing.connections);
    if declared == 0 {
        return None;
    }
    let Some(fewest) = counters
        .conntrack_entries
        .iter()
        .min_by_key(|node| node.entries)
    else {
        let text = "tracked connections could not be counted".to_owned();
        return Some(Finding::unknown(STANDING, text));
    };
    let agrees = fewest.entries >= declared;
    let declared = words::count(declared);
    let text = if agrees {
        format!("at least {declared} connections stood in each node's table")
    } else {
        format!(
            "declared {declared} standing connections, but node {} tracked {} as the slice began",
            fewest.node,
            words::count(fewest.entries)
        )
    };
    Some(Finding::of(STANDING, agrees, text))
}

/// Judges the connection of an arm. A pod that is connected to itself at its own socket stays inside: its node has
/// nothing to track.
fn connection_of(datapath: &Datapath, translation: &Translation) -> Finding {
    let inside = datapath.place == Place::Hairpin && datapath.service == Service::SocketLb;
    if inside && *translation == Translation::Untracked {
        let text = "connected to itself at the socket: the node never saw it";
        return Finding::of(CONNECTION, true, text.to_owned());
    }
    connection(datapath.service, translation)
}

fn connection(service: Service, translation: &Translation) -> Finding {
    let seen = match translation {
        Translation::Rewritten { endpoint } => format!("rewritten to {endpoint} by the node"),
        Translation::Untouched => "tracked by the node, nothing rewritten".to_owned(),
        Translation::AtTheSocket { endpoint } => {
            format!("connected to {endpoint} at the socket, nothing for the node to rewrite")
        }
        Translation::BeforeTheNode { endpoint } => {
            format!("rewritten to {endpoint} before the node saw it")
        }
        Translation::AtTheEntry { endpoint, .. } => {
            format!("rewritten to {endpoint} by a node that it entered from outside")
        }
        Translation::Untracked => {
            let text = "the node tracks no such connection".to_owned();
            return Finding::unknown(CONNECTION, text);
        }
        Translation::Unknown { reason } => {
            return Finding::unknown(CONNECTION, reason.clone());
        }
    };
    let agrees = match service {
        Service::None => *translation == Translation::Untouched,
        Service::IptablesLegacy | Service::IptablesNft | Service::Nftables | Service::Ipvs => {
            matches!(translation, Translation::Rewritten { .. })
        }
        Service::TcLb => matches!(translation, Translation::BeforeTheNode { .. }),
        Service::SocketLb => matches!(translation, Translation::AtTheSocket { .. }),
    };
    if agrees {
        return Finding::of(CONNECTION, true, seen);
    }
    let declared = match service {
        Service::None => "no service".to_owned(),
        service => service.to_string(),
    };
    let text = format!("declared {declared}, but the connection was {seen}");
    Finding::of(CONNECTION, false, text)
}
