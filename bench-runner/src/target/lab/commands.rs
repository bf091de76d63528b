//! The user's own commands, run in an arm of a lab.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tollgate_lab::{Lab, Ran, Role};
use tollgate_results::arm::Name;
use tollgate_results::change::{Command, Place};

use super::blocking;

/// Runs a command where it says.
pub(super) async fn run(
    lab: &Arc<Lab>,
    arm: &Name,
    command: &Command,
    within: Duration,
) -> anyhow::Result<Ran> {
    let role = match command.on {
        Place::Client => Role::Client,
        Place::Server => Role::Server,
        Place::ClientNode => Role::NodeA,
        Place::ServerNode => Role::NodeB,
        Place::Runner => {
            bail!("an arm of a lab has no place `runner`; that is for arms of a cluster")
        }
    };
    let (arm, argv) = (arm.clone(), command.run.clone());
    blocking(lab, move |lab| lab.run(&arm, role, &argv, within)).await
}
