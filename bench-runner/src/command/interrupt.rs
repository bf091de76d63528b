//! Ctrl-C and `kill`: both interrupt a campaign in order.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::InterruptedError;

/// Waits until the user (or a service manager) asks to stop.
///
/// # Errors
///
/// When the signals cannot be listened to.
pub(super) async fn interrupted() -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("failed to listen to signals");
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Does what goes before a measurement, unless it is interrupted.
///
/// # Errors
///
/// That of the work, or [`InterruptedError`].
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        signal = interrupted() => Err(signal.map_or_else(|error| error, |()| InterruptedError.into())),
    }
}
