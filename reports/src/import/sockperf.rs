//! What sockperf prints: percentiles of latency, rate or throughput, and the messages that it dropped.

use super::{Imported, Tool, UnreadableError, figure, shorten};
use crate::model::Metric;

/// The percentiles that are compared, as sockperf names them.
const PERCENTILES: [(&str, Metric, f64); 4] = [
    ("50.000", Metric::P50, 0.5),
    ("90.000", Metric::P90, 0.9),
    ("99.000", Metric::P99, 0.99),
    ("99.900", Metric::P999, 0.999),
];

/// Returns whether text looks like its output, or like its `--full-log`.
pub(super) fn is(text: &str) -> bool {
    let mut lines = text.lines().take(20);
    lines.any(|line| line.trim_start().starts_with("sockperf"))
}

/// Reads the output or the full log of one run of `ping-pong` or `under-load`, or the output of `throughput`.
pub(super) fn read(text: &str) -> Result<Imported, UnreadableError> {
    let text = plain(text);
    let lines = || {
        let lines = text.lines();
        lines.filter_map(|line| line.trim().strip_prefix("sockperf: "))
    };
    let find = |start: &str| lines().find_map(|line| line.strip_prefix(start));
    if let Some(error) = find("ERROR: ") {
        return Err(UnreadableError::new(format!(
            "the run failed: sockperf says `{}`",
            shorten(error)
        )));
    }
    if find("No messages were received").is_some() {
        return Err(UnreadableError::new(
            "every reply was lost: sockperf received none; is its server running?",
        ));
    }
    let protocol = text.lines().find_map(|line| {
        let end = line.trim_end();
        ["TCP", "UDP"]
            .into_iter()
            .find(|name| end.ends_with(&format!("# {name}")))
    });
    let protocol = protocol.map_or_else(String::new, |name| format!(" {name}"));
    // A latency is half of a round trip, unless sockperf was run with --full-rtt.
    let halved = find("====> avg-latency=").is_some();
    let mut imported = Imported {
        tool: Tool::Sockperf,
        figures: Vec::new(),
        notes: Vec::new(),
    };
    if halved || find("====> avg-rtt=").is_some() {
        let traffic = format!("sockperf{protocol}, round trips");
        let lost = lost(find("# dropped messages = "), find("[Valid Duration]"));
        round_trips(&mut imported, &traffic, lost, halved, &find);
    } else if let Some(rate) = find("Summary: Message Rate is ") {
        let traffic = format!("sockperf{protocol}, messages one way");
        let mbps = find("Summary: BandWidth is ").and_then(|line| {
            let (_, inner) = line.split_once('(')?;
            first_number(inner)
        });
        let figures = &mut imported.figures;
        figures.extend(figure(&traffic, Metric::Rate, first_number(rate)));
        figures.extend(figure(
            &traffic,
            Metric::Throughput,
            mbps.map(|mbps| mbps * 1e6),
        ));
    } else {
        return Err(UnreadableError::new(
            "has no statistics of sockperf; was the run cut short?",
        ));
    }
    Ok(imported)
}

fn round_trips<'a>(
    imported: &mut Imported,
    traffic: &str,
    lost: Option<f64>,
    halved: bool,
    find: &dyn Fn(&str) -> Option<&'a str>,
) {
    let ns = if halved { 2e3 } else { 1e3 };
    for (name, metric, quantile) in PERCENTILES {
        let printed = find(&format!("---> percentile {name} ="));
        let usec = printed.and_then(|value| value.trim().parse::<f64>().ok());
        // A lost reply is an infinite delay; sockperf leaves it out.
        let beyond = lost.is_some_and(|lost| lost > 1.0 - quantile);
        let value = usec.map(|usec| if beyond { f64::INFINITY } else { usec * ns });
        imported.figures.extend(figure(traffic, metric, value));
    }
    imported.figures.extend(figure(traffic, Metric::Loss, lost));
    if halved {
        let note = "sockperf printed half of each round trip; doubled here";
        imported.notes.push(note.to_owned());
    }
    if lost.is_some_and(|lost| lost > 0.0) {
        imported.notes.push(
            "sockperf leaves lost replies out of its percentiles: those that lie among them are infinite here, the \
             others look better than they were"
                .to_owned(),
        );
    }
}

/// Takes the colours out.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    plain
}

/// The share of replies that were asked for and did not come. `SentMessages` does not tell it: under-load asks for a
/// reply to some messages only.
fn lost(dropped: Option<&str>, valid: Option<&str>) -> Option<f64> {
    let dropped = first_number(dropped?)?;
    let (_, received) = valid?.split_once("ReceivedMessages=")?;
    let asked = dropped + first_number(received)?;
    (asked > 0.0).then(|| dropped / asked)
}

fn first_number(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end].parse().ok()
}
