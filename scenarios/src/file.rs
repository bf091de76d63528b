//! The tables and keys of a scenario file, with their defaults.
//!
//! Every key is optional for serde, so that one missing key does not hide other faults; `check` says
//! what is missing. Numbers are read wide and checked there too.

mod claim;
mod cluster;
mod kernel;
mod load;
mod stream;
mod value;

use std::collections::BTreeMap;

pub(crate) use claim::{ChangeTable, ClaimTable};
pub(crate) use cluster::ClusterTable;
pub(crate) use kernel::{KernelTable, LineTable};
pub(crate) use load::{Load, OpenTable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub(crate) use stream::{TcpStream, UdpStream};
use tollgate_results::arm::{
    self, Access, Family, Name, Offloads, Outside, Pods, Position, Service, Wire,
};
use tollgate_results::change::Place;
use tollgate_results::stream::Direction;
use tollgate_results::units::{Bytes, Nanoseconds, Share};
use tollgate_results::workload::{Close, Connections, Cpu, HttpVersion, SocketKind};
pub(crate) use value::Counts;
use value::{quantity, some_quantity};

/// A scenario of Tollgate: arms that are compared, and the traffic that compares them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
#[schemars(
    title = "Tollgate scenario",
    // Optional for serde alone.
    extend("required" = ["schema", "name", "about", "reference", "arm", "workload"])
)]
pub(crate) struct File {
    /// Version of the format: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, range(min = 1, max = 1))]
    pub(crate) schema: Option<i64>,
    /// The scenario's name, equal to the file's name without `.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub(crate) name: Option<Name>,
    /// One sentence: what the scenario compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(min = 1, max = 300))]
    pub(crate) about: Option<String>,
    /// The arm with which the others are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub(crate) reference: Option<Name>,
    /// How often and how long is measured.
    pub(crate) rounds: RoundsTable,
    /// Backends behind a gateway and their weights, 0 to 1,000,000: for `--target cluster`, with the arms `direct` and
    /// `gateway`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) split: BTreeMap<Name, i64>,
    /// The arms: `[arm.NAME]`.
    pub(crate) arm: BTreeMap<Name, ArmTable>,
    /// The workloads: `[workload.NAME.KIND]`.
    pub(crate) workload: BTreeMap<Name, WorkloadTable>,
    /// Statements of folklore that the campaign tests: `[claim.NAME]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) claim: BTreeMap<Name, ClaimTable>,
}

/// How often and how long is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct RoundsTable {
    /// Rounds after round 0, which is discarded.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) count: i64,
    /// Measured length of a slice: `"10ms"` to `"10m"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) slice: Nanoseconds,
    /// Traffic before the measured window of a slice: `"0s"` to `"1m"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) warmup: Nanoseconds,
    /// Arms closer than this are equivalent: `"0.1%"` to `"50%"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) margin: Share,
    /// Installs over which the rounds are spread: the arms are deployed anew for each.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) installs: i64,
}

impl Default for RoundsTable {
    fn default() -> Self {
        Self {
            count: 10,
            slice: Nanoseconds(1_000_000_000),
            warmup: Nanoseconds(200_000_000),
            margin: Share(0.05),
            installs: 1,
        }
    }
}

/// One configuration under comparison; with a list as `services.count`, one for each number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct ArmTable {
    /// How pods are attached to their node.
    pub(crate) pods: Pods,
    /// What carries packets between the nodes.
    pub(crate) wire: Wire,
    /// What translates the service's address to an endpoint.
    pub(crate) service: Service,
    /// How many services stand beside the one under test. Needs a `service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<ServicesTable>,
    /// Address family of pods, services and nodes.
    pub(crate) family: Family,
    /// Segmentation and receive offloads of every device of the arm.
    pub(crate) offloads: Offloads,
    /// What stands on the nodes beside the path under test.
    pub(crate) standing: StandingTable,
    /// Settings of the arm's kernel beyond the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<KernelTable>,
    /// A line with delay, rate and loss between the nodes; a plain pair of devices where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<LineTable>,
    /// Where client and server stand to each other. `hairpin` needs a `service`.
    pub(crate) place: arm::Place,
    /// How a client outside the cluster reaches the service. Needs `service = "none"`: the entry node translates by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outside: Option<Outside>,
    /// A path through a Kubernetes cluster, in the place of the dimensions above but the family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<ClusterTable>,
    /// The arm that this one is compared with, instead of the scenario's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Name>,
    /// The workloads that run on this arm; all where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workloads: Option<Vec<Name>>,
    /// Commands that are run in order once the arm stands: what a user deploys and wants to measure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) apply: Vec<CommandTable>,
    /// A command that is repeated until it succeeds, before anything is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ready: Option<CommandTable>,
    /// Time for which the responder spins before each reply, `"1ns"` to `"100ms"`: a toll of known size.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) planted: Option<Nanoseconds>,
}

