//! iperf3's `--json`: throughput, and the loss of UDP. Its jitter and its smoothed RTT under load are no latency.

use serde_json::Value;

use super::{Figure, Imported, Tool, UnreadableError, figure, shorten};
use crate::model::Metric;

/// Reads the result of one run.
pub(super) fn read(text: &str) -> Result<Imported, UnreadableError> {
    let run: Value = match serde_json::from_str(text) {
        Ok(run) => run,
        // `--json-stream` writes one object a line, and so is no JSON as a whole.
        Err(_) if text.starts_with("{\"event\"") => {
            return Err(UnreadableError::new(
                "iperf3's --json-stream is not read; run iperf3 with --json",
            ));
        }
        Err(cause) => {
            return Err(UnreadableError::new(format!(
                "not whole as JSON ({cause}); was the run cut short?"
            )));
        }
    };
    if let Some(error) = run.get("error").and_then(Value::as_str) {
        return Err(UnreadableError::new(format!(
            "the run failed: iperf3 says `{}`",
            shorten(error)
        )));
    }
    let end = run.get("end").filter(|end| end.is_object());
    let Some((end, started)) = end.zip(run.pointer("/start/test_start")) else {
        return Err(UnreadableError::new(
            "not a result of iperf3: it has no `start` and `end`; run iperf3 with --json",
        ));
    };
    let mut traffic = traffic(started);
    if end.get("sum_received_bidir_reverse").is_some() {
        traffic.push_str(", both ways at once");
    }
    let mut figures: Vec<Figure> = Vec::new();
    for (suffix, direction) in [("", ""), ("_bidir_reverse", ", server to client")] {
        let workload = format!("{traffic}{direction}");
        let udp = end.get(format!("sum{suffix}").as_str());
        let received = end.get(format!("sum_received{suffix}").as_str());
        // UDP: `sum` holds what the server counted; its throughput is of what arrived only in `sum_received` (3.13 on).
        let speed = received.or(udp);
        figures.extend(figure(
            &workload,
            Metric::Throughput,
            number(speed, "bits_per_second").map(|speed| match (received, lost(udp)) {
                (None, Some(lost)) => speed * (1.0 - lost),
                _ => speed,
            }),
        ));
        figures.extend(figure(&workload, Metric::Loss, lost(udp)));
    }
    Ok(Imported {
        tool: Tool::Iperf3,
        figures,
        notes: Vec::new(),
    })
}

fn traffic(started: &Value) -> String {
    let text = |key: &str| started.get(key).and_then(Value::as_str).map(shorten);
    let count = |key: &str| started.get(key).and_then(Value::as_u64);
    let streams = count("num_streams").unwrap_or(1);
    let protocol = text("protocol").unwrap_or_else(|| "TCP".to_owned());
    let mut traffic = format!(
        "{protocol}, {streams} stream{}",
        if streams == 1 { "" } else { "s" }
    );
    if let Some(rate) = count("target_bitrate").filter(|rate| *rate > 0) {
        traffic.extend([", ", &rate.to_string(), " bit/s offered"]);
    }
    if count("reverse") == Some(1) {
        traffic.push_str(", server sends");
    }
    traffic
}

fn number(of: Option<&Value>, key: &str) -> Option<f64> {
    of?.get(key)?.as_f64()
}

/// The share of datagrams that did not arrive.
fn lost(sum: Option<&Value>) -> Option<f64> {
    let (lost, all) = (number(sum, "lost_packets")?, number(sum, "packets")?);
    // Reordering has given negative losses (iperf3 #914): then nothing is known.
    (all > 0.0 && (0.0..=all).contains(&lost)).then(|| lost / all)
}
