//! `tollgate cluster`: what can be asked of a Kubernetes cluster.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use tollgate_results::units::{Share, UnitError};

use super::mesh::MeshArgs;

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Say what its network is, with the evidence: CNI, wire, service proxy, encryption …
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Say everything that stands against a run, at once: rights, namespace, quota, nodes
    #[command(after_help = "Example:\n  tollgate cluster check --namespace tollgate")]
    Check(CheckArgs),
    /// Remove what runs left behind in a namespace
    #[command(after_help = "Example:\n  tollgate cluster clean --namespace tollgate")]
    Clean(ClusterArgs),
    /// Say whether a weighted split of requests is what its weights declare
    #[command(after_help = SPLIT_EXAMPLES)]
    Split(SplitArgs),
    /// Write a folder as a tar archive to standard output: results out of a pod
    #[command(after_help = RESULTS_EXAMPLE)]
    Results(ResultsArgs),
    /// Measure every pair of nodes: outliers, zones, what doesn't answer
    #[command(after_help = super::mesh::EXAMPLES)]
    Mesh(Box<MeshArgs>),
}

const INSPECT_EXAMPLES: &str = "\
Asks the API server, and needs to list nodes, daemon sets, services and policies; what
may not be read is unknown. Or reads a dump: what kubectl prints as JSON or YAML, several
one after the other. No Secret is needed: leave them out.

Examples:
  tollgate cluster inspect
  tollgate cluster inspect --context staging --json

  kubectl get nodes,daemonsets,services,networkpolicies -A -o json > dump.json
  kubectl get configmaps,pods -n kube-system -o json >> dump.json
  tollgate cluster inspect --from dump.json

And where they are installed:
  kubectl get configmaps -n kube-flannel -o json >> dump.json
  kubectl get ippools,felixconfigurations,installations -A -o json >> dump.json
  kubectl get ciliumnetworkpolicies,gatewayclasses -A -o json >> dump.json";

const SPLIT_EXAMPLES: &str = "\
Each backend gets the exact binomial interval of its share. Nothing is sent again until it
fits. Requests over one kept connection often stay with one backend: give one file for each
connection, and they count for what they are worth.

Example:
  tollgate-probe http http://GATEWAY/ --connections new --duration 30s --json > new.json
  tollgate cluster split --weight stable=90 --weight canary=10 --from new.json";

const RESULTS_EXAMPLE: &str = "\
Runs in the pod of a runner that stays for a while after its campaign (`tollgate run --hold`).

Example:
  kubectl -n tollgate exec job/tollgate-runner -- \\
    /tollgate cluster results > results.tar";

/// Which cluster, and where in it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "With a cluster")]
pub struct ClusterArgs {
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
    /// Nodes of client and server [default: any two]
    #[arg(long, value_name = "CLIENT,SERVER")]
    pub nodes: Option<NodePair>,
    /// Probes in the nodes' own network too: the floor. The namespace has to admit them
    #[arg(long)]
    pub host_network: bool,
    /// A service of type `LoadBalancer` too, where the cluster has a controller for them; it may cost money
    #[arg(long)]
    pub load_balancer: bool,
    /// A machine outside the cluster too: a joined one, whose address the pods can reach
    #[arg(long, value_name = "HOST")]
    pub external: Option<String>,
    /// Class of the gateway, for scenarios with a `[split]` [default: the only one]
    #[arg(long, value_name = "NAME", value_parser = class)]
    pub gateway_class: Option<String>,
}

/// Two nodes by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePair {
    client: String,
    server: String,
}

impl From<NodePair> for (String, String) {
    fn from(pair: NodePair) -> Self {
        (pair.client, pair.server)
    }
}

impl From<(String, String)> for NodePair {
    fn from((client, server): (String, String)) -> Self {
        Self { client, server }
    }
}

impl FromStr for NodePair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(',') {
            Some((client, server)) if client == server => Err(
                "client and server are one node; paths on one node are measured anyway".to_owned(),
            ),
            Some((client, server)) if !client.is_empty() && !server.is_empty() => Ok(Self {
                client: client.to_owned(),
                server: server.to_owned(),
            }),
            _ => Err("write CLIENT,SERVER, for example node1,node2".to_owned()),
        }
    }
}

/// Checks the name of a class: letters, digits, `-` and `.`, as in DNS.
fn class(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if (1..=253).contains(&text.len()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err("a class has 1 to 253 lower-case letters, digits, `-` and `.`".to_owned())
}

/// Checks a namespace's name: it stands in paths of the API.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if (1..=63).contains(&text.len()) && text.chars().all(good) && ends {
        return Ok(text.to_owned());
    }
    Err(
        "a namespace has 1 to 63 lower-case letters, digits and `-`, and no `-` at its ends"
            .to_owned(),
    )
}

/// `tollgate cluster inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A dump of the cluster's objects; `-` for standard input [default: ask the API server]
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one, else the pod's own cluster]
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub context: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `tollgate cluster check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `tollgate cluster results`.
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// The folder
    #[arg(value_name = "DIR", default_value = "/results")]
    pub dir: PathBuf,
}

/// `tollgate cluster split`.
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// A backend and its weight; may be given more than once
    #[arg(long = "weight", value_name = "NAME=WEIGHT", required = true)]
    pub weights: Vec<Weight>,
    /// What `tollgate-probe http … --json` printed; `-` for standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub from: Vec<PathBuf>,
    /// How far a share may be off unseen
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub tolerance: Share,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn share(text: &str) -> Result<Share, String> {
    text.parse().map_err(|error: UnitError| error.to_string())
}

/// A backend's name and weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// What its responses call themselves.
    pub name: String,
    /// Its weight.
    pub weight: u64,
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "write NAME=WEIGHT, for example stable=90";
        let (name, weight) = text.split_once('=').ok_or(hint)?;
        let weight = weight.parse().map_err(|_| hint)?;
        if name.is_empty() {
            return Err(hint.to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            weight,
        })
    }
}

#[cfg(test)]
impl ClusterArgs {
    /// Returns what is meant where nothing is said.
    pub(crate) fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Nothing {
            #[command(flatten)]
            args: ClusterArgs,
        }
        <Nothing as clap::Parser>::parse_from(["tollgate"]).args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_weights_are_read_and_bad_ones_say_how() {
        let pair: NodePair = "node1,node2".parse().unwrap();
        assert_eq!(
            <(String, String)>::from(pair),
            ("node1".to_owned(), "node2".to_owned())
        );
        for bad in ["", "node1", "node1,", ",node2", "node1,node1"] {
            assert!(bad.parse::<NodePair>().is_err(), "{bad}");
        }
        assert_eq!("stable=90".parse::<Weight>().unwrap().weight, 90);
        for bad in ["stable", "stable=", "=9", "stable=-1", "stable=x"] {
            assert!(
                bad.parse::<Weight>().unwrap_err().contains("stable=90"),
                "{bad}"
            );
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a?b", &"x".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}