/// A command that is run in an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct CommandTable {
    /// Where it runs. On an arm of a cluster that is the runner's machine, and may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on: Option<Place>,
    /// The program and its arguments; no shell reads them.
    #[schemars(required, length(min = 1, max = 64))]
    pub(crate) run: Vec<String>,
    /// How long it may take, or be repeated: `"10ms"` to `"10m"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) within: Nanoseconds,
}

impl Default for CommandTable {
    fn default() -> Self {
        Self {
            on: None,
            run: Vec::new(),
            within: Nanoseconds(10_000_000_000),
        }
    }
}

impl Default for ArmTable {
    fn default() -> Self {
        Self {
            pods: Pods::Bridge,
            wire: Wire::Native,
            service: Service::None,
            services: None,
            family: Family::Ipv4,
            offloads: Offloads::On,
            standing: StandingTable::default(),
            kernel: None,
            line: None,
            place: arm::Place::OtherNode,
            outside: None,
            cluster: None,
            reference: None,
            workloads: None,
            apply: Vec::new(),
            ready: None,
            planted: None,
        }
    }
}

/// How many services stand beside the one under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct ServicesTable {
    /// All services, the one under test included: one number, or a list for a sweep. 1 to 50,000.
    pub(crate) count: Counts,
    /// Endpoints of each service.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) endpoints: i64,
    /// Where the service under test stands among the others.
    pub(crate) position: Position,
    /// Whether a client stays with the endpoint that it met first.
    pub(crate) affinity: bool,
    /// By which address the client asks: the service's own, or a port of its node.
    pub(crate) access: Access,
}

impl Default for ServicesTable {
    fn default() -> Self {
        Self {
            count: Counts::One(1),
            endpoints: 1,
            position: Position::Last,
            affinity: false,
            access: Access::ClusterIp,
        }
    }
}

/// What stands on each node of an arm beside the path under test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct StandingTable {
    /// Rules in FORWARD as a controller of network policies writes them, none of which matches.
    #[schemars(range(min = 0, max = 50_000))]
    pub(crate) policies: i64,
    /// Entries in the connection-tracking table of each node.
    #[schemars(range(min = 0, max = 200_000))]
    pub(crate) connections: i64,
}

/// The kind of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WorkloadTable {
    /// Request and response on one open TCP connection.
    TcpRr(TcpRr),
    /// Connect, request, response, close.
    TcpCrr(TcpCrr),
    /// Bulk data over TCP.
    TcpStream(TcpStream),
    /// Datagrams without replies.
    UdpStream(UdpStream),
    /// Request and response by datagrams.
    UdpRr(UdpRr),
    /// ICMP echo requests, answered by the far end's kernel.
    IcmpEcho(IcmpEcho),
    /// HTTP GET.
    Http(Http),
}

/// Bulk data over TCP connections of its own while requests are timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct BesideTable {
    /// Parallel connections, in each direction.
    #[schemars(range(min = 1, max = 32))]
    pub(crate) flows: i64,
    /// Which way the data goes: client to server, server to client, or both at once.
    pub(crate) direction: Direction,
}

impl Default for BesideTable {
    fn default() -> Self {
        Self {
            flows: 1,
            direction: Direction::Up,
        }
    }
}

/// Request and response on one open TCP connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct TcpRr {
    /// Size of the request and of the reply: `"1 B"` to `"1 MiB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
    /// When requests are sent.
    pub(crate) load: Load,
    /// Whether round trips are split by the kernel's timestamps: it costs time.
    pub(crate) timestamps: bool,
    /// Source ports that each slice sweeps over, to tell whether 5-tuples differ. A closed loop without timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 256))]
    pub(crate) ports: Option<i64>,
    /// Bulk data that goes the same way meanwhile; none where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideTable>,
}

