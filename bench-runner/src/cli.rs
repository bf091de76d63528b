//! What can be typed. Parsing only: nothing here touches the machine.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use tollgate_reports::gate::OnInconclusive;
use tollgate_results::arm::Name;
use tollgate_results::units::{Nanoseconds, Share, UnitError};

use crate::progress::Style;

mod anatomy;
mod cluster;
mod lab;
mod mesh;

pub use anatomy::AnatomyArgs;
pub use cluster::{
    CheckArgs, ClusterArgs, ClusterCommand, InspectArgs, NodePair, ResultsArgs, SplitArgs, Weight,
};
pub use lab::{LabCommand, LabShowArgs, LabUpArgs, LineCheckArgs};
pub use mesh::MeshArgs;

/// Compares network datapaths and says how sure it is.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 80
)]
#[command(after_help = "Example: sudo tollgate run quickstart")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and report which arm is faster, by how much, how sure
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Make another machine known, by the line that its agent prints, on standard input
    #[command(after_help = JOIN_EXAMPLE)]
    Join(JoinArgs),
    /// Show what a scenario would do on this machine, and what it can't
    #[command(
        after_help = "Examples:\n  tollgate plan\n  tollgate plan quickstart\n  tollgate plan my.toml --json"
    )]
    Plan(PlanArgs),
    /// Prove that arms cost no more than a margin, or that they do
    #[command(after_help = GATE_EXAMPLES)]
    Gate(GateArgs),
    /// Measure how much this machine's own noise moves a path against itself
    #[command(after_help = CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Show where packets spend their time on each arm, and what makes the difference
    #[command(after_help = anatomy::EXAMPLES)]
    Anatomy(AnatomyArgs),
    /// Rebuild the reports of a campaign, or of a gate, from its folder
    #[command(
        after_help = "Examples:\n  tollgate report campaigns/quickstart-1\n  tollgate report campaigns/quickstart-1 --pictures\n  tollgate report gates/my-change"
    )]
    Report(ReportArgs),
    /// Compare two campaigns, paired numbers of any tool, or other tools' results
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Follow what campaigns said from one to the next: changes, and a budget
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Keep a lab for any tool of yours: namespaces with a real datapath between them
    #[command(
        subcommand,
        after_help = "Example: sudo tollgate lab up demo --wire vxlan"
    )]
    Lab(LabCommand),
    /// Find out what a Kubernetes cluster's network is, and whether a run can stand in it
    #[command(subcommand, after_help = "Example: tollgate cluster inspect")]
    Cluster(ClusterCommand),
    /// The process in which a lab stands; started by the others.
    #[command(hide = true)]
    LabHolder {
        /// Handed on as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

const RUN_EXAMPLES: &str = "Examples:
  sudo tollgate run quickstart
  tollgate run overlay-tax --rounds 20 --slice 2s --seed 7
  tollgate run my-scenario.toml --arm vxlan --out results/vxlan
  tollgate run quickstart --target hosts --server far --for 1h
  tollgate run quickstart --target hosts --server far \\
    --path private=10.0.0.2 --path public=203.0.113.9 --reference private
  tollgate run quickstart --target cluster --arm cluster-ip --arm node-port
  tollgate run --resume campaigns/quickstart-1";

const GATE_EXAMPLES: &str =
    "Exit codes: 0 no FAIL, 1 FAIL, 2 usage, 3 INCONCLUSIVE where that counts,
4 INVALID environment.

Examples:
  sudo tollgate gate overlay-tax
  tollgate gate my-change.toml --policy gate.toml --out gates/my-change
  tollgate gate --resume gates/my-change";

const CALIBRATE_EXAMPLES: &str =
    "60 campaigns without a false alarm bound its rate at 4.9 %, 300 at 1 %. What is found is
kept for `gate` and `plan` in the user's state directory, for 30 days.

Examples:
  sudo tollgate calibrate overlay-tax
  tollgate calibrate --resume calibrations/overlay-tax-1
  tollgate calibrate --from target/evidence/e1/*/run-1/stage-1";

const JOIN_EXAMPLE: &str = "\
The line holds the agent's token: it is kept in a file that only you can read, and
never stands in an argument. On the other machine:

  tollgate-probe agent --listen 192.0.2.2:7788

Examples:
  echo '192.0.2.2:7788 sha256:9f86… 3c9d…' | tollgate join far
  tollgate join far < far.invitation
  tollgate run quickstart --target hosts --server far";

const COMPARE_EXAMPLES: &str =
    "Two campaigns are compared unpaired, which is weaker than one campaign with both
arms. A file of pairs has the columns round,arm,value; the first arm in it is the
reference. Imported files are arms by their folder, or as ARM=FILE; the first is
the reference.

Examples:
  tollgate compare campaigns/quickstart-1 campaigns/quickstart-2
  tollgate compare --pairs rounds.csv --margin 5%
  tollgate compare --import native/*.json vxlan/*.json";

const HISTORY_EXAMPLES: &str =
    "Nothing is recorded unless you add it; adding a campaign again replaces it.

Examples:
  tollgate history add campaigns
  tollgate history add --label 3f2a91c campaigns/overlay-tax-8
  tollgate history add --release v1.2 campaigns/overlay-tax-9
  tollgate history overlay-tax --html campaigns/index.html";

/// Choices that override a scenario's.
#[derive(Debug, Args)]
pub struct Choices {
    /// Rounds after round 0, which is discarded
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// As many rounds as fit into this time, with a unit
    #[arg(long = "for", value_name = "TIME", conflicts_with = "rounds")]
    pub time: Option<Nanoseconds>,
    /// Measured length of a slice, with a unit
    #[arg(long, value_name = "TIME")]
    pub slice: Option<Nanoseconds>,
    /// Traffic before each measured window, with a unit
    #[arg(long, value_name = "TIME")]
    pub warmup: Option<Nanoseconds>,
    /// Installs over which the rounds are spread: arms are deployed anew for each
    #[arg(long, value_name = "N")]
    pub installs: Option<u32>,
    /// Source of every random choice; without it one is drawn and recorded
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Only this arm and its reference; may be given more than once
    #[arg(long = "arm", value_name = "NAME")]
    pub arms: Vec<Name>,
}

/// `tollgate run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A shipped scenario's name, or a file
    #[arg(value_name = "NAME|FILE", required_unless_present = "resume")]
    pub scenario: Option<String>,
    /// Folder of the campaign [default: campaigns/NAME-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where it runs
    #[arg(long, value_name = "WHERE", default_value = "lab")]
    pub target: TargetName,
    /// The machines of `--target hosts`.
    #[command(flatten)]
    pub hosts: HostsArgs,
    /// The cluster of `--target cluster`.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Go on with an interrupted campaign
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "out", "rounds", "time", "slice", "warmup", "installs", "seed", "arms", "target", "client", "server", "paths", "reference", "port", "context", "namespace", "image", "pull_secrets", "nodes", "host_network", "load_balancer", "external", "gateway_class"])]
    pub resume: Option<PathBuf>,
    /// Overrides.
    #[command(flatten)]
    pub choices: Choices,
    /// The probe's binary [default: beside this one, else in PATH]
    #[arg(long, value_name = "FILE")]
    pub probe: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// How progress is shown, on standard error
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,
    /// Stay this long after the end, up to 24h: in a pod, so that the results can be copied out
    #[arg(long, value_name = "TIME", value_parser = hold)]
    pub hold: Option<Nanoseconds>,
}

/// Longest that a runner stays after its end.
const LONGEST_HOLD: Nanoseconds = Nanoseconds(24 * 3_600 * 1_000_000_000);

fn hold(text: &str) -> Result<Nanoseconds, String> {
    let time: Nanoseconds = text.parse().map_err(|error: UnitError| error.to_string())?;
    if time > LONGEST_HOLD {
        return Err("it is 24h at most".to_owned());
    }
    Ok(time)
}

/// `tollgate gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// A shipped scenario's name, or a file
    #[arg(value_name = "NAME|FILE", required_unless_present = "resume")]
    pub scenario: Option<String>,
    /// What is demanded, in TOML [default: p50 5%, p90 7%, p99 10%, throughput 5%, loss 0.1%]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Folder of the gate; one that has runs gets another [default: gates/NAME-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted gate
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "policy", "out", "slice", "warmup", "seed", "arms", "on_inconclusive"])]
    pub resume: Option<PathBuf>,
    /// Measured length of a slice, with a unit
    #[arg(long, value_name = "TIME")]
    pub slice: Option<Nanoseconds>,
    /// Traffic before each measured window, with a unit
    #[arg(long, value_name = "TIME")]
    pub warmup: Option<Nanoseconds>,
    /// Source of every random choice; without it one is drawn and recorded
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Only this arm and its reference; may be given more than once
    #[arg(long = "arm", value_name = "NAME")]
    pub arms: Vec<Name>,
    /// What a cell counts for of which nothing was proved [default: as the policy says]
    #[arg(long, value_name = "WHAT")]
    pub on_inconclusive: Option<Inconclusive>,
    /// Compare with a stored campaign of this machine instead: the weaker kind
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub against: Option<PathBuf>,
    /// Write a report in `JUnit`'s XML to this file too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a Markdown summary to this file too
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Print annotations for GitHub after the report
    #[arg(long, conflicts_with = "json")]
    pub github: bool,
    /// The probe's binary [default: beside this one, else in PATH]
    #[arg(long, value_name = "FILE")]
    pub probe: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// How progress is shown, on standard error
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,
}

/// `tollgate calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// A shipped scenario's name, or a file: its reference is measured against itself
    #[arg(value_name = "NAME|FILE", required_unless_present_any = ["resume", "from"])]
    pub scenario: Option<String>,
    /// Campaigns, each on fresh installs: 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub campaigns: u32,
    /// Rounds of each campaign [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Measured length of a slice, with a unit
    #[arg(long, value_name = "TIME")]
    pub slice: Option<Nanoseconds>,
    /// Traffic before each measured window, with a unit
    #[arg(long, value_name = "TIME")]
    pub warmup: Option<Nanoseconds>,
    /// Source of every random choice; without it one is drawn and recorded
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Folder of the campaigns [default: calibrations/NAME-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted calibration
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "out", "campaigns", "rounds", "slice", "warmup", "seed", "from"])]
    pub resume: Option<PathBuf>,
    /// Measure nothing: take these campaigns of a path against itself
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["scenario", "out"])]
    pub from: Vec<PathBuf>,
    /// The probe's binary [default: beside this one, else in PATH]
    #[arg(long, value_name = "FILE")]
    pub probe: Option<PathBuf>,
    /// Print the calibration as JSON
    #[arg(long)]
    pub json: bool,
    /// How progress is shown, on standard error
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,
}

impl CalibrateArgs {
    /// Returns what overrides the scenario: every campaign has one install.
    #[must_use]
    pub fn choices(&self) -> Choices {
        Choices {
            rounds: self.rounds,
            time: None,
            slice: self.slice,
            warmup: self.warmup,
            installs: Some(1),
            seed: self.seed,
            arms: Vec::new(),
        }
    }
}

/// What an inconclusive cell counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Inconclusive {
    /// Nothing: exit code 0
    Warn,
    /// Exit code 3
    Fail,
}

impl From<Inconclusive> for OnInconclusive {
    fn from(what: Inconclusive) -> Self {
        match what {
            Inconclusive::Warn => Self::Warn,
            Inconclusive::Fail => Self::Fail,
        }
    }
}

impl GateArgs {
    /// Returns what overrides the scenario. How many rounds and installs there are is the policy's to say.
    #[must_use]
    pub fn choices(&self) -> Choices {
        Choices {
            rounds: None,
            time: None,
            slice: self.slice,
            warmup: self.warmup,
            installs: None,
            seed: self.seed,
            arms: self.arms.clone(),
        }
    }
}

/// Where a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetName {
    /// Namespaces of this machine
    Lab,
    /// Two machines, with paths in the place of the scenario's arms
    Hosts,
    /// A Kubernetes cluster, with paths in the place of the scenario's arms
    Cluster,
}

/// The machines of `--target hosts`, and the paths between them.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --target hosts")]
pub struct HostsArgs {
    /// The machine that sends: a joined one, or `local`
    #[arg(long, value_name = "HOST", default_value = "local")]
    pub client: String,
    /// The machine that answers: a joined one, or `local`
    #[arg(long, value_name = "HOST")]
    pub server: Option<String>,
    /// An arm: a name, and an address of the server; may be given more than once [default: the address at
    /// which the server was joined]
    #[arg(long = "path", value_name = "NAME=ADDR")]
    pub paths: Vec<HostPath>,
    /// The path with which the others are compared [default: the first]
    #[arg(long, value_name = "NAME")]
    pub reference: Option<Name>,
    /// First port of the traffic, TCP and UDP; paths to the same address take one each
    #[arg(long, value_name = "PORT", default_value_t = 7789, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
}

/// A named address of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// The arm's name.
    pub name: Name,
    /// Where the client connects to.
    pub address: IpAddr,
}

impl FromStr for HostPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let (name, address) = parts.ok_or("write NAME=ADDRESS, for example private=10.0.0.2")?;
        let name = name.parse::<Name>().map_err(|error| error.to_string())?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("`{address}` is no IP address; leave the port out"))?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(format!("{address} is not the address of one host"));
        }
        Ok(Self { name, address })
    }
}

/// `tollgate join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The name to give it
    #[arg(value_name = "NAME")]
    pub name: Name,
}

/// `tollgate plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A shipped scenario's name, or a file; without it the shipped ones are listed
    #[arg(value_name = "NAME|FILE")]
    pub scenario: Option<String>,
    /// Overrides.
    #[command(flatten)]
    pub choices: Choices,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tollgate report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of the campaign, or of a gate
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Also write every picture into DIR/pictures, as SVG and PNG
    #[arg(long)]
    pub pictures: bool,
    /// Compare every arm with this one instead, and write DIR/against-ARM.html alone
    #[arg(long, value_name = "ARM", conflicts_with_all = ["pictures", "calibration"])]
    pub reference: Option<Name>,
    /// Draw the noise floor of this machine's calibration as it is now, and keep it in DIR
    #[arg(long)]
    pub calibration: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tollgate compare`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub struct CompareArgs {
    /// Folders of two campaigns; the second is judged against the first
    #[arg(value_name = "DIR", num_args = 2, group = "what")]
    pub campaigns: Vec<PathBuf>,
    /// CSV file with the columns round,arm,value
    #[arg(long, value_name = "FILE", group = "what")]
    pub pairs: Option<PathBuf>,
    /// Results of iperf3 (--json), sockperf or k8s-netperf (JSON, CSV)
    #[arg(long, value_name = "[ARM=]FILE", num_args = 1.., group = "what")]
    pub import: Vec<String>,
    /// Compare campaigns of different machines or plans, and say what that costs
    #[arg(long, requires = "campaigns", conflicts_with_all = ["pairs", "import"])]
    pub anyway: bool,
    /// Larger values are better (a throughput, a rate)
    #[arg(long, requires = "pairs", conflicts_with_all = ["campaigns", "import"])]
    pub higher_is_better: bool,
    /// Equivalence margin, 0.1% to 50% [default: that of the first campaign, else 5%]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true, value_parser = margin)]
    pub margin: Option<Share>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads a margin within its range.
fn margin(text: &str) -> Result<Share, String> {
    let margin: Share = text.parse().map_err(|error: UnitError| error.to_string())?;
    if (0.001..=0.5).contains(&margin.0) {
        Ok(margin)
    } else {
        Err(format!(
            "{margin} is not in 0.1% to 50%; write for example 5%"
        ))
    }
}

/// `tollgate history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What to do instead of telling it.
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
    /// Only this scenario
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<Name>,
    /// The history's file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "campaigns/history.sqlite"
    )]
    pub db: PathBuf,
    /// List the campaigns instead
    #[arg(long, conflicts_with = "json")]
    pub campaigns: bool,
    /// All metrics instead of each workload's main one
    #[arg(long)]
    pub all: bool,
    /// Smallest change that is told [default: the noise floor of a machine's calibration, at least 2%]
    #[arg(long, value_name = "SHARE")]
    pub floor: Option<Share>,
    /// How much worse than the last release is allowed in all
    #[arg(long, value_name = "SHARE", default_value = "10%")]
    pub budget: Share,
    /// Write a page with pictures and an index of campaigns
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print the history as JSON
    #[arg(long)]
    pub json: bool,
}

/// What can be done to a history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Add campaigns from their folders, or from folders that have them
    #[command(
        visible_alias = "import",
        after_help = "Examples:\n  tollgate history add campaigns\n  tollgate history add --release v1.2 campaigns/overlay-tax-9"
    )]
    Add(HistoryAddArgs),
    /// Say that a campaign measured a release (`none`: that it didn't)
    #[command(after_help = "Example: tollgate history release v1.2 9")]
    Release {
        /// Name of the release
        name: String,
        /// The campaign's number, as `tollgate history --campaigns` lists it
        #[arg(value_name = "NUMBER")]
        campaign: i64,
    },
    /// Remove campaigns from the history; their folders stay
    #[command(after_help = "Example: tollgate history remove 3 4")]
    Remove {
        /// The campaigns' numbers, as `tollgate history --campaigns` lists them
        #[arg(required = true, value_name = "NUMBER")]
        campaigns: Vec<i64>,
    },
}

/// `tollgate history add`.
#[derive(Debug, Args)]
pub struct HistoryAddArgs {
    /// Folders of campaigns, or folders with such in them
    #[arg(required = true, value_name = "FOLDER")]
    pub folders: Vec<PathBuf>,
    /// What was measured, as you call it: a commit, a version [default: the folder's name]
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// It measured this release: later campaigns are judged against it
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
}
