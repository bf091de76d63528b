//! Tollgate's probe: traffic, timestamps and node counters.
//!
//! One small binary, `tollgate-probe`, used three ways: by hand (`tollgate-probe tcp-rr HOST:PORT`), as the
//! other end (`serve`) and under the runner (`agent`). All three stand on this library:
//!
//! - [`job`]: arms, runs and aborts one measurement; what a sending thread does is in `probe`
//! - [`responder`]: the other end of every kind of traffic, on one port
//! - [`counters`]: counters of the node, the network namespace and the probe's threads
//! - [`agent`]: jobs, responder and counters as a service over any byte stream
//! - [`pacer`]: when the requests of an open loop are planned
//! - `datagrams` and `bulk`: the ends of streams, the same at client and responder
//! - [`path_mtu`]: the largest packet that gets through in one piece
//! - [`recorder`]: what one sending thread counts and times
//! - [`selftest`]: measures what is known beforehand, and says whether this machine can measure
//! - [`session`]: how a peer shows a responder that it may be there
//! - [`wire`]: what both ends of the traffic agree on
//! - [`tls`]: certificates that a process makes for itself, and whom it trusts
//! - [`clock`]: monotonic time
//! - [`facts`] and [`host`]: what this machine is, and its way to an address
//! - [`inspect`]: what the network of this node is made of
//! - [`error`]: what the probe could not do
//!
//! The sending loops run on OS threads of their own, without async runtime, allocation, lock or log.

pub mod agent;
mod alarm;
mod bulk;
pub mod clock;
mod complaint;
pub mod counters;
mod datagrams;
#[cfg(any(test, fuzzing))]
pub mod decoders;
pub mod error;
pub mod facts;
pub mod host;
pub mod inspect;
pub mod job;
pub mod pacer;
pub mod path_mtu;
mod probe;
pub mod recorder;
pub mod responder;
pub mod selftest;
pub mod session;
mod stamps;
mod thread;
mod timer;
pub mod tls;
pub mod wire;
