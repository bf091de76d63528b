//! Synthetic meshes: nodes in zones, with planted outliers, pairs that fail, and noise that isn't Gaussian.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::mesh::{Meeting, MeshCluster, MeshNode, MeshRecord, Met, Times};
use tollgate_results::units::{Bytes, Nanoseconds, Share};
use tollgate_results::workload::{Cpu, Load, Traffic, Workload};

/// A mesh to make.
#[derive(Debug, Clone)]
pub struct SyntheticMesh {
    /// Nodes.
    pub nodes: u32,
    /// Zones, among which the nodes take turns; 1 is none.
    pub zones: u32,
    /// Passes over all pairs.
    pub passes: u32,
    /// Whether each of two nodes sends when they meet.
    pub both_ways: bool,
    /// Source of everything random.
    pub seed: u64,
    /// Standard deviation of a meeting's own noise, of its logarithm; one of twenty has three times as much, upwards.
    pub noise: f64,
    /// Standard deviation between nodes.
    pub between: f64,
    /// What crossing zones costs: 0.3 is 30 %.
    pub crossing: f64,
    /// Slow nodes: place, and how much.
    pub slow: Vec<(u32, f64)>,
    /// Nodes that are slow as senders alone: place, and how much.
    pub slow_senders: Vec<(u32, f64)>,
    /// Nodes whose probe never answers.
    pub gone: Vec<u32>,
    /// Pairs whose meetings fail.
    pub cut: Vec<(u32, u32)>,
}

impl SyntheticMesh {
    /// Makes one pass over equal nodes in one zone, with 2 % of noise.
    #[must_use]
    pub const fn plain(nodes: u32, seed: u64) -> Self {
        Self {
            nodes,
            zones: 1,
            passes: 1,
            both_ways: false,
            seed,
            noise: 0.02,
            between: 0.0,
            crossing: 0.0,
            slow: Vec::new(),
            slow_senders: Vec::new(),
            gone: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// Returns the record.
    ///
    /// # Panics
    ///
    /// Never: the names are valid.
    #[must_use]
    pub fn record(&self) -> MeshRecord {
        let node = |place: u32| MeshNode {
            name: format!("node-{place:03}"),
            zone: (self.zones > 1).then(|| format!("zone-{}", place % self.zones)),
            kernel: Some("6.12.0".to_owned()),
        };
        MeshRecord {
            schema: RECORD_SCHEMA,
            version: "0.1.0".to_owned(),
            started_unix_ms: 1_795_000_000_000,
            cluster: MeshCluster {
                context: None,
                server: "https://192.0.2.1:6443".to_owned(),
                namespace: "tollgate".to_owned(),
                image: "tollgate-probe:0.1.0".to_owned(),
                pull_secrets: Vec::new(),
                host_network: false,
                network: ClusterFacts::default(),
            },
            nodes: (0..self.nodes).map(node).collect(),
            skipped: Vec::new(),
            machines: self.nodes,
            scenario: "quickstart".parse().expect("a valid name"),
            workload: Workload {
                name: "tcp-rr".parse().expect("a valid name"),
                traffic: Traffic::TcpRr { payload: Bytes(64) },
                load: Load::Closed,
                timestamps: false,
                ports: None,
                cpu: Cpu::Free,
                beside: None,
            },
            slice: Nanoseconds(1_000_000_000),
            warmup: Nanoseconds(200_000_000),
            seed: self.seed,
            passes: self.passes,
            both_ways: self.both_ways,
            at_once: 100,
            margin: Share(0.05),
            installs: 1,
        }
    }

    /// Returns the meetings, pass by pass.
    #[must_use]
    pub fn meetings(&self) -> Vec<Meeting> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut own: Vec<f64> = (0..self.nodes)
            .map(|_| self.between * normal(&mut random))
            .collect();
        for (node, slow) in &self.slow {
            own[*node as usize] += slow.ln_1p();
        }
        let mut meetings = Vec::new();
        for pass in 0..self.passes {
            for one in 0..self.nodes {
                for other in one + 1..self.nodes {
                    let turned = (one + other + pass) % 2 == 1;
                    let first = if turned { (other, one) } else { (one, other) };
                    let second = self.both_ways.then_some((first.1, first.0));
                    for (client, server) in [Some(first), second].into_iter().flatten() {
                        let added = own[client as usize] + own[server as usize];
                        let outcome = self.outcome((client, server), added, &mut random);
                        meetings.push(Meeting {
                            pass,
                            round: 0,
                            client,
                            server,
                            started_unix_ms: 1_795_000_000_000,
                            outcome,
                        });
                    }
                }
            }
        }
        meetings
    }

    fn outcome(&self, (client, server): (u32, u32), added: f64, random: &mut ChaCha8Rng) -> Met {
        if let Some(node) = [client, server]
            .into_iter()
            .find(|it| self.gone.contains(it))
        {
            return Met::Failed {
                reason: format!("the probe on node-{node:03} doesn't answer"),
                node: Some(node),
            };
        }
        if self.cut.contains(&(client, server)) || self.cut.contains(&(server, client)) {
            return Met::Failed {
                reason: "connection timed out".to_owned(),
                node: None,
            };
        }
        let mut ln = 100_000_f64.ln() + added + self.noise * normal(random);
        if random.random::<f64>() < 0.05 {
            ln += 3.0 * self.noise * normal(random).abs();
        }
        if client % self.zones != server % self.zones {
            ln += self.crossing.ln_1p();
        }
        for (node, slow) in &self.slow_senders {
            if *node == client {
                ln += slow.ln_1p();
            }
        }
        let ns = whole(ln.exp());
        Met::Measured(Times {
            sent: 9_000,
            lost: 0,
            min_ns: Some(ns / 2),
            p50_ns: Some(ns),
            p90_ns: Some(ns * 3 / 2),
            p99_ns: Some(ns * 3),
        })
    }
}

/// A standard normal variate by Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up latencies are positive and far below 2^63"
)]
fn whole(ns: f64) -> u64 {
    ns as u64
}
