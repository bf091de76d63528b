//! The ground of Tollgate: units and the types that pass between its processes and crates.
//!
//! A scenario is resolved into a [`plan::Plan`]; an agent receives a [`agent::Job`] and answers with
//! a [`outcome::JobReport`]; a slice of a campaign is kept as a [`slice::SliceRecord`] beside its
//! histograms; the campaign itself as a [`run::RunRecord`]. Nothing here does I/O or reads a clock.
//!
//! - [`units`]: quantities that people write with a unit
//! - [`arm`]: arms and their dimensions
//! - [`change`]: what is done to an arm beyond its datapath
//! - [`claim`]: statements of folklore that a scenario tests
//! - [`workload`]: the traffic, its load and its CPU placement
//! - [`standing`]: what stands on the nodes beside the path under test
//! - [`stream`]: what is particular to streams: how they are sent, and what is counted of them
//! - [`plan`]: a scenario resolved for one machine
//! - [`histogram`]: latency histograms
//! - [`agent`]: what the runner and a probe agent say to each other
//! - [`door`]: how an agent on the network lets a runner in
//! - [`outcome`]: what a job measured
//! - [`metric`]: what can be compared, in which unit, and which way is worse
//! - [`http`]: HTTP traffic and what came back
//! - [`counters`]: node, namespace and thread counters
//! - [`evidence`]: what proves that the declared datapath carried the packets
//! - [`facts`]: what the machine is
//! - [`kernel`], [`mod@line`]: settings of an arm's kernel, and the line between its nodes
//! - [`cluster`]: what a Kubernetes cluster's network is
//! - [`cluster_path`]: paths through a cluster, and what is declared of them
//! - [`node`]: what a node's kernel holds of it
//! - [`mesh`]: the record of all pairs of a cluster's nodes
//! - [`path_mtu`]: the largest packet that gets through a path in one piece
//! - [`together`]: several clients that send at once
//! - [`sweep`]: what a sweep over source ports gave, and how far its tuples differ
//! - [`mod@slice`] and [`run`]: the record of a campaign
//! - [`anatomy`]: where one packet spends its time: what its clock saw, and the record of it
//! - [`history`]: what a history keeps of a campaign
//! - [`lab_state`]: a lab as it stands

pub mod agent;
pub mod anatomy;
pub mod arm;
pub mod change;
pub mod claim;
pub mod cluster;
pub mod cluster_path;
pub mod counters;
pub mod door;
pub mod evidence;
pub mod facts;
pub mod histogram;
pub mod history;
pub mod http;
pub mod kernel;
pub mod lab_state;
pub mod line;
pub mod mesh;
pub mod metric;
pub mod node;
pub mod outcome;
pub mod path_mtu;
pub mod plan;
pub mod run;
pub mod slice;
pub mod standing;
pub mod stream;
pub mod sweep;
pub mod together;
pub mod units;
pub mod workload;

/// Version of every record that Tollgate writes: raised when a field is added or its meaning changes.
pub const RECORD_SCHEMA: u32 = 1;
