//! Times the analysis of many campaigns of 30 rounds × 8 arms, and the most memory that it took.
//!
//! `cargo run --release -p tollgate-reports --features test-support --example campaigns -- [COUNT]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example that times what a crate without a clock does"
)]

use std::env;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tollgate_reports::analyse;
use tollgate_reports::synthetic::Synthetic;

/// Campaigns made: the others are the same again, since making one takes longer than analysing it.
const DIFFERENT: u32 = 5;

fn main() {
    let asked = env::args().nth(1).and_then(|count| count.parse().ok());
    let count: u32 = asked.unwrap_or(1_000);
    let mut spent = Duration::ZERO;
    let mut cells = 0;
    for seed in 0..DIFFERENT {
        let wide = Synthetic {
            seed: seed.into(),
            ..Synthetic::wide(8, 30)
        };
        let campaign = wide.campaign();
        let share = count / DIFFERENT + u32::from(seed < count % DIFFERENT);
        let start = Instant::now();
        for _ in 0..share {
            cells += black_box(analyse(black_box(&campaign))).cells.len();
        }
        spent += start.elapsed();
    }
    println!(
        "{count} campaigns of 30 rounds x 8 arms, {cells} cells in all: {:.2} s, {:.2} ms each; peak {} MB, campaign included",
        spent.as_secs_f64(),
        spent.as_secs_f64() * 1e3 / f64::from(count.max(1)),
        peak_mb().unwrap_or(0),
    );
}

/// The most memory that this process had at once, in MB.
fn peak_mb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1_024 / 1_000_000)
}
