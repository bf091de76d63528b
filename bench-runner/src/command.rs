//! What each command does. Every command returns how it ended; [`main`] makes that the exit code.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::exit::{self, Exit};
use crate::output;

mod anatomy;
mod calibrate;
mod cluster;
mod compare;
mod gate;
mod history;
mod hosts;
mod interrupt;
mod lab;
mod line_check;
mod measure;
mod plan;
mod report;
mod run;
mod source;

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Failure
            } else {
                Exit::Done
            };
            // Nothing is left to do where even the usage cannot be printed.
            let _ = error.print();
            return exit.into();
        }
    };
    if let Command::LabHolder { args } = cli.command {
        return tollgate_lab::holder::run(&args);
    }
    let exit = dispatch(cli.command).unwrap_or_else(|error| {
        output::error(&error);
        exit::of(&error)
    });
    exit.into()
}

/// Returns the command that runs a lab's holder: this program, asked for its hidden subcommand.
fn holder() -> anyhow::Result<Vec<OsString>> {
    let program = env::current_exe().context("failed to find this program")?;
    Ok(vec![program.into(), "lab-holder".into()])
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Join(args) => hosts::join(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Calibrate(args) => calibrate::calibrate(&args),
        Command::Gate(args) => gate::gate(&args),
        Command::Anatomy(args) => anatomy::anatomy(&args),
        Command::Report(args) => report::report(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::History(args) => history::history(&args),
        Command::Lab(command) => lab::lab(command),
        Command::Cluster(command) => cluster::cluster(&command),
        Command::LabHolder { .. } => Ok(Exit::Failure),
    }
}
