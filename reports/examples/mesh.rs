//! Times the report of a simulated mesh: reading its lines, the analysis, the page.
//!
//! `cargo run --release -p tollgate-reports --features test-support --example mesh -- [NODES] [PAGE.html]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example that times what a crate without a clock does"
)]

use std::env;
use std::fs;
use std::io;
use std::time::Instant;

use tollgate_reports::mesh::analyse;
use tollgate_reports::render::{mesh_page, mesh_text};
use tollgate_reports::synthetic::SyntheticMesh;
use tollgate_results::mesh::{MOST_NODES, Meeting};

fn main() -> io::Result<()> {
    let asked = env::args().nth(1).and_then(|count| count.parse().ok());
    let nodes: u32 = asked.unwrap_or(1_000).clamp(2, 1_000);
    assert!(nodes as usize <= MOST_NODES);
    let mesh = SyntheticMesh {
        zones: 3,
        crossing: 0.35,
        between: 0.01,
        slow: vec![(nodes / 3, 0.25), (nodes / 2, 0.6)],
        gone: vec![nodes - 1],
        ..SyntheticMesh::plain(nodes, 1)
    };
    let record = mesh.record();
    let lines: Vec<String> = mesh
        .meetings()
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    let start = Instant::now();
    let meetings: Vec<Meeting> = lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    let read = start.elapsed().as_secs_f64();
    let report = analyse(&record, &meetings);
    let analysed = start.elapsed().as_secs_f64();
    let page = mesh_page(&report);
    let json = serde_json::to_vec(&report)?;
    let all = start.elapsed().as_secs_f64();
    println!("{}", mesh_text(&report));
    println!(
        "{nodes} nodes, {} meetings: {:.2} s in all: reading {:.2} s, analysis {:.2} s, page ({} kB) and JSON ({} kB) {:.2} s",
        meetings.len(),
        all,
        read,
        analysed - read,
        page.len() / 1_000,
        json.len() / 1_000,
        all - analysed,
    );
    if let Some(file) = env::args().nth(2) {
        fs::write(file, page)?;
    }
    Ok(())
}
