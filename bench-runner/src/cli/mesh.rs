//! What can be typed behind `tollgate cluster mesh`.

use std::path::PathBuf;

use clap::Args;
use tollgate_results::arm::Name;
use tollgate_results::units::{Nanoseconds, Share};

use super::anatomy::between;
use super::cluster::namespace;
use super::{ClusterArgs, margin};
use crate::progress::Style;

pub(super) const EXAMPLES: &str = "\
Puts a probe on every node that takes one, and measures every pair: N nodes need
N-1 rounds, in which each is in one pair at a time. Says which nodes are slower
than the others of their zone, what crossing zones costs, and what didn't answer.
Ten nodes or more need one pass; with fewer, give --passes 10.

Examples:
  tollgate cluster mesh
  tollgate cluster mesh --passes 10 --both-ways --node node1,node2,node3
  tollgate cluster mesh my.toml --workload rr --at-once 50 --out meshes/before
  tollgate cluster mesh --resume meshes/before
  tollgate cluster mesh --from meshes/before --json";

/// `tollgate cluster mesh`.
#[derive(Debug, Args)]
pub struct MeshArgs {
    /// The scenario of which a workload is measured: a shipped one's name, or a file
    #[arg(value_name = "NAME|FILE", default_value = "quickstart")]
    pub scenario: String,
    /// The workload: tcp-rr, tcp-crr or udp-rr, in closed loop [default: the scenario's first]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<Name>,
    /// Only these nodes; may be given more than once [default: all that take pods]
    #[arg(long = "node", value_name = "NODE", value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// How often every pair meets: 1 to 100
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub passes: u32,
    /// Let each of the two send when a pair meets; else they take turns from pass to pass
    #[arg(long)]
    pub both_ways: bool,
    /// Pairs that meet at the same time: 1 to 500 [default: 100; 1 where nodes share a machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub at_once: Option<u32>,
    /// Measured length of a meeting, with a unit: 10ms to 1m [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = slice)]
    pub slice: Option<Nanoseconds>,
    /// Traffic before it, with a unit: up to 10s [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = warmup)]
    pub warmup: Option<Nanoseconds>,
    /// Source of the order in which nodes meet; without it one is drawn and recorded
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Differences below this are of no interest: 0.1% to 50%
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = margin)]
    pub margin: Share,
    /// Context of the kubeconfig [default: the current one, else the pod's own cluster]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the probes; it has to be there
    #[arg(long, value_name = "NAME", default_value = "tollgate", value_parser = namespace)]
    pub namespace: String,
    /// Image of the probes [default: tollgate-probe of this version]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Secret with which the image is pulled; may be given more than once
    #[arg(long = "pull-secret", value_name = "NAME")]
    pub pull_secrets: Vec<String>,
    /// Put the probes into the nodes' own network: the floor. The namespace has to admit them
    #[arg(long)]
    pub host_network: bool,
    /// Folder of the mesh [default: meshes/NAME-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted mesh
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "workload", "nodes", "passes", "both_ways", "at_once", "slice", "warmup", "seed", "margin", "context", "namespace", "image", "pull_secrets", "host_network", "out", "from"])]
    pub resume: Option<PathBuf>,
    /// Measure nothing: report on a mesh's folder again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "workload", "nodes", "passes", "both_ways", "at_once", "slice", "warmup", "seed", "margin", "context", "namespace", "image", "pull_secrets", "host_network", "out"])]
    pub from: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// How progress is shown, on standard error
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,
}

impl MeshArgs {
    /// Returns the cluster that is meant.
    #[must_use]
    pub fn cluster(&self) -> ClusterArgs {
        ClusterArgs {
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            image: self.image.clone(),
            pull_secrets: self.pull_secrets.clone(),
            nodes: None,
            host_network: self.host_network,
            load_balancer: false,
            external: None,
            gateway_class: None,
        }
    }
}

fn slice(text: &str) -> Result<Nanoseconds, String> {
    between(text, Nanoseconds(10_000_000), Nanoseconds(60_000_000_000))
}

fn warmup(text: &str) -> Result<Nanoseconds, String> {
    between(text, Nanoseconds(0), Nanoseconds(10_000_000_000))
}
