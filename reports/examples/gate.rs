//! Writes a gate's report in another form: `cargo run -p tollgate-reports --example gate -- gate.md <gate.json`.

use std::io::{self, Read as _, Write as _};

use tollgate_reports::gate::GateReport;
use tollgate_reports::render::gate::files;

fn main() -> io::Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let report: GateReport = serde_json::from_str(&text)?;
    match files(None).into_iter().find(|(name, _)| *name == wanted) {
        Some((_, renderer)) => io::stdout().write_all(&renderer.render(&report)),
        None => Err(io::Error::other(
            "name a form: gate.json, gate.html, gate.md, junit.xml or annotations.txt",
        )),
    }
}
