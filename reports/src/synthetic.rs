//! Synthetic campaigns in memory: seeded, whole, and as noisy as a small machine, for tests of analysis and renderers.
//!
//! Latencies are log-normal with a heavy tail, over a drift that all arms of a round share and a noise of
//! their own for each slice. What every arm *declares* and what *carries* its packets are apart, so that
//! a test can break an arm on purpose.

mod counters;
mod mesh;
mod outside;
mod traffic;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use tollgate_results::arm::{Arm, Datapath, Name, Service, Services, SweepPoint, Wire};
use tollgate_results::change::Change;
use tollgate_results::facts::{ArmFacts, Facts};
use tollgate_results::outcome::{Flow, Protocol};
use tollgate_results::plan::{Plan, Rounds};
use tollgate_results::run::{Campaign, Install, RunRecord, TargetKind};
use tollgate_results::slice::{Measured, Pinned, Slice, SliceKey, SliceRecord, SliceResult};
use tollgate_results::stream::TcpOptions;
use tollgate_results::units::{Bytes, Nanoseconds, Rate, Share};
use tollgate_results::workload::{
    Close, Connections, Cpu, Http, Load, OpenLoad, Traffic, Workload,
};

pub use self::mesh::SyntheticMesh;

/// A campaign to make.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Scenario's name.
    pub scenario: &'static str,
    /// Source of everything random.
    pub seed: u64,
    /// Rounds after round 0.
    pub rounds: u32,
    /// Standard deviation of a slice's own noise.
    pub noise: f64,
    /// The arms; the first is the reference of those that name none.
    pub arms: Vec<SyntheticArm>,
    /// The workloads; every arm runs all.
    pub workloads: Vec<Workload>,
}

/// One arm of a synthetic campaign.
#[derive(Debug, Clone)]
pub struct SyntheticArm {
    /// What the arm declares.
    pub arm: Arm,
    /// What really carries its packets.
    pub carried: Datapath,
    /// Factor on every latency.
    pub per_packet: f64,
    /// Time on top for each new connection, in nanoseconds.
    pub per_connection_ns: f64,
}

impl Synthetic {
    /// Makes the shipped `quickstart`: native, vxlan, iptables-legacy and socket-lb with 1,000 services.
    #[must_use]
    pub fn quickstart() -> Self {
        let services = |service| datapath(Wire::Native, service, Some(1_000));
        let mut socket = arm("socket-lb", services(Service::SocketLb), 1.0, 1_500.0);
        socket.arm.reference = Some(name("iptables-legacy"));
        Self {
            scenario: "quickstart",
            seed: 7,
            rounds: 10,
            noise: 0.015,
            arms: vec![
                native(),
                vxlan(),
                arm(
                    "iptables-legacy",
                    services(Service::IptablesLegacy),
                    1.02,
                    9_000.0,
                ),
                socket,
            ],
            workloads: vec![rr(), crr(), http()],
        }
        .referenced()
    }

    /// Makes native against vxlan on tcp-rr alone.
    #[must_use]
    pub fn overlay() -> Self {
        Self {
            scenario: "overlay",
            arms: vec![native(), vxlan()],
            workloads: vec![rr()],
            ..Self::quickstart()
        }
        .referenced()
    }

    /// Makes a sweep over services for iptables-legacy, which grows, and nftables, which does not.
    #[must_use]
    pub fn scaling() -> Self {
        let mut arms = vec![native()];
        for (series, service, per_thousand) in [
            ("iptables-legacy", Service::IptablesLegacy, 9_000.0),
            ("nftables", Service::Nftables, 0.0),
        ] {
            for level in [1_u32, 10, 100, 1_000, 3_000, 10_000] {
                let per_connection = 2_000.0 + per_thousand * f64::from(level) / 1e3;
                let declared = datapath(Wire::Native, service, Some(level));
                let mut arm = arm(&format!("{series}@{level}"), declared, 1.0, per_connection);
                arm.arm.sweep = Some(SweepPoint {
                    series: name(series),
                    level: u64::from(level),
                });
                arms.push(arm);
            }
        }
        Self {
            scenario: "scaling",
            arms,
            workloads: vec![crr(), rr()],
            ..Self::quickstart()
        }
        .referenced()
    }

