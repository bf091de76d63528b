//! eBPF in the lab: where every datapath that is made of programs gets them loaded, filled and attached.
//!
//! The programs are C (`bpf/*.c`). The build script compiles each file once for each address family; a `Code` names and embeds
//! both objects, and `Loaded` owns what became of one: its programs, maps and links live exactly as long as the value, however
//! the process ends. An arm owns its values, so nothing outlives the arm.
//!
//! - [`SocketLb`]: a service's address translated at the client's socket
//! - `TcLb`: a service's address translated in each packet at the client's veth pair
//! - [`ProgramRuns`]: what running a program costs
//! - `attached`: what is attached where now, whoever attached it

pub(crate) mod attached;
mod entries;
mod loader;
mod privileges;
mod raw;
mod runs;
mod socket_lb;
mod tc_lb;

pub(crate) use self::loader::{Code, Loaded, Table, objects, resize, to_netkit};
pub(crate) use self::privileges::{BPF, NET_ADMIN, Needs, PERFMON};
pub use self::runs::{ProgramRuns, Seat, count_runs};
pub use self::socket_lb::{SocketLb, available};
pub(crate) use self::tc_lb::{Pair, TcLb, available as tc_lb_available};
