//! What is told of a sweep over source ports.

use std::io::{self, Write};

use tollgate_results::sweep::{FlowDifference, FlowLevel, FlowSpread};

/// Writes how far the ports differ, and the fastest and the slowest of them.
pub(super) fn write(spread: &FlowSpread, out: &mut impl Write) -> io::Result<()> {
    let FlowSpread {
        blocks, ref levels, ..
    } = *spread;
    let ports = levels.len();
    writeln!(out)?;
    if let Some(FlowDifference { p, between, within }) = spread.difference {
        let (between, within) = (between * 100.0, within * 100.0);
        let told = if p <= 0.01 {
            "differ"
        } else {
            "aren't told apart"
        };
        writeln!(
            out,
            "{ports} source ports {told} (p = {p:.4}, {blocks} blocks)"
        )?;
        writeln!(
            out,
            "sd {between:.2} % between ports, {within:.2} % between visits of a port"
        )?;
    } else {
        writeln!(
            out,
            "{ports} source ports, but only {blocks} blocks with replies from all: too few to compare"
        )?;
    }
    let stood = |level: &&FlowLevel| level.local.is_some();
    let mut sorted: Vec<&FlowLevel> = levels.iter().filter(stood).collect();
    sorted.sort_by_key(|level| level.median_ns.unwrap_or(u64::MAX));
    if let (Some(fastest), Some(slowest)) = (sorted.first(), sorted.last()) {
        writeln!(out, "fastest {}", describe(fastest))?;
        writeln!(out, "slowest {}", describe(slowest))?;
    }
    Ok(())
}

/// Describes the level of a port in microseconds.
fn describe(level: &FlowLevel) -> String {
    let port = level.local.map_or(0, |local| local.port());
    let micros = |ns: Option<u64>| {
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        ns.map_or_else(|| "lost".to_owned(), |ns| format!("{:.1}", ns as f64 / 1e3))
    };
    let (low, high) = (micros(level.low_ns), micros(level.high_ns));
    if level.median_ns.is_none() {
        return format!("port {port}: half of its visits or more had no median");
    }
    let median = micros(level.median_ns);
    format!("port {port}: {median} µs, 95 % interval [{low}, {high}]")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tollgate_results::sweep::{FlowSweep, SweptTuple};

    use super::*;

    #[test]
    fn a_slow_port_and_a_lost_one_are_named() {
        let tuple = |port: u16, ns: Option<u64>| SweptTuple {
            local: Some(SocketAddr::from(([192, 0, 2, 1], port))),
            medians_ns: vec![ns; 8],
        };
        let told = |tuples| {
            let mut out = Vec::new();
            write(&FlowSweep { tuples }.spread(1), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let fast = || (1..8).map(|port| tuple(port, Some(20_000)));
        let text = told(fast().chain([tuple(9, Some(30_000))]).collect());
        assert!(
            text.contains("8 source ports differ (p = 0.0001, 8 blocks)"),
            "{text}"
        );
        assert!(
            text.contains("slowest port 9: 30.0 µs, 95 % interval [30.0, 30.0]"),
            "{text}"
        );
        let text = told(fast().chain([tuple(9, None)]).collect());
        assert!(
            text.contains("only 0 blocks with replies from all"),
            "{text}"
        );
        assert!(
            text.contains("slowest port 9: half of its visits"),
            "{text}"
        );
    }
}
