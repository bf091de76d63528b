//! k8s-netperf's JSON documents and its `result-*.csv`: a row is the mean over the samples of one test.

use serde_json::Value;

use super::{Figure, Imported, Tool, UnreadableError, figure, shorten};
use crate::model::Metric;

/// What its latency is, and is not.
const LATENCY: &str =
    "k8s-netperf's latency is a mean of its samples' 99th percentiles, which is no 99th percentile";

/// Most faults that are told of one file.
const MOST_FAULTS: usize = 10;

/// What tells the traffic of a row, by the name in JSON and in CSV, with what is said of it where it is set.
const TRAFFIC: [(&str, &str, &str); 8] = [
    ("parallelism", "Parallelism", "parallel"),
    ("messageSize", "Message Size", "B"),
    ("burst", "Burst", "in a burst"),
    ("hostNetwork", "Host Network", "host network"),
    ("service", "Service", "through a service"),
    ("local", "Same node", "same node"),
    ("acrossAZ", "Across AZ", "across zones"),
    ("virt", "Virt", "VMs"),
];

/// Returns whether text starts like its CSV.
pub(super) fn is_csv(text: &str) -> bool {
    let head = text.lines().next().unwrap_or_default();
    let mut columns = head.split(',').map(str::trim);
    columns.next() == Some("Driver") && columns.next() == Some("Profile")
}

/// Reads its documents.
pub(super) fn read_json(text: &str) -> Result<Imported, UnreadableError> {
    let documents: Vec<Value> = serde_json::from_str(text).map_err(|cause| {
        UnreadableError::new(format!(
            "not whole as JSON ({cause}); was the run cut short?"
        ))
    })?;
    let mut figures = Vec::new();
    for document in &documents {
        let text = |key: &str| -> Option<String> {
            match document.get(key)? {
                Value::String(text) => Some(text.clone()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Number(value) => Some(value.to_string()),
                _ => None,
            }
        };
        let Some((driver, profile)) = text("driver").zip(text("profile")) else {
            return Err(UnreadableError::new(
                "not a result of k8s-netperf: a document has no `driver` and `profile`",
            ));
        };
        let traffic = traffic(&driver, &profile, |(json, _, _)| text(json));
        let metric = text("tputMetric").unwrap_or_default();
        let (speed, latency) = (text("throughput"), text("latency"));
        figures.extend(row(&traffic, &metric, speed.as_deref(), latency.as_deref()));
        // Loss stands in every document, also of TCP, as 0.
        if profile.starts_with("UDP_STREAM") {
            let lost = text("udpLossPercent").and_then(|lost| lost.parse::<f64>().ok());
            figures.extend(figure(
                &traffic,
                Metric::Loss,
                lost.map(|lost| lost / 100.0),
            ));
        }
    }
    Ok(imported(figures))
}

/// Reads its CSV. Columns are found by name: versions differ in their number.
pub(super) fn read_csv(text: &str) -> Result<Imported, UnreadableError> {
    let mut lines = (1..).zip(text.lines());
    let header: Vec<&str> = lines.next().map_or_else(Vec::new, |(_, line)| split(line));
    let place = |name: &str| header.iter().position(|column| *column == name);
    let missing = ["Avg Throughput", "Throughput Metric"]
        .into_iter()
        .find(|name| place(name).is_none());
    if let Some(missing) = missing {
        return Err(UnreadableError::new(format!(
            "line 1 has no column `{missing}`; give k8s-netperf's result-*.csv"
        )));
    }
    let (mut figures, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells = split(line);
        if cells.len() != header.len() {
            faults.push(format!(
                "line {number}: {} columns and not {}",
                cells.len(),
                header.len()
            ));
            continue;
        }
        let cell = |name: &str| place(name).map(|place| cells[place]);
        let traffic = traffic(cells[0], cells[1], |(_, csv, _)| {
            cell(csv).map(str::to_owned)
        });
        let speed = cell("Avg Throughput");
        if speed
            .and_then(|speed| speed.parse::<f64>().ok())
            .is_none_or(f64::is_nan)
        {
            let value = shorten(speed.unwrap_or_default());
            faults.push(format!(
                "line {number}: throughput `{value}` is not a number"
            ));
            continue;
        }
        let metric = cell("Throughput Metric").unwrap_or_default();
        figures.extend(row(
            &traffic,
            metric,
            speed,
            cell("99%tile Observed Latency"),
        ));
    }
    if faults.is_empty() {
        return Ok(imported(figures));
    }
    faults.truncate(MOST_FAULTS);
    Err(UnreadableError::new(faults.join("; ")))
}

fn split(line: &str) -> Vec<&str> {
    line.trim_end().split(',').map(str::trim).collect()
}

fn imported(figures: Vec<Figure>) -> Imported {
    let latency = figures.iter().any(|figure| figure.metric == Metric::P99);
    Imported {
        tool: Tool::K8sNetperf,
        notes: latency.then(|| LATENCY.to_owned()).into_iter().collect(),
        figures,
    }
}

fn traffic(
    driver: &str,
    profile: &str,
    value: impl Fn((&'static str, &'static str, &'static str)) -> Option<String>,
) -> String {
    let mut text = format!("{} {}", shorten(driver), shorten(profile));
    for key in TRAFFIC {
        match value(key).as_deref() {
            None | Some("false" | "0" | "") => {}
            Some("true") => text.extend([", ", key.2]),
            Some(number) => text.extend([", ", &shorten(number), " ", key.2]),
        }
    }
    text
}

/// The figures of one row. It writes 0 for what it could not measure.
fn row(traffic: &str, metric: &str, speed: Option<&str>, latency: Option<&str>) -> Vec<Figure> {
    let number = |text: Option<&str>| {
        let number = text?.parse::<f64>().ok();
        number.filter(|number| number.is_finite())
    };
    let speed = match metric {
        "Mb/s" => figure(
            traffic,
            Metric::Throughput,
            number(speed).map(|speed| speed * 1e6),
        ),
        "OP/s" => figure(traffic, Metric::Rate, number(speed)),
        _ => None,
    };
    let latency = figure(traffic, Metric::P99, number(latency).map(|usec| usec * 1e3));
    speed.into_iter().chain(latency).collect()
}
