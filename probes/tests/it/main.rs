//! One integration binary for the crate.

mod agent;
mod beside;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod cli;
mod counters;
mod flows;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod garbage;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod http;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod icmp;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod inspect;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod namespace;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod network;
mod open;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod path_mtu;
mod selftest;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod session;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod streams;
mod syn;
mod timestamps;
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
mod traffic;
