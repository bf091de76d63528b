//! Everything that the probe prints. A reader who went away is no error.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;
use tollgate_results::outcome::HttpOutcome;
use tollgate_results::workload::SocketKind;

use super::summary::{Summary, Times};
use super::sweep;

/// Prints figures for machines, in one line.
pub(crate) fn json(figures: &impl Serialize) {
    let text = serde_json::to_string(figures).expect("plain numbers and strings have a JSON form");
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints figures for people.
pub(crate) fn table(summary: &Summary) {
    let _ = write_table(&mut io::stdout().lock(), summary);
}

/// Says where a responder listens.
pub(crate) fn listening(address: SocketAddr, json: bool) {
    let mut out = io::stdout();
    let _ = if json {
        let port = address.port();
        let text = serde_json::json!({ "address": address, "port": port });
        writeln!(out, "{text}")
    } else {
        let reach = if address.ip().is_loopback() {
            "; only this machine reaches it, --bind 0.0.0.0 opens it to others"
        } else {
            ""
        };
        writeln!(out, "listening on {address} (TCP and UDP){reach}")
    };
    let _ = out.flush();
}

/// Says what went wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn write_table(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary {
        kind,
        window_ns,
        sent,
        lost,
        ..
    } = *summary;
    let socket = match summary.socket {
        Some(SocketKind::Raw) => ", raw socket",
        Some(SocketKind::Unprivileged) if kind == "tcp-syn" => ", by connecting",
        Some(SocketKind::Unprivileged) => ", ping socket",
        Some(SocketKind::Auto) | None => "",
    };
    let seconds = seconds(window_ns);
    let address = summary.address();
    writeln!(out, "{kind} to {address} for {seconds:.2} s{socket}")?;
    writeln!(out)?;
    if let Some(streams) = &summary.streams {
        return streams.write(out, summary);
    }
    let header = ["p50", "p90", "p99", "p99.9", "max", "mean"].map(str::to_owned);
    write_row(out, ("µs", 9), &header)?;
    let latency = summary.open.as_ref().map_or("latency", |_| "from plan");
    write_row(out, (latency, 9), &summary.latency.cells())?;
    if let Some(open) = &summary.open {
        write_row(out, ("service", 9), &open.service.cells())?;
        write_row(out, ("lateness", 9), &open.lateness.cells())?;
    }
    for (name, times) in [
        ("connect", &summary.connect),
        ("TLS", &summary.tls),
        ("1st byte", &summary.first_byte),
        ("to last", &summary.last_byte),
    ] {
        if let Some(times) = times {
            write_row(out, (name, 9), &times.cells())?;
        }
    }
    writeln!(out)?;
    let share = if sent == 0 {
        0.0
    } else {
        to_float(lost) * 100.0 / to_float(sent)
    };
    let rate = summary.rate_per_s.unwrap_or(0.0);
    writeln!(
        out,
        "{sent} requests, {lost} lost ({share:.3} %), {rate:.0} replies per second"
    )?;
    if let Some(open) = &summary.open {
        open.write(out)?;
    }
    if let Some(resets) = summary.resets {
        let open = summary.replied - resets;
        writeln!(
            out,
            "{open} answered by SYN-ACK (open), {resets} by RST (closed)"
        )?;
    }
    if summary.resets.is_some() || matches!(kind, "udp-rr" | "icmp-echo") {
        writeln!(
            out,
            "{} late, {} duplicated, {} reordered, {} stray",
            summary.late, summary.duplicated, summary.reordered, summary.stray
        )?;
    }
    if let Some(http) = &summary.http {
        write_http(out, http)?;
    }
    if let Some(sweep) = &summary.sweep {
        sweep::write(sweep, out)?;
    }
    if let Some(split) = &summary.split {
        split.write(out)?;
    }
    Ok(())
}

/// Writes what came back over HTTP: statuses, and who answered.
fn write_http(out: &mut impl Write, http: &HttpOutcome) -> io::Result<()> {
    let statuses = http.statuses.iter();
    let statuses: Vec<String> = statuses
        .map(|(status, count)| format!("{status}: {count}"))
        .collect();
    if !statuses.is_empty() {
        writeln!(out, "status {}", statuses.join(", "))?;
    }
    let all: u64 = http.backends.values().sum::<u64>() + http.other_backends;
    let share = |count: u64| to_float(count) * 100.0 / to_float(all.max(1));
    for (name, &count) in &http.backends {
        writeln!(out, "backend {name}: {count} ({:.1} %)", share(count))?;
    }
    if http.other_backends > 0 {
        let count = http.other_backends;
        writeln!(out, "further backends: {count} ({:.1} %)", share(count))?;
    }
    Ok(())
}

/// Writes a row of figures; its name fills the given width.
pub(super) fn write_row(
    out: &mut impl Write,
    (name, width): (&str, usize),
    cells: &[String; 6],
) -> io::Result<()> {
    write!(out, "{name:<width$}")?;
    for cell in cells {
        write!(out, " {cell:>9}")?;
    }
    writeln!(out)
}

impl Times {
    /// Returns the row of a table, in microseconds.
    pub(super) fn cells(&self) -> [String; 6] {
        let micros = |ns: f64| format!("{:.1}", ns / 1e3);
        let percentile =
            |ns: Option<u64>| ns.map_or_else(|| "lost".to_owned(), |ns| micros(to_float(ns)));
        let extreme = |ns: Option<f64>| ns.map_or_else(|| "-".to_owned(), micros);
        [
            percentile(self.p50_ns),
            percentile(self.p90_ns),
            percentile(self.p99_ns),
            percentile(self.p99_9_ns),
            extreme(self.max_ns.map(to_float)),
            extreme(self.mean_ns),
        ]
    }
}

fn seconds(ns: u64) -> f64 {
    to_float(ns) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
const fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use tollgate_results::agent::Job;
    use tollgate_results::histogram::Histogram;
    use tollgate_results::outcome::{Histograms, JobReport, Outcome, Timed};
    use tollgate_results::units::{Bytes, Nanoseconds};
    use tollgate_results::workload::{Load, Traffic};

    use super::*;

    #[test]
    fn a_lost_percentile_is_said_to_be_lost() {
        let mut latency = Histogram::new();
        for _ in 0..95 {
            latency.record(10_000);
        }
        let report = JobReport {
            outcome: Outcome {
                window_ns: 1_000_000_000,
                sent: 100,
                replied: 95,
                lost: 5,
                ..Outcome::default()
            },
            histograms: Histograms::from([(Timed::Latency, latency)]),
            started_ns: None,
        };
        let job = Job {
            traffic: Traffic::UdpRr {
                payload: Bytes(64),
                timeout: Nanoseconds(1_000_000),
            },
            load: Load::Closed,
            timestamps: false,
            ports: None,
            beside: None,
            target: "[::1]:80".parse().unwrap(),
            warmup: Nanoseconds(0),
            duration: Nanoseconds(1_000_000_000),
            cpu: None,
            seed: 0,
            key: None,
        };
        let mut out = Vec::new();
        write_table(&mut out, &Summary::new(&job, &report)).unwrap();
        let expected = "\
udp-rr to [::1]:80 for 1.00 s

µs              p50       p90       p99     p99.9       max      mean
latency        10.0      10.0      lost      lost      10.0      10.0

100 requests, 5 lost (5.000 %), 95 replies per second
0 late, 0 duplicated, 0 reordered, 0 stray
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