    /// Makes a wide campaign, for benches: this many arms, each a little slower than the one before.
    #[must_use]
    pub fn wide(arms: u32, rounds: u32) -> Self {
        let later = (1..arms).map(|index| {
            let slowdown = 1.0 + 0.02 * f64::from(index);
            let declared = datapath(Wire::Vxlan, Service::None, None);
            arm(&format!("arm-{index}"), declared, slowdown, 0.0)
        });
        Self {
            scenario: "wide",
            rounds,
            arms: std::iter::once(native()).chain(later).collect(),
            workloads: vec![rr(), crr()],
            ..Self::quickstart()
        }
        .referenced()
    }

    /// Makes the campaign.
    ///
    /// # Panics
    ///
    /// When there is no arm.
    #[must_use]
    pub fn campaign(&self) -> Campaign {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut slices = Vec::new();
        let mut drift = 0.0;
        for round in 0..=self.rounds {
            // An environment that remembers: every arm of a round shares it.
            drift = 0.7 * drift + 0.04 * traffic::normal(&mut rng);
            for workload in &self.workloads {
                let mut order: Vec<&SyntheticArm> = self.arms.iter().collect();
                order.shuffle(&mut rng);
                for (position, arm) in (0..).zip(order) {
                    let own = self.noise * traffic::normal(&mut rng);
                    let factor = f64::exp(drift + own);
                    let place = Place {
                        round,
                        position,
                        index: slices.len(),
                    };
                    slices.push(slice(&mut rng, workload, arm, factor, &place));
                }
            }
        }
        Campaign {
            run: self.run_record(),
            slices,
        }
    }

    /// Gives every arm that names no reference the first arm, and all workloads to all arms.
    #[must_use]
    pub fn referenced(mut self) -> Self {
        let first = self.arms[0].arm.name.clone();
        let names: Vec<Name> = self.workloads.iter().map(|w| w.name.clone()).collect();
        for arm in &mut self.arms {
            arm.arm.workloads.clone_from(&names);
            if arm.arm.name != first && arm.arm.reference.is_none() {
                arm.arm.reference = Some(first.clone());
            }
        }
        self
    }

