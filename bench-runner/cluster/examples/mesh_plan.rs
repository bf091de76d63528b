//! Times the plan of a mesh: every pair of every round.
//!
//! `cargo run --release -p tollgate-cluster --example mesh_plan -- [NODES]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example that times what a crate without a clock does"
)]

use std::env;
use std::hint::black_box;
use std::time::Instant;

use tollgate_cluster::mesh::{MOST_NODES, Mesh, MeshError};

fn main() -> Result<(), MeshError> {
    let asked = env::args().nth(1).and_then(|count| count.parse().ok());
    let nodes: usize = asked.unwrap_or(MOST_NODES);
    let start = Instant::now();
    let mesh = Mesh::of(nodes)?;
    let pairs: usize = (0..mesh.rounds())
        .map(|round| black_box(mesh.round(round)).map(black_box).count())
        .sum();
    let spent = start.elapsed();
    println!(
        "{nodes} nodes: {pairs} pairs in {} rounds, planned in {:.4} s",
        mesh.rounds(),
        spent.as_secs_f64()
    );
    Ok(())
}
