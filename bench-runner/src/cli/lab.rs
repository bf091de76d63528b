//! What can be typed of `tollgate lab`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tollgate_results::arm::{Access, Family, Name, Offloads, Outside, Place, Pods, Service, Wire};

/// `tollgate lab`.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Set a lab up and leave it standing
    #[command(
        after_help = "Example: sudo tollgate lab up demo --wire vxlan --service nftables --services 1000"
    )]
    Up(LabUpArgs),
    /// List the labs that stand
    #[command(after_help = "Example: tollgate lab list")]
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what stands in a lab now: devices, addresses, routes, rules, programs
    ///
    /// All of it is read back from the kernel. What the lab made and is not there any more is named as missing.
    #[command(
        after_help = "Examples:\n  tollgate lab show demo\n  tollgate lab show --all --svg labs.svg"
    )]
    Show(LabShowArgs),
    /// Run a program in a lab; `client`, `server` and `service` resolve there
    #[command(
        after_help = "Examples:\n  tollgate lab exec demo server -- iperf3 -s -D\n  tollgate lab exec demo client -- iperf3 -c server"
    )]
    Exec {
        /// The lab
        name: Name,
        /// client, server, node-a or node-b
        place: String,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "PROGRAM")]
        program: Vec<OsString>,
    },
    /// Count what a lab's eBPF programs cost while a program in the client's place makes traffic
    ///
    /// The kernel times every eBPF program of the machine meanwhile, and that slows them down: the latency that PROGRAM
    /// reports is not the path's.
    #[command(
        after_help = "Examples:\n  tollgate lab exec demo server -- tollgate-probe serve --bind 0.0.0.0 --port 8080 &\n  tollgate lab programs demo -- tollgate-probe udp-rr server:8080 --duration 1s"
    )]
    Programs {
        /// The lab
        name: Name,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// The program that makes traffic, and its arguments
        #[arg(last = true, required = true, value_name = "PROGRAM")]
        program: Vec<OsString>,
    },
    /// Measure how true a line with delay, loss and rate is on this machine
    #[command(after_help = "Example: sudo tollgate lab line-check")]
    LineCheck(LineCheckArgs),
    /// Take a lab down with everything in it
    #[command(after_help = "Example: tollgate lab down demo")]
    Down {
        /// The lab
        name: Name,
    },
}

/// `tollgate lab show`.
#[derive(Debug, Args)]
pub struct LabShowArgs {
    /// The lab [default: the one that stands]
    pub name: Option<Name>,
    /// Show all labs
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Draw a picture into this file instead
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print as JSON: a list of labs
    #[arg(long)]
    pub json: bool,
}

/// `tollgate lab line-check`.
#[derive(Debug, Args)]
pub struct LineCheckArgs {
    /// The probe's binary [default: beside this one, else in PATH]
    #[arg(long, value_name = "FILE")]
    pub probe: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tollgate lab up`: the dimensions of its one arm.
#[derive(Debug, Args)]
pub struct LabUpArgs {
    /// Name of the lab
    pub name: Name,
    /// How pods are attached: bridge, routed, ebpf or host
    #[arg(long, default_value = "bridge", value_name = "KIND")]
    pub pods: Pods,
    /// What carries packets between the nodes: native, vxlan, vxlan-ebpf, geneve, ipip or wireguard
    #[arg(long, default_value = "native", value_name = "KIND")]
    pub wire: Wire,
    /// What translates the service's address: none, iptables-legacy, iptables-nft, nftables,
    /// socket-lb, tc-lb or ipvs
    #[arg(long, default_value = "none", value_name = "KIND")]
    pub service: Service,
    /// How many services, the one under test last
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub services: u32,
    /// How many endpoints each service has
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub endpoints: u32,
    /// By which address the client asks: cluster-ip or node-port
    #[arg(long, default_value = "cluster-ip", value_name = "KIND")]
    pub access: Access,
    /// Keep a client at the endpoint that it met first
    #[arg(long)]
    pub affinity: bool,
    /// ipv4 or ipv6
    #[arg(long, default_value = "ipv4", value_name = "FAMILY")]
    pub family: Family,
    /// Segmentation offloads: on or off
    #[arg(long, default_value = "on", value_name = "ON|OFF")]
    pub offloads: Offloads,
    /// Where client and server stand: other-node, same-node or hairpin (one pod, through its own service)
    #[arg(long, default_value = "other-node", value_name = "PLACE")]
    pub place: Place,
    /// Put the client outside the cluster, in front of an entry node: snat, snat-ebpf or dsr
    #[arg(long, value_name = "KIND")]
    pub outside: Option<Outside>,
}