impl Default for TcpRr {
    fn default() -> Self {
        Self {
            payload: Bytes(64),
            cpu: Cpu::Shared,
            load: Load::default(),
            timestamps: false,
            ports: None,
            beside: None,
        }
    }
}

/// Connect, request, response, close.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct TcpCrr {
    /// Size of the request and of the reply: `"1 B"` to `"1 MiB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// How the client closes.
    pub(crate) close: Close,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
    /// When requests are sent.
    pub(crate) load: Load,
    /// Bulk data that goes the same way meanwhile; none where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideTable>,
}

impl Default for TcpCrr {
    fn default() -> Self {
        Self {
            payload: Bytes(64),
            close: Close::Rst,
            cpu: Cpu::Shared,
            load: Load::default(),
            beside: None,
        }
    }
}

/// Request and response by datagrams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct UdpRr {
    /// Size of the datagram's payload: `"32 B"` to `"64 kB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// A reply later than this is lost: `"1ms"` to `"10s"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) timeout: Nanoseconds,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
    /// When requests are sent.
    pub(crate) load: Load,
    /// Whether round trips are split by the kernel's timestamps: it costs time.
    pub(crate) timestamps: bool,
    /// Source ports that each slice sweeps over, to tell whether 5-tuples differ. A closed loop without timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 256))]
    pub(crate) ports: Option<i64>,
    /// Bulk data that goes the same way meanwhile; none where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideTable>,
}

impl Default for UdpRr {
    fn default() -> Self {
        Self {
            payload: Bytes(64),
            timeout: Nanoseconds(100_000_000),
            cpu: Cpu::Shared,
            load: Load::default(),
            timestamps: false,
            ports: None,
            beside: None,
        }
    }
}

/// ICMP echo requests, answered by the far end's kernel: no process wakes up there. For arms without a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct IcmpEcho {
    /// Size after the ICMP header: `"16 B"` to `"64 kB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) payload: Bytes,
    /// A reply later than this is lost: `"1ms"` to `"10s"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) timeout: Nanoseconds,
    /// What kind of socket it is sent through.
    pub(crate) socket: SocketKind,
    /// Which CPUs client and server run on: here the server is a kernel, which works where packets arrive.
    pub(crate) cpu: Cpu,
    /// When requests are sent.
    pub(crate) load: Load,
    /// Whether round trips are split by the kernel's timestamps: it costs time.
    pub(crate) timestamps: bool,
    /// Bulk data that goes the same way meanwhile; none where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideTable>,
}

impl Default for IcmpEcho {
    fn default() -> Self {
        Self {
            payload: Bytes(56),
            timeout: Nanoseconds(100_000_000),
            socket: SocketKind::Auto,
            cpu: Cpu::Shared,
            load: Load::default(),
            timestamps: false,
            beside: None,
        }
    }
}

/// HTTP GET.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct Http {
    /// Whether the connection is kept between requests.
    pub(crate) connections: Connections,
    /// Size of the response's body: `"0 B"` to `"1 MiB"`.
    #[serde(deserialize_with = "quantity")]
    pub(crate) response: Bytes,
    /// Version of the protocol: `"1.1"` or `"2"`.
    pub(crate) version: HttpVersion,
    /// Whether it goes over TLS. The responder makes its certificate itself, and any is accepted.
    pub(crate) tls: bool,
    /// Connections at a time in a closed loop, each with its next request after the response: 1 to 1,024, new ones
    /// 1 to 128.
    pub(crate) parallel: i64,
    /// Requests under way at a time on each connection: 1 to 128; above 1 with version 2 on kept connections only.
    pub(crate) streams: i64,
    /// Which CPUs client and server run on.
    pub(crate) cpu: Cpu,
    /// When requests are sent.
    pub(crate) load: Load,
    /// Bulk data that goes the same way meanwhile; none where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideTable>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            connections: Connections::Kept,
            response: Bytes(1 << 10),
            version: HttpVersion::Http1,
            tls: false,
            parallel: 1,
            streams: 1,
            cpu: Cpu::Shared,
            load: Load::default(),
            beside: None,
        }
    }
}
