//! What the hops of a path are, in the words of the field.

use std::collections::BTreeMap;

use tollgate_results::anatomy::{Event, Followed, HopKey, HopKind, Point, Site, SiteProgram, Way};

/// Kinds of devices that wrap packets into others.
const TUNNELS: [&str; 6] = ["vxlan", "geneve", "ipip", "gre", "wireguard", "tun"];

/// The kind of device at which programs send on what a pod sends, as it sends it.
const NETKIT: &str = "netkit";

/// A point of the path with what is known of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    point: Point,
    namespace: u32,
    place: String,
    is_node: bool,
    device: String,
    kind: String,
    programs: Vec<SiteProgram>,
}

/// A hop: what it is, what it is called, and which intervals between stops belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) key: HopKey,
    pub(super) words: String,
    /// Numbers of intervals: number n ends at stop n; the last one ends at the receiver.
    pub(super) intervals: Vec<usize>,
}

/// What hops are named by, besides their stops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming {
    pub(super) followed: Followed,
    pub(super) way: Way,
}

impl Stop {
    /// Finds an event's place among an arm's namespaces.
    pub(super) fn of(event: &Event, sites: &[Site]) -> Self {
        let site = sites.iter().find(|site| site.namespace == event.namespace);
        let devices = site.map_or(&[][..], |site| &site.devices);
        let device = devices.iter().find(|device| device.index == event.device);
        Self {
            point: event.point,
            namespace: event.namespace,
            place: site.map_or_else(|| "elsewhere".to_owned(), |site| site.place.clone()),
            is_node: site.is_some_and(|site| site.is_node),
            device: device.map_or_else(
                || format!("device {}", event.device),
                |device| device.name.clone(),
            ),
            kind: device.map_or_else(String::new, |device| device.kind.clone()),
            programs: device.map_or_else(Vec::new, |device| device.programs.clone()),
        }
    }

    fn is_tunnel(&self) -> bool {
        TUNNELS.contains(&self.kind.as_str())
    }

    const fn is_around(&self) -> bool {
        matches!(self.point, Point::Enter(_) | Point::Leave(_))
    }

    /// Names the programs that a packet meets behind this point, as its device takes it in.
    fn taken_in(&self) -> Option<String> {
        self.met(Point::Receive, false)
    }

    /// Names the programs that it met before this point, as its device is to send it.
    fn sent(&self) -> Option<String> {
        self.met(Point::Queue, true)
    }

    fn met(&self, at: Point, sends: bool) -> Option<String> {
        let programs = self.programs.iter();
        let names: Vec<&str> = programs
            .filter(|program| self.point == at && program.sends == sends)
            .map(|program| program.name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("eBPF {}", names.join(" and ")))
    }

    /// Whether a program sends the packet on from here, past the stack.
    fn redirects(&self) -> bool {
        let mut programs = self.programs.iter();
        self.point == Point::Receive && programs.any(|program| !program.sends && program.redirects)
    }

    /// Whether a device hands the packet over here, to a backlog or by polling.
    const fn is_handed_over(&self) -> bool {
        matches!(self.point, Point::NetifRx | Point::Gro)
    }
}

impl Naming {
    /// Names the hops of a path, in order. Intervals that a stamp of netfilter splits are one hop, but for the part
    /// between two such stamps.
    pub(super) fn hops(self, stops: &[Stop]) -> Vec<Named> {
        let mut hops: Vec<Named> = Vec::new();
        let mut places: BTreeMap<HopKey, usize> = BTreeMap::new();
        for (interval, (key, words)) in (0..=stops.len()).filter_map(|interval| {
            let named = self.interval(stops, interval)?;
            Some((interval, named))
        }) {
            let place = *places.entry(key.clone()).or_insert(hops.len());
            match hops.get_mut(place) {
                Some(hop) => hop.intervals.push(interval),
                None => hops.push(Named {
                    key,
                    words,
                    intervals: vec![interval],
                }),
            }
        }
        hops
    }

    /// Names one interval; `None` for one that a way doesn't have.
    fn interval(self, stops: &[Stop], interval: usize) -> Option<(HopKey, String)> {
        let before = interval.checked_sub(1).and_then(|index| stops.get(index));
        let (from, to) = match (before, stops.get(interval)) {
            (None, Some(_)) => return self.first(),
            (Some(_), None) => return Some(self.last()),
            (Some(from), Some(to)) => (from, to),
            (None, None) => return None,
        };
        if let (Point::Enter(hook), Point::Leave(left)) = (from.point, to.point)
            && hook == left
        {
            let words = format!("netfilter: {}", hook.as_str());
            return Some(named(HopKind::Netfilter(hook), &from.place, words));
        }
        let real = |stop: &&Stop| !stop.is_around();
        let from = stops[..interval].iter().rev().find(real).unwrap_or(from);
        let to = stops[interval..].iter().find(real).unwrap_or(to);
        Some(self.between(from, to))
    }

    /// The sender's part; a kernel that answers a handshake by itself has none.
    fn first(self) -> Option<(HopKey, String)> {
        let call = match (self.followed, self.way) {
            (Followed::TcpConnect, Way::Reply) => return None,
            (Followed::TcpConnect, Way::Request) => "connect call, TCP, IP".to_owned(),
            _ => format!("send call, {}, IP", self.transport()),
        };
        Some(named(HopKind::Send, self.sender(), call))
    }

