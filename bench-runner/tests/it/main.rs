//! The `tollgate` command as a user meets it.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]

mod action;
mod anatomy;
mod campaign;
mod cli;
mod cluster;
mod cluster_arms;
mod cluster_clients;
mod cluster_faults;
mod cluster_looks;
mod cluster_names;
mod cluster_nodes;
mod compare;
mod faults;
mod gate;
mod gateway;
mod history;
mod hosts;
mod icmp;
mod in_cluster;
mod inspector;
mod lab;
mod lying;
mod on_cluster;
mod on_mesh;
mod poor;
mod services;
mod show;
mod support;
