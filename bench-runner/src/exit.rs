//! Exit codes: one table for every command (DESIGN §6).

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// How a command ended, where it did not fail with an error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done. Skipped arms alone, named, are 0.
    Done,
    /// 2: usage, unreadable or invalid input, or the tool's own failure.
    Failure,
    /// 4: the environment is invalid, or the reference or all other arms can't run here.
    Environment,
    /// 130: interrupted; what was done is kept.
    Interrupted,
    /// What a gate counts for: 0, 1, 3 or 4.
    Gate(tollgate_reports::gate::Exit),
    /// The exit status of a program that ran inside the lab.
    Program(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::from(0),
            Exit::Failure => Self::from(2),
            Exit::Environment => Self::from(4),
            Exit::Interrupted => Self::from(130),
            Exit::Gate(exit) => Self::from(exit.code()),
            Exit::Program(status) => Self::from(status),
        }
    }
}

/// An error that ends a command with [`Exit::Environment`] instead of [`Exit::Failure`].
#[derive(Debug)]
pub struct EnvironmentError(pub String);

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for EnvironmentError {}

/// An error that ends a command with [`Exit::Interrupted`]: it was interrupted before anything was measured.
#[derive(Debug)]
pub struct InterruptedError;

impl fmt::Display for InterruptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted before anything was measured")
    }
}

impl Error for InterruptedError {}

/// Returns the exit code that an error asks for.
#[must_use]
pub fn of(error: &anyhow::Error) -> Exit {
    if error.chain().any(<dyn Error>::is::<InterruptedError>) {
        Exit::Interrupted
    } else if error.chain().any(<dyn Error>::is::<EnvironmentError>) {
        Exit::Environment
    } else {
        Exit::Failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_error_is_found_below_its_context() {
        let error = anyhow::Error::new(EnvironmentError("no namespaces".to_owned())).context("run");
        assert_eq!(of(&error), Exit::Environment);
        assert_eq!(of(&anyhow::anyhow!("typo")), Exit::Failure);
    }
}
