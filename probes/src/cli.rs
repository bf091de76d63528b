//! The command line: what can be asked for, and how each command ends.
//!
//! Exit codes (DESIGN §6): 0 done; 2 usage, the probe's own failure, or not one reply, with what was counted
//! printed; 4 this machine can't measure (`selftest`); 130 interrupted, with what was measured so far printed.

mod agent;
mod args;
mod inspect;
mod interrupt;
mod open;
mod path_mtu;
mod print;
mod selftest;
mod split;
mod streams;
mod summary;
mod sweep;
mod traffic;
mod web;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tollgate_probes::agent::given_token;
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::error::ProbeError;
use tollgate_probes::job::{Aborter, arm_abortable};
use tollgate_probes::responder::Responder;
use tollgate_results::agent::Serve;
use tollgate_results::door::Secret;

use self::args::{Cli, Command, ServeArgs};
use self::interrupt::Interrupt;
use self::summary::Summary;
use self::traffic::Wanted;

/// The tool could not do what it was asked.
const FAILED: u8 = 2;

/// The user ended it.
const INTERRUPTED: u8 = 130;

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve(&args),
        Command::Agent(args) => agent::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Selftest(args) => selftest::run(&args),
        Command::PathMtu(args) => path_mtu::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Traffic(traffic) => Wanted::new(&traffic).and_then(|wanted| send(&wanted)),
    };
    result.unwrap_or_else(|error| {
        print::complain(&format!("error: {}", error.line()));
        ExitCode::from(FAILED)
    })
}

/// Answers until it is interrupted, which is its ordinary end.
fn serve(args: &ServeArgs) -> Result<ExitCode, ProbeError> {
    let interrupt = Interrupt::catch()?;
    let serve = Serve {
        bind: args.bind,
        port: args.port,
        cpu: args.cpu,
        name: args.name.clone(),
        planted: None,
        key: key(args.token_file.as_deref())?,
    };
    let max_response = u32::try_from(args.max_response.0).unwrap_or(u32::MAX);
    let responder = Responder::start_bounded(&serve, max_response, args.send_streams)?;
    let address = SocketAddr::new(args.bind, responder.port());
    print::listening(address, args.json);
    interrupt.wait();
    Ok(ExitCode::SUCCESS)
}

/// Reads the token of a responder, if one is told.
fn key(file: Option<&Path>) -> Result<Option<Secret>, ProbeError> {
    file.map(given_token).transpose()
}

/// Sends traffic and prints what came back.
fn send(wanted: &Wanted) -> Result<ExitCode, ProbeError> {
    let interrupt = Interrupt::catch()?;
    let aborter = Aborter::default();
    interrupt.then_abort(&aborter)?;
    let started = Monotonic.now();
    let mut armed = arm_abortable(&wanted.job, &aborter)?;
    let report = armed.run();
    let summary = Summary::new(&wanted.job, &report);
    if wanted.json {
        print::json(&summary);
    } else {
        print::table(&summary);
    }
    for hint in summary.hints() {
        print::complain(&hint);
    }
    // Asked before the job is dropped, which ends it too.
    if aborter.is_aborted() {
        let after = Monotonic.now().since(started) / 1_000_000;
        print::complain(&format!("interrupted after {after} ms"));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(silence) = summary.silence() {
        print::complain(&format!("error: {silence}"));
        return Ok(ExitCode::from(FAILED));
    }
    Ok(ExitCode::SUCCESS)
}
