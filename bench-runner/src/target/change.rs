//! The user's own commands: run in order, then a check that is repeated until it succeeds.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::time::sleep;
use tollgate_lab::Ran;
use tollgate_results::change::{Applied, Change, Command};

use crate::clock::{Clock as _, SystemClock};

/// How often a ready check is repeated.
const READY_EVERY: Duration = Duration::from_millis(100);

/// Runs the commands of a change in order, then waits until its check succeeds. `run` runs one of them within a time.
///
/// # Errors
///
/// With the first command that fails or takes too long, or when the check does not succeed in time.
pub(super) async fn apply(
    change: &Change,
    run: impl AsyncFn(&Command, Duration) -> anyhow::Result<Ran>,
) -> anyhow::Result<Vec<Applied>> {
    let mut applied = Vec::new();
    for command in &change.apply {
        let ran = run(command, command.within.duration())
            .await
            .with_context(|| format!("apply ({command})"))?;
        ensure!(
            ran.status.success(),
            "apply ({command}): {}; mend the command",
            ended(&ran)
        );
        applied.push(record(command, ran));
    }
    if let Some(check) = &change.ready {
        applied.push(ready(check, run).await?);
    }
    Ok(applied)
}

/// Repeats a check until it succeeds.
async fn ready(
    check: &Command,
    run: impl AsyncFn(&Command, Duration) -> anyhow::Result<Ran>,
) -> anyhow::Result<Applied> {
    let clock = SystemClock::start();
    let start_ns = clock.now_ns();
    let waited_ns = || clock.now_ns().saturating_sub(start_ns);
    let limit = check.within.duration();
    loop {
        let left = limit.saturating_sub(Duration::from_nanos(waited_ns()));
        let mut ran = run(check, left)
            .await
            .with_context(|| format!("ready ({check})"))?;
        if ran.status.success() {
            ran.took_ns = waited_ns();
            return Ok(record(check, ran));
        }
        if Duration::from_nanos(waited_ns()) + READY_EVERY >= limit {
            bail!(
                "ready ({check}): not within {}, last {}; give it longer by `within`, or mend the check",
                check.within,
                ended(&ran)
            );
        }
        sleep(READY_EVERY).await;
    }
}

fn record(command: &Command, ran: Ran) -> Applied {
    Applied {
        on: command.on,
        run: command.run.clone(),
        took_ns: ran.took_ns,
        said: ran.said,
    }
}

/// Says how a command ended and its last words.
fn ended(ran: &Ran) -> String {
    match &ran.said {
        Some(said) => format!("{}: {said}", ran.status),
        None => ran.status.to_string(),
    }
}