    fn run_record(&self) -> RunRecord {
        let facts = |arm: &SyntheticArm| {
            let services = arm.arm.datapath.services;
            ArmFacts {
                pod_mtu: Some(match arm.arm.datapath.wire {
                    Wire::Vxlan | Wire::VxlanEbpf => 1_450,
                    _ => 1_500,
                }),
                wire_mtu: Some(1_500),
                deploy_ns: 60_000_000,
                programming_ns: services.map(|s| 4_000_000 + 90_000 * u64::from(s.count)),
                programmed: services.map(|s| 4 * u64::from(s.count)),
                hops: arm.carried.outside.map(outside::hops),
                ..ArmFacts::default()
            }
        };
        let arms = self
            .arms
            .iter()
            .map(|arm| (arm.arm.name.clone(), facts(arm)));
        RunRecord {
            schema: tollgate_results::RECORD_SCHEMA,
            version: "0.1.0".to_owned(),
            target: TargetKind::Lab,
            started_unix_ms: START_MS,
            plan: self.plan(),
            facts: machine(),
            hosts: None,
            cluster: None,
            installs: vec![Install {
                started_unix_ms: START_MS,
                first_round: 0,
                order: self.arms.iter().map(|arm| arm.arm.name.clone()).collect(),
                arms: arms.collect(),
                reason: None,
            }],
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            scenario: name(self.scenario),
            about: "What each path costs against the plain route between two nodes".to_owned(),
            scenario_hash: "0".repeat(64),
            seed: self.seed,
            rounds: Rounds {
                count: self.rounds,
                slice: Nanoseconds(1_000_000_000),
                warmup: Nanoseconds(200_000_000),
                margin: Share(0.05),
                installs: 1,
            },
            reference: self.arms[0].arm.name.clone(),
            arms: self.arms.iter().map(|arm| arm.arm.clone()).collect(),
            workloads: self.workloads.clone(),
            skipped: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// Returns what was measured in a slice, for a test to change; `None` for a failed one.
pub fn measured_mut(slice: &mut Slice) -> Option<&mut Measured> {
    match &mut slice.record.result {
        SliceResult::Measured(measured) => Some(measured),
        SliceResult::Failed { .. } => None,
    }
}

/// Makes a name from text that is one.
///
/// # Panics
///
/// When it isn't.
#[must_use]
pub fn name(text: &str) -> Name {
    text.parse().expect("test names are valid")
}

/// Start of every synthetic campaign, in milliseconds since 1970.
const START_MS: u64 = 1_790_000_000_000;

/// Where a slice stands.
struct Place {
    round: u32,
    position: u32,
    index: usize,
}

fn native() -> SyntheticArm {
    let declared = datapath(Wire::Native, Service::None, None);
    arm("native", declared, 1.0, 0.0)
}

fn vxlan() -> SyntheticArm {
    let declared = datapath(Wire::Vxlan, Service::None, None);
    arm("vxlan", declared, 1.25, 4_000.0)
}

fn arm(text: &str, declared: Datapath, per_packet: f64, per_connection_ns: f64) -> SyntheticArm {
    SyntheticArm {
        arm: Arm {
            name: name(text),
            reference: None,
            datapath: declared.clone(),
            workloads: Vec::new(),
            sweep: None,
            change: Change::default(),
        },
        carried: declared,
        per_packet,
        per_connection_ns,
    }
}

/// Makes a datapath with bridged pods.
#[must_use]
pub fn datapath(wire: Wire, service: Service, count: Option<u32>) -> Datapath {
    Datapath {
        wire,
        service,
        services: count.map(|count| Services {
            count,
            ..Services::default()
        }),
        ..Datapath::default()
    }
}

fn rr() -> Workload {
    workload("tcp-rr", Traffic::TcpRr { payload: Bytes(64) })
}

fn crr() -> Workload {
    let traffic = Traffic::TcpCrr {
        payload: Bytes(64),
        close: Close::Rst,
    };
    workload("tcp-crr", traffic)
}

fn http() -> Workload {
    let http = Http::new(Connections::Kept, Bytes(1_024));
    workload("http", Traffic::Http(http))
}

/// Makes requests on a schedule of 10,000/s.
#[must_use]
pub fn open() -> Workload {
    Workload {
        load: Load::Open(OpenLoad::new(Rate(10_000))),
        ..workload("open-rr", Traffic::TcpRr { payload: Bytes(64) })
    }
}

/// Makes a bulk stream.
#[must_use]
pub fn stream() -> Workload {
    let traffic = Traffic::TcpStream {
        flows: 1,
        payload: Bytes(131_072),
        options: TcpOptions::default(),
    };
    workload("tcp-stream", traffic)
}

fn workload(text: &str, traffic: Traffic) -> Workload {
    Workload {
        name: name(text),
        traffic,
        load: Load::Closed,
        timestamps: false,
        ports: None,
        cpu: Cpu::Shared,
        beside: None,
    }
}

fn machine() -> Facts {
    Facts {
        kernel: "6.18.0".to_owned(),
        cpu_model: "Synthetic CPU".to_owned(),
        cpus: 2,
        memory_mib: 4_096,
        clocksource: Some("tsc".to_owned()),
        hypervisor: Some("kvm".to_owned()),
        exact_irq_time: Some(true),
        cpu_time_resolution_ns: 1_000_000,
        ..Facts::default()
    }
}

fn slice(
    rng: &mut ChaCha8Rng,
    workload: &Workload,
    arm: &SyntheticArm,
    factor: f64,
    place: &Place,
) -> Slice {
    let (histograms, outcome) = traffic::measure(rng, workload, arm, factor);
    let measured = Measured {
        client: counters::end(rng, &outcome, true),
        server: counters::end(rng, &outcome, false),
        evidence: counters::evidence(&arm.carried, &workload.traffic, &outcome),
        outcome,
        pinned: pinned(workload.cpu),
        together: None,
    };
    Slice {
        record: SliceRecord {
            key: SliceKey {
                round: place.round,
                workload: workload.name.clone(),
                arm: arm.arm.name.clone(),
            },
            install: 0,
            position: place.position,
            started_unix_ms: START_MS + 1_300 * place.index as u64,
            control_ns: None,
            result: SliceResult::Measured(Box::new(measured)),
        },
        histograms,
    }
}

/// CPU 0 carries the traffic.
fn pinned(cpu: Cpu) -> Pinned {
    let (client, server) = match cpu {
        Cpu::Shared => (Some(0), Some(0)),
        Cpu::Split => (Some(0), Some(1)),
        Cpu::Free => (None, None),
    };
    Pinned { client, server }
}

fn flow(port: u16) -> Flow {
    Flow {
        protocol: Protocol::Tcp,
        local: address(1, port),
        remote: address(2, 8_080),
        incoming_cpu: None,
    }
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 244, 1, host), port))
}
