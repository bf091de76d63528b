//! Counters and evidence of a synthetic slice.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tollgate_results::arm::{Datapath, Place, Pods, Service, Wire};
use tollgate_results::counters::{Counters, CpuCounters, Pressure, ThreadCounters};
use tollgate_results::evidence::{
    ConntrackEntries, DatapathCounters, DeviceCounters, Evidence, PacketTranslations,
    ProgramCounters, Translation,
};
use tollgate_results::outcome::Outcome;
use tollgate_results::workload::{Close, Connections, Http, Traffic};

use super::{address, outside};

/// Counters of one end; the kernel's own stand at the client's.
pub(super) fn end(rng: &mut ChaCha8Rng, outcome: &Outcome, client: bool) -> Counters {
    let window = outcome.window_ns;
    let wobble = |rng: &mut ChaCha8Rng, permille: u64| {
        window / 1_000 * rng.random_range(permille - permille / 20..=permille + permille / 20)
    };
    // Always one of both runs: each has about half of their CPU.
    let cpu_ns = window / 1_000 * rng.random_range(483..=492);
    let mut counters = Counters {
        at_ns: window,
        threads: Some(ThreadCounters {
            threads: 1,
            cpu_ns,
            run_queue_wait_ns: wobble(rng, 240),
            voluntary_switches: Some(outcome.sent),
            involuntary_switches: Some(12),
        }),
        time_wait: Some(0),
        ..Counters::default()
    };
    if client {
        let busy = [wobble(rng, 100), wobble(rng, 560), wobble(rng, 300)];
        let idle = [wobble(rng, 20), wobble(rng, 30), wobble(rng, 20)];
        counters.cpus = vec![cpu(0, window, busy), cpu(1, window, idle)];
        counters.context_switches = Some(outcome.sent * 2);
        counters.pressure = Some(Pressure {
            cpu_some_us: Some(wobble(rng, 300) / 1_000),
            memory_some_us: Some(0),
            io_some_us: Some(0),
        });
        counters.protocols = BTreeMap::from([("Tcp.RetransSegs".to_owned(), 0)]);
    }
    counters
}

fn cpu(cpu: u32, window: u64, [user, system, softirq]: [u64; 3]) -> CpuCounters {
    CpuCounters {
        cpu,
        user_ns: Some(user),
        system_ns: Some(system),
        irq_ns: Some(0),
        softirq_ns: Some(softirq),
        steal_ns: Some(0),
        idle_ns: Some(window.saturating_sub(user + system + softirq)),
        net_rx: Some(softirq / 5_000),
        net_tx: Some(10),
        softnet_processed: Some(softirq / 5_000),
        softnet_dropped: Some(0),
        softnet_squeezed: Some(0),
    }
}

/// Evidence of what really carried the packets.
pub(super) fn evidence(carried: &Datapath, traffic: &Traffic, outcome: &Outcome) -> Evidence {
    let packets = match traffic {
        Traffic::TcpStream { .. } | Traffic::UdpStream(_) => outcome.bytes_received / 60_000,
        _ => outcome.replied + outcome.replied / 5,
    };
    let connections = match traffic {
        Traffic::TcpCrr { .. }
        | Traffic::Http(Http {
            connections: Connections::New,
            ..
        }) => outcome.sent + outcome.sent / 5,
        _ => 1,
    };
    let endpoint = address(2, 8_080);
    let iptables = matches!(
        carried.service,
        Service::IptablesLegacy | Service::IptablesNft | Service::Ipvs
    );
    let tracked = match traffic {
        Traffic::TcpCrr {
            close: Close::Rst, ..
        } => 120,
        _ => 4,
    };
    let inside = Evidence {
        counters: DatapathCounters {
            devices: ["a", "b"]
                .into_iter()
                .flat_map(|node| devices(node, carried, packets))
                .collect(),
            service_rule_packets: iptables.then_some(connections),
            socket_lb_translations: (carried.service == Service::SocketLb).then_some(connections),
            tc_lb: (carried.service == Service::TcLb).then_some(PacketTranslations {
                forward: packets,
                back: packets,
                connections,
                displaced: 0,
                forgotten: 0,
            }),
            rule_generations: Vec::new(),
            programs: ["a", "b"]
                .into_iter()
                .flat_map(|node| programs(node, carried, packets))
                .collect(),
            conntrack_entries: ["a", "b"]
                .into_iter()
                .map(|node| ConntrackEntries {
                    node: node.to_owned(),
                    entries: tracked,
                })
                .collect(),
            ..DatapathCounters::default()
        },
        translation: match carried.service {
            _ if carried.pods.past_the_stack() => Translation::Untracked,
            Service::SocketLb if carried.place == Place::Hairpin => Translation::Untracked,
            Service::None => Translation::Untouched,
            Service::SocketLb => Translation::AtTheSocket { endpoint },
            Service::TcLb => Translation::BeforeTheNode { endpoint },
            Service::IptablesLegacy | Service::IptablesNft | Service::Nftables | Service::Ipvs => {
                Translation::Rewritten { endpoint }
            }
        },
    };
    match carried.outside {
        Some(outside) => outside::evidence(outside, packets, connections, inside),
        None => inside,
    }
}

fn devices(node: &str, carried: &Datapath, packets: u64) -> Vec<DeviceCounters> {
    let device = |device: &str, kind: &str, packets: u64| DeviceCounters {
        node: node.to_owned(),
        device: device.to_owned(),
        kind: kind.to_owned(),
        rx_packets: packets,
        tx_packets: packets,
        dropped: 0,
    };
    let far = carried.place == Place::OtherNode;
    let crossing = if far { packets } else { 0 };
    let mut devices = vec![device("eth0", "veth", crossing)];
    if carried.pods == Pods::Bridge {
        devices.push(device("cni0", "bridge", packets));
    }
    if carried.pods == Pods::Netkit {
        // What programs carry on from the pod's end is not counted at the node's.
        devices.push(device("netkit0", "netkit", 0));
    }
    if let Some(kind) = carried.wire.tunnels().first() {
        devices.push(device("tunnel", kind, crossing));
    }
    devices
}

fn programs(node: &str, carried: &Datapath, packets: u64) -> Vec<ProgramCounters> {
    let names: &[&str] = match (carried.pods, carried.wire) {
        (Pods::Ebpf | Pods::Netkit, Wire::VxlanEbpf) => &["from_pod_to_tunnel", "from_wire"],
        (Pods::Ebpf | Pods::Netkit, _) => &["from_pod", "from_wire"],
        (_, Wire::VxlanEbpf) => &["to_tunnel"],
        _ => &[],
    };
    // On one node nothing comes in by the wire, and the other node has no pods.
    let near = carried.place != Place::OtherNode;
    let idle = |program: &str| near && (node == "b" || program == "from_wire");
    let counters = names.iter().map(|program| ProgramCounters {
        node: node.to_owned(),
        program: (*program).to_owned(),
        carried: if idle(program) { 0 } else { packets },
        passed: 0,
    });
    counters.collect()
}
