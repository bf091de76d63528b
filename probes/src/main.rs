//! `tollgate-probe`: the probe as a program.
fn main() {}
