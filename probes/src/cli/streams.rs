//! What is told of streams.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use tollgate_results::agent::Job;
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_results::stream::{Datagrams, OneWay, StreamTotals, TcpSample};

use super::print::write_row;
use super::summary::{Summary, Times};

/// The figures that only streams have.
#[derive(Debug, Serialize)]
pub(crate) struct Streams {
    /// Of datagrams, by direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    datagrams: Option<Datagrams>,
    /// Delays of paced datagrams.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    delays: BTreeMap<Timed, Times>,
    totals: StreamTotals,
    /// CPU seconds for each 10^9 bytes that arrived, here and at the far end.
    cpu_s_per_gb: Option<(f64, f64)>,
}

/// How people read each delay.
const DELAYS: [(Timed, &str); 7] = [
    (Timed::OneWayUp, "one-way up"),
    (Timed::PdvUp, "PDV up"),
    (Timed::IpdvUp, "IPDV up"),
    (Timed::OneWayDown, "one-way down"),
    (Timed::PdvDown, "PDV down"),
    (Timed::IpdvDown, "IPDV down"),
    (Timed::Lateness, "sent late by"),
];

impl Streams {
    /// Returns `None` of traffic that is no stream.
    pub(crate) fn new(job: &Job, report: &JobReport) -> Option<Self> {
        job.traffic.direction()?;
        let totals = report.outcome.stream.unwrap_or_default();
        let delays = DELAYS.iter().filter_map(|&(delay, _)| {
            let histogram = report.histograms.get(&delay)?;
            (!histogram.is_empty()).then(|| (delay, Times::new(histogram, 0)))
        });
        let gigabytes = float(totals.bytes_up.saturating_add(totals.bytes_down)) / 1e9;
        let per = |ns: u64| float(ns) / 1e9 / gigabytes;
        Some(Self {
            datagrams: report.outcome.datagrams.clone(),
            delays: delays.collect(),
            totals,
            cpu_s_per_gb: (gigabytes > 0.0)
                .then(|| (per(totals.near_cpu_ns), per(totals.far_cpu_ns))),
        })
    }

    pub(crate) fn write(&self, out: &mut impl Write, summary: &Summary) -> io::Result<()> {
        let ways = [
            ("up", self.totals.bytes_up),
            ("down", self.totals.bytes_down),
        ];
        for (way, bytes) in ways.into_iter().filter(|(_, bytes)| *bytes > 0) {
            let gigabits = float(bytes) * 8.0 / float(summary.window_ns.max(1));
            let megabytes = float(bytes) / 1e6;
            writeln!(
                out,
                "{way:<5} {gigabits:.3} Gbit/s, {megabytes:.1} MB arrived"
            )?;
        }
        if let Some(datagrams) = &self.datagrams {
            write_datagrams(out, datagrams)?;
        } else if summary.lost > 0 {
            writeln!(
                out,
                "{} of {} blocks unconfirmed",
                summary.lost, summary.sent
            )?;
        }
        if !self.delays.is_empty() {
            self.write_delays(out)?;
        }
        if let Some((near, far)) = self.cpu_s_per_gb {
            writeln!(
                out,
                "CPU {near:.3} s per GB here, {far:.3} s per GB at the far end"
            )?;
        }
        write_tcp(out, &summary.tcp)
    }

    fn write_delays(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        let header = ["p50", "p90", "p99", "p99.9", "max", "mean"].map(str::to_owned);
        write_row(out, ("µs", 13), &header)?;
        for (delay, name) in DELAYS {
            if let Some(times) = self.delays.get(&delay) {
                write_row(out, (name, 13), &times.cells())?;
            }
        }
        writeln!(out)
    }
}

fn write_datagrams(out: &mut impl Write, datagrams: &Datagrams) -> io::Result<()> {
    let ways = [("up", datagrams.up), ("down", datagrams.down)];
    writeln!(
        out,
        "\n{:<5} {:>11} {:>11} {:>10} {:>8} {:>8} {:>8} {:>9}",
        "", "sent", "received", "lost", "lost %", "twice", "reorder", "per s"
    )?;
    for (way, counts) in ways {
        let Some(counts) = counts else { continue };
        let share = float(counts.lost) * 100.0 / float(counts.sent.max(1));
        let per_s = float(counts.received) * 1e9 / float(counts.receiving_ns.max(1));
        writeln!(
            out,
            "{way:<5} {:>11} {:>11} {:>10} {share:>8.3} {:>8} {:>8} {per_s:>9.0}",
            counts.sent, counts.received, counts.lost, counts.duplicated, counts.reordered
        )?;
    }
    writeln!(out)?;
    for (way, counts) in ways {
        let Some(counts) = counts else { continue };
        write_detail(out, way, &counts)?;
    }
    Ok(())
}

fn write_detail(out: &mut impl Write, way: &str, counts: &OneWay) -> io::Result<()> {
    let OneWay {
        send_calls,
        send_buffers,
        receive_calls,
        receive_buffers,
        ..
    } = *counts;
    writeln!(
        out,
        "{way}: {send_buffers} buffers in {send_calls} send calls, {receive_buffers} in {receive_calls} receive calls"
    )?;
    if let Some(extent) = counts.extent {
        writeln!(
            out,
            "{way}: reordered by p50 {}, p99 {}, max {}; {} after three higher ones (TCP: lost)",
            extent.p50, extent.p99, extent.max, counts.reordered_by_3
        )?;
    }
    if counts.late + counts.stray + counts.unsent > 0 {
        writeln!(
            out,
            "{way}: {} late, {} stray, {} planned but not sent",
            counts.late, counts.stray, counts.unsent
        )?;
    }
    Ok(())
}

/// Says what TCP knew at the end, of the connection that fared worst.
fn write_tcp(out: &mut impl Write, samples: &[TcpSample]) -> io::Result<()> {
    let mut last: BTreeMap<u32, &TcpSample> = BTreeMap::new();
    for sample in samples {
        last.insert(sample.flow, sample);
    }
    let retransmits: u64 = last.values().map(|last| u64::from(last.retransmits)).sum();
    if let Some(worst) = last.values().max_by_key(|last| last.rtt_us) {
        let flows = match last.len() {
            1 => String::new(),
            flows => format!(" (the longest of {flows})"),
        };
        writeln!(
            out,
            "TCP: rtt {} µs{flows}, least {} µs, window {} segments; {retransmits} segments sent again",
            worst.rtt_us, worst.min_rtt_us, worst.cwnd
        )?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
const fn float(count: u64) -> f64 {
    count as f64
}
