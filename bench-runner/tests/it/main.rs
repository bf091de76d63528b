//! The `tollgate` command as a user meets it.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]

mod action;
mod anatomy;
mod campaign;
mod cli;
mod cluster;
mod compare;
mod gate;
mod history;
mod hosts;
mod icmp;
mod lying;
mod on_cluster;
mod poor;
mod services;
mod support;
