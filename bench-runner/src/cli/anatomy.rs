//! What can be typed behind `tollgate anatomy`.

use std::path::PathBuf;

use clap::Args;
use tollgate_results::anatomy::{Followed, Hook};
use tollgate_results::arm::Name;
use tollgate_results::units::Nanoseconds;

use super::Choices;
use crate::progress::Style;

pub(super) const EXAMPLES: &str = "\
Needs root, since eBPF programs follow the packets. What they cost is stated, taken
off, and checked: the sum of all hops must agree with round trips that nobody
watched.

Examples:
  sudo tollgate anatomy overlay-tax
  sudo tollgate anatomy my.toml --arm vxlan --follow tcp-rr --rounds 20
  sudo tollgate anatomy service-rules --follow tcp-rr,tcp-connect --netfilter dnat
  tollgate anatomy --from anatomies/overlay-tax-1";

/// `tollgate anatomy`.
#[derive(Debug, Args)]
pub struct AnatomyArgs {
    /// A shipped scenario's name, or a file: its arms are taken apart
    #[arg(value_name = "NAME|FILE", required_unless_present = "from")]
    pub scenario: Option<String>,
    /// Only this arm and its reference; may be given more than once
    #[arg(long = "arm", value_name = "NAME")]
    pub arms: Vec<Name>,
    /// Which packets: tcp-rr, udp-rr, tcp-connect (SYN and SYN-ACK) [default: the first two, with services all]
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub follow: Vec<Followed>,
    /// Also stamp around parts of netfilter, which costs more: conntrack, dnat, forward, snat
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub netfilter: Vec<Hook>,
    /// Rounds after round 0, which is discarded: 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Length of a slice, with a unit: 10ms to 2s
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = slice)]
    pub slice: Nanoseconds,
    /// Traffic before each slice, with a unit: up to 2s
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = warmup)]
    pub warmup: Nanoseconds,
    /// Source of the order of slices; without it one is drawn and recorded
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What the packet clock costs for each event, up to 10us: taken off the hops
    #[arg(long, value_name = "TIME", default_value = "80ns", value_parser = cost)]
    pub event_cost: Nanoseconds,
    /// What it costs for each packet besides
    #[arg(long, value_name = "TIME", default_value = "300ns", value_parser = cost)]
    pub packet_cost: Nanoseconds,
    /// Folder of the anatomy [default: anatomies/NAME-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Measure nothing: report on an anatomy's folder again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "arms", "follow", "netfilter", "rounds", "slice", "warmup", "seed", "event_cost", "packet_cost", "out", "probe"])]
    pub from: Option<PathBuf>,
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

impl AnatomyArgs {
    /// Returns what overrides the scenario. Rounds and slices are the anatomy's own.
    #[must_use]
    pub fn choices(&self) -> Choices {
        Choices {
            rounds: None,
            time: None,
            slice: None,
            warmup: None,
            installs: None,
            seed: self.seed,
            arms: self.arms.clone(),
        }
    }
}

/// A slice's packets are kept in memory until it is over.
fn slice(text: &str) -> Result<Nanoseconds, String> {
    between(text, Nanoseconds(10_000_000), Nanoseconds(2_000_000_000))
}

fn warmup(text: &str) -> Result<Nanoseconds, String> {
    between(text, Nanoseconds(0), Nanoseconds(2_000_000_000))
}

fn cost(text: &str) -> Result<Nanoseconds, String> {
    between(text, Nanoseconds(0), Nanoseconds(10_000))
}

pub(super) fn between(
    text: &str,
    least: Nanoseconds,
    most: Nanoseconds,
) -> Result<Nanoseconds, String> {
    let time: Nanoseconds = text
        .parse()
        .map_err(|error: tollgate_results::units::UnitError| error.to_string())?;
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        Err(format!("{time} is not in {least} to {most}"))
    }
}
