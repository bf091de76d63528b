//! The crate's error: what was being done, and why it failed.

use std::fmt::Display;
use std::io;

/// Something that the lab could not do.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing}")]
pub struct LabError {
    doing: String,
    #[source]
    kind: LabErrorKind,
}

/// Why the lab could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabErrorKind {
    /// The kernel refused.
    #[error(transparent)]
    System(#[from] io::Error),
    /// A program that the lab runs failed: its name and the first line of what it said.
    #[error("`{program}` {said}")]
    Program {
        /// The program.
        program: String,
        /// How it ended.
        said: String,
    },
    /// The caller asked for something that cannot be: one line that says how to mend it.
    #[error("{0}")]
    Impossible(String),
    /// The lab's holder answered with an error.
    #[error("{0}")]
    Holder(String),
    /// The lab's holder is gone.
    #[error("the lab's holder has ended")]
    HolderGone,
}

impl LabError {
    /// Says that `doing` ("start the lab") failed because of `kind`.
    pub(crate) fn new(doing: impl Into<String>, kind: impl Into<LabErrorKind>) -> Self {
        Self {
            doing: doing.into(),
            kind: kind.into(),
        }
    }

    /// Says that `doing` failed, in words.
    pub(crate) fn said(doing: impl Into<String>, why: impl Display) -> Self {
        Self::new(doing, LabErrorKind::Impossible(why.to_string()))
    }

    /// Takes over what a holder said: it starts with what failed and goes on with the causes.
    pub(crate) fn from_holder(said: String) -> Self {
        let said = said
            .strip_prefix("failed to ")
            .map(str::to_owned)
            .unwrap_or(said);
        match said.split_once(": ") {
            Some((doing, why)) => Self::new(doing, LabErrorKind::Holder(why.to_owned())),
            None => Self::new("ask the lab's holder", LabErrorKind::Holder(said)),
        }
    }

    /// Returns why it failed.
    #[must_use]
    pub fn kind(&self) -> &LabErrorKind {
        &self.kind
    }

    /// Returns the causes alone in one line.
    pub(crate) fn cause(&self) -> String {
        chain_of(&self.kind)
    }

    /// Returns what failed and all its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        chain_of(self)
    }
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

impl From<nix::Error> for LabErrorKind {
    fn from(error: nix::Error) -> Self {
        Self::System(error.into())
    }
}

/// Adds what was being done to a failure.
pub(crate) trait Doing<T> {
    /// Says what was being done; the words are made only on failure.
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T, LabError>;
}

impl<T, E: Into<LabErrorKind>> Doing<T> for Result<T, E> {
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T, LabError> {
        self.map_err(|error| LabError::new(doing(), error))
    }
}
