//! The only place that prints: results to standard output, everything else to standard error.

#![expect(
    clippy::print_stderr,
    reason = "this module is where the command speaks"
)]

use std::io::{self, IsTerminal as _, Write as _};

/// Writes a result to standard output. A closed pipe (`| head`) ends quietly.
///
/// # Errors
///
/// When standard output cannot be written for any other reason.
pub fn result(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Tells the user something beside the result.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Tells the user about an error, one line with its causes.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Returns whether results go to a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns whether progress may be drawn.
#[must_use]
pub fn shows_progress() -> bool {
    io::stderr().is_terminal()
}
