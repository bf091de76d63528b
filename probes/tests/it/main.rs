//! One integration binary for the crate.

mod agent;
mod counters;
