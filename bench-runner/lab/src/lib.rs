//! The lab: nodes and pods as network namespaces of one kernel, with the kernel's real datapaths between them.
//!
//! A [`Lab`] is a conversation with its *holder*, a process tree of its own that owns everything the lab
//! is made of ([`holder`]) and ends with the lab. Arms are deployed into it, probe agents and programs are
//! started in them, and the counters that their datapaths keep are read as evidence.
//!
//! - [`Lab`], [`LabOptions`]: start a lab, deploy arms, use them
//! - [`Ran`]: how a command that was run in an arm ended; [`last_line`]: its last words
//! - [`ClockSpec`], [`ClockEnd`]: the packet clock of an arm
//! - [`kept`]: labs that live on under a name
//! - [`Capabilities`]: what this machine can do, found by trying
//! - [`holder::run`]: what the hidden subcommand of the caller's program calls
//!
//! Inside: `topology` and `address` say as plain data what an arm is made of; `netns`, `netlink`,
//! `offloads`, `base`, `tuning`, `line`, `fast_path`, `service_path` and `outside` make it so; `arm` holds one deployed arm; `process` and `cgroup`
//! place processes in it; `protocol` is what a lab and its holder say to each other.

mod address;
mod anatomy;
mod arm;
mod base;
pub mod bpf;
mod capabilities;
mod cgroup;
mod clock;
mod command;
mod congestion;
pub mod conntrack;
mod error;
mod fast_path;
pub mod holder;
mod ipvs;
pub mod kept;
mod lab;
mod line;
mod netlink;
mod netns;
mod offloads;
mod outside;
mod process;
mod protocol;
pub mod rules;
mod service_path;
pub mod services;
mod standing;
#[cfg(test)]
mod testing;
mod topology;
mod tuning;
mod userns;
mod wireguard;

pub use anatomy::{ClockEnd, ClockSpec};
pub use capabilities::Capabilities;
pub use command::{Ran, last_line};
pub use error::{LabError, LabErrorKind};
pub use lab::{Lab, LabOptions, Program, Signaller};
pub use protocol::{ArmEndpoints, DeployedArm, NewArm, Role};
