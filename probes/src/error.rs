//! What the probe could not do, why, and how to mend it.

use std::error::Error;
use std::io;

use nix::errno::Errno;

/// Something that the probe could not do.
///
/// `Display` says what failed; the source says why and how to mend it; [`ProbeError::line`] says both.
#[derive(Debug, thiserror::Error)]
#[error("failed to {context}")]
pub struct ProbeError {
    context: String,
    #[source]
    kind: ProbeErrorKind,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeErrorKind {
    /// The kernel refused a call.
    #[error("{}; {mend}", describe(.error))]
    Refused {
        /// What the kernel answered.
        error: io::Error,
        /// What the user can do about it.
        mend: String,
    },
    /// The request itself cannot be met; every fault is named.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl ProbeError {
    /// Reports a call that the kernel refused: `context` completes "failed to …", `mend` says what the
    /// user can do.
    #[must_use]
    pub fn refused(context: impl Into<String>, error: io::Error, mend: impl Into<String>) -> Self {
        let mend = mend.into();
        Self {
            context: context.into(),
            kind: ProbeErrorKind::Refused { error, mend },
        }
    }

    /// Reports a request that cannot be met, with all its faults.
    #[must_use]
    pub fn invalid(context: impl Into<String>, faults: Vec<String>) -> Self {
        Self {
            context: context.into(),
            kind: ProbeErrorKind::Invalid(faults),
        }
    }

    /// Returns why it failed.
    #[must_use]
    pub const fn kind(&self) -> &ProbeErrorKind {
        &self.kind
    }

    /// Returns what failed, why, and how to mend it, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            source = cause.source();
        }
        line
    }
}

/// Says an error of the kernel in plain lowercase words, without its number.
fn describe(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    };
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_why_and_how_to_mend_it() {
        let error = ProbeError::refused(
            "listen on 127.0.0.1:80",
            io::Error::from_raw_os_error(libc_eacces()),
            "choose a port above 1023 or run as root",
        );
        assert_eq!(
            error.line(),
            "failed to listen on 127.0.0.1:80: permission denied; choose a port above 1023 or run as root"
        );
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let faults = vec!["a is 0".to_owned(), "b is 1".to_owned()];
        let error = ProbeError::invalid("arm a job", faults);
        assert_eq!(error.line(), "failed to arm a job: a is 0; b is 1");
    }

    fn libc_eacces() -> i32 {
        Errno::EACCES as i32
    }
}