    /// The receiver's part, after the last event.
    fn last(self) -> (HopKey, String) {
        let (kind, words) = match (self.followed, self.way) {
            (Followed::TcpConnect, Way::Request) => (HopKind::Answer, "IP, TCP, SYN-ACK, IP"),
            (Followed::TcpConnect, Way::Reply) => (HopKind::WakeUp, "IP, TCP, ACK, wake-up"),
            _ => (HopKind::WakeUp, "wake-up, switch, receive call"),
        };
        named(kind, self.receiver(), words.to_owned())
    }

    fn between(self, from: &Stop, to: &Stop) -> (HopKey, String) {
        let here = from.namespace == to.namespace;
        match (from.point, to.point) {
            (_, Point::DataReady) => {
                let transport = self.transport();
                let words = if here {
                    parts([
                        from.taken_in(),
                        Some(format!("IP, {transport}, to the socket")),
                    ])
                } else {
                    let redirect = format!("redirect into the pod, IP, {transport}");
                    parts([from.taken_in(), Some(redirect)])
                };
                named(HopKind::Deliver, self.receiver(), words)
            }
            (Point::Queue, Point::NetifRx | Point::Gro) if !here => {
                let words = match from.kind.as_str() {
                    _ if from.is_node && to.is_node => "wire",
                    NETKIT => "netkit pair",
                    _ => "veth pair",
                };
                let place = format!("{} → {}", from.place, to.place);
                named(HopKind::Link, &place, words.to_owned())
            }
            (Point::NetifRx | Point::Gro, Point::Receive) if here && to.is_tunnel() => {
                let words = format!("backlog of {}", to.device);
                named(HopKind::TunnelBacklog, &to.place, words)
            }
            (Point::NetifRx | Point::Gro, Point::Receive) if here => {
                named(HopKind::Backlog, &to.place, "backlog, softirq".to_owned())
            }
            (Point::Receive, Point::Receive) if here && to.kind == "bridge" => {
                let bridge = format!("into bridge {}, br_netfilter", to.device);
                let words = parts([from.taken_in(), Some(bridge)]);
                named(HopKind::BridgeIn, &to.place, words)
            }
            (Point::Receive, _) if here && to.is_handed_over() && to.is_tunnel() => {
                let outer = format!("outer receive, {} decapsulation", to.kind.to_uppercase());
                let words = parts([from.taken_in(), Some(outer)]);
                named(HopKind::Decapsulation, &to.place, words)
            }
            (Point::Receive, Point::Queue) if here => {
                named(HopKind::Forward, &to.place, forwarded(from, to))
            }
            // The node's end of the pair takes nothing in: what the pod sends meets the programs there before it has left.
            (Point::Queue, Point::Queue) if !here && from.kind == NETKIT => {
                let words = format!("netkit, eBPF redirect to {}", to.device);
                named(HopKind::Forward, &to.place, words)
            }
            (Point::Queue, Point::Queue) if here && from.is_tunnel() => {
                let outer = format!("{} encapsulation, outer output", from.kind.to_uppercase());
                let words = parts([Some(outer), to.sent()]);
                named(HopKind::Encapsulation, &to.place, words)
            }
            (Point::Queue, Point::Queue) if here && from.kind == "bridge" => {
                let bridge = format!("bridge {} to {}", from.device, to.device);
                let words = parts([Some(bridge), to.sent()]);
                named(HopKind::BridgeOut, &to.place, words)
            }
            _ => {
                let words = format!("{} to {} of {}", from.device, to.point.as_str(), to.device);
                named(HopKind::Other, &to.place, words)
            }
        }
    }

    const fn transport(self) -> &'static str {
        match self.followed {
            Followed::TcpRr | Followed::TcpConnect => "TCP",
            Followed::UdpRr => "UDP",
        }
    }

    const fn sender(self) -> &'static str {
        match self.way {
            Way::Request => "client",
            Way::Reply => "server",
        }
    }

    const fn receiver(self) -> &'static str {
        match self.way {
            Way::Request => "server",
            Way::Reply => "client",
        }
    }
}

fn named(kind: HopKind, place: &str, words: String) -> (HopKey, String) {
    let place = place.to_owned();
    (HopKey { kind, place }, words)
}

/// Says what sends a packet on within a place: eBPF by itself, or the stack with the programs that it meets there.
fn forwarded(from: &Stop, to: &Stop) -> String {
    let onward = format!("to {}", to.device);
    let taken_in = from.taken_in();
    if let Some(programs) = taken_in.as_ref().filter(|_| from.redirects()) {
        return format!("{programs}: redirect {onward}");
    }
    if from.is_node {
        let stack = Some("routing, netfilter".to_owned());
        parts([taken_in, stack, to.sent(), Some(onward)])
    } else {
        format!("bridged {onward}")
    }
}

fn parts<const N: usize>(parts: [Option<String>; N]) -> String {
    let told: Vec<String> = parts.into_iter().flatten().collect();
    told.join(", ")
}

/// Returns the places that a path leads through, each time that it comes there.
pub(super) fn places(stops: &[Stop]) -> Vec<String> {
    let mut places: Vec<String> = stops.iter().map(|stop| stop.place.clone()).collect();
    places.dedup();
    places
}
